"""Recordings of a device that is not there: latencies follow from what is counted."""

from __future__ import annotations

import numpy as np

from autokd_edge.backends.predicted.counts import counts_of
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.measure import Fingerprint
from autokd_edge.core.recording import RECORDING_VERSION, RecordedNetwork, RecordedReading, RecordedVariant, Recording
from autokd_edge.core.student import Task
from autokd_edge.core.target import Target, Variant
from autokd_edge.students.families.mbconv import MBConvFamily
from autokd_edge.students.lower_onnx import onnx_from_spec

IMAGE = (1, 28, 28)


def latency_ns(counts: dict[str, int]) -> float:
    """Say how long a network takes: a start, a launch for each node, 20 MACs and 8 bytes a nanosecond."""
    totals = {what: sum(n for name, n in counts.items() if name.endswith(what)) for what in ("nodes", "macs", "bytes")}
    return 5_000 + 1_500 * totals["nodes"] + totals["macs"] / 20 + totals["bytes"] / 8


def member_graph(number: int):
    """Draw a network of the family mbconv; returns its parameters and its graph."""
    family, task = MBConvFamily(), Task(image=IMAGE, classes=10, channel_multiple=8)
    space = family.space(task)
    point = space.at(list(np.random.default_rng(number).random(len(space))))
    return point, onnx_from_spec(family.spec(point, task, 0))


def sample_recording(target: Target, fingerprint: Fingerprint, *, networks: int = 40, noise: float = 0.01) -> Recording:
    """Make a recording in the target's variants."""
    random = np.random.default_rng(0)
    found = []
    for number in range(networks):
        point, graph = member_graph(number)
        counts = counts_of(graph)
        readings = tuple(
            RecordedReading(
                variant=variant,
                median_ns=round(
                    latency_ns(counts) * (0.6 if variant.precision == "int8" else 1.0) * float(np.exp(noise * random.normal()))
                ),
                between_variation=0.01,
                engine_bytes=100_000 + sum(n for name, n in counts.items() if name.endswith("bytes")) // 10,
                flags=(),
            )
            for variant in target.variants
        )
        found.append(RecordedNetwork(family="mbconv", input=IMAGE, parameters=dict(point), counts=counts, readings=readings))
    return Recording(
        recording_version=RECORDING_VERSION,
        created="2026-01-01T00:00:00+00:00",
        package_version="0",
        target=target.name,
        threads=target.threads,
        fingerprint=fingerprint,
        protocol="screen",
        protocol_digest=digest_of_bytes(b"screen"),
        seed=0,
        load_average_1min=(0.1, 0.5),
        variants=tuple(_common(variant) for variant in target.variants),
        networks=tuple(found),
    )


def _common(variant: Variant) -> RecordedVariant:
    return RecordedVariant(variant=variant, toolchain={variant.backend: "1.0"}, null_rss_bytes=50_000_000, sentinel_ns=40_000)
