import numpy as np
import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume

from autokd_edge.search.hypervolume import hypervolume, spread, steps_of


def test_one_candidate_leaves_a_rectangle_and_what_is_beyond_the_worst_leaves_nothing():
    values, costs = np.array([3.0, 5.0, 0.5]), np.array([[1.0], [9.0], [2.0]])
    assert hypervolume(values, costs, floor=1.0, worst=np.array([4.0])) == pytest.approx(2.0 * 3.0)
    assert hypervolume(values[1:], costs[1:], floor=1.0, worst=np.array([4.0])) == 0.0
    assert hypervolume(values[:0], costs[:0], floor=1.0, worst=np.array([4.0])) == 0.0


@pytest.mark.parametrize("count", [1, 2])
def test_it_equals_botorchs(count):
    rng = np.random.default_rng(count)
    values, costs, worst = rng.random(20), rng.random((20, count)), np.full(count, 0.9)
    theirs = Hypervolume(torch.tensor([0.1, *(-worst)])).compute(torch.from_numpy(np.column_stack([values, -costs])))
    assert hypervolume(values, costs, floor=0.1, worst=worst) == pytest.approx(theirs)


@pytest.mark.parametrize("count", [1, 2])
def test_what_another_candidate_adds_is_its_part_of_the_cells_times_the_height_above_them(count):
    rng = np.random.default_rng(count)
    values, costs, worst = rng.random(8), rng.random((8, count)), np.full(count, 0.9)
    steps = steps_of(values, costs, floor=0.1, worst=worst)
    for value, cost in zip(rng.random(20), rng.random((20, count)) - 0.2, strict=True):  # some are cheaper than all
        reached = steps.reached(cost[None])[0]
        added = float((reached * np.clip(value - steps.heights, 0, None)).sum())
        after = hypervolume(np.append(values, value), np.vstack([costs, cost]), floor=0.1, worst=worst)
        assert added == pytest.approx(after - steps.volume)


def test_the_order_begins_with_the_largest_part_and_goes_on_with_what_adds_most():
    values, costs = np.array([1.0, 2.0, 3.0, 3.1]), np.array([[0.0], [4.0], [8.0], [8.2]])
    assert spread(values, costs, floor=0.0, worst=np.array([10.0])) == [1, 0, 2, 3]
