"""Write the C around the kernels: the header, the model with its weights and its arena, and the facts for the program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from autokd_edge.backends.tvm.arena import ALIGNMENT, Arena
from autokd_edge.backends.tvm.program import Program, Step

# How a program asks Linux on Arm for a feature; on x86 the compiler has a word of its own.
_HAS: Mapping[str, str] = {"dotprod": "(getauxval(AT_HWCAP) & HWCAP_ASIMDDP)", "fullfp16": "(getauxval(AT_HWCAP) & HWCAP_ASIMDHP)"}
HEADER, FACTS, MODEL, WEIGHTS = "autokd_student.h", "autokd_facts.h", "autokd_student.c", "weights.bin"


# The first operation of a kernel -> the usual word for it; a kernel of others is of its own kind.
_KINDS: Mapping[str, str] = {
    "conv": "Conv",
    "dot": "Conv",
    "depthwise": "DepthwiseConv",
    "dense": "Dense",
    "average": "AveragePool",
    "mean": "AveragePool",
    "max": "MaxPool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a step is called in a profile."""

    name: str
    kind: str
    precision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an engine knows of itself."""

    image: tuple[int, int, int]  # (c, h, w)
    classes: int
    threads: int
    layers: tuple[Layer, ...]  # in the order of their steps
    toolchain: Mapping[str, str]
    needs: tuple[str, ...]  # levels and features of the processor, in the compilers' words
    weights_bytes: int
    arena_bytes: int
    live_bytes: int  # largest sum of activations that live at one step: no arena is smaller


def layers_of(program: Program, precisions: Sequence[str]) -> tuple[Layer, ...]:
    """Name the steps: number, operations and the shape of what they make, as it lies in memory."""
    found = []
    for number, (step, precision) in enumerate(zip(program.steps, precisions, strict=True)):
        words = [_word(part) for part in step.function.removeprefix("fused_").split("_")]
        operations = "_".join(words)
        shape = "x".join(map(str, program.activations[step.arguments[-1]].shape))
        kind = next((_KINDS[word] for word in words if word in _KINDS), operations)
        found.append(Layer(name=f"{number} {operations} {shape}", kind=kind, precision=precision))
    return tuple(found)


def _word(part: str) -> str:
    """Take off the number by which TVM tells equal names apart; that of int8 stays."""
    return "int8" if part.startswith("int8") else part.rstrip("0123456789")


def weights_of(program: Program) -> tuple[bytes, dict[str, int]]:
    """Put all constants behind each other, aligned; returns the bytes and where each begins."""
    blob, offsets = bytearray(), {}
    for name, array in program.constants.items():
        blob += bytes(-len(blob) % ALIGNMENT)
        offsets[name] = len(blob)
        blob += np.ascontiguousarray(array).tobytes()
    return bytes(blob), offsets


def header(facts: Facts) -> str:
    """Write the public header of the library."""
    channels, height, width = facts.image
    return f"""/* A student compiled by autokd-edge: no other library and no memory beyond its own is needed. */
#ifndef AUTOKD_STUDENT_H
#define AUTOKD_STUDENT_H

