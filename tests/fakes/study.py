"""Studies made of core values alone: plausible, deterministic, and of origin "replay", because nothing ran."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autokd_edge.core.digest import Digest, digest_of_bytes
from autokd_edge.core.events import Confirmed, Event, Graded, Opened, Probed, Referenced, Shipped, StudyConfig, Taught
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import Budget, LatencyLimit, Limits, MemoryLimit
from autokd_edge.core.measure import Fingerprint, Measurement, Memory, Origin, Prediction, Sentinel
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Member, Pupil, Screened
from autokd_edge.core.quantization import LayerNoise, Quantized, QuantizeReport, Tried
from autokd_edge.core.space import Point
from autokd_edge.core.student import (
    INPUT,
    AvgPool,
    BatchNorm,
    Conv2d,
    GlobalAvgPool,
    Layer,
    Linear,
    Mean,
    Op,
    Relu,
    StudentSpec,
    WeightedSum,
)
from autokd_edge.core.study import Study, fold
from autokd_edge.core.target import Variant

FP32 = Variant(backend="openvino", precision="fp32")
INT8 = Variant(backend="openvino", precision="int8")
TEACHER_NS = 1_180_000.0
_BLOCKS = {"screen": (3, 50), "final": (5, 100)}  # blocks, runs in each: the final one supports p99

FINGERPRINT = Fingerprint(
    machine="x86_64",
    processor="Sample Processor 2.0 GHz",
    isa_flags=("avx2", "avx512_vnni"),
    cores=2,
    memory_bytes=8 * 10**9,
    system="Linux 6.1, Debian 12",
    governor="unknown",
    virtual=True,
)


def _random(seed: object) -> random.Random:
    return random.Random(str(seed))  # noqa: S311  plausible figures, not secrets


def sample_digest(text: str) -> Digest:
    """Make a digest that is valid in form."""
    return digest_of_bytes(text.encode())


def sample_measurement(
    median_ns: float,
    *,
    protocol: str = "screen",
    variant: Variant = FP32,
    engine_bytes: int = 4_000_000,
    origin: Origin = "replay",
    flags: tuple[str, ...] = (),
) -> Measurement:
    """Make a reading around a median; equal arguments give equal samples."""
    rng = _random(f"{median_ns} {protocol} {variant}")
    blocks, runs = _BLOCKS[protocol]
    drawn = tuple(tuple(max(1, round(median_ns * rng.lognormvariate(0.0, 0.02))) for _ in range(runs)) for _ in range(blocks))
    return Measurement(
        origin=origin,
        target="host",
        variant=variant,
        engine=sample_digest(f"engine {median_ns} {variant}"),
        protocol=protocol,
        protocol_digest=sample_digest(protocol),
        toolchain={"openvino": "2026.4.1", "nncf": "3.4.0"},
        fingerprint=FINGERPRINT,
        clock="perf_counter_ns",
        threads=1,
        blocks_ns=drawn,
        memory=Memory(peak_rss_bytes=90_000_000 + engine_bytes, null_rss_bytes=90_000_000),
        executed={variant.precision: 12} if variant == FP32 else {"int8": 11, "fp32": 1},
        sentinel=Sentinel(before_ns=50_000, after_ns=50_400),
        flags=flags,
    )


def sample_prediction(*, mean_error: float = 0.06) -> Prediction:
    """Make the facts of a prediction."""
    return Prediction(
        recording=sample_digest("recording"),
        networks=150,
        mean_error=mean_error,
        p90_error=0.15,
        rank_correlation=0.99,
        memory_mean_error=0.06,
    )


def sample_config(*, limits: Limits | None = None, seed: int = 7) -> StudyConfig:
    """Make the configuration of a study with a latency and an accuracy limit."""
    limits = limits or Limits(
        latency=LatencyLimit(percent=50.0, bound_ns=None, times_teacher=0.25),
        memory=MemoryLimit(bound_bytes=6_000_000, times_teacher=None),
        max_drop=2.5,
    )
    return StudyConfig(
        goals=(Goal(target="host", target_digest=sample_digest("host"), limits=limits),),
        data="fashion-mnist",
        data_digest=sample_digest("fashion-mnist"),
        teacher="example:fashion-mnist",
        teacher_digest=sample_digest("teacher"),
        family="nago",
        policy="edge-bo",
        budget=Budget(seconds=480.0, teachings=None),
        search_steps=300,
        final_steps=None,
        seed=seed,
        protocols={"screen": sample_digest("screen"), "final": sample_digest("final")},
    )


def sample_referenced(at_s: float = 9.0) -> Referenced:
    """Make the teacher's readings by both protocols."""
    return Referenced(
        accuracy=94.1,
        cost=Cost(parameters=697_370, macs=38_400_000, activation_bytes=401_408),
        measurements=(
            sample_measurement(TEACHER_NS, protocol="screen", engine_bytes=9_600_000),
            sample_measurement(TEACHER_NS * 1.01, protocol="final", engine_bytes=9_700_000),
        ),
        at_s=at_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    pupil: Pupil
    cost: Cost
    latency_ns: float
    engine_bytes: int
    accuracy: float


def sample_pupil(number: int, *, seed: int = 7) -> Pupil:
    """Make pupil ``number``; different numbers give different pupils."""
    return _draw(number, seed).pupil


def sample_events(*, probes: int = 60, taught: int = 12, feasible: bool = True, final: bool = True, seed: int = 7) -> tuple[Event, ...]:
    """Make the events of a whole study; ``feasible=False`` sets a latency limit that nothing keeps."""
    limits = Limits(latency=LatencyLimit(percent=50.0, bound_ns=20_000, times_teacher=None), memory=None, max_drop=0.5)
    config = sample_config(limits=None if feasible else limits, seed=seed)
    events: list[Event] = [Opened(config=config, at_s=0.0), sample_referenced()]
    clock = 9.0
    drawn = [_draw(number, seed) for number in range(probes)]
    for number, student in enumerate(drawn):
        clock += 1.4
        events.append(Probed(member=student.pupil.member, outcome=_screened(student, number), at_s=clock))
    study = fold(events)
    fitting = [s for s, p in zip(drawn, study.probes, strict=True) if study.fits(p)] or drawn
    fitting.sort(key=lambda s: s.accuracy)
    order = fitting[-taught:]
    _random(seed).shuffle(order)
    for number, student in enumerate(order):
        clock += 21.0
        events.append(_taught(student, clock, number=number, final=False))
    if final and order:
        clock = _finish(events, max(order, key=lambda s: s.accuracy), clock, ship=feasible)
    return tuple(events)


def sample_study(*, probes: int = 60, taught: int = 12, feasible: bool = True, final: bool = True, seed: int = 7) -> Study:
    """Make a whole study; see ``sample_events``."""
    return fold(sample_events(probes=probes, taught=taught, feasible=feasible, final=final, seed=seed))


def with_finalists(study: Study, over_screening: Sequence[float]) -> Study:
    """Add untrained readings by the final protocol, so many times what the first members that fit were read at."""
    fitting = [probed for probed in study.probes if study.fits(probed)]
    confirmed = []
    for probed, times in zip(fitting, over_screening, strict=False):
        assert isinstance(probed.outcome, Screened)
        reading = sample_measurement(times * probed.outcome.measurements[0].median_ns, protocol="final", engine_bytes=1_000_000)
        confirmed.append(Confirmed(member=probed.member, variant=FP32, outcome=reading, at_s=study.elapsed_s))
    return replace(study, confirmations=tuple(confirmed))


def sample_study_of_two() -> Study:
    """Make a study for two targets, "host" and "pi"; the search's lessons are shared, and both found the same."""
    opened, *rest = sample_events()
    assert isinstance(opened, Opened)
    goals = (*opened.config.goals, replace(opened.config.goals[0], target="pi"))
    events: list[Event] = [replace(opened, config=replace(opened.config, goals=goals))]
    for event in rest:
        shared = isinstance(event, Taught) and not event.final
        events.extend([event] if shared or isinstance(event, Opened) else [event, replace(event, goal=1)])
    return fold(events)


def sample_quantized() -> Quantized:
    """Make the gate of an engine of three layers of which one had to stay in float."""
    layers = (
        LayerNoise(name="conv0", op="Conv", quantized=False, sqnr_db=None, own_sqnr_db=None),
        LayerNoise(name="conv1", op="Conv", quantized=True, sqnr_db=31.5, own_sqnr_db=32.0),
        LayerNoise(name="fc", op="Gemm", quantized=True, sqnr_db=28.1, own_sqnr_db=40.2),
    )
    report = QuantizeReport(layers=layers, bias_corrected=True, logits_sqnr_db=28.1, other_logits_sqnr_db=26.0)
    tried = (Tried(kept=0, accuracy=90.0), Tried(kept=1, accuracy=91.4))
    return Quantized(report=report, keep=("conv0",), float_accuracy=91.5, tried=tried)


def _finish(events: list[Event], best: _Drawn, clock: float, *, ship: bool) -> float:
    clock += 95.0
    events.append(_taught(best, clock, number=99, final=True))
    for variant, speed, drop in ((FP32, 1.0, 0.0), (INT8, 0.72, 0.14)):
        clock += 8.0
        latency = best.latency_ns * speed
        grade = Grade(
            accuracy=round(best.accuracy + 0.6 - drop, 2),
            measurement=sample_measurement(latency, protocol="final", variant=variant, engine_bytes=round(best.engine_bytes * speed)),
            float_graph=sample_digest("float graph"),
            graph=sample_digest(f"graph {variant}"),
            engine=sample_digest(f"engine {latency} {variant}"),
            quantized=sample_quantized() if variant == INT8 else None,
        )
        events.append(Graded(pupil=best.pupil, variant=variant, outcome=grade, at_s=clock))
    if ship:
        events.append(Shipped(pupil=best.pupil, variant=INT8, bundle=sample_digest("manifest"), at_s=clock + 2.0))
    return clock


def _draw(number: int, seed: int) -> _Drawn:
    rng = _random(f"{seed} {number}")
    nodes = (rng.randint(3, 6), rng.randint(1, 3), rng.randint(3, 6))
    convolutions = math.prod(nodes)
    parameters = round(10_000 * math.exp(rng.uniform(0.0, 3.4)))
    macs = round(parameters * rng.uniform(40, 90))
    latency = 40_000 + 3_600 * convolutions + macs * 0.012
    accuracy = 90.9 + 0.42 * math.log2(parameters / 10_000) + 0.25 * math.log2(convolutions / 9) - rng.expovariate(1.6)
    architecture = Point(
        values=(
            ("N_t", nodes[0]),
            ("K_t", rng.choice((2, 4))),
            ("P_t", round(rng.uniform(0.1, 0.9), 3)),
            ("N_m", nodes[1]),
            ("N_b", nodes[2]),
            ("K_b", rng.choice((2, 4))),
            ("P_b", round(rng.uniform(0.1, 0.9), 3)),
            ("operation", rng.choice(("conv3x3", "separable3x3"))),
            ("parameters", parameters),
        )
    )
    distillation = Point(values=(("tau", round(rng.uniform(1.0, 20.0), 2)), ("alpha", round(rng.random(), 2))))
    return _Drawn(
        pupil=Pupil(member=Member(architecture=architecture, index=0), distillation=distillation),
        cost=Cost(parameters=parameters, macs=macs, activation_bytes=round(macs**0.5) * 40),
        latency_ns=latency,
        engine_bytes=parameters * 8 + round(rng.uniform(1.2, 2.4) * 1_000_000),
        accuracy=round(accuracy, 2),
    )


def _screened(student: _Drawn, number: int) -> Screened | Failed:
    if number % 17 == 11:
        return Failed(
            stage="build", error="BuildError", message="the compiler refused layer 'conv7': no kernel for this shape", retryable=False
        )
    flags = ("noisy",) if number % 13 == 5 else ()
    reading = sample_measurement(student.latency_ns, engine_bytes=student.engine_bytes, flags=flags)
    return Screened(cost=student.cost, measurements=(reading,))


def _taught(student: _Drawn, at_s: float, *, number: int, final: bool) -> Taught:
    if number == 4:
        failed = Failed(stage="teach", error="TeachError", message="the loss is not finite at step 120", retryable=False)
        return Taught(pupil=student.pupil, steps=300, final=False, outcome=failed, at_s=at_s)
    lesson = Lesson(
        accuracy=round(student.accuracy + (0.6 if final else 0.0), 2),
        loss=0.62,
        checkpoint=sample_digest(f"checkpoint {student.pupil} {final}"),
        seconds=88.0 if final else 19.5,
    )
    return Taught(pupil=student.pupil, steps=1_800 if final else 300, final=final, outcome=lesson, at_s=at_s)


class _SpecWriter:
    def __init__(self) -> None:
        self.layers: list[Layer] = []

    def put(self, op: Op, *inputs: str) -> str:
        self.layers.append(Layer(name=f"layer{len(self.layers)}", op=op, inputs=inputs))
        return self.layers[-1].name

    def conv(self, x: str, channels: int, *, stride: int = 1, kernel: int = 3) -> str:
        return self.put(BatchNorm(), self.put(Conv2d(out_channels=channels, kernel=kernel, stride=stride), self.put(Relu(), x)))


def sample_spec(*, nodes: int = 4, seed: int = 3) -> StudentSpec:
    """Make a small network of randomly wired convolutions in three stages, 1x28x28 to 10 classes."""
    rng = _random(seed)
    writer = _SpecWriter()
    x = writer.put(BatchNorm(), writer.put(Conv2d(out_channels=8, kernel=3), INPUT))
    for stage, channels in enumerate((8, 16, 32)):
        if stage:
            x = writer.put(AvgPool(kernel=2, stride=2), x)
        x = writer.conv(x, channels, kernel=1) if stage else x
        made = [x]
        for _ in range(nodes):
            inputs = sorted(set(rng.sample(made, k=min(len(made), 2))) | {made[-1]})
            merged = writer.put(WeightedSum(), *inputs) if len(inputs) > 1 else inputs[0]
            made.append(writer.conv(merged, channels))
        x = writer.put(Mean(), *made[-2:])
    writer.put(Linear(out_features=10), writer.put(GlobalAvgPool(), writer.put(Relu(), x)))
    return StudentSpec(input=(1, 28, 28), layers=tuple(writer.layers), seed=seed)
