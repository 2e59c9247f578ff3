"""What ``--tune N`` needs before anything is built: a number, a backend that has a tuner, and a device whose time means something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.device import Device
from autokd_edge.errors import InputError

MOST_CANDIDATES = 1000  # no kernel has so many tiles


def check_most(tune: int | None, *, predict: object = None) -> None:
    """Refuse what can be seen from the options alone; raises InputError."""
    if tune is None:
        return
    if not 1 <= tune <= MOST_CANDIDATES:
        raise InputError(f"--tune must be 1 to {MOST_CANDIDATES} candidates of each layer; got {tune}", hint="--tune 8")
    if predict:
        raise InputError(
            f"--tune times candidates on a device, and --predict has none; got --tune {tune} and --predict", hint="leave one of them out"
        )


def check_tuning(target: Target, device: Device, variants: Sequence[Variant]) -> None:
    """Refuse to tune where no backend of these variants can, or where time means nothing; raises InputError and DeviceError."""
    tuners = [name for name, backend in wiring.backends_of(target, Path(), device).items() if backend.tuner is not None]
    if not any(variant.backend in tuners for variant in variants):
        raise InputError(
            f"--tune is for backends that have a tuner, as tvm has; target '{target.name}' has {', '.join(map(str, variants))}",
            hint="leave --tune out, or give a target with a tvm variant",
        )
    if device.fingerprint().emulated:
        where = device.link.device or "this machine"
        raise InputError(
            f"--tune compares times, and time under emulation compares nothing; '{where}' is emulated", hint="leave --tune out"
        )
