"""Classify images with the engine beside this file: python predict.py IMAGE... Needs numpy and openvino only."""

import hashlib
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
GAP = rb"(?:\s|#[^\n]*\n)+"
PNM = re.compile(rb"P([56])" + GAP + rb"(\d+)" + GAP + rb"(\d+)" + GAP + rb"255\s")


def pixels_of(path: Path, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401  uint8 (h, w, c)
    """Read a .npy, PGM or PPM file, or whatever Pillow reads where it is installed."""
    data = path.read_bytes()
    if path.suffix == ".npy":
        pixels = np.load(path, allow_pickle=False)
    elif head := PNM.match(data):
        width, height, depth = int(head[2]), int(head[3]), {b"5": 1, b"6": 3}[head[1]]
        pixels = np.frombuffer(data, np.uint8, width * height * depth, head.end()).reshape(height, width, depth)
    else:
        try:
            pixels = np.asarray(import_module("PIL.Image").open(path).convert("L" if shape[2] == 1 else "RGB"))
        except ImportError as error:
            raise ValueError("must be .npy or binary PGM or PPM of 255 levels; for other formats: pip install pillow") from error
    if (np.atleast_3d(pixels).shape, pixels.dtype) != (shape, np.uint8):
        raise ValueError(f"pixels must be uint8 (h, w, c) {shape}; got {pixels.dtype} {pixels.shape}")
    return np.atleast_3d(pixels)


def main() -> None:
    """Check the engine, then print the label and all probabilities of each image."""
    manifest = json.loads((HERE / "manifest.json").read_bytes())
    card, blob = manifest["card"], (HERE / manifest["engine"]["name"]).read_bytes()
    if hashlib.sha256(blob).hexdigest() != manifest["engine"]["sha256"]:
        sys.exit(f"{manifest['engine']['name']} was changed: it is not the engine that was measured")
    hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    engine = import_module("openvino").Core().import_model(blob, "CPU", hints | {"INFERENCE_NUM_THREADS": card["target"]["threads"]})
    _, channels, height, width = card["input"]["shape"]
    mean, std = (np.array(card["input"]["preprocessing"][name], np.float32) for name in ("mean", "std"))
    for path in map(Path, sys.argv[1:]):
        try:
            pixels = pixels_of(path, (height, width, channels))
        except (OSError, ValueError) as error:
            sys.exit(f"{path}: {error}")
        image = ((pixels.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]  # (1, c, h, w)
        logits = engine(np.ascontiguousarray(image))[0][0]  # (classes,)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        print(f"{path}: {card['labels'][shares.argmax()]}")
        print("\n".join(f"  {shares[i]:7.2%}  {card['labels'][i]}" for i in np.argsort(-shares)))


if __name__ == "__main__":
    main()
