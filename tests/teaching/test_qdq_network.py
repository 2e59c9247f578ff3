import numpy as np
import onnx
import pytest
import torch
from fakes.quantised import SETTINGS, every_operation, logits_as_written, noise, quantised_as, quantised_by_nncf
from onnx import helper, numpy_helper

from autokd_edge.errors import TeachError
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.teaching.qdq_network import QDQNetwork

SAMPLES = noise()
BITS = {"onnxruntime, 7 bits": 64}


@pytest.fixture(scope="module")
def in_float() -> onnx.ModelProto:
    return onnx_from_spec(every_operation())


@pytest.fixture(scope="module", params=SETTINGS)
def quantised(request, in_float) -> tuple[str, onnx.ModelProto]:
    return request.param, quantised_as(request.param, in_float, SAMPLES)


def logits(network: QDQNetwork) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(SAMPLES)).numpy()


def moved(network: QDQNetwork) -> QDQNetwork:
    """Move every constant by some steps and every range by some percent."""
    generator = torch.Generator().manual_seed(0)
    ranges = {id(parameter) for parameter in network.ranges()}
    with torch.no_grad():
        for parameter in network.parameters():
            far = 0.05 if id(parameter) in ranges else 5.0
            parameter.add_(far * torch.randn(parameter.shape, generator=generator))
    return network


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    """Two runtimes differ where a value lies between two integers: by a step of the last layers, and seldom."""
    differences = np.abs(found - expected)
    assert np.median(differences) < 0.01 * expected.std()
    assert differences.max() < 0.15 * expected.std()


def test_torch_computes_what_the_integers_give_for_a_whole_batch(quantised):
    _, model = quantised
    assert_near(logits(QDQNetwork(model)), logits_as_written(model, SAMPLES))


def test_what_is_written_back_untouched_is_the_same_network(quantised):
    _, model = quantised
    written = QDQNetwork(model).written()
    assert [node.SerializeToString() for node in written.graph.node] == [node.SerializeToString() for node in model.graph.node]
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor).astype(float) for tensor in one.graph.initializer} for one in (model, written)
    )
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-5, atol=1.0 if array.dtype.kind == "i" else 1e-6, err_msg=name)


def test_what_was_learnt_is_what_the_written_graph_computes(quantised):
    setting, model = quantised
    network = moved(QDQNetwork(model))
    learnt, written = logits(network), network.written()
    onnx.checker.check_model(written)
    assert np.abs(learnt - logits_as_written(model, SAMPLES)).max() > 0.2 * learnt.std()  # it is another network by now
    assert_near(learnt, logits_as_written(written, SAMPLES))
    arrays = [numpy_helper.to_array(tensor) for tensor in written.graph.initializer]
    largest = max(int(np.abs(array.astype(int)).max()) for array in arrays if array.dtype == np.int8 and array.ndim > 1)
    assert largest == BITS.get(setting, 127)  # no integer that the quantiser kept free
    assert {(t.name, t.data_type, tuple(t.dims)) for t in written.graph.initializer} == {
        (t.name, t.data_type, tuple(t.dims)) for t in model.graph.initializer
    }


def test_integer_biases_are_in_steps_of_their_layer(in_float):
    written = moved(QDQNetwork(quantised_as("onnxruntime", in_float, SAMPLES))).written()
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    givers = {name: node for node in written.graph.node for name in node.output}
    layers = [node for node in written.graph.node if node.op_type in {"Conv", "Gemm"}]
    assert len(layers) == 7
    for node in layers:
        image, weight, bias = (arrays[givers[name].input[1]] for name in node.input)
        np.testing.assert_allclose(bias, image * weight, rtol=1e-6)


