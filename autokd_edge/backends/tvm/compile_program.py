"""Compile ONNX graphs, in a process of its own: one request a line on stdin, one JSON answer a line on stdout.

``python -P -m autokd_edge.backends.tvm.compile_program``. TVM is loaded once; each graph is compiled in a fork, so
that a crash ends nothing else and nothing of one graph is left for the next.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autokd_edge.backends.tvm.importer import UnsupportedError
from autokd_edge.backends.tvm.processor import Processor
from autokd_edge.core.codec import Json
from autokd_edge.errors import BuildError

if TYPE_CHECKING:
    import onnx

    from autokd_edge.backends.tvm.c_source import Facts
    from autokd_edge.backends.tvm.program import Lowered

Request = dict[str, Any]

# TVM's interface imports torch wherever it is installed, and needs none: 0.8 s instead of 2.4 s.
NOT_IMPORTED = "torch"


def main() -> int:
    """Answer requests until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # compilers print on stdout
    sys.modules[NOT_IMPORTED] = None  # type: ignore[assignment]  # this is how Python spells "not to be imported"
    import tvm.relax  # noqa: F401 - loaded once, for all forks

    with os.fdopen(answers, "w", encoding="utf-8") as out:
        for line in sys.stdin:
            out.write(json.dumps(_forked(json.loads(line))) + "\n")
            out.flush()
    return 0


def _forked(request: Request) -> dict[str, Any]:
    """Compile in a child; ``status`` is 0, 1 for a graph that was refused, or the signal that ended the child, negative."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said, tempfile.TemporaryFile("w+") as made:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            os._exit(_compile(request, made))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for stream in (said, made):
            stream.seek(0)
        lines = said.read().strip().splitlines()
        document = json.load(made) if status in {0, 1} else {"said": lines[-1] if lines else ""}
        return {"status": status, **document}


def _compile(request: Request, made: IO[str]) -> int:
    """Write the answer, or what there is to say of a failure; returns the child's exit status."""
    try:
        document: dict[str, Any] = {"said": "", "answer": compiled(request)}
    except (UnsupportedError, BuildError) as error:
        document = {"said": str(error)}
    except Exception as error:  # noqa: BLE001  a forked child: whatever TVM raises is its answer, and it ends
        reason = str(error).strip().splitlines()
        document = {"said": f"{type(error).__name__}: {reason[-1] if reason else 'no reason given'}"}
    json.dump(document, made)
    made.flush()
    return 0 if "answer" in document else 1


def compiled(request: Request) -> Json:
    """Compile ``graph``; write the engine to ``out``, or what another ``form`` consists of into the folder ``out``.

    Of the forms of a trial, "survey" writes nothing, "set" writes one object of kernels to ``out``.
    """
    import onnx

    from autokd_edge.backends.tvm import codegen, note, program, trials
    from autokd_edge.backends.tvm.importer import relax_from_onnx
    from autokd_edge.backends.tvm.operations import OPERATIONS

    model = onnx.load(request["graph"])
    features = tuple(request["processor"].pop("features"))
    processor = Processor(features=features, **request["processor"])
    target = codegen.target_of(processor)
    module = relax_from_onnx(model, processor, OPERATIONS, request["dtype"])
    lowered = program.lowered(module, target)
    if request["form"] == "survey":
        return trials.survey(lowered, processor, request["threads"], request["most"])
    if request["form"] == "set":
        return trials.write_set(lowered, processor, target, request)
    kernels = trials.scheduled_kernels(lowered, processor, request["threads"], note.tiles_of(model))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = _written(lowered, model, processor, request, folder)
        codegen.write_object(kernels, target, folder / "kernels.o")
        made = _linked(request["form"], folder, request)
        _keep(made, Path(request["out"]))
    return {"weights_bytes": facts.weights_bytes, "arena_bytes": facts.arena_bytes, "live_bytes": facts.live_bytes}


def _written(lowered: Lowered, model: onnx.ModelProto, processor: Processor, request: Request, folder: Path) -> Facts:
    """Write the C around the kernels of a network, and return what it says of itself."""
    from autokd_edge.backends.tvm import arena, c_source
    from autokd_edge.backends.tvm.importer import input_shape
    from autokd_edge.backends.tvm.trial_source import trial

    network = lowered.program
    plan = arena.lay_out(network.buffers())
    weights = c_source.weights_of(network)
    facts = c_source.Facts(
        image=input_shape(model)[1:],
        classes=network.activations[network.logits].shape[-1],
        threads=request["threads"],
        layers=c_source.layers_of(network, lowered.precisions),
        toolchain=request["toolchain"],
        needs=processor.needs,
        weights_bytes=len(weights[0]),
        arena_bytes=plan.size_bytes,
        live_bytes=arena.lower_bound_bytes(network.buffers()),
    )
    for file, data in c_source.sources(network, plan, facts, weights).items():
        (folder / file).write_bytes(data)
    if request["form"] == "trial":
        with (folder / c_source.MODEL).open("a", encoding="utf-8") as code:
            code.write(trial(network, plan, weights[1], [one["kernels"] for one in request["sets"]]))
    return facts


def _linked(form: str, folder: Path, request: Request) -> list[Path]:
    """Link what was compiled into a program, a static library with its header, a module of TVM's runtime, or a trial."""
    from autokd_edge.backends.tvm import c_source, linker

    architecture, threads = request["architecture"], request["threads"]
    if form == "module":
        return [linker.link_module(architecture, folder, "kernels.o", threads=threads)]
    if form == "library":
        return [linker.link_library(architecture, folder, "kernels.o", threads=threads), folder / c_source.HEADER]
    if form == "trial":
        objects = ["kernels.o", *(one["object"] for one in request["sets"] if one["kernels"])]
        return [linker.link_trial(architecture, folder, objects, threads=threads)]
    return [linker.link_program(architecture, folder, "kernels.o", threads=threads)]


def _keep(made: list[Path], out: Path) -> None:
    """Move what was made to its place, each file in one step; a folder takes them by their own names."""
    for path in made:
        place = out / path.name if out.is_dir() else out
        part = place.with_name(f"{place.name}.part")
        try:
            part.write_bytes(path.read_bytes())
            part.chmod(path.stat().st_mode & 0o755)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
