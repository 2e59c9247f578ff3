"""How a study's budget is divided between probing, teaching, the final teaching and grading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes and shares of the phases; shares are of a time budget. All are choices of this project."""

    pool: int = 32  # members probed before the first teaching
    batch: int = 8  # members probed between two teachings
    most_probes: int = 240  # without any that fits, then the limits are called out of reach
    pool_share: float = 0.2  # the pool ends here at the latest
    search_share: float = 0.6  # no search teaching is begun that would end later
    grading_share: float = 0.12  # kept for building, measuring and grading the finalist
    finalists: int = 3  # families of which a finalist is taught at most, one after the other, while no engine keeps all limits
    short_lessons: int = 2  # students of the search's own lessons that are graded where no finalist keeps all limits
    refusals: int = 24  # untrained finalists that may break a limit by the final protocol, 12 s each, before no other is read
    full_factor: int = 20  # members share the time left where each gets this multiple of the search's steps; else fewer are taught
    final_factor: int = 4  # final steps as a multiple of the search's, where the budget is counted in teachings
    front: int = 5  # pupils of a front that are taught in full at most
    front_factor: int = 2  # they share the time left where each gets this multiple of the search's steps; else fewer are taught
    failures: int = 5  # teachings failed in a row that end the search

    def __post_init__(self) -> None:
        counts = (
            "pool",
            "batch",
            "most_probes",
            "finalists",
            "short_lessons",
            "refusals",
            "full_factor",
            "final_factor",
            "front",
            "front_factor",
            "failures",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.pool_share <= self.search_share <= 1 - self.grading_share <= 1:
            raise ValueError(
                "shares must rise: 0 <= pool_share <= search_share <= 1 - grading_share <= 1; "
                f"got {self.pool_share}, {self.search_share}, {1 - self.grading_share}"
            )
