import numpy as np
import pytest

from autokd_edge.backends.predicted.model import LEAST_NETWORKS, fitted
from autokd_edge.errors import InputError


def networks(count, *, noise=0.0, seed=0):
    random = np.random.default_rng(seed)
    counts = [{"conv nodes": int(random.integers(2, 60)), "conv macs": int(10 ** random.uniform(4, 8))} for _ in range(count)]
    latencies = [(5_000 + 900 * c["conv nodes"] + 0.05 * c["conv macs"]) * float(np.exp(noise * random.normal())) for c in counts]
    return counts, latencies


def test_a_sum_of_costs_is_found_and_holds_beyond_what_was_recorded():
    model, error = fitted(*networks(60))
    assert error.mean_error < 0.01
    assert error.rank_correlation > 0.999
    far = {"conv nodes": 100, "conv macs": 10**9}
    assert model.predict(far) == pytest.approx(5_000 + 90_000 + 5e7, rel=0.05)


def test_the_stated_error_is_that_of_networks_that_the_model_was_not_fitted_to():
    model, error = fitted(*networks(100, noise=0.1))
    counts, latencies = networks(400, noise=0.1, seed=1)
    others = [abs(model.predict(c) / ns - 1) for c, ns in zip(counts, latencies, strict=True)]
    assert error.mean_error == pytest.approx(np.mean(others), rel=0.25)
    assert error.p90_error == pytest.approx(np.quantile(others, 0.9), rel=0.3)


def test_what_is_not_a_sum_is_learnt_from_what_is_left():
    counts, latencies = networks(150)
    slower = [ns * (1.5 if c["conv nodes"] > 30 else 1.0) for c, ns in zip(counts, latencies, strict=True)]
    assert fitted(counts, slower)[1].mean_error < 0.06


def test_equal_recordings_give_equal_models():
    counts, latencies = networks(40, noise=0.05)
    one, other = fitted(counts, latencies), fitted(counts, latencies)
    assert one[1] == other[1]
    assert one[0].predict(counts[0]) == other[0].predict(counts[0])


def test_too_few_networks_predict_nothing():
    with pytest.raises(InputError, match=f"readings must be recorded of {LEAST_NETWORKS} networks to predict others; there are 29"):
        fitted(*networks(LEAST_NETWORKS - 1))
