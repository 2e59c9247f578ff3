"""Write the C that a trial calls, behind a model's own: its steps with kernels in other tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autokd_edge.backends.tvm.arena import Arena
from autokd_edge.backends.tvm.c_source import call_of, declared, pointer
from autokd_edge.backends.tvm.program import Program


def trial(program: Program, arena: Arena, constants: Mapping[str, int], sets: Sequence[Sequence[str]]) -> str:
    """Write what a trial calls, behind the model: the steps with the kernels of each set that has them; sets count from 1."""
    tried = [
        (number, i, step) for number, kernels in enumerate(sets, start=1) for i, step in enumerate(program.steps) if step.kernel in kernels
    ]
    counts = {tried_kernel(step.kernel, number): len(step.arguments) for number, _, step in tried}
    image = program.activations[program.image]
    made = [(step.arguments[-1], program.activations[step.arguments[-1]].size_bytes) for step in program.steps]
    cases = [
        (number * len(program.steps) + i, call_of(step, tried_kernel(step.kernel, number), arena, constants)) for number, i, step in tried
    ]
    return "\n".join(
        [
            *(declared(kernel, count) for kernel, count in counts.items()),
            "",
            "int autokd_try(int set, int number) {",
            f"    switch (set * {len(program.steps)} + number) {{",
            *(f"    case {case}: return {call}" for case, call in cases),
            "    }",
            "    return 1;",
            "}",
            "",
            "int autokd_in(int set, int number) {",
            f"    switch (set * {len(program.steps)} + number) {{",
            *(f"    case {case}:" for case, _ in cases),
            "        return 1;",
            "    }",
            "    return 0;",
            "}",
            "",
            f"void autokd_put(const float *image) {{ memcpy({pointer(program.image, arena, constants)}, image, {image.size_bytes}); }}",
            "",
            "unsigned char *autokd_made(int number, long *bytes) {",
            "    switch (number) {",
            *(f"    case {i}: *bytes = {size}; return {pointer(name, arena, constants)};" for i, (name, size) in enumerate(made)),
            "    }",
            "    return 0;",
            "}",
            "",
        ]
    )


def tried_kernel(kernel: str, number: int) -> str:
    """Return the name of a kernel in the tiles of a set."""
    return f"{kernel}_set{number}"
