import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autokd_edge.search.kernel import MixedKernel
from autokd_edge.search.likelihood import Hyperparameters


def a_kernel(stepped, length=2.0):
    return MixedKernel(stepped, Hyperparameters(lengths=np.full(len(stepped), length), scale=1.0, noise=0.01))


def test_numeric_columns_are_an_rbf_kernel_and_stepped_ones_an_exponential_kernel():
    a, b = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    covariance = a_kernel([False, True])(a, b).to_dense().item()
    assert covariance == pytest.approx(torch.exp(torch.tensor(-0.5 * (1 / 2) ** 2 - 3 / 2)).item())


@given(seed=st.integers(0, 1000))
def test_covariances_are_symmetric_positive_and_agree_with_their_diagonal(seed):
    x = torch.rand(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    kernel = a_kernel([False, True, False, True], length=0.7)
    covariance = kernel(x).to_dense()
    assert torch.allclose(covariance, covariance.T)
    assert torch.linalg.eigvalsh(covariance).min() > -1e-9
    assert torch.allclose(covariance.diagonal(), kernel(x, x, diag=True))
