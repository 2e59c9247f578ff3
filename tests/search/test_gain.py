import numpy as np
import pytest
import torch

from autokd_edge.search import acquisition
from autokd_edge.search.front import Reference
from autokd_edge.search.gain import MOST_BASELINE, Better, Wider
from autokd_edge.search.surrogate import Columns, Unfit, fit, predict, steady

X = np.linspace(0, 1, 41)[:, None]
ONE = Columns(first=0, stepped=(False,))
REFERENCE = Reference(floor=-0.5, worst=np.array([1.2]))


def a_model(function, rows):
    model = fit(rows, function(rows[:, 0]), columns=ONE, noise=np.full(len(rows), 0.01))
    assert not isinstance(model, Unfit)
    return model


def with_costs(rows):
    """The larger, the costlier: log costs are equal to x, for two costs their halves too."""
    return np.concatenate([rows, rows], axis=1)


@pytest.fixture(scope="module")
def accuracy():
    with steady():
        return a_model(lambda x: np.sin(3 * x), X[::8])


def test_the_sift_orders_by_the_expected_hypervolume_improvement(accuracy):
    x, baseline = with_costs(X), with_costs(X[[4, 20]])
    with steady():
        order = Wider(model=accuracy, baseline=baseline, reference=REFERENCE).sift(x, None, len(x)).tolist()
        mean, deviation = (t.numpy() for t in predict(accuracy, x))
        values = predict(accuracy, baseline)[0].numpy()
    draws = mean + deviation * np.random.default_rng(0).normal(size=(4000, 1))
    # One cost: over [cost, worst] the improvement is the area above the steps of the two pupils.
    grid = np.linspace(-0.5, 1.2, 1701)
    height = np.where(grid >= X[20, 0], max(values), np.where(grid >= X[4, 0], values[0], REFERENCE.floor))
    areas = [np.clip(draws[:, i, None] - height[grid >= X[i, 0]], 0, None).sum(1).mean() for i in range(len(X))]
    assert areas[order[0]] > 0.97 * max(areas)
    assert areas[order[-1]] < 1.1 * min(areas) + 1


def test_the_function_over_known_costs_prefers_what_widens_the_front_most(accuracy):
    x, baseline = with_costs(X), with_costs(X[[4, 20]])
    gain = Wider(model=accuracy, baseline=baseline, reference=REFERENCE)
    with steady():
        order = gain.sift(x, None, len(x))
        taken = acquisition.take(gain.function((), 0), torch.from_numpy(x), 1)
    assert taken[0] in order[:4].tolist()


def test_a_known_cost_counts_and_a_taught_pupil_adds_nothing(accuracy):
    baseline = with_costs(X[[20]])
    with steady():
        function = Wider(model=accuracy, baseline=baseline, reference=REFERENCE).function((), 0)
        rows = torch.tensor([[0.5, 0.5], [0.5, 0.2], [0.5, 1.3]], dtype=torch.float64)
        again, cheaper, beyond = function(rows[:, None]).tolist()
    assert cheaper > again + 1
    assert cheaper > beyond + 1


def test_nothing_is_compiled_for_it(accuracy):
    from botorch.acquisition.multi_objective import logei

    with steady():
        Wider(model=accuracy, baseline=with_costs(X[[20]]), reference=REFERENCE).function((), 0)
    assert logei._C is None


@pytest.mark.parametrize("count", [1, 2])
def test_modelled_costs_and_limits_are_part_of_the_function(accuracy, count):
    with steady():
        costs = tuple(a_model(lambda x: x, X[::4]) for _ in range(count))
        limit = a_model(lambda x: 4 * (x - 0.3), X[::4])  # kept up to x = 0.3
        gain = Wider(model=accuracy, baseline=X[[2, 4]], reference=Reference(floor=-0.5, worst=np.full(count, 1.2)), costs=costs)
        free, within = (acquisition.take(gain.function(limits, 0), torch.from_numpy(X), 1)[0] for limits in ((), (limit,)))
    assert X[free, 0] > 0.35
    assert 0.15 < X[within, 0] <= 0.3


def test_a_batch_for_a_front_is_spread_along_it(accuracy):
    with steady():
        costs = (a_model(lambda x: x, X[::4]),)
        gain = Wider(model=accuracy, baseline=X[[20]], reference=REFERENCE, costs=costs)
        taken = acquisition.take(gain.function((), 0), torch.from_numpy(X), 3)
    assert len(set(taken)) == 3
    assert np.ptp(X[taken]) > 0.2


def test_for_one_best_student_it_is_the_improvement_over_the_best(accuracy):
    gain = Better(model=accuracy, baseline=X[[4]])
    with steady():
        assert gain.sift(X, None, 5).tolist() == acquisition.sift(accuracy, X, X[[4]], None, 5).tolist()
        (best,) = acquisition.take(gain.function((), 0), torch.from_numpy(X), 1)
    assert abs(X[best, 0] - np.pi / 6) < 0.15


def test_a_baseline_of_many_is_cut_to_those_that_lead_and_the_choice_is_still_the_best(accuracy):
    many = np.random.default_rng(0).random((200, 1)) * 0.3  # all far from the best
    few = many[np.sort(np.argsort(-many[:, 0])[:MOST_BASELINE])]  # accuracy rises with x up to pi / 6
    with steady():
        taken = [acquisition.take(Better(model=accuracy, baseline=rows).function((), 0), torch.from_numpy(X), 1) for rows in (many, few)]
    assert taken[0] == taken[1]
    assert abs(X[taken[0][0], 0] - np.pi / 6) < 0.15


def test_a_baseline_of_many_keeps_its_front(accuracy):
    rng = np.random.default_rng(0)
    front, behind = X[:20], rng.random((200, 1)) * 0.45
    baseline = np.concatenate([np.concatenate([behind, behind + 0.3], axis=1), np.concatenate([front, front], axis=1)])  # 0.3 costlier
    x = with_costs(X)
    with steady():
        function = Wider(model=accuracy, baseline=baseline, reference=REFERENCE).function((), 0)
        (taken,) = acquisition.take(function, torch.from_numpy(x), 1)
    assert len(function._X_baseline) <= MOST_BASELINE
    assert {tuple(row) for row in function._X_baseline.tolist()} <= {tuple(row) for row in with_costs(front).tolist()}
    assert X[taken, 0] > front.max()
