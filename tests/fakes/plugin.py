"""The fake backend as a package that somebody installed: an entry point, its version, and a target that uses it."""

from __future__ import annotations

from pathlib import Path

from fakes.backend import FAKE_TOOLCHAIN, fake_backend

from autokd_edge.devices.board import Place
from autokd_edge.ports import Backend

TESTS = Path(__file__).parents[1]


def backend(place: Place) -> Backend:  # noqa: ARG001  what wiring calls
    """Make the backend; it keeps no files of its own."""
    return fake_backend()


def install_plugin(site: Path) -> Path:
    """Write what an installer would into a folder of packages; returns the folder for the path."""
    info = site / f"fake-{FAKE_TOOLCHAIN['fake']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake\nVersion: {FAKE_TOOLCHAIN['fake']}\n")
    (info / "entry_points.txt").write_text("[autokd_edge.backends]\nfake = fakes.plugin:backend\n")
    (site / "fake.py").touch()
    return site


def write_target(path: Path, *, backend_name: str = "fake") -> Path:
    """Write a descriptor of this machine with the fake backend's variants."""
    text = (TESTS.parent / "targets" / "host.toml").read_text()
    # The same variants on every machine, of one backend.
    for backend, precision in (("openvino", "bf16"), ("tvm", "fp32"), ("tvm", "int8")):
        text = text.replace(f'[[variants]]\nbackend = "{backend}"\nprecision = "{precision}"\n\n', "")
    path.write_text(text.replace('"openvino"', f'"{backend_name}"').replace('name = "host"', 'name = "fake-host"'))
    return path
