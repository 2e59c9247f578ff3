import dataclasses
import shutil

import numpy as np
import onnx
import pytest
from fakes.graphs import logits_by_onnxruntime
from pipeline.world import FP32, INT8, CountingBuilder, FakeFineTuner, FakeJournal, FakeTuner, World, config

from autokd_edge.core.digest import digest_of_bytes, digest_of_file
from autokd_edge.core.study import fold
from autokd_edge.errors import MeasureError
from autokd_edge.pipeline.loop import steps_taught
from autokd_edge.pipeline.ship import SELFTEST_SAMPLES, shipment


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that ended, in a world that may ask for the test set now."""
    folder = tmp_path_factory.mktemp("study")
    journal = FakeJournal()
    World(folder=folder).loop(journal).run(config())  # this one may not
    return World(folder=folder, test_allowed=True), fold(journal.events)


@pytest.fixture(scope="module", params=[FP32, INT8], ids=str)
def goods(request, finished):
    world, study = finished
    graded = next(graded for graded in study.grades if graded.variant == request.param)
    return graded, shipment(study, graded, world.evaluator)


def test_the_very_engine_that_was_measured_is_shipped(goods):
    graded, shipped = goods
    assert digest_of_file(shipped.engine) == graded.outcome.engine == graded.outcome.measurement.engine
    assert shipped.grade == graded.outcome


def test_the_graphs_are_those_the_engine_was_made_of(goods):
    graded, shipped = goods
    assert digest_of_file(shipped.float_graph) == graded.outcome.float_graph
    onnx.checker.check_model(onnx.load_from_string(shipped.float_graph.read_bytes()))
    if graded.variant == FP32:
        assert shipped.quantized_graph is None
    else:
        assert digest_of_file(shipped.quantized_graph) == graded.outcome.graph


def test_the_self_test_holds_validation_images_and_the_engines_own_logits(goods, finished):
    _, shipped = goods
    images = np.load(finished[0].images.inputs("validation")[0])[:SELFTEST_SAMPLES]
    assert np.array_equal(shipped.selftest_inputs, images)
    expected = logits_by_onnxruntime(shipped.engine.read_bytes().partition(b"\n")[2], images)
    np.testing.assert_allclose(shipped.selftest_logits, expected, atol=1e-5)


def test_accuracies_are_computed_by_engines_on_validation_and_test_images(goods, finished):
    world, _ = finished
    graded, shipped = goods
    inputs, labels = world.images.inputs("test")
    logits = logits_by_onnxruntime(shipped.engine.read_bytes().partition(b"\n")[2], np.load(inputs))
    assert shipped.student_engine.test == 100 * (logits.argmax(axis=1) == labels).mean()
    assert shipped.student_engine.validation == graded.outcome.accuracy
    assert shipped.student_engine.computed_by == f"fake {graded.variant.precision}"
    assert {shipped.teacher.computed_by, shipped.student_float.computed_by} == {"fake fp32"}
    assert shipped.teacher.validation == shipped.reference.accuracy


def test_only_shipping_asks_for_the_test_set(finished):
    world, study = finished
    asked = len(world.images.asked)
    shipment(study, study.grades[0], world.evaluator)
    assert "test" in world.images.asked[asked:]


def test_an_engine_that_is_not_the_measured_one_is_not_shipped(finished):
    world, study = finished
    graded = study.grades[0]
    other = dataclasses.replace(graded, outcome=dataclasses.replace(graded.outcome, engine=digest_of_bytes(b"another")))
    with pytest.raises(MeasureError, match="must be the measured one"):
        shipment(study, other, world.evaluator)


def test_an_engine_that_was_built_anew_and_came_out_different_is_not_shipped(finished, tmp_path):
    class RestlessBuilder(CountingBuilder):
        def build(self, graph, *, variant, target, out) -> None:
            super().build(graph, variant=variant, target=target, out=out)
            out.write_bytes(out.read_bytes() + b" ")

    world, study = finished
    engines = world.folder / "artifacts" / "keys" / "engine"
    engines.rename(tmp_path / "engines")  # lost
    try:
        restless = World(folder=world.folder, builder=RestlessBuilder(), test_allowed=True)
        with pytest.raises(MeasureError, match="must be the measured one"):
            shipment(study, study.grades[0], restless.evaluator)
    finally:
        for entry in engines.iterdir():
            entry.unlink()
        engines.rmdir()
        (tmp_path / "engines").rename(engines)


def test_an_engine_whose_graph_was_tuned_is_made_by_its_recipe_again_where_it_was_lost(finished):
    world, study = finished
    evaluator = dataclasses.replace(world.evaluator, fine_tuner=FakeFineTuner())
    graded = next(g for g in study.grades if g.variant == INT8)
    recipe = evaluator.fine_tuner.recipe(graded.pupil.distillation)
    float_graph = evaluator.float_graph(graded.pupil, steps_taught(study, graded.pupil))
    quantized = dataclasses.replace(graded.outcome.quantized, tuning=recipe)
    graph = evaluator.quantized_graph(float_graph, INT8, quantized)
    engine = evaluator.stages.engine(graph, INT8)
    outcome = dataclasses.replace(graded.outcome, quantized=quantized, graph=graph.digest, engine=engine.digest)
    for _ in range(2):
        goods = shipment(study, dataclasses.replace(graded, outcome=outcome), evaluator)
        assert digest_of_file(goods.quantized_graph) == graph.digest != graded.outcome.graph
        assert onnx.load(goods.quantized_graph).doc_string.endswith("tuned")
        shutil.rmtree(world.folder / "artifacts" / "keys" / "quantized")  # what was made is lost


def noted(path):
    return [entry.key for entry in onnx.load(path).metadata_props]


@pytest.mark.parametrize("variant", [FP32, INT8], ids=str)
def test_a_tuned_engine_is_shipped_with_its_own_reading_and_the_graph_that_it_is_built_from(variant, finished):
    world, study = finished
    tuner = FakeTuner()
    graded = next(graded for graded in study.grades if graded.variant == variant)
    there = World(folder=world.folder, test_allowed=True, tuner=tuner)
    shipped = shipment(study, graded, there.evaluator, tune=4)
    assert (shipped.tuning.kept, shipped.tuning.most) == (True, 4)
    assert digest_of_file(shipped.engine) == shipped.grade.engine == shipped.grade.measurement.engine != graded.outcome.engine
    assert shipped.grade.accuracy == graded.outcome.accuracy
    assert noted(shipped.float_graph if variant == FP32 else shipped.quantized_graph) == ["tuned"]
    again = shipment(study, graded, World(folder=world.folder, test_allowed=True, tuner=tuner).evaluator, tune=4)
    assert (again.engine, tuner.tuned) == (shipped.engine, 1)  # what was chosen is found again


@pytest.mark.parametrize(
    ("tuner", "dropped"),
    [(FakeTuner(tuned_ns=1000.5), ""), (FakeTuner(weight=2_000_000), "its reading was above the limit of latency")],
    ids=["no faster", "its reading breaks a limit"],
)
def test_the_untuned_engine_is_shipped_where_the_tuned_one_is_not_better(tuner, dropped, finished):
    world, study = finished
    graded = next(graded for graded in study.grades if graded.variant == FP32)
    there = World(folder=world.folder, test_allowed=True, tuner=tuner)
    shipped = shipment(study, graded, there.evaluator, tune=3 if dropped else 2)
    assert (shipped.tuning.kept, shipped.tuning.dropped) == (False, dropped)
    assert shipped.grade == graded.outcome
    assert noted(shipped.float_graph) == []


def test_a_backend_without_a_tuner_ships_what_was_graded(finished):
    world, study = finished
    shipped = shipment(study, study.grades[0], world.evaluator, tune=4)
    assert (shipped.tuning, shipped.grade) == (None, study.grades[0].outcome)
