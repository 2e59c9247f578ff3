"""A Jetson without a Jetson: the stand-in trtexec on this machine, and a fingerprint that says it is emulated."""

import dataclasses
import shlex
import sys
from pathlib import Path

from fakes.backend import FAKE_FINGERPRINT

from autokd_edge.backends.tensorrt.board import TrtexecBoard
from autokd_edge.backends.tensorrt.builder import TrtexecBuilder
from autokd_edge.backends.tensorrt.trtexec import Trtexec
from autokd_edge.devices.board import Place
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink

STAND_IN = Path(__file__).with_name("trtexec.py")
EMULATED = dataclasses.replace(FAKE_FINGERPRINT, machine="aarch64", emulated=True, power_mode="MAXN")


def install_trtexec(folder, version, *, gpu="8.7", fault=""):
    """Write a trtexec of a version into a folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "trtexec"
    options = ["--as", version, "--gpu", gpu, *(["--fault", fault] if fault else []), "--"]
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STAND_IN), *options])} "$@"\n')
    program.chmod(0o755)
    return program


class FakeJetson:
    """A builder and a board that share one trtexec."""

    def __init__(self, folder, version="8.2.1", *, gpu="8.7", fault="", fingerprint=EMULATED, timeout_s=60.0):
        program = install_trtexec(folder / f"{version}-{gpu}-{fault}", version, gpu=gpu, fault=fault)
        self.trtexec = Trtexec(link=LocalLink(), places=(str(program),))
        self.builder = TrtexecBuilder(self.trtexec, timeout_s=timeout_s)
        place = Place(link=LocalLink(), lease=Lease(folder / "lock"), folder=folder / "references", fingerprint=lambda: fingerprint)
        self.board = TrtexecBoard(self.trtexec, self.builder, place)
