"""A Jetson without a Jetson: the stand-ins of trtexec and its Python binding, and a fingerprint that says it is emulated."""

import atexit
import dataclasses
import functools
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fakes.backend import FAKE_FINGERPRINT

from autokd_edge.backends.tensorrt.binding import Binding
from autokd_edge.backends.tensorrt.board import TrtexecBoard
from autokd_edge.backends.tensorrt.builder import TrtexecBuilder
from autokd_edge.backends.tensorrt.logits import LogitsRunner
from autokd_edge.backends.tensorrt.trtexec import Trtexec
from autokd_edge.devices.board import Place
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink

STAND_IN, BINDING, CUDART = (Path(__file__).with_name(name) for name in ("trtexec.py", "tensorrt_binding.py", "cudart.c"))
EMULATED = dataclasses.replace(FAKE_FINGERPRINT, machine="aarch64", emulated=True, power_mode="MAXN")


def install_trtexec(folder, version, *, gpu="8.7", fault=""):
    """Write a trtexec of a version into a folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "trtexec"
    options = ["--as", version, "--gpu", gpu, *(["--fault", fault] if fault else []), "--"]
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STAND_IN), *options])} "$@"\n')
    program.chmod(0o755)
    return program


@functools.cache
def cudart():
    """Compile the stand-in of libcudart once; returns its folder."""
    folder = Path(tempfile.mkdtemp(prefix="cudart-"))
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(folder / "libcudart.so"), str(CUDART)]
    subprocess.run(argv, check=True)
    atexit.register(shutil.rmtree, folder)
    return folder


def install_binding(folder, version, *, gpu="8.7", fault="", memory=2**30):
    """Write a Python that has the binding of a version, or none where that is None; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"FAKE_GPU": gpu, "FAKE_FAULT": fault, "FAKE_CUDA_MEMORY": str(memory), "LD_LIBRARY_PATH": str(cudart())}
    if version is not None:
        environment |= {"FAKE_TENSORRT": version, "PYTHONPATH": str(folder)}
        shutil.copyfile(BINDING, folder / "tensorrt.py")
    python = folder / "python"
    argv = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-P"]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    python.chmod(0o755)
    return python


class FakeJetson:
    """A builder and a board that share one trtexec; its Python has the binding of that version."""

    def __init__(self, folder, version="8.2.1", *, gpu="8.7", fault="", fingerprint=EMULATED, timeout_s=60.0):
        program = install_trtexec(folder / f"{version}-{gpu}-{fault}", version, gpu=gpu, fault=fault)
        self.trtexec = Trtexec(link=LocalLink(), places=(str(program),))
        self.builder = TrtexecBuilder(self.trtexec, timeout_s=timeout_s)
        self.place = Place(link=LocalLink(), lease=Lease(folder / "lock"), folder=folder / "references", fingerprint=lambda: fingerprint)
        python = install_binding(folder / f"python-{version}-{gpu}", version, gpu=gpu)
        self.logits = LogitsRunner(self.trtexec, Binding(link=LocalLink(), pythons=((str(python),),)))
        self.board = TrtexecBoard(self.trtexec, self.builder, self.place, self.logits)
