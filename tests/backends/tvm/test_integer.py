"""Layers in integers, against ONNX Runtime's own arithmetic of the same quantised graph."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from students.networks import run_onnx

LAYERS = {  # (channels in, height, width), (channels out, kernel), stride, groups, ReLU behind
    "1x1": ((16, 7, 9), (24, 1), 1, 1, True),
    "1x1, stride 2": ((8, 9, 8), (16, 1), 2, 1, False),
    "3x3": ((16, 8, 8), (32, 3), 1, 1, True),
    "3x3 of an image": ((1, 28, 28), (16, 3), 1, 1, True),
    "3x3 of three channels, stride 2": ((3, 15, 17), (8, 3), 2, 1, False),
    "5x5": ((12, 9, 9), (20, 5), 1, 1, True),
    "depthwise": ((24, 9, 7), (24, 3), 1, 24, True),
    "depthwise, stride 2": ((16, 10, 10), (16, 3), 2, 16, False),
    "depthwise 5x5, stride 2": ((40, 12, 9), (40, 5), 2, 40, True),
    "depthwise 7x7": ((12, 9, 9), (12, 7), 1, 12, False),
    "depthwise, odd channels": ((10, 8, 8), (10, 3), 1, 10, True),
    "grouped": ((8, 6, 6), (16, 3), 1, 2, False),
    "odd channels": ((7, 5, 5), (11, 3), 1, 1, True),
    "many channels": ((64, 7, 7), (128, 1), 1, 1, True),
    "sums too large to begin with bits": ((256, 4, 4), (8, 3), 1, 1, False),
}
ENDS = ("input", "logits")
FUNCTIONS = {  # what a convolution's output goes through, from "conv" to "x"
    "hard swish": [
        helper.make_node("HardSigmoid", ["conv"], ["gate"], name="gate", alpha=1 / 6),
        helper.make_node("Mul", ["conv", "gate"], ["x"], name="product"),
    ],
    "sigmoid": [helper.make_node("Sigmoid", ["conv"], ["x"], name="sigmoid")],
    "sum": [
        helper.make_node("Sigmoid", ["conv"], ["gate"], name="gate"),
        helper.make_node("Add", ["conv", "gate"], ["x"], name="sum"),
    ],
}
RELU = [helper.make_node("Relu", ["conv"], ["x"], name="relu")]
HOST, ARM = ("board", "target"), [("a72", "pi4"), ("a76", "pi5")]


def write_layer(path, layer, behind=None):
    """Write a convolution, and what is behind it, whose output, flattened, is what the graph gives."""
    image, (channels, kernel), stride, groups, relu = layer
    rng = np.random.default_rng(channels * kernel)
    fan_in = image[0] // groups * kernel**2
    arrays = {
        "w": rng.normal(0, fan_in**-0.5, (channels, image[0] // groups, kernel, kernel)) * rng.uniform(0.2, 2, (channels, 1, 1, 1)),
        "b": rng.normal(0, 0.5, channels),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w", "b"], ["conv"], name="conv", strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups),
        *(behind or (RELU if relu else [])),
    ]
    nodes.append(helper.make_node("Flatten", [nodes[-1].output[0]], ["logits"], name="flat"))
    return write_model(path, nodes, image, {name: array.astype(np.float32) for name, array in arrays.items()})


def write_model(path, nodes, image, arrays):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in zip(ENDS, ((1, *image), None), strict=True)]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "layer", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def quantum_of(model):
    """Return the step of the numbers that the graph gives: the last DequantizeLinear's scale."""
    node = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    return float(next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == node.input[1]))


def samples_of(image):
    return np.random.default_rng(7).standard_normal((8, *image), dtype=np.float32)


@pytest.fixture
def ours_and_theirs(builder, quantizer, int8, tmp_path):
    def run(graph, image, board, target, *, times=1.0):
        samples = samples_of(image)
        np.save(tmp_path / "samples.npy", samples)
        quantizer.quantize(graph, tmp_path / "samples.npy", variant=int8, target=target, out=tmp_path / "q.onnx")
        builder.build(tmp_path / "q.onnx", variant=int8, target=target, out=tmp_path / "engine")
        samples *= np.float32(times)
        np.save(tmp_path / "samples.npy", samples)
        board.infer(tmp_path / "engine", tmp_path / "samples.npy", variant=int8, target=target, out=tmp_path / "logits.npy")
        model = onnx.load(tmp_path / "q.onnx")
        return np.load(tmp_path / "logits.npy"), run_onnx(model, samples), quantum_of(model)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_in_integers_is_within_a_quantum_of_the_quantised_graph(name, ours_and_theirs, board, target, tmp_path):
    graph = write_layer(tmp_path / "layer.onnx", LAYERS[name])
    assert_within_a_quantum(*ours_and_theirs(graph, LAYERS[name][0], board, target))


@pytest.mark.slow
@pytest.mark.parametrize(("core", "machine"), ARM)
@pytest.mark.parametrize(
    "name",
    ["1x1, stride 2", "3x3 of an image", "depthwise 5x5, stride 2", "depthwise 7x7", "odd channels", "sums too large to begin with bits"],
)
def test_a_convolution_in_integers_is_within_a_quantum_on_arm(name, core, machine, ours_and_theirs, request, tmp_path):
    graph = write_layer(tmp_path / "layer.onnx", LAYERS[name])
    assert_within_a_quantum(*ours_and_theirs(graph, LAYERS[name][0], *map(request.getfixturevalue, (core, machine))))


