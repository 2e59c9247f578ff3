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
from fakes.graphs import IMAGE, write_graph
from students.networks import arrays_of, chain, graph, nago_members, trained_like

from autokd_edge.core.space import Point
from autokd_edge.core.student import (
    INPUT,
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool,
    Mean,
    Relu,
    Relu6,
    Scale,
    StudentSpec,
    Task,
    WeightedSum,
)
from autokd_edge.errors import BuildError, MeasureError
from autokd_edge.students.families.mobilenet import mobilenet_v3_small_half
from autokd_edge.students.families.shufflenet import shufflenet_v2_half
from autokd_edge.students.lower_onnx import onnx_from_spec

CONV = Conv2d(out_channels=8, kernel=3)
HEAD = (GlobalAvgPool(), Linear(out_features=4))
TAIL = (("gap", GlobalAvgPool(), ["m"]), ("fc", Linear(out_features=4), ["gap"]))
BRANCHES = (("x", CONV, [INPUT]), ("y", CONV, [INPUT]))
OPS = {
    "convolution": chain(CONV, *HEAD),
    "strided convolution": chain(Conv2d(out_channels=8, kernel=3, stride=2), *HEAD),
    "5x5 convolution with bias": chain(Conv2d(out_channels=8, kernel=5, bias=True), *HEAD),
    "1x1 convolution": chain(Conv2d(out_channels=8, kernel=1), *HEAD),
    "depthwise convolution": chain(Conv2d(out_channels=3, kernel=3, groups=3), *HEAD),
    "grouped convolution": chain(CONV, Conv2d(out_channels=8, kernel=3, groups=4), *HEAD),
    "batch norm": chain(CONV, BatchNorm(), *HEAD),
    "ReLU": chain(Relu(), *HEAD),
    "pooling": chain(AvgPool(kernel=3, stride=2), *HEAD),
    "dropout": chain(Dropout(rate=0.5), *HEAD),
    "global pooling": chain(CONV, GlobalAvgPool()),
    "sum": graph(*BRANCHES, ("m", Add(), ["x", "y"]), *TAIL),
    "mean": graph(*BRANCHES, ("m", Mean(), ["x", "y"]), *TAIL),
    "weighted sum": graph(*BRANCHES, ("m", WeightedSum(), ["x", "y"]), *TAIL),
    "ReLU6": chain(CONV, CONV, Relu6(), *HEAD),
    "hard sigmoid": chain(CONV, HardSigmoid(), *HEAD),
    "hard swish": chain(CONV, HardSwish(), *HEAD),
    "max pooling": chain(CONV, MaxPool(kernel=3, stride=2), *HEAD),
    "gate": graph(*BRANCHES, ("v", GlobalAvgPool(), ["y"]), ("h", HardSigmoid(), ["v"]), ("m", Scale(), ["x", "h"]), *TAIL),
    "concatenation": graph(*BRANCHES, ("m", Concat(), ["x", "y"]), *TAIL),
    "slice": chain(CONV, ChannelSlice(start=2, stop=7), CONV, *HEAD),
    "shuffle": chain(CONV, ChannelShuffle(groups=2), CONV, *HEAD),
}
ODD = Conv2d(out_channels=7, kernel=3)


def odd(image: tuple[int, int, int]) -> StudentSpec:
    """A block of 7 channels: a convolution, a depthwise one, a merge."""
    return graph(
        ("x", ODD, [INPUT]),
        ("r", Relu(), ["x"]),
        ("d", replace(ODD, groups=7), ["r"]),
        ("p", Conv2d(out_channels=7, kernel=1), ["d"]),
        ("m", WeightedSum(), ["r", "p"]),
        *TAIL,
        image=image,
    )


SHAPES = {"odd channels": odd((5, 9, 9)), "a 1x1 image": odd((16, 1, 1)), "wide": odd((1, 6, 17)), "tall": odd((3, 13, 4))}
TASK = Task(image=(1, 16, 16), classes=5, channel_multiple=8)
STUDENTS = {op: next(nago_members(TASK, op=op, count=1, seed=4)) for op in ("conv3x3", "separable")}
# 60 layers of random weights are too deep for a law on int8: float alone.
DEEP = {make().name: make().spec(Point(values=()), TASK, 0) for make in (mobilenet_v3_small_half, shufflenet_v2_half)}
QUANTIZED = {**{name: OPS[name] for name in ("ReLU6", "hard swish", "max pooling", "gate", "concatenation", "slice", "shuffle")}, **SHAPES}


