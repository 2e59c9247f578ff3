"""What a benchmark's result says of itself: machine, date, versions, command, load."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from autokd_edge.core.codec import Json
from autokd_edge.devices.fingerprint import read_fingerprint

PACKAGES = (
    "autokd-edge",
    "torch",
    "apache-tvm",
    "openvino",
    "nncf",
    "onnxruntime",
    "onnx",
    "botorch",
    "gpytorch",
    "optuna",
    "ax-platform",
    "numpy",
    "scipy",
)


def facts() -> dict[str, Json]:
    """Return the facts; the load average says whether the machine was quiet."""
    machine = read_fingerprint()
    return {
        "machine": f"{machine.processor}, {machine.cores} cores, {round(machine.memory_bytes / 2**30)} GiB"
        f"{', virtual machine' if machine.virtual else ''}",
        "isa_flags": list(machine.isa_flags),
        "system": machine.system,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "command": " ".join(["python", *sys.argv]),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