@pytest.mark.slow
@pytest.mark.parametrize(("core", "machine"), [HOST, *ARM])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_quantised_numbers_is_that_of_the_quantised_graph(name, core, machine, ours_and_theirs, request, tmp_path):
    layer = LAYERS["1x1"]
    graph = write_layer(tmp_path / "layer.onnx", layer, FUNCTIONS[name])
    # A tie in the convolution is a quantum of its own, which may be more than one of the function's.
    assert_within_a_quantum(*ours_and_theirs(graph, layer[0], *map(request.getfixturevalue, (core, machine))), quanta=2)


@pytest.mark.slow
@pytest.mark.parametrize(("core", "machine"), [HOST, *ARM])
def test_numbers_beyond_the_calibrated_range_become_its_ends(core, machine, ours_and_theirs, request, tmp_path):
    graph, times = write_layer(tmp_path / "layer.onnx", LAYERS["1x1"]), 1e12  # more quanta than int32 has
    assert_within_a_quantum(*ours_and_theirs(graph, LAYERS["1x1"][0], *map(request.getfixturevalue, (core, machine)), times=times))


@pytest.fixture
def kernels_of(builder, quantizer, int8, tmp_path):
    def names(graph, image, board, target, change=None):
        np.save(tmp_path / "samples.npy", samples_of(image))
        quantizer.quantize(graph, tmp_path / "samples.npy", variant=int8, target=target, out=tmp_path / "q.onnx")
        model = onnx.load(tmp_path / "q.onnx")
        if change is not None:
            change(model)
        onnx.save(model, tmp_path / "q.onnx")
        builder.build(tmp_path / "q.onnx", variant=int8, target=target, out=tmp_path / "engine")
        return [layer.name for layer in board.layers(tmp_path / "engine", variant=int8, target=target)]

    return names


@pytest.mark.slow
def test_a_function_of_quantised_numbers_is_one_look_up_on_arm(kernels_of, a76, pi5, tmp_path):
    graph = write_layer(tmp_path / "layer.onnx", LAYERS["1x1"], FUNCTIONS["hard swish"])
    found = kernels_of(graph, LAYERS["1x1"][0], a76, pi5)
    assert len([name for name in found if "lookup" in name]) == 1
    assert not any("sigmoid" in name or "mul" in name for name in found)


@pytest.mark.slow
def test_a_pair_that_undoes_and_does_again_the_same_is_no_kernel(kernels_of, board, target, tmp_path):
    def doubled(model):
        """Put the pair before the convolution behind itself."""
        nodes = model.graph.node
        place, reader = next((place, node) for place, node in enumerate(nodes) if node.op_type == "Conv")
        undone = next(node for node in nodes if node.output[0] == reader.input[0])
        parameters = undone.input[1:]
        nodes.insert(place, helper.make_node("DequantizeLinear", ["again", *parameters], ["undone again"], name="undone again"))
        nodes.insert(place, helper.make_node("QuantizeLinear", [undone.output[0], *parameters], ["again"], name="again"))
        nodes[place + 2].input[0] = "undone again"

    graph, image = write_layer(tmp_path / "layer.onnx", LAYERS["1x1"]), LAYERS["1x1"][0]
    assert kernels_of(graph, image, board, target, doubled) == kernels_of(graph, image, board, target)


@pytest.mark.slow
def test_sums_that_two_read_are_computed_once(kernels_of, board, target, tmp_path):
    def read_twice(model):
        """Quantise the convolution's output again, by a scale of its own, for one of its two readers."""
        nodes = model.graph.node
        place, pair = next(
            (place, node) for place, node in enumerate(nodes) if node.op_type == "QuantizeLinear" and node.input[0] == "conv"
        )
        scale = next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == pair.input[1])
        model.graph.initializer.append(numpy_helper.from_array(scale * np.float32(1.5), "other scale"))
        parameters = ["other scale", pair.input[2]]
        nodes.insert(place, helper.make_node("DequantizeLinear", ["other", *parameters], ["other real"], name="other real"))
        nodes.insert(place, helper.make_node("QuantizeLinear", ["conv", *parameters], ["other"], name="other"))
        last = next(node for node in nodes if node.op_type == "Add")
        last.input[0] = "other real"

    graph, image = write_layer(tmp_path / "layer.onnx", LAYERS["1x1"], FUNCTIONS["sum"]), LAYERS["1x1"][0]
    found = kernels_of(graph, image, board, target, read_twice)
    assert len([name for name in found if "int8" in name or "conv" in name]) == 1, found


def assert_within_a_quantum(ours, theirs, quantum, *, quanta=1):
    steps = np.abs(ours - theirs) / quantum
    assert theirs.std() > 10 * quantum  # zeros would agree as well
    assert steps.max() < quanta + 0.01
    assert (steps > 0.5).mean() < 1e-3  # ties alone round another way
