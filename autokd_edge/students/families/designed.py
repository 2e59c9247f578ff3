"""Hand-designed networks as families with one member and nothing to search, for comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.student import StudentSpec, Task


class DesignedFamily:
    """One published network; ``index`` draws other initial weights, nothing else.

    Widths are the published ones whatever multiple of channels the target's kernels like.
    """

    def __init__(self, name: str, write: Callable[[Task, int], StudentSpec]) -> None:
        """Name a network; ``write`` makes it of a task and the seed of its initial weights."""
        self.name = name
        self._write = write

    def space(self, task: Task) -> SearchSpace:  # noqa: ARG002  the port's
        """Return the space without parameters."""
        return SearchSpace(parameters=())

    def members(self, architecture: Point) -> int:  # noqa: ARG002  the port's
        """Return 1: all indices are the same network."""
        return 1

    def spec(self, architecture: Point, task: Task, index: int) -> StudentSpec:
        """Write the network, adapted to the task's image and classes; raises ValueError where there is a parameter."""
        self.space(task).point(dict(architecture))
        return self._write(task, int.from_bytes(hashlib.sha256(f"{self.name} {index}".encode()).digest()[:4], "big"))
