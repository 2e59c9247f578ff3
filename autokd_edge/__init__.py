"""Edge-deployment compiler: hardware-aware search for distilled students, measured on the device.

import autokd_edge

study = autokd_edge.search(data="fashion-mnist", teacher="example:fashion-mnist", max_latency="0.25x", budget="8min")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Unpack

    from autokd_edge.api.keywords import SearchKeywords
    from autokd_edge.core.study import Study

__all__ = ["search"]
# The package of this name is bound to it when it is first imported: now, so that the function takes the name for good.
import_module("autokd_edge.search")


def search(**options: Unpack[SearchKeywords]) -> Study:
    """Run a search to its end, or go on with it, and return the study.

    Takes the options of ``autokd-edge search`` as keyword arguments (see ``SearchOptions``); the
    bundle and the report lie in the folder ``out``, by default ``runs/STUDY``. Of a study of several targets,
    ``study.of(0)`` is what concerns the first.

    Raises:
        InputError: an option, the target, the data set, the teacher or the store cannot be used.
        StageError: the teacher could not be read on the target.
    """
    from autokd_edge.api.options import SearchOptions
    from autokd_edge.api.search import SearchJob

    return SearchJob.of(SearchOptions(**options)).run(watch=lambda _study, _action: None).study
