import numpy as np
import onnx
import pytest
from fakes.recording import member_graph
from onnx import TensorProto, helper, numpy_helper

from autokd_edge.backends.predicted.counts import counts_of
from autokd_edge.errors import MeasureError
from autokd_edge.students.cost import cost_of
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_onnx import onnx_from_spec


def total(counts, what):
    return sum(count for name, count in counts.items() if name.endswith(f" {what}"))


def test_the_macs_are_those_of_the_spec():
    spec = resnet_spec((3, 32, 32), 10, (16, 32, 64), 2, stem=16, seed=0)
    counts = counts_of(onnx_from_spec(spec))
    assert total(counts, "macs") == cost_of(spec).macs
    assert counts["dense nodes"] == 1


def test_kinds_of_convolutions_are_counted_apart():
    counts = counts_of(member_graph(3)[1])
    assert counts["depthwise nodes"] > 0
    assert counts["conv1x1 nodes"] > counts["depthwise nodes"]
    assert counts["depthwise bytes"] > 4 * counts["depthwise nodes"]


def convolution(*, pairs):
    weight = numpy_helper.from_array(np.ones((4, 2, 3, 3), np.float32), "w")
    scale, zero = helper.make_tensor("s", TensorProto.FLOAT, (), [0.1]), helper.make_tensor("z", TensorProto.INT8, (), [0])
    nodes, value = [], "input"
    if pairs:
        nodes += [
            helper.make_node("QuantizeLinear", ["input", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
        ]
        value = "dq"
    nodes.append(helper.make_node("Conv", [value, "w"], ["out"], pads=[1, 1, 1, 1]))
    shapes = {"input": (1, 2, 8, 8), "out": (1, 4, 8, 8)}
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes, "g", [infos["input"]], [infos["out"]], [weight, scale, zero] if pairs else [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def test_a_quantised_network_counts_as_the_same_in_float():
    counts = counts_of(convolution(pairs=True))
    assert counts == counts_of(convolution(pairs=False))
    assert counts == {"conv bytes": 4 * (2 * 64 + 4 * 64 + 4 * 2 * 9), "conv macs": 4 * 64 * 18, "conv nodes": 1}


def test_a_graph_whose_shapes_are_not_known_is_refused():
    model = convolution(pairs=False)
    model.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value")
    with pytest.raises(MeasureError, match="a graph's shapes must be known to predict its latency; that of tensor 'input' is not"):
        counts_of(onnx.shape_inference.infer_shapes(model))
