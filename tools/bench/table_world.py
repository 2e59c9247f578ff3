"""A table of architectures as a device and a teacher: look-ups answer probes and teachings, events come out.

A latency look-up is one probe, an accuracy look-up one teaching; an empty latency means that the
network cannot be built. Readings carry origin ``replay`` and, like the table, no spread.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from autokd_edge.core.digest import Digest, digest_of_file
from autokd_edge.core.events import Event, Opened, Probe, Probed, Referenced, StudyConfig, Taught, Teach
from autokd_edge.core.goal import Goal, Traded
from autokd_edge.core.limits import Budget, LatencyLimit, Limits
from autokd_edge.core.measure import Fingerprint, Measurement, Memory, Sentinel
from autokd_edge.core.pupil import Cost, Failed, Lesson, Member, Recalled, Screened
from autokd_edge.core.space import Choice, Point, SearchSpace
from autokd_edge.core.study import Study, advance
from autokd_edge.core.target import Variant

VARIANT = Variant(backend="replay", precision="fp32")
NOTHING = SearchSpace(parameters=())
NONE = Digest("0" * 64)
EDGE = re.compile(r"op_(\d+)-(\d+)\Z")
FAILING, WILD, WILD_TIMES = 0.1, 0.1, 3.0  # shares of bad readings, and how far off a wild one is
PROBE_S, TEACH_S = 1.0, 60.0  # nominal, so that events have an order


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One network of a table; latency is None where it cannot be built."""

    latency_ns: int | None
    accuracy: float
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A finite space and what is known of every point in it."""

    digest: Digest
    space: SearchSpace
    entries: Mapping[Point, Entry]

    def bound_ns(self, quantile: float) -> int:
        """Return the latency limit that this share of the measured networks keeps."""
        return math.floor(float(np.quantile([e.latency_ns for e in self.entries.values() if e.latency_ns is not None], quantile)))

    def optimum(self, bound_ns: int) -> float:
        """Return the highest accuracy that keeps the limit."""
        return max(e.accuracy for e in self.entries.values() if e.latency_ns is not None and e.latency_ns <= bound_ns)

    def worst(self) -> float:
        """Return the lowest accuracy: what counts while nothing that fits was taught."""
        return min(e.accuracy for e in self.entries.values())


def read_table(path: Path, accuracy: str, latency: str) -> Table:
    """Read a CSV with ``op_*`` columns; ``latency`` names a column in ms, ``accuracy`` one in %."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for name in (accuracy, latency):
        if name not in rows[0]:
            raise SystemExit(f"column '{name}' must be in the table; it has {', '.join(rows[0])}")
    names = [name for name in rows[0] if name.startswith("op_")]
    space = SearchSpace(parameters=tuple(Choice(name=name, values=tuple(sorted({row[name] for row in rows}))) for name in names))
    entries = {
        space.point({name: row[name] for name in names}): Entry(
            latency_ns=round(float(row[latency]) * 1e6) if row[latency] else None,
            accuracy=float(row[accuracy]),
            cost=Cost(parameters=int(row.get("params", 1)), macs=int(row.get("macs_m", 1)), activation_bytes=1),
        )
        for row in rows
    }
    return Table(digest=digest_of_file(path), space=space, entries=entries)


class Paths:
    """Describe a cell by its paths from the first node to the last (path encoding, White et al., arXiv 1910.11858).

    ``op_a-b`` is the operation on the edge from node a to node b. A path is the sequence of its
    operations, skips left out; one through ``none`` does not exist. Columns count equal paths (up to
    2), and then, over all paths, each operation and each pair of operations that follow each other,
    the first and the last node counting as operations (n-grams of a path, as in the Weisfeiler-Lehman
    features of NAS-BOWL, Ru et al., arXiv 2006.07556).
    """

    def __init__(self, space: SearchSpace) -> None:
        edges = {(int(m[1]), int(m[2])): p for p in space.parameters if isinstance(p, Choice) and (m := EDGE.match(p.name))}
        if len(edges) != len(space):
            raise ValueError("every column must be named op_<from node>-<to node>")
        self._routes = _routes(edges, max(b for _, b in edges))
        kinds = sorted({kind for route in self._routes for kind in _sequences([edges[edge] for edge in route])})
        grams = sorted({gram for kind in kinds for gram in _grams(kind)})
        self._path, self._gram = ({key: i for i, key in enumerate(keys)} for keys in (kinds, grams))

    def __call__(self, point: Point) -> Sequence[float]:
        """Return the columns."""
        paths, grams = [0.0] * len(self._path), [0.0] * len(self._gram)
        for route in self._routes:
            operations = tuple(str(point[f"op_{a}-{b}"]) for a, b in route)
            if "none" not in operations:
                path = _without_skips(operations)
                paths[self._path[path]] = min(1.0, paths[self._path[path]] + 0.5)
                for gram in _grams(path):
                    grams[self._gram[gram]] += 1 / len(self._routes)
        return [*paths, *grams]


