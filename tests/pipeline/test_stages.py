import dataclasses

import numpy as np
import onnx
import pytest
from fakes.backend import FAKE_TARGET
from fakes.graphs import logits_by_onnxruntime
from pipeline.world import CLASSES, FP32, INT8, PROTOCOLS, TEACHER, CountingBuilder, FlakyBoard, World

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import BuildError, GradeError, MeasureError
from autokd_edge.pipeline.stages import Stages
from autokd_edge.ports import Backend
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.folding import initial_arrays

SPEC = resnet_spec((1, 6, 6), CLASSES, (4,), 1, stem=4, seed=3)


@pytest.fixture
def world(tmp_path):
    return World(folder=tmp_path)


def with_target(world: World, **changes) -> Stages:
    return dataclasses.replace(world.stages, target=dataclasses.replace(FAKE_TARGET, **changes))


def test_an_untrained_graph_is_made_once_for_a_spec(world):
    first = world.stages.untrained_graph(SPEC, FP32)
    assert world.stages.untrained_graph(resnet_spec((1, 6, 6), CLASSES, (4,), 1, stem=4, seed=3), FP32) == first
    assert world.stages.untrained_graph(dataclasses.replace(SPEC, seed=4), FP32) != first
    onnx.checker.check_model(onnx.load_from_string(world.stages.store.path(first).read_bytes()))


def test_weights_by_another_digest_make_another_graph(world):
    arrays = initial_arrays(SPEC)
    one = world.stages.given_graph(SPEC, arrays, digest_of_bytes(b"one"))
    two = world.stages.given_graph(SPEC, {n: v * 2 for n, v in arrays.items()}, digest_of_bytes(b"two"))
    assert one.digest != two.digest
    assert world.stages.given_graph(SPEC, {}, digest_of_bytes(b"one")) == one  # found: the weights are not needed


def test_an_engine_is_built_once_for_its_graph_variant_and_target(world):
    graph = world.stages.untrained_graph(SPEC, FP32)
    engine = world.stages.engine(graph, FP32)
    assert world.stages.engine(graph, FP32) == engine
    assert World(folder=world.folder).stages.engine(graph, FP32) == engine
    assert world.builder.built == 1
    assert world.stages.engine(graph, INT8) != engine
    assert world.builder.built == 2


@pytest.mark.parametrize("change", [{"threads": 2}, {"opset_max": 12}, {"architecture": "aarch64"}, {"static_shapes_only": True}])
def test_a_fact_that_decides_the_build_makes_another_engine(world, change):
    graph = world.stages.untrained_graph(SPEC, FP32)
    assert with_target(world, **change).engine(graph, FP32).key != world.stages.engine(graph, FP32).key


@pytest.mark.parametrize("change", [{"name": "other"}, {"cores": 8}, {"memory_bytes": 1}, {"description": "other"}])
def test_a_fact_that_decides_nothing_about_the_build_makes_no_other_engine(world, change):
    graph = world.stages.untrained_graph(SPEC, FP32)
    assert with_target(world, **change).engine(graph, FP32) == world.stages.engine(graph, FP32)
    assert world.builder.built == 1


def test_another_toolchain_makes_another_engine(world):
    class NewerBuilder(CountingBuilder):
        def toolchain(self):
            return {"fake": "1.1"}

    graph = world.stages.untrained_graph(SPEC, FP32)
    newer = World(folder=world.folder, builder=NewerBuilder()).stages
    assert newer.engine(graph, FP32).key != world.stages.engine(graph, FP32).key


def test_a_failed_build_is_never_remembered(tmp_path):
    broken = World(folder=tmp_path, builder=CountingBuilder(refuses_every=1))
    graph = broken.stages.untrained_graph(SPEC, FP32)
    for _ in range(2):
        with pytest.raises(BuildError):
            broken.stages.engine(graph, FP32)
    assert broken.builder.built == 2
    assert World(folder=tmp_path).stages.engine(graph, FP32)


