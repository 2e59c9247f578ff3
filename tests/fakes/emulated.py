"""A board of another architecture: Debian's qemu-user runs its programs here. Its numbers are right, its times say nothing."""

import shutil
from collections.abc import Sequence

import pytest

from autokd_edge.core.measure import Fingerprint
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Finished


class EmulatedLink(LocalLink):
    """Runs aarch64 programs as one kind of core; files stay where they are."""

    def __init__(self, core: str) -> None:
        super().__init__()
        self._emulator = shutil.which("qemu-aarch64")
        self._core = core

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout_s: float) -> Finished:
        if self._emulator is None:
            pytest.fail("aarch64 engines are run by qemu-aarch64, which is not installed: apt-get install qemu-user")
        return super().run([self._emulator, "-cpu", self._core, *argv], stdin=stdin, timeout_s=timeout_s)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(
            machine="aarch64",
            processor=f"qemu-aarch64 emulating {self._core}",
            isa_flags=("asimd",),
            cores=1,
            memory_bytes=0,
            system="qemu-user",
            governor="unknown",
            virtual=True,
            emulated=True,
        )
