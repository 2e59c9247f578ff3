"""Import torchvision where its compiled operators do not load: beside a CPU build of torch its usual wheel looks for CUDA's libraries.

timm and transformers import torchvision too, so all three fail then, over operators for detection that no classifier calls.
torchvision describes two of them to torch when it is imported, and this is what fails; declared, they need no implementation.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

_NAME = "torchvision"
_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_DESCRIBED = tuple(f"{operator}{_BOXES}" for operator in ("nms", "qnms"))  # torchvision/_meta_registrations.py


def import_torchvision_if_there() -> None:
    """Import torchvision where it is installed, without its compiled operators if need be; raises RuntimeError where not even so."""
    if _NAME in sys.modules or find_spec(_NAME) is None:
        return
    try:
        import_module(_NAME)
    except RuntimeError:
        for begun in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
            del sys.modules[begun]
        _declared_operators()
        import_module(_NAME)


@cache  # they are declared as long as the library lives
def _declared_operators() -> Any:  # noqa: ANN401  torch gives its libraries no type
    make: Any = torch.library.Library  # without types
    library = make(_NAME, "FRAGMENT")
    for schema in _DESCRIBED:
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
    return library
