"""Classify images with the engine beside this file: python predict.py IMAGE... Needs numpy and the runtime only."""

import hashlib
import json
import re
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
PNM = re.compile(rb"P([56])GAP(\d+)GAP(\d+)GAP255\s".replace(b"GAP", rb"(?:\s|#[^\n]*\n)+"))


def pixels_of(path: Path, shape: tuple[int, ...]) -> "np.typing.NDArray[np.uint8]":  # (h, w, c)
    """Read a .npy or a binary PGM or PPM file of 255 levels."""
    if path.suffix == ".npy":
        pixels = np.load(path, allow_pickle=False)
    elif head := PNM.match(data := path.read_bytes()):
        width, height, depth = int(head[2]), int(head[3]), {b"5": 1, b"6": 3}[head[1]]
        pixels = np.frombuffer(data, np.uint8, width * height * depth, head.end()).reshape(height, width, depth)
    else:
        raise ValueError("must be .npy or binary PGM or PPM of 255 levels")
    if (np.atleast_3d(pixels).shape, pixels.dtype) != (shape, np.uint8):
        raise ValueError(f"pixels must be uint8 (h, w, c) {shape}; got {pixels.dtype} {pixels.shape}")
    return np.atleast_3d(pixels)


def main() -> None:
    """Check the engine, then print the label and all probabilities of each image."""
    card = (manifest := json.loads((HERE / "manifest.json").read_bytes()))["card"]
    if hashlib.sha256(blob := (HERE / manifest["engine"]["name"]).read_bytes()).hexdigest() != manifest["engine"]["sha256"]:
        sys.exit(f"{manifest['engine']['name']} was changed: it is not the engine that was measured")
    runtime, threads = import_module(card["runtime"]["package"]), card["target"]["threads"]
    if runtime.__name__ == "openvino":
        plugin = card["variant"]["backend"].partition("-")[2].upper() or "CPU"  # openvino-gpu
        floats = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}.get(card["variant"]["precision"], "f32" if plugin == "CPU" else "f16")
        hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1} if plugin == "CPU" else {}
        engine = runtime.Core().import_model(blob, plugin, {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": floats, **hints})
    else:  # onnxruntime; the engine is optimised already
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.graph_optimization_level = threads, runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        engine = partial(runtime.InferenceSession(blob, options, providers=["CPUExecutionProvider"]).run, None)
    mean, std = (np.array(card["input"]["preprocessing"][name], np.float32) for name in ("mean", "std"))
    for path in map(Path, sys.argv[1:]):
        try:
            pixels = pixels_of(path, tuple(card["input"]["shape"][axis] for axis in (2, 3, 1)))
        except (OSError, ValueError) as error:
            sys.exit(f"{path}: {error}")
        image = ((pixels.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]  # (1, c, h, w)
        logits = engine({card["input"]["name"]: np.ascontiguousarray(image)})[0][0]  # (classes,)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        rows = (f"  {shares[i]:7.2%}  {card['labels'][i]}" for i in np.argsort(-shares))
        print(f"{path}: {card['labels'][shares.argmax()]}", *rows, sep="\n")


if __name__ == "__main__":
    main()
