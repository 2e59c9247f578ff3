"""The sentinel and the null engine."""

import numpy as np
import onnx
import pytest
from fakes.graphs import logits_by_onnxruntime

from autokd_edge.core.digest import digest_of_file
from autokd_edge.devices.reference import write_null, write_sentinel


@pytest.mark.parametrize(("write", "shape"), [(write_sentinel, (1, 28, 28)), (write_null, (1, 4, 4))])
def test_a_reference_graph_is_valid_and_gives_finite_numbers_that_are_not_all_zero(write, shape, tmp_path):
    write(tmp_path / "graph.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "graph.onnx"), full_check=True)
    samples = np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32)
    logits = logits_by_onnxruntime((tmp_path / "graph.onnx").read_bytes(), samples)
    assert logits.shape == (2, 10)
    assert np.isfinite(logits).all()
    assert np.abs(logits).max() > 1e-3


@pytest.mark.parametrize("write", [write_sentinel, write_null])
def test_a_reference_graph_is_the_same_each_time(write, tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert digest_of_file(tmp_path / "a") == digest_of_file(tmp_path / "b")


def test_the_weights_of_the_sentinel_never_change(tmp_path):
    # Readings of different days are compared by the sentinel: it may change only on purpose.
    write_sentinel(tmp_path / "graph.onnx")
    tensors = onnx.load(tmp_path / "graph.onnx").graph.initializer
    assert [tuple(tensor.dims) for tensor in tensors] == [(16, 1, 3, 3), (32, 16, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (64, 10)]
    last = onnx.numpy_helper.to_array(tensors[3]).ravel()[-2:]
    np.testing.assert_allclose(last, [-0.03857386892, 0.13983717539], rtol=1e-6)
