"""Image folders on the disk, small enough to write in a moment."""

from pathlib import Path

import numpy as np
from PIL import Image
from teaching.small import CLASSES, small_images


def write_folder(path: Path, count: int, *, seed: int = 0, colour: bool = False, suffix: str = "png", size: int | None = None) -> None:
    """Write ``count`` images in class folders."""
    samples = small_images(count, seed=seed)
    for number, (image, label) in enumerate(zip(samples.images, samples.labels, strict=True)):
        folder = path / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(np.stack([image[0]] * 3, axis=2) if colour else image[0])
        if size is not None:
            picture = picture.resize((size, size))
        picture.save(folder / f"{number:05}.{suffix}")
