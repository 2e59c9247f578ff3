"""Turn a program of torch.export into ONNX."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx

from autokd_edge.errors import ModelError
from autokd_edge.students.exported_program import load_exported

_SAVED = 'torch.export.save(torch.export.export(network, (image,)), "model.pt2")'
_TORCH_HINT = "pip install 'autokd-edge[compile]'"


def exported(path: Path) -> onnx.ModelProto:
    """Return the ONNX graph of a program that ``torch.export.save`` wrote, weights inside.

    Raises:
        ModelError: torch or its exporter is not installed, the file is no such program, or ONNX cannot express it.
    """
    try:
        import torch
        from onnxscript import __version__ as _  # noqa: F401  torch's exporter needs it and says so too late
    except ImportError as error:
        raise ModelError(f"a .pt2 file needs the package '{error.name}'", hint=_TORCH_HINT) from error
    vendor: Any = torch
    try:
        program = load_exported(path)
    except ValueError as error:
        raise ModelError(f"a .pt2 file must be what torch.export.save wrote; '{path}' is not: {error}", hint=_SAVED) from error
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own deprecations
            out = Path(folder) / "model.onnx"
            vendor.onnx.export(program, (), str(out), dynamo=True, external_data=False, verbose=False)
            return onnx.load(out)
    except Exception as error:  # torch's exporter raises nearly anything; all of it says that there is no graph
        reason = error.__cause__ or error  # torch's own text is a page of advice
        said = " ".join(str(reason).split())[:200]
        raise ModelError(
            f"'{path}' must be expressible in ONNX; torch says: {type(reason).__name__}: {said}",
            hint='torch.onnx.export(network, image, "model.onnx") says which operation it is',
        ) from error
