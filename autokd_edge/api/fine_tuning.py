"""Quantisation-aware tuning as a user asks for it: whether it can be done, and by whom a given network is taught."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autokd_edge.core.target import Variant
from autokd_edge.errors import InputError, TeachError
from autokd_edge.pipeline.network_file import GivenNetwork
from autokd_edge.pipeline.stages import FineTuning, needs_quantizing

if TYPE_CHECKING:
    from autokd_edge.api.compile_options import CompileOptions
    from autokd_edge.teaching.samples import TeachingData
    from autokd_edge.teaching.teacher import Teacher


def check_tunable(steps: int, variants: Sequence[Variant], *, of: str) -> None:
    """Refuse to tune where nothing is quantised; ``of`` says whose variants they are. Raises InputError."""
    if steps and not any(map(needs_quantizing, variants)):
        known = ", ".join(dict.fromkeys(map(str, variants)))
        raise InputError(f"qat-steps tunes int8 engines; {of} has {known} alone", hint="leave --qat-steps out")


def teacher_of(network: GivenNetwork, data: TeachingData, options: CompileOptions) -> Teacher | None:
    """Load who teaches the INT8 graph of a given network, the network itself where nobody is named; None for labels alone.

    Raises:
        InputError: the network has an operation that cannot be taught, or the teacher cannot be used.
    """
    from autokd_edge.teaching.qdq_network import refuse_unknown
    from autokd_edge.teaching.teachers import NONE, load_teacher

    try:
        refuse_unknown(network.model)
    except TeachError as error:
        raise InputError(f"'{options.model}' cannot be tuned: {error}", hint="leave --qat-steps out") from error
    if options.teacher is not None:
        return None if options.teacher == NONE else load_teacher(options.teacher, data)
    with tempfile.TemporaryDirectory() as folder:
        itself = Path(folder) / "model.onnx"  # also where the model is a .pt2 file, whose batch is fixed
        itself.write_bytes(network.model.SerializeToString(deterministic=True))
        return load_teacher(str(itself), data)


def tuning_by(teacher: Teacher | None, data: TeachingData, steps: int, work: Path) -> FineTuning | None:
    """Return what tunes a given network's graphs, by labels where there is no teacher; None for no steps. ``work`` is a folder."""
    if not steps:
        return None
    from autokd_edge.teaching.trainer import KDDistiller

    tuner = KDDistiller(data, teacher, seed=0, cache=work / "logits", loss="ls" if teacher is None else "kd").fine_tuner(steps)
    return FineTuning(tuner=tuner, recipe=tuner.recipe(), folder=work / "tuned")
