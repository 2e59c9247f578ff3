import numpy as np
import pytest
from fakes.study import sample_spec
from students.networks import arrays_of, chain, graph, trained_like

from autokd_edge.core.student import (
    INPUT,
    Add,
    BatchNorm,
    Concat,
    Conv2d,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    Mean,
    Relu,
    Relu6,
    Scale,
    WeightedSum,
    parameter_shapes,
)
from autokd_edge.errors import LoweringError
from autokd_edge.students.folding import Affine, Plain, Sum, folded, initial_arrays, kept_factors

CONV = Conv2d(out_channels=4, kernel=3)
TAIL = (("g", GlobalAvgPool(), ["n"]), ("f", Linear(out_features=2), ["g"]))


@pytest.mark.parametrize(
    "layers",
    [
        [("n", BatchNorm(), [INPUT])],
        [("a", CONV, [INPUT]), ("r", Relu(), ["a"]), ("n", BatchNorm(), ["r"])],
        [("a", CONV, [INPUT]), ("m", BatchNorm(), ["a"]), ("n", BatchNorm(), ["m"])],
        [("a", CONV, [INPUT]), ("m", BatchNorm(), ["a"]), ("b", BatchNorm(), ["a"]), ("n", Add(), ["m", "b"])],
        [("a", CONV, [INPUT]), ("m", BatchNorm(), ["a"]), ("n", Add(), ["m", "a"])],
    ],
    ids=["of the image", "after a ReLU", "after another", "two of one convolution", "of a convolution that is read elsewhere"],
)
def test_a_batch_norm_that_cannot_be_folded_is_a_lowering_error(layers):
    spec = graph(*layers, *TAIL)
    with pytest.raises(LoweringError, match=r"batch norm '[nmb]' must follow a convolution that nothing else reads"):
        folded(spec, initial_arrays(spec))


def test_a_batch_norm_becomes_part_of_its_convolution():
    spec = chain(Conv2d(out_channels=2, kernel=1, bias=True), BatchNorm(), GlobalAvgPool(), image=(1, 2, 2))
    arrays = {
        "a.weight": np.array([2.0, 3.0], np.float32).reshape(2, 1, 1, 1),
        "a.bias": np.array([1.0, -1.0], np.float32),
        "b.weight": np.array([0.5, 2.0], np.float32),
        "b.bias": np.array([10.0, 20.0], np.float32),
        "b.running_mean": np.array([3.0, 1.0], np.float32),
        "b.running_var": np.array([4.0, 0.25], np.float32),
    }
    convolution, pooling = folded(spec, arrays)
    assert isinstance(convolution, Affine)
    np.testing.assert_allclose(convolution.weight.ravel(), [2 * 0.5 / 2, 3 * 2 / 0.5], rtol=1e-4)
    np.testing.assert_allclose(convolution.bias, [(1 - 3) * 0.5 / 2 + 10, (-1 - 1) * 2 / 0.5 + 20], rtol=1e-4)
    assert isinstance(pooling, Plain)
    assert pooling.sources == ("a",)


def test_merge_scalars_vanish_where_convolutions_can_absorb_them():
    branches = [("x", CONV, [INPUT]), ("y", CONV, [INPUT]), ("m", WeightedSum(), ["x", "y"])]
    spec = graph(*branches, ("r", Relu(), ["m"]), ("n", CONV, ["r"]), *TAIL)
    (merge,) = (step for step in folded(spec, arrays_of(trained_like(spec, seed=0))) if isinstance(step, Sum))
    assert merge.factors == (None, None)
    assert kept_factors(spec) == 0


def test_the_image_and_the_logits_keep_their_scale():
    spec = graph(("x", Conv2d(out_channels=3, kernel=3), [INPUT]), ("n", Mean(), [INPUT, "x"]), ("o", GlobalAvgPool(), ["n"]))
    (merge,) = (step for step in folded(spec, initial_arrays(spec)) if isinstance(step, Sum))
    assert merge.factors == (0.5, None)  # of the image nothing can be absorbed; the convolution gives half


def test_which_factors_stay_depends_on_the_topology_alone():
    spec = sample_spec(nodes=6)
    counts = set()
    for seed in range(4):
        steps = folded(spec, arrays_of(trained_like(spec, seed=seed)))
        counts.add(tuple(step.factors.count(None) for step in steps if isinstance(step, Sum)))
    assert len(counts) == 1
    untrained = folded(spec, initial_arrays(spec))
    assert sum(factor is not None for step in untrained if isinstance(step, Sum) for factor in step.factors) == kept_factors(spec)


@pytest.mark.parametrize("op", [Relu6(), HardSwish(), HardSigmoid()])
def test_what_bends_elsewhere_than_at_zero_keeps_its_scale_and_what_does_not_lets_it_pass(op):
    def merged(after):
        layers = [("x", CONV, [INPUT]), ("a", after, ["x"]), ("y", CONV, [INPUT]), ("b", after, ["y"]), ("m", Mean(), ["a", "b"])]
        spec = graph(*layers, ("n", Relu6(), ["m"]), *TAIL)
        (merge,) = (step for step in folded(spec, initial_arrays(spec)) if isinstance(step, Sum))
        return merge.factors

    assert merged(Relu()) == (None, None)
    assert merged(op) == (0.5, 0.5)


def test_concatenated_images_share_a_scale_and_a_gate_has_none():
    layers = [("x", CONV, [INPUT]), ("y", CONV, [INPUT]), ("c", Concat(), ["x", "y"]), ("z", Conv2d(out_channels=8, kernel=3), [INPUT])]
    gated = [("m", Mean(), ["c", "z"]), ("v", GlobalAvgPool(), ["m"]), ("n", Scale(), ["c", "v"]), ("o", GlobalAvgPool(), ["n"])]
    (merge,) = (step for step in folded(graph(*layers, *gated), initial_arrays(graph(*layers, *gated))) if isinstance(step, Sum))
    assert merge.factors == (0.5, None)  # the gate keeps its scale, so the mean does; the gated image has that of the logits


def test_initial_arrays_are_those_of_the_spec_and_follow_its_seed():
    spec = sample_spec()
    arrays = initial_arrays(spec)
    assert {name: value.shape for name, value in arrays.items()} == parameter_shapes(spec)
    assert {value.dtype for value in arrays.values()} == {np.dtype(np.float32)}
    again, other = initial_arrays(spec), initial_arrays(sample_spec(seed=4))
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert not np.array_equal(arrays["layer0.weight"], other["layer0.weight"])


def test_folding_does_not_change_the_weights_it_was_given():
    spec = sample_spec()
    arrays = arrays_of(trained_like(spec, seed=1))
    before = {name: value.copy() for name, value in arrays.items()}
    folded(spec, arrays)
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)
