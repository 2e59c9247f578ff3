"""Teachings that go on while the board is probed: each is waited for in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from autokd_edge.core.events import Begun
from autokd_edge.core.pupil import Failed, Lesson

Ended = tuple[Begun, Lesson | Failed]


class AtWork:
    """Begins teachings and hands on what they gave, in the order in which they ended.

    What teaches must not be torch in this process: its random generator is one for all threads.
    """

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[Ended | BaseException] = queue.SimpleQueue()

    def begin(self, begun: Begun, teach: Callable[[], Lesson | Failed]) -> None:
        """Begin a teaching; ``teach`` is called in a thread that keeps no process alive."""

        def work() -> None:
            try:
                self._ended.put((begun, teach()))
            except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
                self._ended.put(error)

        threading.Thread(target=work, daemon=True).start()

    def next_ended(self, timeout_s: float) -> Ended | None:
        """Return a teaching that ended, after at most so many seconds; None where none did.

        Raises:
            AutoKDError: what a teaching ended with that is no candidate's fault.
        """
        try:
            ended = self._ended.get(timeout=timeout_s) if timeout_s else self._ended.get_nowait()
        except queue.Empty:
            return None
        if isinstance(ended, BaseException):
            raise ended
        return ended
