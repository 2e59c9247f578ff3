"""What teaches in a search: this process, or several workers that pause for readings on their machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from autokd_edge.api.folder import RunFolder
from autokd_edge.api.goals import PlacedGoal
from autokd_edge.api.options import SearchOptions, cores
from autokd_edge.core.events import StudyConfig
from autokd_edge.ports import Distiller
from autokd_edge.teaching.apart import WorkersDistiller
from autokd_edge.teaching.classroom import Classroom
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.silence import Silence
from autokd_edge.teaching.teacher import Teacher


def classroom_of(options: SearchOptions, data: TeachingData, teacher: Teacher | None, *, loss: str, folder: RunFolder) -> Classroom:
    """Return what workers are told: what a user named, with the digests of what lies there now."""
    return Classroom(
        data=options.data,
        image_size=options.image_size,
        augment=options.augment,
        data_digest=data.digest,
        teacher=options.teacher,
        teacher_digest=None if teacher is None else teacher.digest,
        loss=loss,
        seed=options.seed,
        cache=str((folder.work / "logits").absolute()),
        silence=str(_logs(folder).absolute()),
    )


@contextmanager
def distilling(here: Distiller, config: StudyConfig, classroom: Classroom, folder: RunFolder) -> Iterator[Distiller]:
    """Yield what teaches: ``here``, or several workers, which end with the context; ``here`` began the tables that they share."""
    if config.workers == 1:
        yield here
        return
    threads = max(1, cores() // config.workers)
    with WorkersDistiller(classroom, workers=config.workers, threads=threads, logs=_logs(folder)) as apart:
        yield apart


def silence_for(goal: PlacedGoal, config: StudyConfig, classroom: Classroom) -> Callable[[], AbstractContextManager[None]]:
    """Return what a reading is taken in: silence of the workers where they and the board are one machine."""
    is_here = goal.device.link.device is None and goal.device.recording is None
    return Silence(Path(classroom.silence)).kept if is_here and config.workers > 1 else nullcontext


def _logs(folder: RunFolder) -> Path:
    return folder.work / "workers"
