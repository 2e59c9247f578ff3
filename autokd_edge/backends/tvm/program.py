"""From a Relax module to a straight-line program: kernels in order, constants, activations and their lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autokd_edge.backends.tvm.arena import Buffer
from autokd_edge.backends.tvm.network import INTEGER

Vendor = Any
_SHORT: Mapping[str, str] = {"int8": "i8", "uint8": "u8", "float16": "f16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An activation or a constant as a kernel sees it."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Bytes without gaps."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a kernel; the last argument is written. ``function`` is the operations that were fused to it."""

    kernel: str
    arguments: tuple[str, ...]
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A network as its steps; ``image`` and ``logits`` name its first and its last activation."""

    steps: tuple[Step, ...]
    activations: Mapping[str, Tensor]
    constants: Mapping[str, npt.NDArray[Any]]
    image: str
    logits: str

    def buffers(self) -> list[Buffer]:
        """Return the lives of the activations; the image is written before step 0, the logits are read after the last."""
        first = {self.image: -1} | {step.arguments[-1]: number for number, step in enumerate(self.steps)}
        last = {name: number for number, step in enumerate(self.steps) for name in step.arguments if name in self.activations}
        last = {**last, self.logits: len(self.steps)}
        return [
            Buffer(name=name, size_bytes=tensor.size_bytes, first=first[name], last=last.get(name, first[name]))
            for name, tensor in self.activations.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A program and the function of each of its kernels, fused and not scheduled yet; the precision of each step."""

    program: Program
    functions: Mapping[str, Vendor]
    precisions: tuple[str, ...]


def lowered(module: Vendor, target: Vendor) -> Lowered:
    """Fuse the calls of a Relax module and put them in order."""
    import tvm
    from tvm import relax

    passes = relax.transform
    unused = passes.DeadCodeElimination(["main"])  # before fusing too, which would keep what another kernel reads as well
    with target:
        fused = tvm.transform.Sequential([unused, passes.AnnotateTIROpPattern(), passes.FuseOps(), passes.FuseTIR(), unused])(module)
    functions = {variable.name_hint: function for variable, function in fused.functions.items() if variable.name_hint != "main"}
    program, names = _program(fused["main"], functions)
    made = {kernel: functions[first] for first, kernel in names.items()}
    return Lowered(program=program, functions=made, precisions=_precisions(program, names, functions))


def _program(main: Vendor, functions: Mapping[str, Vendor]) -> tuple[Program, dict[str, str]]:
    """Walk the only path through ``main``; equal functions become one kernel, named by its number."""
    reader = _Reader(functions)
    image = reader.activation(main.params[0])
    for block in main.body.blocks:
        for binding in block.bindings:
            reader.bind(binding)
    program = Program(
        steps=tuple(reader.steps),
        activations=reader.activations,
        constants=reader.constants,
        image=image,
        logits=reader.names[main.body.body],
    )
    return program, reader.kernels


class _Reader:
    """Names what it meets: a0, a1, ... activations, c0, c1, ... constants, autokd_kernel0, ... kernels."""

    def __init__(self, functions: Mapping[str, Vendor]) -> None:
        self._functions = functions
        self._by_bytes: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.names: dict[Vendor, str] = {}
        self.steps: list[Step] = []
        self.activations: dict[str, Tensor] = {}
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.kernels: dict[str, str] = {}  # the function that is compiled -> the kernel's name
        self._same: dict[str, str] = {}  # function -> kernel

    def activation(self, variable: Vendor) -> str:
        name = f"a{len(self.activations)}"
        shape = tuple(int(d) for d in variable.ty.shape)
        self.activations[name] = Tensor(name=name, shape=shape, dtype=str(variable.ty.dtype.dtype))
        self.names[variable] = name
        return name

    def bind(self, binding: Vendor) -> None:
        from tvm import relax

        value = binding.value
        if isinstance(value, relax.Var):
            self.names[binding.var] = self.names[value]
            return
        if not isinstance(value, relax.Call) or value.op.name != "relax.call_tir":
            raise ValueError(f"a lowered network must be calls of kernels alone; got {str(value)[:80]}")
        arguments = [self._argument(argument) for argument in value.args[1]]
        function = value.args[0].name_hint
        self.steps.append(Step(kernel=self._kernel(function), arguments=(*arguments, self.activation(binding.var)), function=function))

    def _argument(self, argument: Vendor) -> str:
        if argument in self.names:
            return self.names[argument]
        array = argument.value.numpy()
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._by_bytes:
            self._by_bytes[key] = f"c{len(self.constants)}"
            self.constants[self._by_bytes[key]] = array
        return self._by_bytes[key]

    def _kernel(self, function: str) -> str:
        from tvm_ffi import structural_equal

        if function not in self._same:
            mine = self._functions[function].without_attr("global_symbol")
            for other, name in self.kernels.items():
                if structural_equal(mine, self._functions[other].without_attr("global_symbol")):
                    self._same[function] = name
                    break
            else:
                self.kernels[function] = f"autokd_kernel{len(self.kernels)}"
                self._same[function] = self.kernels[function]
        return self._same[function]


def _precisions(program: Program, sources: Mapping[str, str], functions: Mapping[str, Vendor]) -> tuple[str, ...]:
    """Name the type of the numbers that each step multiplies: 8-bit ones where sums are of integers."""
    kinds = {}
    for function, kernel in sources.items():
        first = str(functions[function].params[0].dtype)
        kinds[kernel] = _SHORT.get(first, first) if INTEGER in function or first == "float16" else "f32"
    return tuple(kinds[step.kernel] for step in program.steps)
