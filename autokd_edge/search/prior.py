"""What an earlier study knows of accuracy: a model of its lessons, and how far this study's lessons follow it.

The trend of an accuracy model is the earlier model's mean times a slope. The slope is the most probable
one of a few; a steep one leaves less to the model around it. Where the lessons contradict the earlier study
it is 0, and what is left is the model without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autokd_edge.core.pupil import Recalled
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.compression import compressed
from autokd_edge.search.encode import Rows
from autokd_edge.search.surrogate import Columns, Surrogate, Trend, Unfit, fit, left_out

_SLOPES = (0.0, 0.5, 1.0)
_LEAST_RELIABLE = 0.3  # of the variance of its own lessons, each predicted from the others: less is as good as nothing


def recalled_model(recalled: Sequence[Recalled], candidates: Candidates) -> Surrogate | None:
    """Return the model of an earlier study's lessons; None where there is none, or it does not even predict its own lessons."""
    if not recalled:
        return None
    x = candidates.rows([(one.pupil.member.architecture, one.pupil.distillation) for one in recalled])
    model = fit(x, compressed(np.array([one.accuracy for one in recalled])), columns=candidates.accuracy_columns)
    return None if isinstance(model, Unfit) or left_out(model) < _LEAST_RELIABLE else model


def fit_after(x: Rows, y: Rows, columns: Columns, earlier: Surrogate | None) -> Surrogate | Unfit:
    """Fit this study's accuracies ``y (n,)`` at ``x (n, d)`` with the most probable slope along the earlier model.

    ``columns`` begin with those of the earlier model.
    """
    if earlier is None:
        return fit(x, y, columns=columns)
    fitted = [fit(x, y, columns=columns, trend=Trend.along(earlier, slope, x)) for slope in _SLOPES]
    models = [model for model in fitted if not isinstance(model, Unfit)]
    if not models:
        return fitted[0]
    return max(models, key=lambda model: model.log_posterior)
