"""Numbers and readings as people read them: units, significant digits, and the word of their origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autokd_edge.core.events import PutAside
from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import Measurement, Origin, Prediction
from autokd_edge.core.target import Variant
from autokd_edge.core.tuning import Tuning

# "Measured" is said of what ran on the device; everything else carries its own word.
ORIGIN_WORDS: dict[Origin, str] = {"device": "measured", "emulated": "emulated", "predicted": "predicted", "replay": "replayed"}
UNSUPPORTED = "too few samples"


def latency(ns: float | None) -> str:
    """Say a latency with three digits: 196 µs, 1.19 ms; a percentile without support is said to have none."""
    if ns is None:
        return UNSUPPORTED
    for unit_ns, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= unit_ns:
            return f"{_digits(ns / unit_ns)} {unit}"
    return f"{ns:.0f} ns"


def size(amount_bytes: float) -> str:
    """Say a size with three digits in decimal units: 2.57 MB."""
    for unit_bytes, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount_bytes >= unit_bytes:
            return f"{_digits(amount_bytes / unit_bytes)} {unit}"
    return f"{amount_bytes:.0f} B"


def large(count: int) -> str:
    """Say a large count with three digits: 38.4 M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{_digits(count / unit)} {letter}"
    return str(count)


def percent(value: float) -> str:
    """Say an accuracy: 93.20 %."""
    return f"{value:.2f} %"


def points(value: float) -> str:
    """Say a difference of accuracies, with its sign: -0.90 points."""
    return f"{value:+.2f} points".replace("-", "\N{MINUS SIGN}")


def times(ratio: float, more: str, less: str) -> str:
    """Say a ratio of teacher to student: 4.9x faster, or 1.2x slower where the student lost."""
    if abs(ratio - 1) < 0.005:  # what would be printed as 1.00
        return "equal"
    return f"{_digits(ratio)}\N{MULTIPLICATION SIGN} {more}" if ratio >= 1 else f"{_digits(1 / ratio)}\N{MULTIPLICATION SIGN} {less}"


