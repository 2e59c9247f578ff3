"""Time every backend and precision of this machine on the same networks, in turn, and print the medians.

    python tools/bench/runtimes.py --rounds 3 --json OUT

The networks are the example teacher and two students of the family NAGO. In each round every engine is
timed once, so that a slow spell of the machine meets them all; the figure is the median of the rounds'
medians, the best round stands beside it. Weights are random: they do not change speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from bench_facts import facts

from autokd_edge import wiring
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.space import Ordinal, Value
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.ports import Backend
from autokd_edge.students.cost import cost_of
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_onnx import onnx_from_spec

IMAGE, CLASSES = (1, 28, 28), 10
VARIANTS = tuple(Variant(backend=backend, precision=precision) for backend in ("openvino", "onnxruntime") for precision in ("fp32", "int8"))
CALIBRATION = 32  # speed does not depend on the ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One engine and the readings of it."""

    network: str
    variant: Variant
    engine: Path
    readings: list[Measurement] = field(default_factory=list)

    @property
    def medians_ns(self) -> list[float]:
        """Median of each round."""
        return [reading.median_ns for reading in self.readings]


def main() -> int:
    """Build, time in turn, print, write JSON."""
    options = _options()
    host, _ = load_target("host")
    target = target_here(host, read_fingerprint())
    protocol, _ = load_protocol(options.protocol)
    with tempfile.TemporaryDirectory() as name:
        backends = wiring.backends_of(replace(target, variants=VARIANTS), Path(name))
        contenders = list(_built(backends, target, Path(name)))
        for _ in range(options.rounds):
            for contender in contenders:
                contender.readings.append(_timed(contender, backends, target, protocol))
    for contender in contenders:
        print(
            f"{contender.network:24} {contender.variant!s:18} {statistics.median(contender.medians_ns) / 1e3:8.1f} us, "
            f"best round {min(contender.medians_ns) / 1e3:8.1f} us, ran {_executed(contender)}"
        )
    if options.json:
        options.json.write_text(json.dumps(_report(contenders), indent=2) + "\n", encoding="utf-8")
    return 0


def _networks() -> dict[str, StudentSpec]:
    family, task = NagoFamily(), Task(image=IMAGE, classes=CLASSES, channel_multiple=8)
    space = family.space(task)
    budgets = next(parameter.values for parameter in space.parameters if isinstance(parameter, Ordinal))
    convolutions: dict[str, Value] = {"N_t": 3, "N_m": 1, "N_b": 4, "K_b": 2, "P_b": 0.5, "width": budgets[8], "op": "conv3x3"}
    separable = {**convolutions, "N_t": 4, "K_t": 2, "P_t": 0.5, "N_m": 2, "P_m": 0.5, "N_b": 3, "width": budgets[6], "op": "separable"}
    for name in ("K_b", "P_b"):  # three nodes leave them no choice
        del separable[name]
    return {
        "resnet 48-96-192": resnet_spec(IMAGE, CLASSES, (48, 96, 192), 2, stem=32, seed=0),  # the form of the example teacher
        "nago of convolutions": family.spec(space.point(convolutions), task, 0),
        "nago of separable ones": family.spec(space.point(separable), task, 0),
    }


def _built(backends: dict[str, Backend], target: Target, folder: Path) -> Iterator[Contender]:
    samples = folder / "samples.npy"
    np.save(samples, np.random.default_rng(0).standard_normal((CALIBRATION, *IMAGE), dtype=np.float32))
    for number, (name, spec) in enumerate(_networks().items()):
        graph = folder / f"{number}.onnx"
        graph.write_bytes(onnx_from_spec(spec).SerializeToString(deterministic=True))
        print(f"{name}: {cost_of(spec).parameters:,} parameters, {cost_of(spec).macs / 1e6:.1f} M MACs")
        for variant in VARIANTS:
            backend, source = backends[variant.backend], graph
            if variant.precision == "int8":
                source = folder / f"{number}-{variant.backend}.onnx"
                backend.quantizer.quantize(graph, samples, variant=variant, target=target, out=source)
            engine = folder / f"{number}-{variant.backend}-{variant.precision}.blob"
            backend.builder.build(source, variant=variant, target=target, out=engine)
            yield Contender(network=name, variant=variant, engine=engine)


def _timed(contender: Contender, backends: dict[str, Backend], target: Target, protocol: Protocol) -> Measurement:
    board = backends[contender.variant.backend].board
    return board.measure(contender.engine, variant=contender.variant, target=target, protocol=protocol)


def _executed(contender: Contender) -> str:
    return ", ".join(f"{layers} {precision}" for precision, layers in contender.readings[-1].executed.items())


def _report(contenders: list[Contender]) -> dict[str, object]:
    reading = contenders[0].readings[0]
    return {
        "what": "median latency of one image by backend and precision, engines timed in turn",
        **facts(),
        "threads": reading.threads,
        "protocol": reading.protocol,
        "rows": [
            {
                "network": c.network,
                "variant": str(c.variant),
                "median_ns": statistics.median(c.medians_ns),
                "round_medians_ns": c.medians_ns,
                "executed": c.readings[-1].executed,
                "memory_over_null_bytes": c.readings[-1].memory.engine_bytes,
                "flags": sorted({flag for r in c.readings for flag in r.flags}),
            }
            for c in contenders
        ],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", default="screen", help="name of a measuring protocol, or a path to one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
