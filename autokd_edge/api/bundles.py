"""Check, test and time a bundle on this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.bundle.checker import check_bundle, read_bundle
from autokd_edge.bundle.manifest import Manifest
from autokd_edge.bundle.selftest import SelfTest, run_selftest
from autokd_edge.core.measure import Measurement
from autokd_edge.devices.descriptors import load_protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRun:
    """What a bundle did here; ``measurement`` is None where the self-test failed."""

    manifest: Manifest
    selftest: SelfTest
    measurement: Measurement | None


def run_bundle(folder: Path, *, protocol: str, device: str | None = None) -> BundleRun:
    """Check a bundle, run its self-test and, if that passes, time its engine by a protocol.

    ``device`` is the address of where it runs, by default this machine.

    Raises:
        BundleError: the bundle is damaged or does not fit the machine.
        InputError: the device's address is none.
        DeviceError: the device, or the way to it, failed.
        TargetError: there is no such protocol.
        MeasureError: the engine did not run.
    """
    timing, _ = load_protocol(protocol)
    there = wiring.device_of(device)
    with tempfile.TemporaryDirectory() as scratch:
        if device is None:
            manifest = check_bundle(folder)
        else:
            card = read_bundle(folder).card
            builder = wiring.backends_of(card.target, Path(scratch), there)[card.variant.backend].builder
            version = None if card.runtime is None else builder.toolchain().get(card.runtime.package)
            manifest = check_bundle(folder, machine=there.fingerprint().machine, version=version)
        card = manifest.card
        board = wiring.backends_of(card.target, Path(scratch), there)[card.variant.backend].board
        selftest = run_selftest(folder, manifest, board)
        measurement = None
        if selftest.passed:
            measurement = board.measure(folder / manifest.engine.name, variant=card.variant, target=card.target, protocol=timing)
    return BundleRun(manifest=manifest, selftest=selftest, measurement=measurement)
