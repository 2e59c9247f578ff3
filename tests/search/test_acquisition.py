import math

import numpy as np
import pytest
import torch

from autokd_edge.search import acquisition
from autokd_edge.search.surrogate import Columns, Unfit, fit, steady

X = np.linspace(0, 1, 21)[:, None]
ONE = Columns(first=0, stepped=(False,))


def a_model(function, rows):
    model = fit(rows, function(rows[:, 0]), columns=ONE, noise=np.full(len(rows), 0.01))
    assert not isinstance(model, Unfit)
    return model


def test_log_improvement_equals_its_definition_where_that_can_be_computed():
    u = torch.linspace(-6, 6, 25, dtype=torch.float64)
    density = torch.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
    assert torch.allclose(acquisition.log_improvement(u), (density + u * torch.special.ndtr(u)).log(), atol=1e-6)


def test_log_improvement_keeps_the_order_where_the_improvement_itself_is_0_in_floating_point():
    u = torch.tensor([-1e6, -1e5, -9_999.0, -1e3, -40.0, -10.0, -1.0, 0.0, 1.0], dtype=torch.float64)
    value = acquisition.log_improvement(u)
    assert torch.isfinite(value).all()
    assert (value.diff() > 0).all()


def test_the_sift_puts_the_largest_expected_improvement_first_and_heeds_the_weight():
    with steady():
        model = a_model(lambda x: -((x - 0.6) ** 2), X[::4])
        best = acquisition.sift(model, X, X[:3], None, 3)
        forbidden = torch.zeros(21, dtype=torch.float64)
        forbidden[10:15] = -1000.0
        other = acquisition.sift(model, X, X[:3], forbidden, 3)
    assert abs(X[best[0], 0] - 0.6) <= 0.1
    assert not {10, 11, 12, 13, 14} & set(other.tolist())


def test_the_constrained_acquisition_takes_what_improves_and_keeps_the_limit():
    with steady():
        objective = a_model(lambda x: x, X[::2])
        limit = a_model(lambda x: 2 * (x - 0.5), X[::2])  # kept up to x = 0.5
        function = acquisition.improving(objective, [limit], X[:4], seed=0)
        taken = acquisition.take(function, torch.from_numpy(X), 1)
    assert 0.4 <= X[taken[0], 0] <= 0.55


def test_while_nothing_fits_what_most_likely_fits_is_taken():
    with steady():
        limit = a_model(lambda x: 1 - 1.2 * x, X[:12])
        taken = acquisition.take(acquisition.fitting([limit], seed=0), torch.from_numpy(X), 1)
    assert X[taken[0], 0] > 0.8


def test_a_batch_has_no_candidate_twice_and_spreads_because_of_what_is_pending():
    with steady():
        objective = a_model(lambda x: np.sin(6 * x), X[::5])
        function = acquisition.improving(objective, (), X[::5], seed=0)
        taken = acquisition.take(function, torch.from_numpy(X), 4)
    assert len(set(taken)) == 4


def test_pending_trials_turn_the_choice_elsewhere():
    with steady():
        objective = a_model(lambda x: np.sin(6 * x), X[::5])
        free = acquisition.take(acquisition.improving(objective, (), X[::5], seed=0), torch.from_numpy(X), 1)[0]
        pending = acquisition.improving(objective, (), X[::5], seed=0, pending=X[[free]])
        assert acquisition.take(pending, torch.from_numpy(X), 1)[0] != free


@pytest.mark.parametrize("count", [1, 5])
def test_the_same_seed_takes_the_same(count):
    with steady():
        objective = a_model(lambda x: np.sin(6 * x), X[::5])
        first, second = (
            acquisition.take(acquisition.improving(objective, (), X[::5], seed=3), torch.from_numpy(X), count) for _ in range(2)
        )
    assert first == second
