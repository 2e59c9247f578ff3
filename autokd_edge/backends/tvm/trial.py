"""A trial: a program that holds the kernels of one network in several tiles, and what it says after timing them on the board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autokd_edge.backends.tvm.builder import TVMBuilder
from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.core.codec import Json, decode, encode
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import BuildError, MeasureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kernel of the network that can be tiled in other ways than the rule's; ``workload`` is its name in any network."""

    workload: str
    tiles: tuple[Tile, ...]
    steps: tuple[int, ...]  # that call it


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """One step of a trial: the rule's kernel and the tried one, and whether they made the same bytes."""

    step: int
    rule_ns: float
    tried_ns: float
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimes:
    """What a trial says of one set."""

    steps: tuple[StepTimes, ...]

    def ratio(self, workload: Workload) -> float | None:
        """Return the time of a workload's tried tile in times of the rule's, over all of its steps; None where numbers differ.

        Raises:
            MeasureError: the trial did not time all of the steps.
        """
        steps = [one for one in self.steps if one.step in workload.steps]
        if len(steps) != len(workload.steps) or not all(one.rule_ns > 0 for one in steps):
            raise MeasureError(f"a trial must time steps {list(workload.steps)}; it timed {[one.step for one in steps]}")
        return sum(one.tried_ns for one in steps) / sum(one.rule_ns for one in steps) if all(one.same for one in steps) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The program, the tiles of each set in it by kernel, sets counting from 1, and why others are in none."""

    program: Path
    sets: tuple[Mapping[str, Tile], ...]
    failed: Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBuilder:
    """Compiles the trials of one graph; ``graph`` notes no tiles, ``folder`` takes what is made."""

    builder: TVMBuilder
    graph: Path
    variant: Variant
    target: Target
    folder: Path

    def workloads(self, most: int) -> dict[str, Workload]:
        """Return what can be tiled in other ways, by kernel, with up to ``most`` other tiles; raises BuildError."""
        return {kernel: decode(Workload, one) for kernel, one in self._made("survey", most=most).items()}

    def trial(self, workloads: Mapping[str, Workload]) -> Trial:
        """Compile the tiles of all workloads into one program; a tile that cannot be compiled is in no set.

        Raises:
            BuildError: the graph itself cannot be compiled.
        """
        failed: Counter[str] = Counter()
        turns = range(max((len(one.tiles) for one in workloads.values()), default=0))
        sets = [
            self._set(number + 1, {k: one.tiles[number] for k, one in workloads.items() if len(one.tiles) > number}, failed)
            for number in turns
        ]
        program = self.folder / "trial"
        parts = [{"kernels": list(tiles), "object": str(self._object(number))} for number, tiles in enumerate(sets, start=1)]
        self._made("trial", sets=parts, out=str(program))
        return Trial(program=program, sets=tuple(sets), failed=failed)

    def _set(self, number: int, tiles: Mapping[str, Tile], failed: Counter[str]) -> Mapping[str, Tile]:
        """Compile one set; returns what of it was compiled."""
        written = {kernel: encode(tile) for kernel, tile in tiles.items()}
        try:
            refused = self._made("set", set=number, tiles=written, out=str(self._object(number)))["failed"]
        except BuildError as error:  # the code generator itself, which does not say of which kernel
            failed[str(error)] += len(tiles)
            return {}
        failed.update(refused.values())
        return {kernel: tile for kernel, tile in tiles.items() if kernel not in refused}

    def _object(self, number: int) -> Path:
        return self.folder / f"set{number}.o"

    def _made(self, form: str, **more: Json) -> Json:
        return self.builder.made(self.graph, variant=self.variant, target=self.target, form=form, **more)