def test_a_layer_in_float_stays_in_float_and_is_learnt_too(in_float):
    kept = next(node.name for node in in_float.graph.node if node.op_type == "Conv")
    model = quantised_as("onnxruntime", in_float, SAMPLES, keep=(kept,))
    weight = next(node.input[1] for node in model.graph.node if node.name == kept)
    network = moved(QDQNetwork(model))
    before, after = (
        next(numpy_helper.to_array(t) for t in one.graph.initializer if t.name == weight) for one in (model, network.written())
    )
    assert before.dtype == after.dtype == np.float32
    assert np.abs(after - before).max() > 0
    assert_near(logits(network), logits_as_written(network.written(), SAMPLES))


@pytest.mark.slow
@pytest.mark.parametrize("saturates", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_a_graph_of_nncf_is_taught_as_it_is(tmp_path, saturates):
    model = quantised_by_nncf(tmp_path, every_operation(), SAMPLES, saturates=saturates)
    assert_near(logits(QDQNetwork(model)), logits_as_written(model, SAMPLES))
    network = moved(QDQNetwork(model))
    assert_near(logits(network), logits_as_written(network.written(), SAMPLES))


def test_every_constant_and_every_range_has_a_gradient(quantised):
    _, model = quantised
    network = QDQNetwork(model)
    network(torch.from_numpy(SAMPLES)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    moving = [bool(parameter.grad.abs().max() > 0) for parameter in network.parameters()]
    assert sum(moving) > 0.9 * len(moving)


def test_ranges_that_the_quantiser_gave_several_tensors_stay_one(in_float):
    model = quantised_as("onnxruntime", in_float, SAMPLES)
    names = [node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    written = moved(QDQNetwork(model)).written()
    before, after = ({t.name: numpy_helper.to_array(t).tobytes() for t in one.graph.initializer} for one in (model, written))
    assert len({before[name] for name in names}) < len(names)  # the inputs of the concatenation, say
    assert all((before[a] == before[b]) == (after[a] == after[b]) for a in names for b in names)


def test_an_operation_that_cannot_be_taught_is_named(in_float):
    model = onnx.ModelProto()
    model.CopyFrom(in_float)
    model.graph.node[0].attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))
    next(node for node in model.graph.node if node.op_type == "Clip").input.pop()
    model.graph.node.append(helper.make_node("Softmax", [model.graph.output[0].name], ["shares"]))
    with pytest.raises(
        TeachError, match=r"tuning knows Conv, .*; the graph has Conv with auto_pad SAME_UPPER, Clip with fewer than 3 in.*, Softmax"
    ):
        QDQNetwork(model)


def test_a_graph_in_float_has_nothing_to_tune(in_float):
    with pytest.raises(TeachError, match="must have quantisers"):
        QDQNetwork(in_float)


def test_an_integer_of_32_bits_that_is_no_bias_is_refused(in_float):
    model = quantised_as("onnxruntime", in_float, SAMPLES)
    last = next(node for node in model.graph.node if node.op_type == "Gemm" and model.graph.output[0].name in node.output)
    bias = last.input.pop()
    model.graph.node.append(helper.make_node("Add", [last.output[0], bias], ["moved"]))
    with pytest.raises(TeachError, match="an integer of 32 bits must be the bias of a layer"):
        QDQNetwork(model)


def test_a_constant_that_only_a_concatenation_reads_is_kept(in_float):
    model = quantised_as("onnxruntime", in_float, SAMPLES)
    constants = {"q": np.arange(-4, 4, dtype=np.int8), "s": np.float32(0.1), "z": np.int8(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 2, 2]), "shape"))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["given"]))
    model.graph.node.append(helper.make_node("Concat", ["given", "given"], ["twice"], axis=0))
    network = QDQNetwork(model)
    logits(network)
    after = next(numpy_helper.to_array(tensor) for tensor in network.written().graph.initializer if tensor.name == "q")
    assert list(after) == list(constants["q"])


def test_a_quantiser_without_its_pair_is_refused(in_float):
    model = quantised_as("onnxruntime", in_float, SAMPLES)
    second = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0].endswith("QuantizeLinear_Output")]
    other = next(node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[1] != second[0].input[1])
    second[0].input[1] = other
    with pytest.raises(TeachError, match="must quantise in pairs of one range"):
        QDQNetwork(model)
