"""Compile and link C with the GNU compiler of a processor: a static library and a static program, equal bytes each time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from autokd_edge.backends.tvm.c_source import MODEL
from autokd_edge.errors import AbsentCompilerError, BuildError

PROGRAM_SOURCE = Path(__file__).with_name("engine.c")
TRIAL_SOURCE = Path(__file__).with_name("trial.c")
_TIMING_HEADER = Path(__file__).with_name("timing.h")
POOL_SOURCE = Path(__file__).with_name("pool.c")
MODULE_SOURCE = Path(__file__).with_name("module.c")
LIBRARY, MODULE = "libautokd_student.a", "autokd_student.so"
_PACKAGES = {"x86_64": "gcc libc6-dev", "aarch64": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"}
ARCHITECTURES = tuple(_PACKAGES)
# Nothing of this C is hot. GCC 12 for aarch64 crashes where it vectorises the search of the largest of 4 numbers.
_FLAGS = ("-std=gnu11", "-O2", "-fno-tree-vectorize", "-ffunction-sections", "-fdata-sections", "-fno-ident")
_TIMEOUT_S = 60.0


def tool(architecture: str, name: str) -> str:
    """Return the path of a GNU tool for an architecture; raises AbsentCompilerError with what to install."""
    found = shutil.which(f"{architecture}-linux-gnu-{name}")
    if found is None:
        raise AbsentCompilerError(
            f"backend 'tvm' needs {architecture}-linux-gnu-{name} to build for {architecture}; it is not installed",
            hint=f"apt-get install {_PACKAGES[architecture]}",
        )
    return found


def compiler_version(architecture: str) -> str:
    """Return the version of the C compiler for an architecture, as it says it."""
    return _run([tool(architecture, "gcc"), "-dumpfullversion"], Path.cwd()).strip()


def link_library(architecture: str, folder: Path, kernels: str, *, threads: int) -> Path:
    """Make the library of the model's C file, the kernels' object and, for several threads, their pool.

    Only ``autokd_run`` is seen from outside.
    """
    student = _student(architecture, folder, kernels, threads=threads, shown=("autokd_run",))
    _run([tool(architecture, "ar"), "rcsD", LIBRARY, student], folder)
    return folder / LIBRARY


def _student(architecture: str, folder: Path, *kernels: str, threads: int, shown: Sequence[str]) -> str:
    """Make one object of a student, of which only the functions ``shown`` can be called; returns its name."""
    parts = [MODEL, POOL_SOURCE.name] if threads > 1 else [MODEL]
    shutil.copyfile(POOL_SOURCE, folder / POOL_SOURCE.name)
    objects = [Path(part).with_suffix(".o").name for part in parts]
    for part, made in zip(parts, objects, strict=True):
        _run([tool(architecture, "gcc"), *_FLAGS, "-Wa,-I.", "-c", part, "-o", made], folder)
    _run([tool(architecture, "ld"), "-r", "-o", "student.o", *objects, *kernels], folder)
    _run([tool(architecture, "objcopy"), *(f"--keep-global-symbol={name}" for name in shown), "student.o"], folder)
    return "student.o"


def link_module(architecture: str, folder: Path, kernels: str, *, threads: int) -> Path:
    """Make the shared library that TVM's runtime loads; its headers are those of the installed package."""
    from tvm_ffi.libinfo import find_dlpack_include_path, find_include_path

    sources = [MODULE_SOURCE, *([POOL_SOURCE] if threads > 1 else [])]
    for source in sources:
        shutil.copyfile(source, folder / source.name)
    headers = [f"-I{path}" for path in (find_include_path(), find_dlpack_include_path())]
    flags = (
        *_FLAGS,
        "-Werror=implicit-function-declaration",
        "-fPIC",
        "-fvisibility=hidden",
        "-shared",
        "-Wl,--gc-sections",
        "-Wl,--build-id=none",
        "-s",
        "-Wa,-I.",
    )
    parts = [MODEL, *(source.name for source in sources), kernels]
    # TVM's library is there when the module is loaded; what is of it stays open.
    _run([tool(architecture, "gcc"), *flags, *headers, *parts, "-pthread", "-o", MODULE], folder)
    return folder / MODULE


def link_program(architecture: str, folder: Path, kernels: str, *, threads: int) -> Path:
    """Make the program around the student, with nothing left to load at run time."""
    student = _student(architecture, folder, kernels, threads=threads, shown=("autokd_run", "autokd_step"))
    return _program(architecture, folder, PROGRAM_SOURCE, student, "engine")


def link_trial(architecture: str, folder: Path, kernels: Sequence[str], *, threads: int) -> Path:
    """Make the program that times the kernels of sets, one object each, against those of the first object."""
    shown = ("autokd_step", "autokd_try", "autokd_in", "autokd_put", "autokd_made")
    return _program(architecture, folder, TRIAL_SOURCE, _student(architecture, folder, *kernels, threads=threads, shown=shown), "trial")


def _program(architecture: str, folder: Path, source: Path, student: str, name: str) -> Path:
    for file in (source, _TIMING_HEADER):
        shutil.copyfile(file, folder / file.name)
    # Without a build id and symbols, equal sources give equal bytes.
    flags = (*_FLAGS, "-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-s")
    _run([tool(architecture, "gcc"), *flags, source.name, student, "-lm", "-pthread", "-o", name], folder)
    return folder / name


def _run(argv: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(list(argv), cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{Path(argv[0]).name} must end within {_TIMEOUT_S:g} s", retryable=True) from error
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:])
        raise BuildError(f"{Path(argv[0]).name} failed: {said}")
    return done.stdout
