import numpy as np
import pytest
from scipy.linalg import LinAlgError
from scipy.optimize import approx_fprime

from autokd_edge.search.likelihood import _Posterior, length_locations, most_probable

STEPPED = (False, True, True)


def some_data(count=30):
    rng = np.random.default_rng(0)
    x = rng.random((count, 3)).round(1)
    return x, np.sin(5 * x[:, 0]) + x[:, 1]


def test_the_gradient_is_that_of_the_value():
    x, y = some_data()
    posterior = _Posterior(x, y, np.full(30, 0.01), np.asarray(STEPPED), np.append(length_locations(STEPPED), 0.0))
    for point in (np.zeros(5), np.array([0.3, -0.5, 1.0, 0.2, -3.0])):
        numeric = approx_fprime(point, lambda p: posterior(p)[0], 1e-6)
        assert posterior(point)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_a_column_without_influence_gets_a_long_length_scale():
    x, y = some_data()
    lengths = most_probable(x, (y - y.mean()) / y.std(), np.zeros(30), STEPPED).lengths
    assert lengths[2] > 5 * lengths[1]


def test_noise_is_told_from_the_function():
    rng = np.random.default_rng(1)
    x, _ = some_data(80)
    noise = most_probable(x, rng.standard_normal(80), np.zeros(80), STEPPED).noise
    smooth = most_probable(x, x[:, 0] * 2 - 1, np.zeros(80), STEPPED).noise
    assert noise > 0.2
    assert smooth < 0.01


def test_the_prior_grows_with_the_number_of_columns_and_faster_for_stepped_ones():
    ratio = np.exp(length_locations([False, True] * 50)[:2] - length_locations([False, True]))
    assert ratio.tolist() == pytest.approx([50**0.5, 50.0])


def test_a_column_that_never_varies_keeps_its_prior():
    x, y = some_data()
    x[:, 2] = 0.5
    assert most_probable(x, y, np.zeros(30), STEPPED).lengths[2] == pytest.approx(3.0)


def test_observations_that_are_no_numbers_are_refused():
    with pytest.raises(LinAlgError, match="finite"):
        most_probable(np.zeros((2, 3)), np.array([1.0, np.nan]), np.zeros(2), STEPPED)


def test_equal_rows_leave_only_variance_and_noise_to_fit():
    found = most_probable(np.full((2, 3), 0.5), np.array([-0.7, 0.7]), np.zeros(2), STEPPED)
    assert found.noise > 0.01
    assert found.lengths.tolist() == pytest.approx(np.exp(length_locations(STEPPED)).tolist())
