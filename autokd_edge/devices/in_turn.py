"""Do several jobs at the same time, and hand on what they give in the order in which they were begun."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from typing import TypeVar

_T = TypeVar("_T")


def in_turn(jobs: Iterable[Callable[[], _T]], *, width: int) -> Generator[_T, None, None]:
    """Yield what each job returns, in their order; at most ``width`` run at the same time.

    A job is drawn from ``jobs`` when the one ``width`` places before it was handed on and taken in, so that what it
    is begun with depends on their order and never on which of them ended first. One that fails raises here; so does
    whoever takes the results. Either way the jobs that were begun are waited for.
    """
    if width == 1:
        yield from (job() for job in jobs)
        return
    running: deque[Future[_T]] = deque()
    try:
        for job in jobs:
            running.append(_begun(job))
            if len(running) == width:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        wait(running)


def _begun(job: Callable[[], _T]) -> Future[_T]:
    """Start a job in a thread that keeps no process alive: a second Ctrl-C ends it with the rest."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
