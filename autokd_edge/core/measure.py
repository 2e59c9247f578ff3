"""Readings of a device and what may be said of them.

Percentiles are order statistics of the raw samples. ``upper_bound_ns`` is MLPerf's early-stopping
estimate: the smallest sample that lies above the asked percentile with the asked confidence, by the
binomial law (Reddi et al., 2020, arXiv 1911.02549, and the MLPerf inference rules).
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal, TypeAlias

from autokd_edge.core.digest import Digest
from autokd_edge.core.target import Variant

Origin: TypeAlias = Literal["device", "emulated", "predicted", "replay"]
CONFIDENCE = 0.99  # MLPerf's choice
# Flags of a reading that something else on the device disturbed; their laws are those of devices/protocol.py.
NOISY, SLOWED, DRIFTED = "noisy", "machine-slowed", "sentinel-drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a reading is taken; durations in seconds, one inference is one run."""

    name: str
    warmup_runs: int  # at least so many
    warmup_s: float  # at most so long
    warmup_tolerance: float  # running median is stable within this share
    blocks: int
    block_runs: int  # at least so many in each block
    block_s: float  # at least so long is each block
    block_samples: int  # at most so many of a block's samples are kept, evenly spaced
    cooldown_s: float  # pause before each block
    sentinel_runs: int
    sentinel_drift: float  # a larger share between before and after voids the reading
    retries: int  # of a void reading, before it is flagged
    timeout_s: float

    def __post_init__(self) -> None:
        for name in ("warmup_runs", "blocks", "block_runs", "sentinel_runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.block_samples < self.block_runs:
            raise ValueError(f"block_samples must be at least block_runs, {self.block_runs}; got {self.block_samples}")
        for name in ("warmup_s", "timeout_s", "warmup_tolerance", "sentinel_drift"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.block_s < 0 or self.cooldown_s < 0 or self.retries < 0:
            raise ValueError("block_s, cooldown_s and retries must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What the machine said of itself when a reading was taken."""

    machine: str  # architecture, as `uname -m` prints it
    processor: str
    isa_flags: tuple[str, ...]
    cores: int
    memory_bytes: int
    system: str  # kernel and distribution
    governor: str  # "unknown" where the machine does not say
    virtual: bool  # a hypervisor is present: clocks and neighbours are out of reach
    emulated: bool = False  # the programs run on another processor than they are made for
    available_bytes: int = 0  # memory that was free for programs
    clock_khz: int = 0  # of the fastest core, 0 where the machine does not say
    temperature_c: float | None = None  # of the hottest sensor, before or after the reading
    throttled: tuple[str, ...] = ()  # what held the clocks down, before, during or after the reading
    throttle_events: int = 0  # since the start, where the machine counts them
    gpu_khz: int = 0  # of a Jetson's GPU, 0 where there is none
    gpu_locked: bool = False  # its bounds leave it this one clock
    power_mode: str = ""  # nvpmodel's, where there is one
    power_modes: tuple[str, ...] = ()  # those that nvpmodel knows here
    compatible: str = ""  # what the device tree says that the board is, names with a space between; "" where there is none
    counts_instructions: bool = False  # an emulator that can; no processor is asked

    @property
    def lasting(self) -> Fingerprint:
        """The same without what changes from minute to minute: free memory, clocks, counted events and temperature."""
        return replace(self, available_bytes=0, clock_khz=0, temperature_c=None, throttle_events=0, gpu_khz=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Peak resident memory (VmHWM) of a fresh process, with the engine and with a null engine.

    ``available_drop_bytes`` is another scope: how far the system's available memory fell while the
    engine ran, which decides on boards where the GPU shares it; ``null_drop_bytes`` is the same of the null
    engine: what the runtime takes for itself. None where nobody looked.
    """

    peak_rss_bytes: int
    null_rss_bytes: int
    available_drop_bytes: int | None = None
    null_drop_bytes: int | None = None

    @property
    def process_bytes(self) -> int:
        """Peak of the process over the null-engine baseline; never below 0."""
        return max(0, self.peak_rss_bytes - self.null_rss_bytes)

    @property
    def engine_drop_bytes(self) -> int | None:
        """Drop of the available memory over the null-engine baseline, never below 0; None where either was not read."""
        if self.available_drop_bytes is None or self.null_drop_bytes is None:
            return None
        return max(0, self.available_drop_bytes - self.null_drop_bytes)

    @property
    def engine_bytes(self) -> int:
        """What the engine takes over a null engine, in the larger scope of those that were read.

        Where a GPU shares the memory, what it holds is missing in the process's own.
        """
        return max(self.process_bytes, self.engine_drop_bytes or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    """Median time of the fixed reference engine before and after a reading."""

    before_ns: int
    after_ns: int

    @property
    def drift(self) -> float:
        """Relative change, always positive."""
        return abs(self.after_ns / self.before_ns - 1)

    @property
    def slower_ns(self) -> int:
        """The larger of the two."""
        return max(self.before_ns, self.after_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a predicted reading follows from, and how wrong its model was on recorded networks that it was not fitted to."""

    recording: Digest
    networks: int  # that the model is fitted to
    mean_error: float  # mean of |predicted / recorded - 1| of the latency
    p90_error: float  # nine of ten networks were predicted better
    rank_correlation: float
    memory_mean_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One reading of one engine; ``blocks_ns`` keeps every raw sample in the order taken."""

    origin: Origin
    target: str
    variant: Variant
    engine: Digest
    protocol: str
    protocol_digest: Digest
    toolchain: dict[str, str]  # package -> version, read on the machine
    fingerprint: Fingerprint
    clock: str
    threads: int
    blocks_ns: tuple[tuple[int, ...], ...]
    memory: Memory
    executed: dict[str, int]  # precision that ran -> number of layers, from the execution graph
    sentinel: Sentinel
    flags: tuple[str, ...]
    instructions: int | None = None  # of one inference, as an emulator counted them; no latency follows from them
    device: str | None = None  # the address of what gave it; None is the machine that asked
    prediction: Prediction | None = None  # of a predicted reading, whose samples are quantiles of its error
    _sorted_ns: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _median_ns: float = field(init=False, repr=False, compare=False)  # kept: a choice compares thousands of readings

    def __post_init__(self) -> None:
        if not self.blocks_ns or any(not block for block in self.blocks_ns):
            raise ValueError("a measurement must have samples in every block")
        samples = sorted(ns for block in self.blocks_ns for ns in block)
        if samples[0] <= 0:
            raise ValueError(f"samples must be positive; got {samples[0]} ns")
        if self.instructions is not None and (self.instructions < 1 or self.origin != "emulated"):
            raise ValueError(f"instructions must be counted under emulation, 1 at least; got {self.instructions}, {self.origin}")
        if (self.prediction is not None) != (self.origin == "predicted"):
            raise ValueError(f"a predicted reading, and no other, must say how it was predicted; its origin is {self.origin}")
        object.__setattr__(self, "_sorted_ns", tuple(samples))
        object.__setattr__(self, "_median_ns", statistics.median(self.block_medians_ns))

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self._sorted_ns)

    @property
    def block_medians_ns(self) -> tuple[float, ...]:
        """Median of each block, in the order taken."""
        return tuple(statistics.median(block) for block in self.blocks_ns)

    @property
    def median_ns(self) -> float:
        """Median of the block medians: the latency that is reported."""
        return self._median_ns

    @property
    def slowness(self) -> float:
        """What ranks the engines of one target, less is better; of no unit that may be printed.

        The median latency in ns; where an emulator counted instructions those, because its time ranks nothing.
        """
        return self.median_ns if self.instructions is None else float(self.instructions)

    @property
    def is_disturbed(self) -> bool:
        """Say whether its flags tell of something else that slowed the device; counted instructions know no such thing."""
        return self.instructions is None and not {NOISY, SLOWED, DRIFTED}.isdisjoint(self.flags)

    def percentile_ns(self, percent: float) -> int | None:
        """Nearest-rank percentile, or None where there are too few samples to support it."""
        if self.upper_bound_ns(percent) is None:
            return None
        return self._sorted_ns[max(0, math.ceil(self.count * percent / 100) - 1)]

    def upper_bound_ns(self, percent: float) -> int | None:
        """Upper confidence bound (0.99) of a percentile, or None where there are too few samples."""
        rank = upper_bound_rank(self.count, percent / 100)
        return None if rank is None else self._sorted_ns[rank - 1]

    @property
    def within_variation(self) -> float:
        """Median over blocks of (p75 - p25) / median: robust spread inside a block."""
        return statistics.median(_spread(sorted(block)) for block in self.blocks_ns)

    @property
    def stalled_share(self) -> float:
        """Median over blocks of mean / median - 1: what rare long samples add, as where others take the processor in turns."""
        return statistics.median(statistics.fmean(block) / statistics.median(block) - 1 for block in self.blocks_ns)

    @property
    def between_variation(self) -> float:
        """Standard deviation of the logarithms of the block medians: the surrogate's noise."""
        logs = [math.log(median) for median in self.block_medians_ns]
        return statistics.stdev(logs) if len(logs) > 1 else 0.0


@cache  # the policy compares thousands of readings of one length at every step
def upper_bound_rank(count: int, share: float, confidence: float = CONFIDENCE) -> int | None:
    """Rank (from 1) of the order statistic that bounds a quantile from above, or None.

    The smallest k with P(Binomial(count, share) <= k - 1) >= confidence.
    """
    log_p, log_q = math.log(share), math.log1p(-share)
    variance = count * share * (1 - share)
    # Below 12 standard deviations lies less than exp(-50) of a binomial law of variance 100 or more (Bernstein).
    start = math.floor(count * share - 12 * math.sqrt(variance)) if variance >= 100 else 0
    total = 0.0
    for k in range(start, count):
        log_choose = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        total += math.exp(log_choose + k * log_p + (count - k) * log_q)
        if total >= confidence:
            return k + 1
    return None


def samples_needed(percent: float) -> int:
    """Return the fewest samples whose upper bound of the percentile exists: ln(0.01) / ln(share)."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percent / 100))


def _spread(ordered: list[int]) -> float:
    last = len(ordered) - 1
    return (ordered[round(0.75 * last)] - ordered[round(0.25 * last)]) / statistics.median(ordered)
