"""CIFAR-10 and CIFAR-100 as they are distributed: the binary or the Python version, unpacked or as the .tar.gz.

The Python version's files are pickles. They are read by an unpickler that knows arrays of bytes and
nothing else: no name in a file reaches a function of any library. Formats: Krizhevsky's CIFAR page.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.parts import source_of_parts
from autokd_edge.teaching.samples import DataSource, LabelledImages

PIXELS = 3 * 32 * 32
_AGAIN = "download the archive again"
LARGEST = 200_000_000  # bytes of one file in an archive; the real ones have at most 155 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Names of the files of one version; ``label`` is the key of the labels, or the byte of a record before the pixels."""

    train: tuple[str, ...]
    test: str
    names: str
    label: str | int
    head: int  # bytes before the pixels of a record


_PYTHON = {
    10: _Layout(train=tuple(f"data_batch_{n}" for n in range(1, 6)), test="test_batch", names="batches.meta", label="labels", head=0),
    100: _Layout(train=("train",), test="test", names="meta", label="fine_labels", head=0),
}
_BINARY = {
    10: _Layout(train=tuple(f"data_batch_{n}.bin" for n in range(1, 6)), test="test_batch.bin", names="batches.meta.txt", label=0, head=1),
    100: _Layout(train=("train.bin",), test="test.bin", names="fine_label_names.txt", label=1, head=2),
}


def cifar(path: Path, *, classes: int) -> DataSource:
    """Read CIFAR-10 or CIFAR-100; the binary version is taken where both are there.

    Raises:
        DataError: files are missing, cut, or hold more than arrays, or a label is out of range.
    """
    files = _archived(path) if path.is_file() else _unpacked(path)
    for layout, read in ((_BINARY[classes], _from_binary), (_PYTHON[classes], _from_python)):
        wanted = (*layout.train, layout.test, layout.names)
        if layout.train[0] in files:
            missing = [name for name in wanted if name not in files]
            if missing:
                raise DataError(f"CIFAR-{classes} in '{path}' must have {', '.join(wanted)}; it has no {missing[0]}", hint=_AGAIN)
            names, train, test = read(files, layout, path)
            return source_of_parts(f"cifar{classes}", names, train, None, test)
    kinds = f"{_BINARY[classes].train[0]} or {_PYTHON[classes].train[0]}"
    raise DataError(f"CIFAR-{classes} must be a folder or .tar.gz with {kinds}; '{path}' has neither", hint=f"--data cifar{classes}:PATH")


Files = Mapping[str, "_File"]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    member: str | None  # inside an archive

    def read(self) -> bytes:
        try:
            if self.member is None:
                return self.path.read_bytes()
            with tarfile.open(self.path) as archive:
                stream = archive.extractfile(self.member)
                return b"" if stream is None else stream.read(LARGEST)
        except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
            raise DataError(f"data file '{self.path}' cannot be read: {error}", hint="get the file again") from error


def _unpacked(path: Path) -> Files:
    if not path.is_dir():
        raise DataError(f"CIFAR must be a folder or a .tar.gz; '{path}' is neither", hint="--data cifar10:PATH")
    places = [path, *sorted(child for child in path.iterdir() if child.is_dir() and child.name.startswith("cifar"))]
    return {file.name: _File(file, None) for place in reversed(places) for file in place.iterdir() if file.is_file()}


def _archived(path: Path) -> Files:
    try:
        with tarfile.open(path) as archive:
            return {Path(m.name).name: _File(path, m.name) for m in archive.getmembers() if m.isfile()}
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"data file '{path}' must be a whole .tar.gz; {error}", hint="get the file again") from error


def _from_binary(files: Files, layout: _Layout, where: Path) -> tuple[tuple[str, ...], LabelledImages, LabelledImages]:
    def part(names: tuple[str, ...]) -> LabelledImages:
        records = []
        for name in names:
            data = np.frombuffer(files[name].read(), np.uint8)
            if len(data) == 0 or len(data) % (layout.head + PIXELS):
                raise DataError(
                    f"data file '{name}' in '{where}' must hold records of {layout.head + PIXELS} bytes; it has {len(data)}", hint=_AGAIN
                )
            records.append(data.reshape(-1, layout.head + PIXELS))
        whole = np.concatenate(records)
        images = np.ascontiguousarray(whole[:, layout.head :]).reshape(-1, 3, 32, 32)
        return LabelledImages(images=images, labels=whole[:, int(layout.label)].astype(np.int64))

    names = tuple(files[layout.names].read().decode("utf-8", "replace").split())
    return names, part(layout.train), part((layout.test,))


def _from_python(files: Files, layout: _Layout, where: Path) -> tuple[tuple[str, ...], LabelledImages, LabelledImages]:
    def part(names: tuple[str, ...]) -> LabelledImages:
        images, labels = [], []
        for name in names:
            batch = _unpickled(files[name], name, where)
            data, own = batch.get("data"), batch.get(str(layout.label))
            if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,) or not isinstance(own, list):
                raise DataError(f"data file '{name}' in '{where}' must hold 'data' (n, {PIXELS}) uint8 and '{layout.label}'", hint=_AGAIN)
            if not all(isinstance(label, int) for label in own):
                raise DataError(f"labels of data file '{name}' in '{where}' must be whole numbers", hint=_AGAIN)
            images.append(data.reshape(-1, 3, 32, 32))
            labels += own
        return LabelledImages(images=np.concatenate(images), labels=np.array(labels, np.int64))

    said = _unpickled(files[layout.names], layout.names, where)
    names = said.get("label_names", said.get("fine_label_names"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"data file '{layout.names}' in '{where}' must list the classes", hint=_AGAIN)
    return tuple(names), part(layout.train), part((layout.test,))


class _Bytes:
    """Stands in for a numpy array or dtype while a file is parsed: keeps what it is told and runs nothing."""

    def __init__(self, *told: object) -> None:
        self.told = told
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _started(*_: object) -> _Bytes:
    return _Bytes()


def _encoded(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")  # how Python 3 writes bytes in an old protocol


# All the names that numpy's arrays of bytes have in a pickle, each answered by something of our own.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _started,
    ("numpy._core.multiarray", "_reconstruct"): _started,
    ("numpy", "ndarray"): _Bytes,
    ("numpy", "dtype"): _Bytes,
    ("_codecs", "encode"): _encoded,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  the signature of the standard library
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array") from None


def _unpickled(file: _File, name: str, where: Path) -> dict[str, Any]:
    """Parse one file to a plain dictionary; text keys, arrays of uint8."""
    try:
        found = _ArraysOnly(io.BytesIO(file.read()), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything; nothing of it was run
        raise DataError(f"data file '{name}' in '{where}' must hold arrays of bytes and nothing else; {error}", hint=_AGAIN) from error
    if not isinstance(found, dict):
        raise DataError(f"data file '{name}' in '{where}' must hold a dictionary; it holds {type(found).__name__}", hint=_AGAIN)
    return {str(key): _array(value, name, where) if isinstance(value, _Bytes) else value for key, value in found.items()}


def _array(value: _Bytes, name: str, where: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        _, shape, dtype, fortran, data = value.state
        raw = data.encode("latin1") if isinstance(data, str) else data
        if dtype.told[0] == "u1":
            array = np.frombuffer(raw, np.uint8).reshape(tuple(int(n) for n in shape), order="F" if fortran else "C")
            return np.ascontiguousarray(array)
        why = f"one is of {dtype.told[0]}"
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        why = str(error)
    raise DataError(f"data file '{name}' in '{where}' must hold arrays of bytes; {why}", hint=_AGAIN)
