import onnx
import pytest
from onnx import TensorProto, helper

from autokd_edge.students.cost import cost_of
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.teaching.onnx_cost import cost_of_graph


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 20, 12)])
def test_a_layer_graphs_own_counts_are_those_of_its_onnx_graph(image):
    spec = resnet_spec(image, 5, (8, 16), 2, stem=6, seed=1)
    found, expected = cost_of_graph(onnx_from_spec(spec, None)), cost_of(spec)
    assert (found.parameters, found.macs) == (expected.parameters, expected.macs)
    assert found.activation_bytes >= expected.activation_bytes  # a graph's every node is counted, fused or not


def test_a_shape_that_cannot_be_inferred_leaves_the_cost_unknown():
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["z"]), helper.make_node("Cast", ["z"], ["y"], to=1)], "g", values[:1], values[1:]
    )
    assert cost_of_graph(helper.make_model(graph)) is None


def test_largest_live_sum_counts_a_tensor_until_its_last_reader():
    # x (4) -> a (4) -> b (8); x is read again at the end: at b, x, a and b live, 16 values.
    def value(name: str, size: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])

    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Concat", ["a", "a"], ["b"], axis=1),
        helper.make_node("Concat", ["b", "x"], ["y"], axis=1),
    ]
    graph = helper.make_graph(nodes, "g", [value("x", 4)], [value("y", 12)])
    assert cost_of_graph(helper.make_model(graph)).activation_bytes == 4 * (8 + 4 + 12)
