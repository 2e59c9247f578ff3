"""What every backend keeps as a whole: the numbers of each layer, of any shape, in each precision.

An adapter's test class inherits it and gives the fixtures ``builder``, ``quantizer``, ``board``,
``variant`` (fp32), ``int8``, ``target`` and ``protocol``. The reference is torch, so that no runtime
is compared with itself.
"""

import itertools
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from autokd_edge.core.student import (
    INPUT,
    Add,
    AvgPool,
    BatchNorm,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    Linear,
    Mean,
    Relu,
    StudentSpec,
    Task,
    WeightedSum,
)
from autokd_edge.errors import BuildError
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.folding import initial_arrays
from autokd_edge.students.graph import GraphWriter
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.students.lower_torch import torch_from_spec

IMAGE = (3, 8, 8)
# Each op alone on an image; a merge reads the image and a 1x1 convolution of it.
OPS = {
    "conv3x3": (Conv2d(out_channels=8, kernel=3),),
    "conv3x3 stride 2": (Conv2d(out_channels=8, kernel=3, stride=2),),
    "conv5x5 with bias": (Conv2d(out_channels=8, kernel=5, bias=True),),
    "conv1x1": (Conv2d(out_channels=8, kernel=1),),
    "depthwise": (Conv2d(out_channels=3, kernel=3, groups=3),),
    "batch norm": (Conv2d(out_channels=8, kernel=3), BatchNorm()),
    "relu": (Relu(),),
    "average pool": (AvgPool(kernel=3, stride=2),),
    "dropout": (Dropout(rate=0.5),),
    "global pool and linear": (),
    "add": (Add(),),
    "mean": (Mean(),),
    "weighted sum": (WeightedSum(),),
}
SHAPES = {"odd channels": (5, 9, 9), "a 1x1 image": (16, 1, 1), "wide": (1, 6, 17), "tall": (3, 13, 4)}


def spec_of(ops, *, image=IMAGE):
    graph = GraphWriter(image)
    x = INPUT
    for op in ops:
        merges = isinstance(op, Add | Mean | WeightedSum)
        x = graph.put(op, x, graph.put(Conv2d(out_channels=image[0], kernel=1), x)) if merges else graph.put(op, x)
    graph.put(Linear(out_features=5), graph.put(GlobalAvgPool(), x))
    return graph.spec(seed=1)


def odd_spec(image):
    """A residual block of 7 channels with a depthwise convolution and a pooling, as far as the image is large enough."""
    graph = GraphWriter(image)
    x = graph.put(Relu(), graph.conv_norm(INPUT, 7))
    y = graph.conv_norm(graph.conv_norm(x, 7, depthwise=True), 7, 1)
    x = graph.put(Relu(), graph.put(WeightedSum(), x, y))
    if min(graph.size(x)) > 1:
        x = graph.put(AvgPool(kernel=2, stride=2), x)
    graph.put(Linear(out_features=5), graph.put(GlobalAvgPool(), x))
    return graph.spec(seed=2)


def random_spec(index):
    """A random member of a family; every second is made of depthwise-separable convolutions."""
    family, task = NagoFamily(), Task(image=(1, 16, 16), classes=5, channel_multiple=8)
    values = {"N_t": 3, "N_m": 2, "P_m": 0.5, "N_b": 4, "K_b": 2, "P_b": 0.5, "op": ("conv3x3", "separable")[index % 2]}
    space = family.space(task)
    width = next(parameter for parameter in space.parameters if parameter.name == "width")
    return family.spec(space.point({**values, "width": width.values[2]}), task, index)


def write_student(folder, spec: StudentSpec, *, count):
    """Write a student's graph and samples; return their paths and the logits that torch gives."""
    (folder / "student.onnx").write_bytes(onnx_from_spec(spec).SerializeToString(deterministic=True))
    samples = np.random.default_rng(3).standard_normal((count, *spec.input), dtype=np.float32)
    np.save(folder / "samples.npy", samples)
    network = torch_from_spec(spec).eval()
    network.load_arrays({name: torch.from_numpy(array) for name, array in initial_arrays(spec).items()})
    with torch.no_grad():
        expected = network(torch.from_numpy(samples)).numpy()
    return folder / "student.onnx", folder / "samples.npy", expected


