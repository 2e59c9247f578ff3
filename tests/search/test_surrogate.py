import math
import warnings

import numpy as np
import pytest
import torch

from autokd_edge.search.compression import below_compressed, compressed
from autokd_edge.search.surrogate import Columns, Unfit, fit, left_out, predict, steady

ONE = Columns(first=0, stepped=(False,))


def a_model(x, y, columns=ONE, noise=None):
    with steady():
        model = fit(x, y, columns=columns, noise=noise)
    assert not isinstance(model, Unfit)
    return model


def test_a_smooth_function_is_predicted_between_its_observations():
    x = np.linspace(0, 1, 12)[:, None]
    model = a_model(x, np.sin(4 * x[:, 0]), noise=np.full(12, 0.01))
    between = np.array([[0.31], [0.74]])
    mean, deviation = predict(model, between)
    assert mean.tolist() == pytest.approx(np.sin(4 * between[:, 0]).tolist(), abs=0.03)
    assert deviation.max() < 0.1


def test_only_the_columns_asked_for_are_looked_at():
    rng = np.random.default_rng(0)
    x = rng.random((20, 3))
    model = a_model(x, 3 * x[:, 1], Columns(first=1, stepped=(False,)))
    other = x.copy()
    other[:, [0, 2]] = 9.0
    assert torch.allclose(predict(model, x)[0], predict(model, other)[0])


def test_noisy_observations_pull_less():
    x = np.array([[0.0], [0.5], [0.5], [1.0]])
    y = np.array([0.0, 0.0, 1.0, 0.1])
    trusting = predict(a_model(x, y, noise=np.array([0.01, 0.01, 0.5, 0.01])), np.array([[0.5]]))[0].item()
    assert abs(trusting) < 0.15


def test_many_observations_are_all_conditioned_on_although_few_are_fitted():
    rng = np.random.default_rng(0)
    x = rng.random((400, 2))
    y = np.sin(12 * x[:, 0])
    model = a_model(x, y, Columns(first=0, stepped=(False, True)))
    assert len(model.known) == 400
    assert np.abs(predict(model, x)[0].numpy() - y).max() < 0.05


def test_a_prediction_does_not_depend_on_how_many_rows_are_asked_for_at_once():
    x = np.linspace(0, 1, 10)[:, None]
    model = a_model(x, x[:, 0] ** 2)
    grid = np.linspace(0, 1, 1300)[:, None]
    whole = predict(model, grid)[0]
    assert torch.allclose(whole[[3, 700, 1299]], predict(model, grid[[3, 700, 1299]])[0])


def test_a_fast_prediction_equals_the_posterior_of_the_model():
    rng = np.random.default_rng(0)
    x, new = rng.random((25, 3)), rng.random((9, 3))
    model = a_model(x, x[:, 0] + 3 * x[:, 1], Columns(first=0, stepped=(False, True)), noise=np.full(25, 0.05))
    posterior = model.model.posterior(torch.from_numpy(new))
    mean, deviation = predict(model, new)
    assert mean.tolist() == pytest.approx(posterior.mean.squeeze(-1).tolist())
    assert deviation.tolist() == pytest.approx(posterior.variance.sqrt().squeeze(-1).tolist(), rel=1e-4)


@pytest.mark.parametrize("y", [[1.0], [1.0, math.nan, 2.0]])
def test_too_few_observations_and_such_that_are_no_numbers_are_said_as_values(y):
    with steady():
        assert isinstance(fit(np.zeros((len(y), 1)), np.array(y), columns=ONE), Unfit)


def test_equal_observations_can_be_fitted():
    mean, _ = predict(a_model(np.linspace(0, 1, 5)[:, None], np.full(5, 7.0)), np.array([[0.5]]))
    assert mean.item() == pytest.approx(7.0, abs=0.01)


def test_the_number_of_threads_and_the_warnings_are_as_before_after_a_model():
    threads = torch.get_num_threads()
    with steady():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_compression_keeps_the_order_and_pulls_in_what_hardly_learnt():
    accuracies = np.array([10.0, 88.0, 89.0, 90.0, 91.0, 92.0])
    y = compressed(accuracies)
    assert (np.diff(y) > 0).all()
    assert y[0] > -5
    assert y[-1] - y[-2] == pytest.approx(y[-2] - y[-3], rel=0.2)


def test_compression_below_0_keeps_the_sign_and_what_is_above():
    assert below_compressed(np.array([-3.0, 0.0, 2.0])).tolist() == pytest.approx([-math.log(4.0), 0.0, 2.0])


def test_what_is_left_out_is_predicted_where_the_columns_tell_and_not_where_they_do_not():
    rng = np.random.default_rng(0)
    x = rng.random((30, 2))
    assert left_out(fit(x, np.sin(4 * x[:, 0]), columns=Columns(first=0, stepped=(False, False)))) > 0.9
    assert left_out(fit(x, rng.standard_normal(30), columns=Columns(first=0, stepped=(False, False)))) < 0.1


def test_one_left_out_is_what_a_model_without_it_predicts():
    rng = np.random.default_rng(1)
    x, columns = rng.random((8, 1)), Columns(first=0, stepped=(False,))
    y = np.sin(3 * x[:, 0])
    model = fit(x, y, columns=columns)
    z = (y - y.mean()) / y.std(ddof=1)
    covariance = (model.factor @ model.factor.T).numpy()
    errors = []
    for i in range(8):
        rest = [j for j in range(8) if j != i]
        errors.append(z[i] - covariance[i, rest] @ np.linalg.solve(covariance[np.ix_(rest, rest)], z[rest]))
    assert left_out(model) == pytest.approx(1 - np.sum(np.square(errors)) / np.sum(z**2), abs=1e-6)