class BackendContract:
    @pytest.fixture
    def student(self, tmp_path):
        """Writes a student's graph and samples; gives the logits that torch computes."""

        def write(spec, count):
            network = trained_like(spec, seed=1)
            model = onnx_from_spec(spec, arrays_of(network))
            (tmp_path / "student.onnx").write_bytes(model.SerializeToString(deterministic=True))
            samples = np.random.default_rng(3).standard_normal((count, *spec.input), dtype=np.float32)
            np.save(tmp_path / "samples.npy", samples)
            with torch.no_grad():
                return tmp_path / "student.onnx", tmp_path / "samples.npy", network(torch.from_numpy(samples)).numpy()

        return write

    @pytest.fixture
    def logits_of(self, builder, board, target, tmp_path):
        numbers = itertools.count()

        def logits(graph, samples, variant):
            engine, out = tmp_path / f"{next(numbers)}.engine", tmp_path / "logits.npy"
            builder.build(graph, variant=variant, target=target, out=engine)
            board.infer(engine, samples, target=target, out=out)
            return np.load(out)

        return logits

    @pytest.mark.parametrize(
        "spec", [*OPS.values(), *SHAPES.values(), *STUDENTS.values(), *DEEP.values()], ids=[*OPS, *SHAPES, *STUDENTS, *DEEP]
    )
    def test_each_op_alone_odd_shapes_and_random_students_compute_what_torch_does(self, spec, student, logits_of, variant):
        graph, samples, expected = student(spec, 3)
        assert np.abs(expected).max() > 0.01  # zeros would agree as well
        np.testing.assert_allclose(logits_of(graph, samples, variant), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("spec", [*QUANTIZED.values(), *STUDENTS.values()], ids=[*QUANTIZED, *STUDENTS])
    def test_int8_logits_stay_within_a_tenth_of_their_spread(self, spec, student, logits_of, quantizer, target, int8, tmp_path):
        graph, samples, expected = student(spec, 32)
        quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
        error = logits_of(tmp_path / "q.onnx", samples, int8) - expected
        assert np.sqrt((error**2).mean()) < 0.1 * expected.std()

    @pytest.fixture
    def reading_of(self, builder, board, target, protocol, tmp_path):
        def reading(graph, variant, *, called=None):
            builder.build(graph, variant=variant, target=target, out=tmp_path / "engine")
            return board.measure(tmp_path / "engine", variant=called or variant, target=target, protocol=protocol)

        return reading

    def test_the_precision_that_ran_is_read_back(self, quantizer, student, reading_of, variant, int8, target, tmp_path):
        graph, samples, _ = student(STUDENTS["conv3x3"], 8)
        quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
        readings = [reading_of(graph, variant), reading_of(tmp_path / "q.onnx", int8)]
        assert not any("executed-precision-differs" in reading.flags for reading in readings)
        in_float, in_int8 = (reading.executed for reading in readings)
        convolutions = sum(node.op_type == "Conv" for node in onnx.load(graph).graph.node)
        assert in_float["f32"] >= convolutions
        assert not {"u8", "i8"} & set(in_float)
        assert in_int8.get("u8", 0) + in_int8.get("i8", 0) >= convolutions

    def test_a_float_engine_that_calls_itself_int8_is_flagged(self, student, reading_of, variant, int8):
        graph, _, _ = student(OPS["convolution"], 1)
        assert "executed-precision-differs" in reading_of(graph, variant, called=int8).flags

    def test_the_runtime_names_its_layers_with_their_times_where_it_can(self, builder, board, variant, target, tmp_path):
        if not hasattr(board, "layers"):
            pytest.skip("this runtime has no profiler of layers")
        builder.build(write_graph(tmp_path / "g.onnx", channels=64), variant=variant, target=target, out=tmp_path / "engine")
        layers = board.layers(tmp_path / "engine", variant=variant, target=target)
        assert sum("Conv" in layer.kind for layer in layers) == 3, layers
        assert {layer.precision for layer in layers} <= {"f32", "i64"}, layers  # integer layers compute shapes
        assert sum(layer.mean_ns for layer in layers) > 5_000  # 11 M MACs
        slowest = max(layers, key=lambda layer: layer.mean_ns)
        assert "Conv" in slowest.kind, layers

    def test_a_larger_engine_takes_more_time_and_memory(self, reading_of, variant, tmp_path):
        small, large = (reading_of(write_graph(tmp_path / "g.onnx", channels=channels), variant) for channels in (8, 256))
        assert large.median_ns > 2 * small.median_ns
        assert large.memory.engine_bytes > small.memory.engine_bytes + 2 * 2**20  # 4.7 MB of weights

    def test_logits_that_are_not_finite_are_a_failure(self, logits_of, variant, tmp_path):
        graph = write_graph(tmp_path / "g.onnx", scale=1e38)
        np.save(tmp_path / "samples.npy", np.full((2, *IMAGE), 1e6, np.float32))
        with pytest.raises(MeasureError, match="logits must be finite; sample 0 is not"):
            logits_of(graph, tmp_path / "samples.npy", variant)

    def test_two_builds_give_the_same_bytes_and_numbers(self, student, logits_of, variant, tmp_path):
        graph, samples, _ = student(STUDENTS["conv3x3"], 3)
        np.testing.assert_array_equal(logits_of(graph, samples, variant), logits_of(graph, samples, variant))
        assert (tmp_path / "0.engine").read_bytes() == (tmp_path / "1.engine").read_bytes()

    def test_a_precision_that_nobody_builds_is_a_build_error(self, builder, student, variant, target, tmp_path):
        graph, _, _ = student(OPS["convolution"], 1)
        with pytest.raises(BuildError, match="int3"):
            builder.build(graph, variant=replace(variant, precision="int3"), target=target, out=tmp_path / "engine")
        assert not (tmp_path / "engine").exists()