def duration(seconds: float) -> str:
    """Say a time of work: 8 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def slack(compared: Slack) -> str:
    """Say a reading beside its limit: latency 196 µs (limit 299 µs)."""
    if compared.limit == "accuracy":
        return f"accuracy drop {compared.reading:.2f} points (limit {compared.bound:.2f})"
    return f"{compared.limit} {quantity(compared.limit, compared.reading)} (limit {quantity(compared.limit, compared.bound)})"


def quantity(limit: str, value: float) -> str:
    """Say a reading or a bound of a device limit in the unit of that limit."""
    if limit == "instructions":
        return large(round(value))
    return latency(value) if limit == "latency" else size(value)


def origins(measurements: Iterable[Measurement]) -> str:
    """Say where readings come from: "measured", or "measured and replayed" where they differ; predicted ones with their worst error."""
    found: dict[Origin, list[Prediction]] = {}
    for measurement in measurements:
        found.setdefault(measurement.origin, []).extend([] if measurement.prediction is None else [measurement.prediction])
    return " and ".join(_origin(name, made) for name, made in found.items()) or "not measured"


def origin(measurement: Measurement) -> str:
    """Say where a reading comes from; of a predicted one with the errors of its model on networks that it was not fitted to."""
    return origins([measurement])


def _origin(name: Origin, made: Sequence[Prediction]) -> str:
    if not made:
        return ORIGIN_WORDS[name]
    mean, most, memory = (max(getattr(one, what) for one in made) for what in ("mean_error", "p90_error", "memory_mean_error"))
    return (
        f"{ORIGIN_WORDS[name]} from {min(one.networks for one in made)} recorded networks: latency {mean:.0%} off on average and "
        f"{most:.0%} at most in nine of ten, memory {memory:.0%}"
    )


def samples(measurement: Measurement) -> str:
    """Say of how many samples a reading is; a predicted one has none."""
    if measurement.prediction is not None:
        return "none: quantiles of the prediction's error"
    return f"{measurement.count:,} in {len(measurement.blocks_ns)} blocks"


def instructions(measurement: Measurement) -> str:
    """Say how many instructions an inference took, where an emulator counted them."""
    return "not counted" if measurement.instructions is None else f"{measurement.instructions:,} (counted by the emulator)"


def work(measurement: Measurement) -> str:
    """Say what ranks engines: the median latency, or where an emulator counted them the instructions."""
    counted = measurement.instructions
    return latency(measurement.median_ns) if counted is None else f"{large(counted)} instructions"


def speed(teacher: Measurement, student: Measurement) -> str:
    """Compare two latencies: 4.9x faster; of emulated ones, whose times rank nothing, that they are not compared."""
    if "emulated" in (teacher.origin, student.origin):
        return "not compared: emulated"
    return times(teacher.median_ns / student.median_ns, "faster", "slower")


def fewer_instructions(teacher: Measurement, student: Measurement) -> str:
    """Compare two counts of instructions: 2.9x fewer; empty where either was not counted."""
    if teacher.instructions is None or student.instructions is None:
        return ""
    return times(teacher.instructions / student.instructions, "fewer", "more")


def runtime(measurement: Measurement) -> str:
    """Say what ran an engine: openvino 2026.4.1, 1 thread."""
    backend = measurement.variant.backend
    package = backend.partition("-")[0]  # openvino-gpu is of openvino
    version = measurement.toolchain.get(package, "of unknown version")
    return f"{backend} {version}, {measurement.threads} thread{'s' * (measurement.threads != 1)}"


def device(measurement: Measurement) -> str:
    """Say what a reading was taken on: the target, its processor, whether it is a virtual machine, and its address."""
    virtual = ", virtual machine" if measurement.fingerprint.virtual else ""
    address = f", {measurement.device}" if measurement.device is not None else ""
    return f"{measurement.target} ({measurement.fingerprint.processor}{virtual}{address})"


def tuned(tuning: Tuning) -> str:
    """Say what tuning tried and what it won: tuned 14 workloads, 112 candidates in 48 s: 310 µs against 360 µs."""
    known = f" ({tuning.known} known from before)" if tuning.known else ""
    failed = sum(tuning.failed.values())
    also = f" ({failed} more failed: {'; '.join(tuning.failed)})" if failed else ""
    told = f"tuned {tuning.workloads} workloads{known}, {tuning.candidates} candidates{also} in {tuning.seconds:.0f} s"
    if tuning.untuned_ns is None or tuning.tuned_ns is None:
        return f"{told}: none is faster than the rule's tiles, which stay"
    against = f"{latency(tuning.tuned_ns)} against {latency(tuning.untuned_ns)}"
    if tuning.dropped:
        return f"{told}: {against}, but {tuning.dropped}: the rule's tiles stay"
    return f"{told}: {against}{'' if tuning.kept else ', so that the tiles of the rule stay'}"


def put_aside(gone: PutAside) -> str:
    """Say which board of a pool was put aside, and why."""
    return f"board {gone.device} was put aside: {gone.reason}"


def left_out(variant: Variant, why: str) -> str:
    """Say that a backend is left out because the machine lacks its device."""
    return f"left out after one try, with all of {variant.backend}: {why}"


def executed(measurement: Measurement) -> str:
    """Say in which precision the layers ran: int8 in 11 layers, fp32 in 1."""
    counts = sorted(measurement.executed.items(), key=lambda item: -item[1])
    return ", ".join(f"{precision} in {count}{' layers' * (i == 0)}" for i, (precision, count) in enumerate(counts)) or "not read back"


def conditions(measurement: Measurement) -> str:
    """Say all that a figure must never be printed without: device, runtime, precision, protocol, origin."""
    return f"{_place(measurement)}: {_manner(measurement)}"


def all_conditions(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Say the conditions of many readings, one line for each device and runtime."""
    manners: dict[str, dict[str, None]] = {}  # dictionaries for sets that keep their order
    for measurement in measurements:
        manners.setdefault(_place(measurement), {})[_manner(measurement)] = None
    return tuple(f"{place}: {'; '.join(found)}" for place, found in manners.items())


def _place(measurement: Measurement) -> str:
    return f"{origin(measurement)} on {device(measurement)}, {runtime(measurement)}"


def _manner(measurement: Measurement) -> str:
    return f"{measurement.variant.precision} by protocol {measurement.protocol}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