class BackendContract:
    """Float logits agree with torch's to 1e-4 of their scale, int8 logits to a tenth of their spread."""

    @pytest.fixture
    def logits_of(self, builder, board, target, tmp_path):
        numbers = itertools.count()

        def logits(graph, samples, variant):
            engine, out = tmp_path / f"{next(numbers)}.engine", tmp_path / "logits.npy"
            builder.build(graph, variant=variant, target=target, out=engine)
            board.infer(engine, samples, target=target, out=out)
            return np.load(out)

        return logits

    @pytest.fixture
    def float_agrees(self, logits_of, variant, tmp_path):
        def check(spec):
            graph, samples, expected = write_student(tmp_path, spec, count=3)
            np.testing.assert_allclose(logits_of(graph, samples, variant), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())

        return check

    @pytest.fixture
    def int8_is_near(self, logits_of, quantizer, target, int8, tmp_path):
        def check(spec):
            graph, samples, expected = write_student(tmp_path, spec, count=32)
            quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
            error = logits_of(tmp_path / "q.onnx", samples, int8) - expected
            assert np.sqrt((error**2).mean()) < 0.1 * expected.std(axis=0).max()

        return check

    @pytest.mark.parametrize("name", OPS)
    def test_each_op_alone_computes_what_torch_does(self, name, float_agrees):
        float_agrees(spec_of(OPS[name]))

    @pytest.mark.parametrize("name", SHAPES)
    def test_an_odd_shape_computes_what_torch_does(self, name, float_agrees):
        float_agrees(odd_spec(SHAPES[name]))

    @pytest.mark.parametrize("index", [0, 1])
    def test_a_random_student_computes_what_torch_does(self, index, float_agrees):
        float_agrees(random_spec(index))

    @pytest.mark.parametrize("name", SHAPES)
    def test_an_odd_shape_stays_near_in_int8(self, name, int8_is_near):
        int8_is_near(odd_spec(SHAPES[name]))

    @pytest.mark.parametrize("index", [0, 1])
    def test_a_random_student_stays_near_in_int8(self, index, int8_is_near):
        int8_is_near(random_spec(index))

    def test_the_precision_that_ran_is_read_back(self, builder, board, quantizer, variant, int8, target, protocol, tmp_path):
        graph, samples, _ = write_student(tmp_path, random_spec(0), count=8)
        quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
        executed = {}
        for made, source in ((variant, graph), (int8, tmp_path / "q.onnx")):
            builder.build(source, variant=made, target=target, out=tmp_path / "engine")
            reading = board.measure(tmp_path / "engine", variant=made, target=target, protocol=protocol)
            assert "executed-precision-differs" not in reading.flags
            executed[made.precision] = reading.executed
        convolutions = sum(node.op_type == "Conv" for node in onnx.load(graph).graph.node)
        assert executed["fp32"]["f32"] >= convolutions
        assert not {"u8", "i8"} & set(executed["fp32"])
        assert executed["int8"].get("u8", 0) + executed["int8"].get("i8", 0) >= convolutions

    def test_two_builds_give_the_same_bytes_and_numbers(self, builder, logits_of, variant, target, tmp_path):
        graph, samples, _ = write_student(tmp_path, odd_spec(SHAPES["odd channels"]), count=3)
        logits = [logits_of(graph, samples, variant) for _ in range(2)]
        np.testing.assert_array_equal(*logits)
        assert (tmp_path / "0.engine").read_bytes() == (tmp_path / "1.engine").read_bytes()

    def test_a_precision_that_nobody_builds_is_a_build_error(self, builder, variant, target, tmp_path):
        graph, _, _ = write_student(tmp_path, spec_of(()), count=1)
        with pytest.raises(BuildError, match="int3"):
            builder.build(graph, variant=replace(variant, precision="int3"), target=target, out=tmp_path / "engine")
        assert not (tmp_path / "engine").exists()
