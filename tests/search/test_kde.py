import numpy as np
import pytest

from autokd_edge.search.kde import Density, density


def test_a_density_over_numbers_and_categories_sums_to_one():
    data = np.array([[0.2, 0.0], [0.3, 0.0], [0.5, 2.0], [0.6, 1.0]])
    estimate = density(data, (0, 3))
    grid = np.linspace(-3, 4, 2001)
    total = sum(estimate.at(np.column_stack([grid, np.full(len(grid), kind)])).sum() for kind in range(3)) * (grid[1] - grid[0])
    assert total == pytest.approx(1.0, abs=1e-3)


def test_bandwidths_follow_the_normal_reference_rule():
    data = np.array([[0.1], [0.4], [0.7]])
    assert density(data, (0,)).bandwidths == pytest.approx([1.06 * data.std() * 3 ** (-1 / 5)])
    assert density(np.full((3, 1), 0.5), (0,)).bandwidths == pytest.approx([1e-3])


def test_the_density_of_one_kernel_is_known():
    estimate = Density(data=np.array([[0.5, 1.0], [0.5, 0.0]]), bandwidths=np.array([0.1, 0.25]), levels=(0, 2))
    gauss = 1 / (np.sqrt(2 * np.pi) * 0.1)
    assert estimate.at(np.array([[0.5, 1.0]])) == pytest.approx([gauss * (0.75 + 0.25) / 2])
    assert estimate.at(np.array([[9.0, 1.0]])) == pytest.approx([1e-32])


def test_draws_stay_in_range_and_near_the_data():
    estimate = density(np.array([[0.0, 1.0], [0.05, 1.0], [0.1, 1.0]]), (0, 4))
    drawn = estimate.draw(500, 3.0, np.random.default_rng(0))
    assert drawn[:, 0].min() >= 0
    assert drawn[:, 0].max() <= 0.5
    assert set(drawn[:, 1]) == {1.0}  # no spread: the smallest bandwidth, a thousandth, and a quarter of those draws