def test_a_graph_is_quantised_once_with_calibration_images_and_its_report_is_kept(world):
    graph = world.stages.untrained_graph(SPEC, FP32)
    quantised, report = world.stages.quantized(graph, INT8)
    assert quantised.kind == "quantized"
    assert onnx.load_from_string(world.stages.store.path(quantised).read_bytes()).doc_string == "quantised"
    assert set(world.images.asked) == {"calibration"}
    assert len(report.layers) == 5
    assert World(folder=world.folder).stages.quantized(graph, INT8) == (quantised, report)
    assert world.quantizer.kept == [()]


def test_other_layers_kept_in_float_quantise_anew(world):
    graph = world.stages.untrained_graph(SPEC, FP32)
    first, report = world.stages.quantized(graph, INT8)
    kept, said = world.stages.quantized(graph, INT8, report.worst(2))
    assert kept.digest != first.digest
    assert said.in_float == report.worst(2) == world.quantizer.kept[-1]


def test_an_untrained_int8_graph_is_quantised_by_noise_and_once(world):
    quantised = world.stages.untrained_graph(SPEC, INT8)
    assert quantised.kind == "quantized"
    assert world.stages.untrained_graph(SPEC, INT8) == quantised
    assert world.images.asked == []


def test_other_calibration_images_or_another_saturation_quantise_anew(world):
    graph = world.stages.untrained_graph(SPEC, FP32)
    first, _ = world.stages.quantized(graph, INT8)
    assert with_target(world, int8_saturates=True).quantized(graph, INT8)[0].key != first.key
    np.save(world.images.inputs("calibration")[0], np.ones((4, 1, 6, 6), np.float32))
    assert world.stages.quantized(graph, INT8)[0].key != first.key


def test_readings_are_taken_each_time(world):
    engine = world.stages.engine(world.stages.untrained_graph(SPEC, FP32), FP32)
    for _ in range(2):
        assert world.stages.measurement(engine, FP32, PROTOCOLS["screen"]).protocol == "screen"
    assert world.board.measured == 2


def test_logits_are_those_of_the_engine(world):
    graph = world.stages.untrained_graph(SPEC, FP32)
    inputs, _ = world.images.inputs("validation")
    found = world.stages.logits(world.stages.engine(graph, FP32), FP32, inputs)
    np.testing.assert_allclose(found, logits_by_onnxruntime(world.stages.store.path(graph).read_bytes(), np.load(inputs)), atol=1e-5)


def test_the_accuracy_is_the_share_of_labels_that_the_engine_gives(world):
    engine = world.stages.engine(world.stages.given_graph(TEACHER, initial_arrays(TEACHER), digest_of_bytes(b"t")), FP32)
    inputs, labels = world.images.inputs("validation")
    right = (world.stages.logits(engine, FP32, inputs).argmax(axis=1) == labels).sum()
    assert world.stages.accuracy(engine, FP32, "validation") == 100 * right / 20
    assert 0 < right < 20


def test_an_engine_that_does_not_run_on_the_images_is_a_grade_error(tmp_path):
    class DeadBoard(FlakyBoard):
        def infer(self, engine, inputs, *, variant, target, out):  # noqa: ARG002  the port's signature
            raise MeasureError("the fake engine does not run", hint="look at it", retryable=True)

    stages = World(folder=tmp_path, board=DeadBoard()).stages
    engine = stages.engine(stages.untrained_graph(SPEC, FP32), FP32)
    with pytest.raises(GradeError, match=r"does not run\. Hint: look at it") as caught:
        stages.accuracy(engine, FP32, "validation")
    assert caught.value.retryable


def test_each_variant_goes_to_its_own_backend(world):
    other = CountingBuilder()
    backends = {**world.stages.backends, "other": Backend(name="other", builder=other, quantizer=world.quantizer, board=world.board)}
    stages = dataclasses.replace(world.stages, backends=backends)
    stages.engine(stages.untrained_graph(SPEC, FP32), dataclasses.replace(FP32, backend="other"))
    assert (other.built, world.builder.built) == (1, 0)
