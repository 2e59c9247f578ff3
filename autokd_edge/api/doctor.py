"""Examine a device for a target, and mend what can be mended from here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.core.target import Target
from autokd_edge.core.variants import SCREENING_PRECISION
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.clocks import clocks_locked
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.device import Device
from autokd_edge.devices.doctor import Finding, Weight, examine, facts_of_doctor
from autokd_edge.devices.facts import facts_over
from autokd_edge.devices.fingerprint import fingerprint_of, target_here
from autokd_edge.devices.installer import install_runtimes, remove_ours
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import AbsentCompilerError, AutoKDError, DeviceError, InputError, TargetError


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
    if not lock_clocks:
        return Examination(target=wanted.name, device=device, findings=_findings(wanted, there), done=tuple(done))
    with clocks_locked(there.link) as how:
        findings = _findings(wanted, there)
    return Examination(target=wanted.name, device=device, findings=findings, done=(*done, f"clocks: {how}"))


def _changed(target: Target, there: Device, *, install: bool, clean: bool) -> Iterator[str]:
    link = there.link
    if not isinstance(link, SshLink):
        if install or clean:
            raise InputError("--install and --clean must have a device to work on; none was given", hint="--device ssh://user@host")
        return
    if clean:
        remove_ours(link)
        yield "removed what was ours"
    if install:
        packages = wiring.device_packages(target)
        if not packages:
            raise InputError(f"target '{target.name}' must have a runtime that Python drives to be installed; it has none")
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
            asked = ", ".join(str(variant) for variant in target.variants if variant.backend == name)
            try:
                versions = {package: version for package, version in backend.builder.toolchain().items() if "/" not in package}
                extras = backend.extras() if backend.extras is not None else ()
            except AbsentCompilerError as error:
                # What is read first is needed; a search goes on without the others.
                said, lacks = error.args[0], name == needed
                device = said if lacks else f"{said}: a search leaves {asked} out"
                yield Finding(what=f"runtime {name}", descriptor=asked, device=device, weight="wrong" if lacks else "note", mend=error.hint)
            except AutoKDError as error:
                yield Finding(what=f"runtime {name}", descriptor=asked, device=error.args[0], weight="wrong", mend=error.hint)
            else:
                said = ", ".join(f"{package} {version}" for package, version in versions.items())
                yield Finding(what=f"runtime {name}", descriptor=asked, device=said, weight="ok")
                for extra in extras:
                    weight: Weight = "ok" if extra.usable else "note"
                    yield Finding(what=extra.name, descriptor="", device=extra.found, weight=weight, mend=extra.mend)
