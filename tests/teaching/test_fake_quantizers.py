import numpy as np
import pytest
import torch

from autokd_edge.teaching.fake_quantizers import StepWidths

UNSIGNED = {"low": 0, "high": 255, "axis": None}
BY_CHANNEL = {"low": -127, "high": 127, "axis": 0}


def steps(scale, zero_point, **of) -> StepWidths:
    return StepWidths(torch.tensor(scale), torch.tensor(zero_point), **of)


def test_values_are_rounded_to_steps_and_cut_off_at_the_ends():
    values = torch.tensor([-9.0, -1.0, 0.06, 0.24, 30.0])
    made = steps(0.1, 10, **UNSIGNED)(values)
    assert torch.allclose(made, torch.tensor([-1.0, -1.0, 0.1, 0.2, 24.5]))


def test_integers_are_those_that_the_rounded_values_stand_for():
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    quantizer = steps([0.01, 0.02, 0.5], [0, 0, 0], **BY_CHANNEL)
    integers = quantizer.integers(values)
    assert integers.abs().max() == 127  # the first channels do not reach
    assert torch.allclose(integers * torch.tensor([[0.01], [0.02], [0.5]]), quantizer(values))


@pytest.mark.parametrize(("scale", "zero_point", "of"), [(0.1, 3, UNSIGNED), ([0.1, 0.3], [0, 0], BY_CHANNEL)])
def test_gradients_are_those_of_the_law_with_rounding_passed_over(scale, zero_point, of):
    """y = s (clamp(x / s + r + z) - z) where r, what rounding added, is held still: differentiated by finite differences."""
    rng = np.random.default_rng(0)
    x, weights = 40 * rng.standard_normal((2, 50)), rng.standard_normal((2, 50))
    start, zero = (np.array(one, np.float64).reshape(-1, 1) for one in (scale, zero_point))
    for edge in (of["low"], of["high"]):
        x[np.abs(x / start + zero - edge) < 1] = 0  # there is no derivative there
    added = np.round(x / start) - x / start
    quantizer, given = steps(scale, zero_point, **of), torch.from_numpy(x).float().requires_grad_()
    (quantizer(given) * torch.from_numpy(weights).float()).sum().backward()

    def law(log_step):
        step = start * np.exp(log_step)
        return (weights * step * (np.clip(x / step + added + zero, of["low"], of["high"]) - zero)).sum(axis=1)

    by_range = (law(1e-6) - law(-1e-6)) / 2e-6
    np.testing.assert_allclose(quantizer.moved.grad.numpy(), by_range if of["axis"] == 0 else by_range.sum(), rtol=2e-3)
    inside = (x / start + added + zero >= of["low"]) & (x / start + added + zero <= of["high"])
    assert 0 < inside.mean() < 1
    np.testing.assert_allclose(given.grad.numpy(), weights * inside, rtol=1e-5)


def test_a_range_stays_positive_however_far_it_moves():
    quantizer = steps(0.1, 0, **UNSIGNED)
    with torch.no_grad():
        quantizer.moved.fill_(-20.0)
    assert quantizer.scale > 0
