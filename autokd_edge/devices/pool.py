"""Several boards of one kind: who works where, which of them are compared, and who was put aside and why.

Boards must be alike in what their fingerprints say and in their runtimes; where they are not, most of them decide,
and among equal numbers the first named. Their sentinels must agree: a board is put aside where its sentinel runs more
than ``TOLERANCE`` off the pool's, which is the lower median of the boards' latest ones. Of two boards that is the
faster: a machine may be slowed by others, it is never sped up. The last board left has nobody to be compared with.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from autokd_edge.core.measure import Fingerprint
from autokd_edge.devices.device import Device
from autokd_edge.devices.fingerprint import MEMORY_STEP
from autokd_edge.devices.in_turn import in_turn
from autokd_edge.errors import DeviceError, NoBoardLeftError, StageError

TOLERANCE = 0.06  # twice what a protocol lets the sentinel of one board move by in a reading
# A passing disturbance moves the sentinel of one reading; a board that is slower moves it in all of them.
TRIES = 3
SEE_TO_IT = "see that it is cool, well supplied and alone"
_T = TypeVar("_T")
Traits = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A board that was put aside; ``hint`` is what to do about it."""

    device: str
    reason: str
    hint: str = ""


class BoardPool:
    """The boards behind ``devices`` and their state in this process; every verb may be called from any thread."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = tuple(devices)
        self._turn = threading.Condition()
        self._busy: set[int] = set()
        self._departures: dict[int, Departure] = {}
        self._told = 0
        self._sentinels_ns: dict[int, int] = {}
        self._joining = threading.Lock()
        self._joined = False
        self._own = threading.local()  # the board that a thread keeps to: number, and how often it asked to

    @property
    def width(self) -> int:
        """Number of boards that were named."""
        return len(self.devices)

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the boards that are still in, in the order named."""
        return tuple(number for number in range(self.width) if number not in self._departures)

    def news(self) -> tuple[Departure, ...]:
        """Return who was put aside since this was last asked."""
        with self._turn:
            new = tuple(self._departures.values())[self._told :]
            self._told = len(self._departures)
        return new

    def fingerprint(self) -> Fingerprint:
        """Read every board, put aside those that differ, and return the fingerprint of the first that is left.

        Raises:
            NoBoardLeftError: none of them can be reached.
        """
        found = self._of_each(lambda number: self.devices[number].fingerprint(), self._some())
        self._keep_alike({number: traits_of(machine) for number, machine in found.items()})
        return found[self._some()[0]]

    def alike(self, ask: Callable[[int], Traits]) -> Traits:
        """Ask every board for its traits, put aside those that differ, and return what the rest said.

        Raises:
            NoBoardLeftError: none of them answered.
        """
        found = self._of_each(ask, self._some())
        self._keep_alike(found)
        return found[self._some()[0]]

    def join(self, sentinel_ns: Callable[[int], int]) -> None:
        """Compare the sentinels of all boards, the first time that this is called; other callers wait for it.

        Raises:
            NoBoardLeftError: every board was put aside.
        """
        with self._joining:
            if not self._joined:
                self._sentinels_ns.update(self._of_each(sentinel_ns, self._some()))
                for number in self.present:
                    self._compare(number, sentinel_ns)
                self._joined = True
        self._some()

    def _compare(self, number: int, sentinel_ns: Callable[[int], int]) -> None:
        """Put a board aside whose sentinel is off the pool's, and stays so."""
        reason = self.unlike(number, self._sentinels_ns[number])
        for _ in range(TRIES - 1):
            if not reason:
                return
            again = self._of_each(sentinel_ns, (number,))
            reason = self.unlike(number, again[number]) if again else ""  # where it failed it is out already
        if reason:
            self._put_aside(number, f"{reason}, {TRIES} times in a row", SEE_TO_IT)

    def unlike(self, number: int, sentinel_ns: int) -> str:
        """Take note of a board's sentinel, and say how it differs from the pool's; "" where it does not."""
        with self._turn:
            self._sentinels_ns[number] = sentinel_ns
            present = [self._sentinels_ns[other] for other in self.present if other in self._sentinels_ns]
            usual = statistics.median_low(present)
            off = sentinel_ns / usual - 1
        if len(present) < 2 or abs(off) <= TOLERANCE:
            return ""
        pace = "slower" if off > 0 else "faster"
        return (
            f"its sentinel must run within {TOLERANCE:.0%} of the pool's, {usual / 1000:.1f} µs; "
            f"it takes {sentinel_ns / 1000:.1f} µs, {abs(off):.1%} {pace}"
        )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let this thread keep to one board, while it is there; the board is taken with the first work."""
        self._own.depth = getattr(self._own, "depth", 0) + 1
        try:
            yield
        finally:
            self._own.depth -= 1
            if not self._own.depth:
                self._leave()

    def at_one(self, work: Callable[[int], _T]) -> _T:
        """Do a work at a board that is free; where the board fails it is put aside, and the work goes to another.

        Raises:
            NoBoardLeftError: every board was put aside.
        """
        with self.kept():
            while True:
                number = self._taken()
                try:
                    return work(number)
                except DeviceError as error:
                    self._put_aside(number, error.args[0], error.hint)
                    self._leave()

    def _taken(self) -> int:
        own: int | None = getattr(self._own, "number", None)
        if own is not None and own not in self._departures:
            return own
        self._leave()
        with self._turn:
            while not (free := [number for number in self._some() if number not in self._busy]):
                self._turn.wait()
            self._busy.add(free[0])
            self._own.number = free[0]
            return free[0]

    def _leave(self) -> None:
        number: int | None = getattr(self._own, "number", None)
        self._own.number = None
        if number is not None:
            with self._turn:
                self._busy.discard(number)
                self._turn.notify_all()

    def _some(self) -> tuple[int, ...]:
        """Return the boards that are in; raises NoBoardLeftError where there is none."""
        present = self.present
        if present:
            return present
        reasons = "; ".join(f"'{gone.device}': {gone.reason}" for gone in self._departures.values())
        hint = next((gone.hint for gone in self._departures.values() if gone.hint), "")
        raise NoBoardLeftError(f"a pool must keep a board; all {self.width} were put aside: {reasons}", hint=hint)

    def _put_aside(self, number: int, reason: str, hint: str = "") -> None:
        with self._turn:
            device = self.devices[number].link.device or "this machine"
            self._departures.setdefault(number, Departure(device=device, reason=reason, hint=hint))
            self._turn.notify_all()

    def _of_each(self, ask: Callable[[int], _T], numbers: Sequence[int]) -> dict[int, _T]:
        """Ask boards at the same time; one that fails is put aside."""

        def asked(number: int) -> dict[int, _T]:
            try:
                return {number: ask(number)}
            except (DeviceError, StageError) as error:
                self._put_aside(number, error.args[0], error.hint)
                return {}

        found: dict[int, _T] = {}
        for answer in in_turn((partial(asked, number) for number in numbers), width=len(numbers)):
            found.update(answer)
        return found

    def _keep_alike(self, found: Mapping[int, Traits]) -> None:
        kinds = [dict(traits) for traits in found.values()]
        usual = max(kinds, key=kinds.count, default={})  # the first of those that are equally frequent
        for number, traits in found.items():
            differing = [name for name in dict.fromkeys((*usual, *traits)) if usual.get(name) != traits.get(name)]
            if differing:
                said = "; ".join(f"{name} is {traits.get(name, 'none')}, the pool's {usual.get(name, 'none')}" for name in differing)
                self._put_aside(number, f"the boards of a pool must be alike; {said}")


def traits_of(machine: Fingerprint) -> Traits:
    """Return what must be the same on every board of a pool; clocks wander, so that the sentinel compares them."""
    return {
        "architecture": machine.machine,
        "processor": machine.processor,
        "ISA flags": " ".join(machine.isa_flags),
        "cores": str(machine.cores),
        "memory": f"{machine.memory_bytes // MEMORY_STEP * MEMORY_STEP / 2**30:g} GiB",
        "governor": machine.governor,
        "power mode": machine.power_mode or "none",
    }