def _grams(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    whole = ("first", *path, "last")
    return [*((operation,) for operation in path), *pairwise(whole)]


def _routes(edges: Mapping[tuple[int, int], Choice], last: int, node: int = 0) -> list[tuple[tuple[int, int], ...]]:
    if node == last:
        return [()]
    return [((a, b), *rest) for a, b in edges if a == node for rest in _routes(edges, last, b)]


def _sequences(choices: Sequence[Choice]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = {()}
    for choice in choices:
        found = {(*head, str(value)) for head in found for value in choice.values if value != "none"}
    return {_without_skips(kind) for kind in found}


def _without_skips(operations: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(operation for operation in operations if operation != "skip_connect")


@dataclass
class TableWorld:
    """A study on a table: does actions by look-up and keeps the study and the regret after each teaching."""

    table: Table
    bound_ns: int
    teachings: int
    seed: int
    policy: str
    recalled: tuple[Recalled, ...] = ()
    bad_readings: bool = False  # one in ten wildly off, one in ten that fails
    pareto: tuple[Traded, ...] = ()  # what accuracy is traded for, where a front is searched
    study: Study = field(init=False)

    def __post_init__(self) -> None:
        reading = _measurement(self.bound_ns)
        self.study = advance(None, Opened(config=self._config(), at_s=0.0))
        cost = Cost(parameters=1, macs=1, activation_bytes=1)
        self._append(Referenced(accuracy=100.0, cost=cost, measurements=(reading,), at_s=0.0))

    def do(self, action: Probe | Teach) -> None:
        """Carry out an action."""
        if isinstance(action, Probe):
            for member in action.members:
                self._append(Probed(member=member, outcome=self.answer(member), at_s=self.study.elapsed_s + PROBE_S))
            return
        entry = self.table.entries[action.pupil.member.architecture]
        lesson = Lesson(accuracy=entry.accuracy, loss=0.0, checkpoint=NONE, seconds=TEACH_S)
        at_s = self.study.elapsed_s + TEACH_S
        self._append(Taught(pupil=action.pupil, steps=action.steps, final=action.final, outcome=lesson, at_s=at_s))

    def regrets(self) -> list[float]:
        """Return optimum minus best taught that truly fits, after each teaching, in points."""
        best, top, curve = self.table.worst(), self.table.optimum(self.bound_ns), []
        for taught in self.study.teachings:
            entry = self.table.entries[taught.pupil.member.architecture]
            if entry.latency_ns is not None and entry.latency_ns <= self.bound_ns:
                best = max(best, entry.accuracy)
            curve.append(round(top - best, 6))
        return curve

    def answer(self, member: Member) -> Screened | Failed:
        """Return what the device says of a member."""
        entry = self.table.entries[member.architecture]
        if entry.latency_ns is None:
            return Failed(stage="build", error="BuildError", message="the table has no latency", retryable=False)
        if self.bad_readings:
            return self._badly_read(member, entry, entry.latency_ns)
        return Screened(cost=entry.cost, measurements=(_measurement(entry.latency_ns),))

    def _badly_read(self, member: Member, entry: Entry, latency_ns: int) -> Screened | Failed:
        """Read a member as a bad device does: the draw is the member's own, so that a policy cannot choose it."""
        rng = np.random.default_rng([self.seed, zlib.crc32(repr(member.architecture).encode())])
        draw = rng.random()
        if draw < FAILING:
            return Failed(stage="measure", error="MeasureError", message="the board did not answer", retryable=True)
        if draw < FAILING + WILD:
            off = WILD_TIMES if rng.random() < 0.5 else 1 / WILD_TIMES
            blocks = tuple((max(1, round(latency_ns * off * spread)),) * 7 for spread in (0.6, 1.0, 1.6))
            wild = replace(_measurement(latency_ns), blocks_ns=blocks, flags=("noisy",))
            return Screened(cost=entry.cost, measurements=(wild,))
        return Screened(cost=entry.cost, measurements=(_measurement(latency_ns),))

    def _append(self, event: Event) -> None:
        self.study = advance(self.study, event)

    def _config(self) -> StudyConfig:
        limit = LatencyLimit(percent=50.0, bound_ns=self.bound_ns, times_teacher=None)
        return StudyConfig(
            goals=(
                Goal(target="replay", target_digest=NONE, limits=Limits(latency=limit, memory=None, max_drop=None), pareto=self.pareto),
            ),
            data="table",
            data_digest=self.table.digest,
            teacher="table",
            teacher_digest=NONE,
            family="table",
            policy=self.policy,
            budget=Budget(seconds=None, teachings=self.teachings),
            search_steps=1,
            final_steps=1,
            final_members=1,
            seed=self.seed,
            protocols={"screen": NONE},
            recalled=self.recalled,
        )


def recalled_of(study: Study, *, shuffled: bool) -> tuple[Recalled, ...]:
    """Return the lessons of an earlier study; ``shuffled`` accuracies say nothing."""
    lessons = [(taught.pupil, taught.outcome.accuracy) for taught in study.teachings if isinstance(taught.outcome, Lesson)]
    accuracies = np.array([accuracy for _, accuracy in lessons])
    if shuffled:
        np.random.default_rng(study.config.seed).shuffle(accuracies)
    return tuple(Recalled(pupil=pupil, accuracy=float(a)) for (pupil, _), a in zip(lessons, accuracies, strict=True))


def _measurement(latency_ns: int) -> Measurement:
    return Measurement(
        origin="replay",
        target="replay",
        variant=VARIANT,
        engine=NONE,
        protocol="screen",
        protocol_digest=NONE,
        toolchain={},
        fingerprint=Fingerprint(
            machine="table", processor="table", isa_flags=(), cores=1, memory_bytes=1, system="table", governor="unknown", virtual=False
        ),
        clock="table",
        threads=1,
        blocks_ns=((latency_ns,) * 7,),  # seven equal samples: the fewest that support an upper bound of the median
        memory=Memory(peak_rss_bytes=0, null_rss_bytes=0),
        executed={},
        sentinel=Sentinel(before_ns=1, after_ns=1),
        flags=(),
    )
