"""Record readings of random networks on a device, for `autokd-edge ... --predict FILE`.

    python tools/record_readings.py --target T [--device ssh://user@host] [--count 150] [--seed 0] --out FILE

Draws members of the families nago and mbconv for three sizes of images, builds each in every variant of the target and
measures it by the protocol `screen`; one whose blocks do not agree in three tries is left out. What is done lies in
FILE.part, and the same command goes on from there; FILE itself is written at the end. The machine should be quiet: its
load average goes into the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from arguments import Arguments

from autokd_edge import wiring
from autokd_edge.backends.predicted.counts import counts_of
from autokd_edge.core.artifact import Artifact
from autokd_edge.core.atomic import written_whole
from autokd_edge.core.codec import decode, encode
from autokd_edge.core.measure import Measurement
from autokd_edge.core.recording import RECORDING_VERSION, RecordedNetwork, RecordedReading, RecordedVariant, Recording
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import target_here
from autokd_edge.devices.protocol import BETWEEN_MOST
from autokd_edge.devices.recordings import recording_bytes
from autokd_edge.errors import AutoKDError, InputError, LoweringError, MeasureError, StageError
from autokd_edge.pipeline.stages import Stages, needs_quantizing
from autokd_edge.store.artifacts import FolderStore

FAMILIES = ("nago", "mbconv")
TASKS = (((1, 28, 28), 10), ((3, 32, 32), 100), ((3, 64, 64), 10))  # image, classes: small students to some milliseconds
PROTOCOL = "screen"
TRIES = 3  # of a reading whose blocks do not agree
MOST_LAYERS = 500  # a network of more takes minutes to quantise


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One network of the file that is going on, with what its readings say of the device; ``number`` is that of its draw."""

    number: int
    network: RecordedNetwork
    variants: tuple[RecordedVariant, ...]
    load_average: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a recording must go on with."""

    target: str
    processor: str
    seed: int


def main() -> int:
    """Record, say how it goes, and write the file; 1 where the device failed, 2 where the input was wrong."""
    given = _options()
    try:
        return _record(given)
    except AutoKDError as error:
        sys.stderr.write(f"record_readings: {error}\n")
        return 2 if isinstance(error, InputError) else 1


def _record(given: argparse.Namespace) -> int:
    described = load_target(given.target)[0]
    device = wiring.device_of(given.device)
    machine = device.fingerprint()
    target = target_here(described, machine)
    begun = given.out.with_suffix(".part")
    lines = _known(begun, Head(target=target.name, processor=machine.processor, seed=given.seed))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stages = Stages(
            target=target,
            backends=wiring.backends_of(target, folder / "backends", device),
            images=_NoImages(),
            store=FolderStore(folder / "store"),
        )
        for number, network, spec in _drawn(given.seed, target):
            if len(lines) >= given.count:
                break
            if any(line.number == number for line in lines):
                continue
            line = _line(number, network, spec, stages)
            if line is not None:
                lines.append(line)
                with begun.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(encode(line)) + "\n")
                said = ", ".join(f"{r.variant} {r.median_ns / 1000:.0f} us" for r in line.network.readings)
                print(f"{len(lines)} of {given.count}: {network.family} {network.input}: {said}", flush=True)
    protocol, protocol_digest = load_protocol(PROTOCOL)
    loads = [line.load_average for line in lines]
    recording = Recording(
        recording_version=RECORDING_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        package_version=version("autokd-edge"),
        target=target.name,
        threads=target.threads,
        fingerprint=machine,
        protocol=protocol.name,
        protocol_digest=protocol_digest,
        seed=given.seed,
        load_average_1min=(min(loads), max(loads)),
        variants=_variants(lines),
        networks=tuple(line.network for line in lines),
    )
    with written_whole(given.out) as made:
        made.write_bytes(recording_bytes(recording))
    begun.unlink()
    print(f"wrote {given.out}: {len(lines)} networks, load average {min(loads)} to {max(loads)}")
    return 0


class _NoImages:
    """Untrained networks are quantised by noise: no images are asked for."""

    def inputs(self, split: str) -> tuple[Path, np.ndarray]:
        raise AssertionError(split)


def _known(begun: Path, head: Head) -> list[Line]:
    """Read what an earlier call recorded; a line that a kill cut off is recorded again."""
    if not begun.exists():
        begun.write_text(json.dumps(encode(head)) + "\n", encoding="utf-8")
        return []
    first, *rest = begun.read_text(encoding="utf-8").split("\n")
    if decode(Head, json.loads(first)) != head:
        raise InputError(
            f"'{begun}' must be of the same target, processor and seed; it is of {first}", hint=f"give another --out, or rm {begun}"
        )
    lines = []
    for text in rest:
        try:
            lines.append(decode(Line, json.loads(text)))
        except ValueError:
            break
    begun.write_text("\n".join([first, *(json.dumps(encode(line)) for line in lines), ""]), encoding="utf-8")
    return lines


def _drawn(seed: int, target: Target) -> Iterator[tuple[int, RecordedNetwork, StudentSpec]]:
    """Yield networks without readings, the same for the same seed."""
    number = -1
    while True:
        number += 1
        image, classes = TASKS[number % len(TASKS)]
        task = Task(image=image, classes=classes, channel_multiple=target.channel_multiple)
        family = wiring.family_named(FAMILIES[number // len(TASKS) % len(FAMILIES)])
        space = family.space(task)
        random = np.random.default_rng([seed, number])
        point = space.at(list(random.random(len(space))))
        try:
            spec = family.spec(point, task, 0)
        except LoweringError:
            continue
        if len(spec.layers) <= MOST_LAYERS:
            yield number, RecordedNetwork(family=family.name, input=image, parameters=dict(point), counts={}, readings=()), spec


def _line(number: int, network: RecordedNetwork, spec: StudentSpec, stages: Stages) -> Line | None:
    """Measure a network in each variant; one that fails in any is left out, and said."""
    readings, variants = [], []
    try:
        graph = stages.untrained_graph(spec, next(v for v in stages.target.variants if not needs_quantizing(v)))
        counts = counts_of(onnx.load(stages.store.path(graph)))
        for variant in stages.target.variants:
            engine = stages.engine(stages.untrained_graph(spec, variant), variant)
            reading = _steady(engine, variant, stages)
            readings.append(_reading(reading))
            variants.append(_variant(variant, reading))
    except StageError as error:
        print(f"left out number {number}: {error}", flush=True)
        return None
    known = RecordedNetwork(
        family=network.family, input=network.input, parameters=network.parameters, counts=counts, readings=tuple(readings)
    )
    return Line(number=number, network=known, variants=tuple(variants), load_average=round(os.getloadavg()[0], 2))


def _steady(engine: Artifact, variant: Variant, stages: Stages) -> Measurement:
    """Take a reading whose blocks agree; where others keep disturbing it there is none, because a model would learn them."""
    protocol, _ = load_protocol(PROTOCOL)
    for _ in range(TRIES):
        reading = stages.measurement(engine, variant, protocol)
        if reading.between_variation <= BETWEEN_MOST:
            return reading
    raise MeasureError(f"the blocks of a recorded reading must agree within {BETWEEN_MOST:.1%}; {variant} did not in {TRIES} tries")


def _reading(reading: Measurement) -> RecordedReading:
    return RecordedReading(
        variant=reading.variant,
        median_ns=round(reading.median_ns),
        between_variation=round(reading.between_variation, 5),
        engine_bytes=reading.memory.engine_bytes,
        flags=reading.flags,
    )


def _variant(variant: Variant, reading: Measurement) -> RecordedVariant:
    level = min(reading.sentinel.before_ns, reading.sentinel.after_ns)
    return RecordedVariant(variant=variant, toolchain=reading.toolchain, null_rss_bytes=reading.memory.null_rss_bytes, sentinel_ns=level)


def _variants(lines: list[Line]) -> tuple[RecordedVariant, ...]:
    """Take the toolchain of the last reading of each variant, and the medians of the rest."""
    found: dict[Variant, list[RecordedVariant]] = {}
    for one in (one for line in lines for one in line.variants):
        found.setdefault(one.variant, []).append(one)
    return tuple(
        RecordedVariant(
            variant=variant,
            toolchain=each[-1].toolchain,
            null_rss_bytes=round(statistics.median(one.null_rss_bytes for one in each)),
            sentinel_ns=round(statistics.median(one.sentinel_ns for one in each)),
        )
        for variant, each in found.items()
    )


def _options() -> argparse.Namespace:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True)
    parser.add_argument("--device", help="ssh://user@host[:port]; by default this machine")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
