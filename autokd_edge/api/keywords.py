"""The keyword arguments of ``autokd_edge.search``, for type checkers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, Required, TypedDict


class SearchKeywords(TypedDict, total=False):
    """The fields of ``SearchOptions``."""

    data: Required[str]
    teacher: Required[str]
    target: NotRequired[str | Sequence[str]]
    device: NotRequired[str | Sequence[str] | None]
    lock_clocks: NotRequired[bool]
    predict: NotRequired[str | Sequence[str] | None]
    max_latency: NotRequired[str | Sequence[str] | None]
    max_memory: NotRequired[str | Sequence[str] | None]
    max_instructions: NotRequired[str | Sequence[str] | None]
    max_drop: NotRequired[str | Sequence[str] | None]
    max_quant_drop: NotRequired[str | Sequence[str]]
    budget: NotRequired[str]
    seed: NotRequired[int]
    study: NotRequired[str | None]
    store: NotRequired[str | None]
    out: NotRequired[str | None]
    image_size: NotRequired[int | None]
    augment: NotRequired[str | None]
    loss: NotRequired[str | None]
    family: NotRequired[str]
    policy: NotRequired[str]
    search_steps: NotRequired[int | None]
    rungs: NotRequired[int]
    eta: NotRequired[int]
    final_steps: NotRequired[int | None]
    final_epochs: NotRequired[float | None]
    final_members: NotRequired[int]
    qat_steps: NotRequired[int]
    start: NotRequired[tuple[str, ...]]
    warm_from: NotRequired[str | None]
    pareto: NotRequired[str | None]
    workers: NotRequired[int]
    tune: NotRequired[int | None]
