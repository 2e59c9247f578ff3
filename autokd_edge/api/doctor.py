"""Examine a device for a target, and mend what can be mended from here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.variants import SCREENING_PRECISION
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.clocks import clocks_locked
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.device import Device
from autokd_edge.devices.doctor import Finding, Weight, examine, facts_of_doctor
from autokd_edge.devices.facts import facts_over
from autokd_edge.devices.fingerprint import fingerprint_of, target_here
from autokd_edge.devices.installer import install_runtimes, remove_ours
from autokd_edge.devices.reference import write_null
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import (
    AbsentCompilerError,
    AbsentDeviceError,
    AutoKDError,
    DeviceError,
    InputError,
    RuntimeMissingError,
    TargetError,
)
from autokd_edge.ports import Backend

_LOOK = "leave --install out: the examination says what the board lacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a doctor found; ``done`` says what was changed on the device."""

    target: str
    device: str | None
    findings: tuple[Finding, ...]
    done: tuple[str, ...]

    @property
    def fit(self) -> bool:
        """Say whether a search can run there."""
        return all(finding.weight != "wrong" for finding in self.findings)


def examine_devices(
    target: str, devices: Sequence[str], *, install: bool = False, lock_clocks: bool = False, clean: bool = False
) -> Iterator[Examination]:
    """Examine each device, or this machine where none is named; of several, one that cannot be used is told in its examination.

    Raises:
        InputError: there is no such target, one is no address, or this machine is asked to be installed on.
        DeviceError: the only device cannot be reached, or does not let itself be installed on.
    """
    for address in devices:
        ssh_address(address)
    for device in devices or (None,):
        try:
            yield examine_device(target, device, install=install, lock_clocks=lock_clocks, clean=clean)
        except DeviceError as error:
            if len(devices) < 2:
                raise
            lost = Finding(what="connection", descriptor="", device=error.args[0], weight="wrong", mend=error.hint)
            yield Examination(target=target, device=device, findings=(lost,), done=())


def examine_device(
    target: str, device: str | None, *, install: bool = False, lock_clocks: bool = False, clean: bool = False
) -> Examination:
    """Examine a device, by default this machine.

    ``clean`` removes first what is ours there; ``install`` then puts the target's runtimes into a virtual
    environment of their own; ``lock_clocks`` holds the clocks still while the device is examined.

    Raises:
        InputError: there is no such target, that is no address, or this machine is asked to be installed on.
        DeviceError: the device cannot be reached, or does not let itself be installed on.
    """
    wanted, _ = load_target(target)
    there = wiring.device_of(device)
    done = [*_changed(wanted, there, install=install, clean=clean)]
    with clocks_locked(there.link, power_modes=wanted.power_modes) if lock_clocks else nullcontext() as how:
        findings = _findings(wanted, there)
    if how is not None:
        done.append(f"clocks: {how}")
    if clean and not install and isinstance(there.link, SshLink):
        remove_ours(there.link)  # what examining put there
    return Examination(target=wanted.name, device=device, findings=findings, done=tuple(done))


def _changed(target: Target, there: Device, *, install: bool, clean: bool) -> Iterator[str]:
    link = there.link
    if not isinstance(link, SshLink):
        if install or clean:
            raise InputError("--install and --clean must have a device to work on; none was given", hint="--device ssh://user@host")
        return
    packages = wiring.device_packages(target)
    if install and not packages:
        raise InputError(f"target '{target.name}' must have a runtime that Python drives to be installed; it has none", hint=_LOOK)
    if not (install or clean):
        return
    with there.lease.hold("putting a board in order"):  # what somebody measures with is not taken away meanwhile
        if clean:
            remove_ours(link)
            yield "removed what was ours"
        if install:
            yield f"installed {', '.join(install_runtimes(link, packages))}"


def _findings(target: Target, there: Device) -> tuple[Finding, ...]:
    facts = facts_over(there.link)
    machine = fingerprint_of(facts)
    seen = examine(target, machine, {**facts, **facts_of_doctor(there.link)}, device=there.link.device)
    try:
        here = target_here(target, machine)
    except TargetError:
        here = target  # said already; its runtimes are worth a look all the same
    return (*seen, *_runtimes(here, there))


def _runtimes(target: Target, there: Device) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            backends = wiring.backends_of(target, Path(scratch), there)
        except TargetError as error:
            yield Finding(what="runtimes", descriptor="", device=error.args[0], weight="wrong", mend=error.hint)
            return
        needed = next((variant.backend for variant in target.variants if variant.precision == SCREENING_PRECISION), None)
        for name, backend in backends.items():
            yield from _runtime(target, backend, needed=name == needed, builds=name in wiring.RUNTIMES)


def _runtime(target: Target, backend: Backend, *, needed: bool, builds: bool) -> Iterator[Finding]:
    """Look for a backend's runtime; a search goes on without what is absent where it is not ``needed``, to read students in first.

    Where ``builds``, the smallest network is compiled too: a runtime may be there, and its GPU not.
    """
    variants = [variant for variant in target.variants if variant.backend == backend.name]
    asked = ", ".join(map(str, variants))

    def found(device: str, weight: Weight, mend: str = "", what: str = f"runtime {backend.name}") -> Finding:
        return Finding(what=what, descriptor=asked, device=device, weight=weight, mend=mend)

    try:
        versions = {package: version for package, version in backend.builder.toolchain().items() if "/" not in package}
        extras = backend.extras() if backend.extras is not None else ()
        if builds:
            _built(backend, variants[0], target)
    except (AbsentCompilerError, AbsentDeviceError) as error:
        said = error.args[0] if needed else f"{error.args[0]}: a search leaves {asked} out"
        yield found(said, "wrong" if needed else "note", error.hint)
        return
    except AutoKDError as raised:
        failed = raised.of_target(target.name) if isinstance(raised, RuntimeMissingError) else raised
        yield found(failed.args[0], "wrong", failed.hint)
        return
    yield found(", ".join(f"{package} {version}" for package, version in versions.items()), "ok")
    if backend.unmeasured is not None:
        why = backend.unmeasured(target)
        yield found(why.args[0], "wrong", why.hint, what=f"readings of {backend.name}")
    for extra in extras:
        weight: Weight = "ok" if extra.usable else "note"
        yield Finding(what=extra.name, descriptor="", device=extra.found, weight=weight, mend=extra.mend)


def _built(backend: Backend, variant: Variant, target: Target) -> None:
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "null.onnx"
        write_null(graph)
        backend.builder.build(graph, variant=variant, target=target, out=Path(folder) / "engine")