#ifdef __cplusplus
extern "C" {{
#endif

enum {{ AUTOKD_CHANNELS = {channels}, AUTOKD_HEIGHT = {height}, AUTOKD_WIDTH = {width}, AUTOKD_CLASSES = {facts.classes} }};

/* Infer once: a preprocessed image [AUTOKD_CHANNELS][AUTOKD_HEIGHT][AUTOKD_WIDTH] to logits [AUTOKD_CLASSES].
   Returns 0. The library has one arena for all calls: call it from one thread at a time, whichever thread that is.{_helpers(facts)} */
int autokd_run(const float *image, float *logits);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _helpers(facts: Facts) -> str:
    more = facts.threads - 1
    return f"\n   The first call starts {more} more threads, which sleep between calls; link with -pthread." if more else ""


def facts_header(facts: Facts) -> str:
    """Write what the program around the library says of it."""
    texts = {"EXECUTED": Counter(layer.precision for layer in facts.layers), "TOOLCHAIN": dict(facts.toolchain)}
    layers = [json.dumps(json.dumps(asdict(layer))[1:-1]) for layer in facts.layers]  # the members of an object
    lines = [f"#define AUTOKD_{name} {json.dumps(json.dumps(value, sort_keys=True))}" for name, value in texts.items()]
    has = " && ".join(_HAS.get(need, f'__builtin_cpu_supports("{need}")') for need in facts.needs)
    lines += [
        f"#define AUTOKD_NEEDS {json.dumps(', '.join(facts.needs))}",
        f"#define AUTOKD_HAS ({has or 1})",
        f"#define AUTOKD_THREADS {facts.threads}",
        f"#define AUTOKD_WEIGHTS_BYTES {facts.weights_bytes}",
        f"#define AUTOKD_ARENA_BYTES {facts.arena_bytes}",
        f"#define AUTOKD_LIVE_BYTES {facts.live_bytes}",
        f"#define AUTOKD_STEPS {len(facts.layers)}",
        f"#define AUTOKD_LAYERS {', '.join(layers)}",
    ]
    return "\n".join([*lines, ""])


def model(program: Program, arena: Arena, constants: Mapping[str, int]) -> str:
    """Write ``autokd_run``: the image into the arena, each kernel in its turn, the logits out of it.

    ``autokd_step`` runs one kernel on what lies in the arena, for a program that times them one by one.
    """
    calls = [call_of(step, step.kernel, arena, constants) for step in program.steps]
    signatures = {step.kernel: len(step.arguments) for step in program.steps}
    image, logits = program.activations[program.image], program.activations[program.logits]
    return "\n".join(
        [
            "#include <string.h>",
            "",
            f'#include "{HEADER}"',
            "",
            *(declared(kernel, count) for kernel, count in sorted(signatures.items())),
            "",
            f'__asm__(".section .rodata\\n.balign {ALIGNMENT}\\nautokd_weights:\\n.incbin \\"{WEIGHTS}\\"\\n.previous\\n");',
            '__attribute__((visibility("hidden"))) extern const unsigned char autokd_weights[];',
            f"static unsigned char arena[{max(arena.size_bytes, ALIGNMENT)}] __attribute__((aligned({ALIGNMENT})));",
            "",
            "int autokd_run(const float *image, float *logits) {",
            f"    memcpy({pointer(program.image, arena, constants)}, image, {image.size_bytes});",
            *(f"    {call}" for call in calls),
            f"    memcpy(logits, {pointer(program.logits, arena, constants)}, {logits.size_bytes});",
            "    return 0;",
            "}",
            "",
            "int autokd_step(int number);",
            "int autokd_step(int number) {",
            "    switch (number) {",
            *(f"    case {number}: return {call}" for number, call in enumerate(calls)),
            "    }",
            "    return 1;",
            "}",
            "",
        ]
    )


def declared(kernel: str, count: int) -> str:
    """Declare a kernel of so many buffers."""
    return f"int {kernel}({_parameters(count)});"


def call_of(step: Step, kernel: str, arena: Arena, constants: Mapping[str, int]) -> str:
    """Call a kernel on the buffers of a step."""
    return f"{kernel}({', '.join(pointer(name, arena, constants) for name in step.arguments)});"


def _parameters(count: int) -> str:
    return ", ".join(["const void *"] * (count - 1) + ["void *"])


def pointer(name: str, arena: Arena, constants: Mapping[str, int]) -> str:
    """Say where a buffer lies."""
    return f"autokd_weights + {constants[name]}" if name in constants else f"arena + {arena.offsets[name]}"


def sources(program: Program, arena: Arena, facts: Facts, weights: tuple[bytes, Mapping[str, int]]) -> Mapping[str, bytes]:
    """Return every file that the C compiler reads, by name."""
    blob, offsets = weights
    texts = {HEADER: header(facts), FACTS: facts_header(facts), MODEL: model(program, arena, offsets)}
    return {**{name: text.encode() for name, text in texts.items()}, WEIGHTS: blob}
