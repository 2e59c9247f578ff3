"""Calibration images for a network of the user's: of a data set, or a file of arrays preprocessed by them."""

from __future__ import annotations

from pathlib import Path

from autokd_edge.errors import DataError

_MADE = 'numpy.save("FILE.npy", images), float32 (n, c, h, w) as the network reads them'
_BATCH_1 = "export it with batch 1, or leave --data out"


def calibration_images(data: str, input_shape: tuple[int, ...], folder: Path) -> Path:
    """Return a .npy of float32 images ``(n, c, h, w)`` that fit an input ``(1, c, h, w)``.

    ``data`` is a data set's name, whose images are normalised by their own mean and deviation, or a
    ``.npy`` file that holds what the network reads.

    Raises:
        DataError: there is no such data, or its images do not fit.
    """
    path = Path(data) if data.endswith(".npy") else _of_data_set(data, folder)
    shape = _shape(path)
    if input_shape[0] != 1:
        raise DataError(f"a model must take one image at a time to be calibrated; its input is {input_shape}", hint=_BATCH_1)
    if shape[1:] != input_shape[1:] or not shape[0]:
        wanted = ", ".join(map(str, input_shape[1:]))
        raise DataError(f"calibration images must be float32 (n, {wanted}) for an input {input_shape}; '{data}' gives {shape}", hint=_MADE)
    return path


def _of_data_set(data: str, folder: Path) -> Path:
    from autokd_edge.teaching.data import data_source
    from autokd_edge.teaching.inputs import PreparedImages

    source = data_source(data)
    return PreparedImages(source, source.teaching(), folder).inputs("calibration")[0]


def _shape(path: Path) -> tuple[int, ...]:
    import numpy as np

    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"calibration images must be a data set's name or a .npy file; '{path}' is not there", hint=_MADE) from None
    except (OSError, ValueError) as error:
        raise DataError(f"calibration images must be a .npy file of float32; '{path}' is something else", hint=_MADE) from error
    if images.dtype != np.float32:
        raise DataError(f"calibration images must be float32; '{path}' holds {images.dtype}", hint=_MADE)
    shape: tuple[int, ...] = images.shape
    return shape
