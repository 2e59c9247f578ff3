"""Compare INT8 engines with float ones by accuracy on Fashion-MNIST: the example teacher, three students, each backend here.

    python tools/bench/quantised_accuracy.py --work runs/quantised --json tools/bench/results/quantised_accuracy.json

The students are of three families and are taught briefly by the product's own trainer. What is taught, quantised and
built is kept in ``--work``, so that the same command goes on from there. The gate decides on validation images, as in a
search; the test images are read for the report alone. A ratio of latency is of the medians of rounds in which float and
INT8 were timed in turn. The law: INT8 loses at most 0.5 points on the test images, or the gate refused it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench_facts import facts
from safetensors.numpy import load_file

from autokd_edge import wiring
from autokd_edge.core.artifact import Artifact
from autokd_edge.core.codec import encode
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.limits import MAX_QUANT_DROP
from autokd_edge.core.measure import Protocol
from autokd_edge.core.quantization import Quantized
from autokd_edge.core.space import Value
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.errors import QuantizeError
from autokd_edge.pipeline.gate import Gate, GatedEngine, float_engine, quantized_engine
from autokd_edge.pipeline.stages import Stages
from autokd_edge.search.candidates import GUESS
from autokd_edge.store.artifacts import FolderStore
from autokd_edge.students.cost import cost_of
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.inputs import PreparedImages
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher
from autokd_edge.teaching.teachers import load_teacher
from autokd_edge.teaching.trainer import KDDistiller

DATA, TEACHER = "fashion-mnist", "example:fashion-mnist"
BACKENDS = ("openvino", "onnxruntime", "tvm")
NOT_RUN = {
    "tensorrt_rtx": "its engines are built here and need an NVIDIA GPU to run",
    "tensorrt": "it builds and runs on a Jetson",
}
# 3x3 convolutions; inverted residuals; the same with gates and hard swishes.
STUDENTS: Mapping[str, tuple[str, Mapping[str, Value]]] = {
    "nago of 3x3 convolutions": ("nago", {"N_t": 3, "N_m": 1, "N_b": 3, "width": 50_000, "op": "conv3x3"}),
    "mbconv": ("mbconv", {}),
    "mobilenetv3-small-0.5": ("mobilenetv3-small-0.5", {}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network to compare: its float graph, and its size."""

    name: str
    graph: Artifact
    parameters: int


