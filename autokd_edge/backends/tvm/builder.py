"""Compile ONNX graphs into programs that need no runtime, each in a process of its own on this machine."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

from autokd_edge.backends.tvm import linker
from autokd_edge.backends.tvm.compiler import Compiler
from autokd_edge.backends.tvm.processor import processor_of
from autokd_edge.core.codec import Json
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import refuse_other_variants
from autokd_edge.errors import AbsentCompilerError, BuildError

NAME = "tvm"
PRECISIONS = ("fp32", "fp16", "int8")
INSTALL = "pip install 'autokd-edge[tvm]'"
_PACKAGES = ("apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime")  # the last one quantises
_HERE = Path(__file__).parent


class TVMBuilder:
    """Builds on this machine for x86-64 and aarch64."""

    def __init__(self, *, timeout_s: float = 120.0) -> None:
        self._compiler = Compiler(install=INSTALL)
        self._timeout_s = timeout_s  # a 60-convolution student takes 1.5 s

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions of TVM and of the C compilers that are here, and the digest of our own sources.

        Raises:
            AbsentCompilerError: a package is not installed.
        """
        try:
            versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
        except importlib.metadata.PackageNotFoundError as error:
            raise AbsentCompilerError(f"backend '{NAME}' needs the package '{error.name}'", hint=INSTALL) from error
        return versions | _compilers() | {f"{NAME}/sources": _sources_digest()}

    def check_compiler(self, architecture: str) -> None:
        """Look for the C compiler that engines for an architecture are linked by.

        Raises:
            AbsentCompilerError: it is not installed.
        """
        if architecture in linker.ARCHITECTURES:
            linker.tool(architecture, "gcc")

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Compile a graph into a program for the target and write it to ``out``; nothing is left there after a failure.

        Raises:
            BuildError: the variant is not one of this backend's, the target is of another architecture, a
                compiler is missing or refused the graph, or it took too long (retryable).
        """
        self.made(graph, variant=variant, target=target, form="program", out=str(out.resolve()))

    def library(self, graph: Path, *, variant: Variant, target: Target, folder: Path) -> None:
        """Write ``libautokd_student.a`` and ``autokd_student.h`` into a folder: the engine's own kernels and weights.

        Raises:
            BuildError: as ``build`` does.
        """
        self.made(graph, variant=variant, target=target, form="library", out=str(folder.resolve()))

    def module(self, graph: Path, *, variant: Variant, target: Target, folder: Path) -> None:
        """Write ``autokd_student.so``, the same kernels and weights as a function of TVM's runtime.

        Raises:
            BuildError: as ``build`` does.
        """
        self.made(graph, variant=variant, target=target, form="module", out=str(folder.resolve()))

    def made(self, graph: Path, *, variant: Variant, target: Target, form: str, **more: Json) -> Json:
        """Ask the compiler for one ``form`` of a graph, as ``compile_program.compiled`` knows them.

        Raises:
            BuildError: as ``build`` does.
        """
        refuse_other_variants(variant, NAME, PRECISIONS)
        processor = processor_of(target)
        if variant.precision == "fp16" and not processor.half:
            raise BuildError(f"{variant} needs 16-bit arithmetic, asimdhp of Arm; target '{target.name}' has none", hint=f"use {NAME}/fp32")
        linker.tool(target.architecture, "gcc")
        versions = self.toolchain()
        request = {
            "graph": str(graph.resolve()),
            "form": form,
            "dtype": "float16" if variant.precision == "fp16" else "float32",
            "architecture": target.architecture,
            "processor": asdict(processor),
            "threads": target.threads,
            "toolchain": {NAME: versions["apache-tvm"], "gcc": linker.compiler_version(target.architecture)},
            **more,
        }
        return self._compiler.ask(request, timeout_s=self._timeout_s)


@cache  # neither changes while this process runs
def _compilers() -> dict[str, str]:
    found = {}
    for architecture in linker.ARCHITECTURES:
        try:
            found[f"gcc-{architecture}"] = linker.compiler_version(architecture)
        except BuildError:
            continue  # said when something is to be built for it
    return found


@cache
def _sources_digest() -> str:
    files = sorted(path for kind in ("*.py", "*.c", "*.h") for path in _HERE.glob(kind))
    return digest_of_json([[file.name, digest_of_file(file)] for file in files])
