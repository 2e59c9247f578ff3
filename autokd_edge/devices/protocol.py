"""From the answer of a device program to a reading: bounded retries, and the flags that say how far to trust it.

A flag never changes a number. Its laws:

=========================  ==================================================================================
sentinel-drift             the fixed engine moved more than the protocol allows, at the last retry too
machine-slowed             the fixed engine ran more than 10 % slower than it has run here, at the last retry too
clocks-unlocked            the governor is not "performance" (or the machine does not say): clocks may wander; of an
                           engine on a Jetson's GPU that the bounds of the GPU's clock differ
power-mode-reduced         the device runs in another power mode than the fastest of its descriptor that it has
throttled                  the device said, before or after the reading, that heat or its supply holds its clocks down, or
                           it did so in between: events were counted, or a locked clock of the GPU fell
virtual-machine            a hypervisor is present: clocks and neighbours are out of reach
not-pinned                 one thread was asked for, and it could move between cores
not-warm                   the running median was not yet stable at the end of the warm-up time
noisy                      between blocks > 2.5 % (trtexec's own law for wandering clocks), within > 10 %, the mean
                           > 10 % above the median: a process beside us holds the core for some ms at a time, which
                           50 us runs meet so rarely that quartiles do not see it; or the program waited for a
                           processor during > 5 % of the timed runs: runs longer than those turns are all slowed alike
few-samples                fewer than a p99's upper confidence bound needs
executed-precision-differs the backend saw layers run in another precision than was asked for
=========================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from autokd_edge.core.codec import CodecError, Json, decode, encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.measure import DRIFTED, NOISY, SLOWED, Fingerprint, Measurement, Memory, Origin, Protocol, Sentinel, samples_needed
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.fingerprint import fastest_mode
from autokd_edge.errors import MeasureError

BETWEEN_MOST = 0.025  # trtexec warns of unstable clocks above this variation of GPU compute time
WITHIN_MOST = 0.10  # measured on a shared 2-core machine: 1-4 % as a rule, 15-23 % while the core was contended
WAITED_MOST = 0.05  # measured there: at most 0.7 % beside a job of the lowest priority, 50 % beside an equal one
SLOWED_MOST = 0.10  # measured there: the sentinel's level wanders by 4 %, and by 29 % while the core was contended


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a device program says after measuring; every backend's program gives these fields."""

    clock: str
    threads: int
    pinned: bool
    warm: bool
    blocks_ns: tuple[tuple[int, ...], ...]
    peak_rss_bytes: int
    executed: dict[str, int]
    sentinel: Sentinel
    toolchain: dict[str, str]
    waited_share: float | None = None  # of the timed runs that the program waited for a processor; None where nobody says


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a reading is of and how it is taken."""

    engine: Digest
    variant: Variant
    target: Target
    protocol: Protocol
    fingerprint: Fingerprint
    origin: Origin
    device: str | None = None  # its address; None is this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the machine is known to do without the engine: the null engine's peak memory, the fastest sentinel yet."""

    null_rss_bytes: int
    sentinel_ns: int | None  # None before the first reading

    def slowed(self, sentinel: Sentinel) -> float:
        """Share by which the sentinel ran slower than it has run here; 0 where nothing is known."""
        return 0.0 if self.sentinel_ns is None else sentinel.slower_ns / self.sentinel_ns - 1


def answer_from_json(document: Json) -> Answer:
    """Read a device program's answer; raises MeasureError where it has another shape."""
    try:
        return decode(Answer, document)
    except CodecError as error:
        raise MeasureError(f"a device program's answer must hold a reading; {error}") from error


def digest_of_protocol(protocol: Protocol) -> Digest:
    """Hash all that a protocol says."""
    return digest_of_json(encode(protocol))


def steadiest(ask: Callable[[], Answer], protocol: Protocol, baseline: Baseline) -> Answer:
    """Ask until the sentinel stood still at its usual level, ``protocol.retries`` times again at most; else the nearest to it."""

    def unrest(answer: Answer) -> float:
        """Above 1 the reading is void."""
        return max(answer.sentinel.drift / protocol.sentinel_drift, baseline.slowed(answer.sentinel) / SLOWED_MOST)

    answers = []
    for _ in range(1 + protocol.retries):
        answers.append(ask())
        if unrest(answers[-1]) <= 1:
            break
    return min(answers, key=unrest)


def reading(answer: Answer, subject: Subject, baseline: Baseline, *, as_asked: bool) -> Measurement:
    """Make the reading of an answer; ``as_asked`` says whether the layers ran in the precision asked for.

    Raises:
        MeasureError: the answer holds no usable samples.
    """
    try:
        plain = Measurement(
            origin=subject.origin,
            target=subject.target.name,
            variant=subject.variant,
            engine=subject.engine,
            protocol=subject.protocol.name,
            protocol_digest=digest_of_protocol(subject.protocol),
            toolchain=answer.toolchain,
            fingerprint=subject.fingerprint,
            clock=answer.clock,
            threads=answer.threads,
            blocks_ns=answer.blocks_ns,
            memory=Memory(peak_rss_bytes=answer.peak_rss_bytes, null_rss_bytes=baseline.null_rss_bytes),
            executed=answer.executed,
            sentinel=answer.sentinel,
            flags=(),
            device=subject.device,
        )
    except ValueError as error:
        raise MeasureError(f"a device program's answer must hold a reading; {error}") from error
    fastest, mode = fastest_mode(subject.target, subject.fingerprint), subject.fingerprint.power_mode
    laws = {
        DRIFTED: answer.sentinel.drift > subject.protocol.sentinel_drift,
        SLOWED: baseline.slowed(answer.sentinel) > SLOWED_MOST,
        "clocks-unlocked": subject.fingerprint.governor != "performance",
        "power-mode-reduced": bool(fastest and mode) and mode != fastest,
        "throttled": bool(subject.fingerprint.throttled),
        "virtual-machine": subject.fingerprint.virtual,
        "not-pinned": answer.threads == 1 and not answer.pinned,
        "not-warm": not answer.warm,
        NOISY: plain.between_variation > BETWEEN_MOST
        or max(plain.within_variation, plain.stalled_share) > WITHIN_MOST
        or (answer.waited_share or 0.0) > WAITED_MOST,
        "few-samples": plain.count < samples_needed(99),
        "executed-precision-differs": not as_asked,
    }
    return replace(plain, flags=tuple(flag for flag, holds in laws.items() if holds))
