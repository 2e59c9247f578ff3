"""The backends of several boards as one: each call goes to a board that is free, and readings are cross-checked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.profile import LayerTime
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.devices.pool import SEE_TO_IT, TRIES, BoardPool, Traits
from autokd_edge.devices.reference import write_sentinel
from autokd_edge.errors import OutlierError
from autokd_edge.ports import Backend, Board, Builder, LayerTimer, Tuner


def pooled(each: Sequence[Mapping[str, Backend]], pool: BoardPool, target: Target, protocol: Protocol) -> dict[str, Backend]:
    """Join the backends of each board, in the pool's order; by ``protocol`` boards are compared before the first work."""
    variant = next((one for one in target.variants if one.precision == "fp32"), target.variants[0])

    def join() -> None:
        pool.join(lambda number: _sentinel_ns(each[number][variant.backend], variant, target, protocol))

    return {name: _joined([backends[name] for backends in each], pool, join) for name in each[0]}


def _joined(backends: Sequence[Backend], pool: BoardPool, join: Callable[[], None]) -> Backend:
    timers = [backend.layer_timer for backend in backends if backend.layer_timer is not None]
    tuners = [backend.tuner for backend in backends if backend.tuner is not None]
    return replace(
        backends[0],  # what quantises and what compiles for other programs runs on this machine
        builder=PooledBuilder([backend.builder for backend in backends], pool, join),
        board=PooledBoard([backend.board for backend in backends], pool, join),
        layer_timer=PooledLayerTimer(timers, pool, join) if timers else None,
        tuner=PooledTuner(tuners, pool, join) if tuners else None,
    )


class PooledBuilder:
    """Builds at a board that is free."""

    def __init__(self, builders: Sequence[Builder], pool: BoardPool, join: Callable[[], None]) -> None:
        self._builders = tuple(builders)
        self._pool = pool
        self._join = join
        self._toolchain: Traits = {}

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions that the boards of the pool have in common; a board with others is put aside."""
        if not self._toolchain:
            self._toolchain = self._pool.alike(lambda number: self._builders[number].toolchain())
        return self._toolchain

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Write the engine to ``out``."""
        self._join()
        self._pool.at_one(lambda number: self._builders[number].build(graph, variant=variant, target=target, out=out))


class PooledBoard:
    """Measures and runs at a board that is free; a reading whose sentinel is off the pool's is taken again, then elsewhere."""

    def __init__(self, boards: Sequence[Board], pool: BoardPool, join: Callable[[], None]) -> None:
        self._boards = tuple(boards)
        self._pool = pool
        self._join = join

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Take a reading that names the board it was taken on."""

        def at(number: int) -> Measurement:
            take = partial(self._boards[number].measure, engine, variant=variant, target=target, protocol=protocol)
            return replace(self._checked(number, take), device=self._pool.devices[number].link.device)

        self._join()
        return self._pool.at_one(at)

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Run an engine on each sample of ``inputs`` and write the logits."""
        self._join()
        self._pool.at_one(lambda number: self._boards[number].infer(engine, inputs, variant=variant, target=target, out=out))

    def _checked(self, number: int, take: Callable[[], Measurement]) -> Measurement:
        reason = ""
        for _ in range(TRIES):
            reading = take()
            reason = self._pool.unlike(number, level_ns(reading))
            if not reason:
                return reading
        raise OutlierError(f"{reason}, {TRIES} times in a row", hint=SEE_TO_IT)


class PooledLayerTimer:
    """Profiles layers at a board that is free."""

    def __init__(self, timers: Sequence[LayerTimer], pool: BoardPool, join: Callable[[], None]) -> None:
        self._timers = tuple(timers)
        self._pool = pool
        self._join = join

    def layers(self, engine: Path, *, variant: Variant, target: Target) -> tuple[LayerTime, ...]:
        """Run an engine with the profiler on."""
        self._join()
        return self._pool.at_one(lambda number: self._timers[number].layers(engine, variant=variant, target=target))


class PooledTuner:
    """Tunes at a board that is free: the boards of a pool are alike."""

    def __init__(self, tuners: Sequence[Tuner], pool: BoardPool, join: Callable[[], None]) -> None:
        self._tuners = tuple(tuners)
        self._pool = pool
        self._join = join

    def tune(self, graph: Path, *, variant: Variant, target: Target, most: int, out: Path) -> Tuning:
        """Write the graph with the choices that make its engine faster."""
        self._join()
        return self._pool.at_one(lambda number: self._tuners[number].tune(graph, variant=variant, target=target, most=most, out=out))


def level_ns(reading: Measurement) -> int:
    """Return how fast a board ran its sentinel: the faster of two, because others may slow one of them.

    Time under emulation compares nothing: all emulated boards are of one pace.
    """
    return 1 if reading.origin == "emulated" else min(reading.sentinel.before_ns, reading.sentinel.after_ns)


def _sentinel_ns(backend: Backend, variant: Variant, target: Target, protocol: Protocol) -> int:
    """Measure the sentinel's own network as any other; a board that cannot run it can run nothing."""
    with tempfile.TemporaryDirectory() as folder:
        graph, engine = Path(folder) / "sentinel.onnx", Path(folder) / "sentinel.blob"
        write_sentinel(graph)
        backend.builder.build(graph, variant=variant, target=target, out=engine)
        return level_ns(backend.board.measure(engine, variant=variant, target=target, protocol=protocol))