def main() -> int:
    """Teach, build, grade, time, print, write JSON; status 1 where the law is broken."""
    options = _options()
    stages, protocol = _stages(options.work), load_protocol("screen")[0]
    rows = []
    for network in _networks(stages, options.work, options.steps):
        for backend in BACKENDS:
            rows.append(_row(stages, network, backend, protocol, options.rounds))
            print(json.dumps(rows[-1]), flush=True)
    broken = [f"{row['network']}, {row['backend']}" for row in rows if not row["law_kept"]]
    document = {
        "what": "accuracy of INT8 engines against float engines of the same backend",
        **facts(),
        "law": f"at most {MAX_QUANT_DROP} points less on the test images, or refused by the gate",
        "law_broken_by": broken,
        "students_taught_for_steps": options.steps,
        "latency": f"protocol '{protocol.name}', {options.rounds} rounds in turn; beside other work only the ratio means anything",
        "not_run": NOT_RUN,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if broken else 0


def _stages(work: Path) -> Stages:
    host = target_here(load_target("host")[0], read_fingerprint())
    variants = tuple(Variant(backend=backend, precision=precision) for backend in BACKENDS for precision in ("fp32", "int8"))
    target = replace(host, variants=variants)
    source = data_source(DATA)
    images = PreparedImages(source, source.teaching(), work / "inputs")
    return Stages(target=target, backends=wiring.backends_of(target, work / "backends"), images=images, store=FolderStore(work / "store"))


def _networks(stages: Stages, work: Path, steps: int) -> Iterator[Network]:
    """Give the teacher, then each student as soon as it is taught."""
    data = data_source(DATA).teaching()
    teacher = load_teacher(TEACHER, data)
    if teacher.write_graph is None or teacher.cost is None:
        raise SystemExit(f"{TEACHER} must be a layer graph")
    yield Network(name=TEACHER, graph=stages.teacher_graph(teacher.digest, teacher.write_graph), parameters=teacher.cost.parameters)
    for name, spec in students(data).items():
        yield Network(name=name, graph=_taught(stages, spec, data, teacher, work, steps), parameters=cost_of(spec).parameters)


def students(data: TeachingData) -> dict[str, StudentSpec]:
    """Return the students by name: a written point of a family's space, or its middle."""
    task = Task(image=data.image, classes=len(data.classes), channel_multiple=8)
    found = {}
    for name, (family_name, fixed) in STUDENTS.items():
        family = wiring.family_named(family_name)
        space = family.space(task)
        found[name] = family.spec(space.point(fixed) if fixed else space.at([0.5] * len(space)), task, 0)
    return found


def _taught(stages: Stages, spec: StudentSpec, data: TeachingData, teacher: Teacher, work: Path, steps: int) -> Artifact:
    distiller = KDDistiller(data, teacher, seed=0, cache=work / "logits")
    space = distiller.space
    usual = space.point({name: GUESS.get(name, value) for name, value in space.at([0.5] * len(space)).values})
    weights = work / "lessons" / f"{digest_of_json([encode(spec), encode(usual), steps])}.safetensors"
    distiller.teach(spec, usual, steps=steps, seed=0, out=weights)
    return stages.given_graph(spec, load_file(weights), digest_of_file(weights))


def _row(stages: Stages, network: Network, backend: str, protocol: Protocol, rounds: int) -> dict[str, object]:
    in_float, in_int8 = (Variant(backend=backend, precision=precision) for precision in ("fp32", "int8"))
    known = float_engine(stages, network.graph, in_float)
    test = stages.accuracy(known.engine, in_float, "test")
    common = {
        "network": network.name,
        "parameters": network.parameters,
        "backend": backend,
        "float_validation_percent": round(known.accuracy, 2),
        "float_test_percent": round(test, 2),
    }
    try:
        gated = quantized_engine(stages, network.graph, in_int8, Gate(float_accuracy=known.accuracy, max_drop=MAX_QUANT_DROP))
    except QuantizeError as error:
        return {**common, "gate": f"refused: {error}", "law_kept": True}
    drop = test - stages.accuracy(gated.engine, in_int8, "test")
    timed = _timed(stages, [(known.engine, in_float), (gated.engine, in_int8)], protocol, rounds)
    return {
        **common,
        "int8_validation_percent": round(gated.accuracy, 2),
        "int8_test_percent": round(test - drop, 2),
        "drop_test_points": round(drop, 2),
        "gate": "passed",
        **_reverted(gated),
        "float_latency_over_int8": round(statistics.median(timed[0]) / statistics.median(timed[1]), 2),
        "round_medians_ns": {str(in_float): timed[0], str(in_int8): timed[1]},
        "law_kept": drop <= MAX_QUANT_DROP,
    }


def _reverted(gated: GatedEngine) -> dict[str, object]:
    found: Quantized | None = gated.quantized
    if found is None:
        raise SystemExit("a quantised engine must come with its report")
    return {
        "layers": len(found.report.layers),
        "layers_in_float": len(found.report.in_float),
        "layers_reverted_by_gate": len(found.keep),
        "tried": [asdict(one) for one in found.tried],
        "bias_corrected": found.report.bias_corrected,
    }


def _timed(stages: Stages, engines: list[tuple[Artifact, Variant]], protocol: Protocol, rounds: int) -> list[list[float]]:
    """Time engines in turn; the medians of the rounds in ns, by engine."""
    found: list[list[float]] = [[] for _ in engines]
    for _ in range(rounds):
        for medians, (engine, variant) in zip(found, engines, strict=True):
            medians.append(stages.measurement(engine, variant, protocol).median_ns)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/quantised"), help="folder of all that is made, found again by the next run")
    parser.add_argument("--steps", type=int, default=400, help="batches of 128 images that a student is taught")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
