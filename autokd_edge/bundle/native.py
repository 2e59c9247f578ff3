"""What goes beside an engine that is a program of its own: a library, the facts of the card in C, an example, a Makefile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autokd_edge.bundle.manifest import Card

EXAMPLE, RUNNER, MAKEFILE, FACTS = "classify.c", "runner.cc", "Makefile", "autokd_card.h"
MODULE = "autokd_student.so"  # for TVM's runtime, where it was asked for


def native_files(folder: Path, card: Card) -> Mapping[str, Path]:
    """Add to a folder with the library and its header what an application needs beside them; returns all files by name."""
    (folder / FACTS).write_text(_facts(card), encoding="utf-8")
    examples = [EXAMPLE, *([RUNNER] if (folder / MODULE).exists() else [])]
    makefile = _makefile(card.selftest_tolerance) + (_module_rule(card.selftest_tolerance) if RUNNER in examples else "")
    (folder / MAKEFILE).write_text(makefile, encoding="utf-8")
    for example in examples:
        (folder / example).write_bytes(Path(__file__).with_name(example).read_bytes())
    return {path.name: path for path in sorted(folder.iterdir())}


def _facts(card: Card) -> str:
    """Write labels and preprocessing as C; JSON's strings in ASCII are C's."""
    preprocessing = card.input.preprocessing
    mean, std = (", ".join(f"{float(value)!r}f" for value in values) for values in (preprocessing.mean, preprocessing.std))
    labels = ", ".join(_c_string(label) for label in card.labels)
    return (
        f"/* {card.variant} for {card.target.name}. An input is (pixel / 255 - mean) / std, channel by channel. */\n"
        f"static const float autokd_mean[] = {{{mean}}};\n"
        f"static const float autokd_std[] = {{{std}}};\n"
        f"static const char *const autokd_labels[] = {{{labels}}};\n"
    )


def _c_string(text: str) -> str:
    """Write a string of C: bytes beyond ASCII in octal, which ends after three digits."""
    plain = {ord('"'): '\\"', ord("\\"): "\\\\", ord("?"): "\\?"}
    return '"' + "".join(plain.get(b, chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in text.encode()) + '"'


def _makefile(tolerance: float) -> str:
    return f"""# On the board: `make run` checks the engine against its recorded logits; `make run IMAGE=FILE` classifies a PGM or PPM file.
CC ?= cc
# The example is compiled outside of this folder, which stays as it was shipped.
BUILD ?= ../classify

.PHONY: run
run:
\tchmod +x engine
\t./engine check selftest_inputs.npy selftest_logits.npy {tolerance:g}
ifdef IMAGE
\t$(CC) -O1 classify.c libautokd_student.a -lm -pthread -o "$(BUILD)"
\t"$(BUILD)" "$(IMAGE)"
endif
"""


def _module_rule(tolerance: float) -> str:
    return f"""
# `make run-module` runs {MODULE} in TVM's runtime: pip install apache-tvm-ffi, or TVM_FFI=FOLDER with its include and lib.
TVM_FFI ?= $(shell python3 -c "import os, tvm_ffi; print(os.path.dirname(tvm_ffi.__file__))")
CXX ?= c++

.PHONY: run-module
run-module:
\t$(CXX) -O1 -std=c++17 -I"$(TVM_FFI)/include" {RUNNER} -L"$(TVM_FFI)/lib" -ltvm_ffi -Wl,-rpath,"$(TVM_FFI)/lib" -o "$(BUILD)-module"
\t"$(BUILD)-module" selftest_inputs.npy selftest_logits.npy {tolerance:g}
"""
