"""The noise of each layer, on a network quantised by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from autokd_edge.devices.layer_noise import explained

SAMPLES = np.random.default_rng(0).standard_normal((64, 2, 4, 4), dtype=np.float32)
WEIGHTS = np.random.default_rng(1).standard_normal((3, 2, 1, 1)).astype(np.float32)
SECOND = np.random.default_rng(2).standard_normal((4, 3, 1, 1)).astype(np.float32)
BIAS = np.array([0.1, -0.2, 0.3], np.float32)


def model(nodes, constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 2, 4, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 4, 4))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def in_float():
    nodes = [helper.make_node("Conv", ["input", "w", "b"], ["x"], "x"), helper.make_node("Conv", ["x", "v"], ["y"], "y")]
    return model(nodes, {"w": WEIGHTS, "b": BIAS, "v": SECOND})


def quantised(*, bias_off=0.0, input_scale=0.04, bias_scale=None):
    """The first layer with int8 weights and input; its bias is off by ``bias_off``. The second stays in float."""
    scale = np.float32(np.abs(WEIGHTS).max() / 127)
    constants = {"qw": np.round(WEIGHTS / scale).astype(np.int8), "s": scale, "z": np.int8(0), "i": np.float32(input_scale), "v": SECOND}
    nodes = [
        helper.make_node("DequantizeLinear", ["qw", "s", "z"], ["dw"]),
        helper.make_node("QuantizeLinear", ["input", "i", "z"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "i", "z"], ["dx"]),
        helper.make_node("Conv", ["dx", "dw", "b"], ["x"], "x"),
        helper.make_node("Conv", ["x", "v"], ["y"], "y"),
    ]
    if bias_scale is None:
        constants["b"] = BIAS + np.float32(bias_off)
    else:
        constants |= {"qb": np.round((BIAS + bias_off) / bias_scale).astype(np.int32), "bs": np.float32(bias_scale)}
        nodes.insert(0, helper.make_node("DequantizeLinear", ["qb", "bs"], ["b"]))
    return model(nodes, {name: np.asarray(value) for name, value in constants.items()})


def test_each_layer_has_its_own_noise_and_that_of_the_layers_before_it():
    _, report = explained(in_float(), quantised(), SAMPLES)
    first, second = report["layers"]
    assert (first["name"], first["quantized"], second["name"], second["quantized"]) == ("x", True, "y", False)
    assert second["own_sqnr_db"] is None
    assert 25 < second["sqnr_db"] < 60
    # An input in steps of 0.04 and weights in 127: the only layer that is quantised makes all the noise there is.
    assert first["own_sqnr_db"] == pytest.approx(first["sqnr_db"], abs=1.0)


def test_a_coarser_input_is_noisier_by_six_decibels_a_bit():
    fine, coarse = (explained(in_float(), quantised(input_scale=scale), SAMPLES)[1]["layers"][0]["own_sqnr_db"] for scale in (0.05, 0.1))
    assert fine - coarse == pytest.approx(6.0, abs=1.0)


@pytest.mark.parametrize("bias_scale", [None, 1e-4], ids=["a float bias", "an int32 bias"])
def test_a_bias_that_is_off_is_corrected_and_judged_on_other_images(bias_scale):
    made, report = explained(in_float(), quantised(bias_off=0.2, bias_scale=bias_scale), SAMPLES)
    assert report["bias_corrected"]
    assert report["logits_sqnr_db"] > report["other_logits_sqnr_db"] + 5
    (corrected,) = (numpy_helper.to_array(t) for t in made.graph.initializer if t.name in {"b", "qb"})
    np.testing.assert_allclose(corrected * (bias_scale or 1.0), BIAS, atol=0.02)


def test_where_the_correction_is_no_better_the_graph_stays_as_it_was():
    exact, report = explained(in_float(), in_float(), SAMPLES)
    assert not report["bias_corrected"]
    assert report["logits_sqnr_db"] is None  # no noise at all
    assert exact == in_float()


def test_the_graph_given_is_not_changed():
    given, before = quantised(bias_off=0.2), quantised(bias_off=0.2)
    explained(in_float(), given, SAMPLES)
    assert given == before
    onnx.checker.check_model(given)
