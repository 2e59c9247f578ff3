import pytest
from fakes.backend import FakeQuantizer
from pipeline.world import FP32, INT8, PROTOCOLS, TEACHER, CountingBuilder, FailingQuantizer, FakeTuner, FlakyBoard, World

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import BuildError, InputError, MeasureError
from autokd_edge.pipeline.compile import Compiled, Job, Unusable, compiled_in_each, to_ship
from autokd_edge.students.folding import initial_arrays


def compiled(tmp_path, *, graded=True, max_drop=0.5, variants=(INT8, FP32), seen=None, tune=None, **world):
    there = World(folder=tmp_path, **world)
    graph = there.stages.given_graph(TEACHER, initial_arrays(TEACHER), digest_of_bytes(b"given"))
    job = Job(graph=graph, variants=variants, protocol=PROTOCOLS["final"], graded=graded, max_drop=max_drop, tune=tune)
    return compiled_in_each(there.stages, job, [].append if seen is None else seen.append)


def test_each_variant_is_compiled_the_cheap_one_first_and_who_watches_is_told(tmp_path):
    seen = []
    found = compiled(tmp_path, seen=seen)
    assert [one.variant for one in found] == seen == [FP32, INT8]
    assert all(isinstance(one, Compiled) and one.measurement.protocol == "final" for one in found)
    assert [one.quantized is None for one in found] == [True, False]


def test_the_fastest_engine_within_the_drop_is_shipped(tmp_path):
    found = compiled(tmp_path)
    assert to_ship(found, max_drop=0.5).variant == INT8
    slow, fast = found
    worse = type(fast)(**{**{name: getattr(fast, name) for name in fast.__slots__}, "accuracy": slow.accuracy - 1.0})
    assert to_ship((slow, worse), max_drop=0.5).variant == FP32
    assert to_ship((slow, worse), max_drop=1.0).variant == INT8


def test_without_images_nothing_is_graded(tmp_path):
    (one,) = compiled(tmp_path, graded=False, variants=(FP32,))
    assert one.accuracy is None
    assert to_ship((one,), max_drop=0.5) == one


def test_a_variant_that_fails_leaves_the_others(tmp_path):
    first, second = compiled(tmp_path, quantizer=FailingQuantizer())
    assert isinstance(first, Compiled)
    assert isinstance(second, Unusable)
    assert to_ship((first, second), max_drop=0.5).variant == FP32


def test_a_gate_that_cannot_hold_is_a_failure_of_its_variant(tmp_path):
    _, second = compiled(tmp_path, quantizer=FakeQuantizer(noise=50.0), max_drop=-1.0)
    assert isinstance(second, Unusable)
    assert "may lose at most" in str(second.error)


def test_a_network_that_no_variant_builds_is_wrong_input_and_says_why_of_each(tmp_path):
    found = compiled(tmp_path, graded=False, variants=(FP32,), builder=CountingBuilder(refuses_every=1))
    with pytest.raises(InputError, match=r"must build in a variant of the target; fake/fp32: the fake compiler refuses this graph"):
        to_ship(found, max_drop=0.5)


def test_the_hint_of_the_compiler_is_the_hint_of_the_whole_and_said_once():
    refused = Unusable(variant=FP32, error=BuildError("the fake compiler lacks Gelu", hint="use fp16"))
    with pytest.raises(InputError) as caught:
        to_ship((refused,), max_drop=0.5)
    assert str(caught.value).endswith("fake/fp32: the fake compiler lacks Gelu. Hint: use fp16")
    assert str(caught.value).count("Hint:") == 1


def test_a_network_that_cannot_be_graded_in_float_is_wrong_input(tmp_path):
    with pytest.raises(InputError, match="must build as fake/fp32, which other engines are graded against: the fake compiler refuses"):
        compiled(tmp_path, builder=CountingBuilder(refuses_every=1))


def test_a_device_that_does_not_answer_is_the_devices_failure(tmp_path):
    class DeadBoard(FlakyBoard):
        def measure(self, engine, *, variant, target, protocol):  # noqa: ARG002  the port's signature
            raise MeasureError("the fake device does not answer", retryable=True)

    with pytest.raises(MeasureError, match="does not answer"):
        to_ship(compiled(tmp_path, graded=False, variants=(FP32,), board=DeadBoard()), max_drop=0.5)


def test_each_engine_is_tuned_before_it_is_measured_where_that_is_asked_for(tmp_path):
    plain = compiled(tmp_path)
    found = compiled(tmp_path, tuner=FakeTuner(), tune=4)
    for before, after in zip(plain, found, strict=True):
        assert (before.tuning, after.tuning.most) == (None, 4)
        assert after.accuracy == before.accuracy
        assert after.measurement.engine == after.engine.digest != before.engine.digest


def test_a_tuner_is_left_alone_where_nobody_asks_for_it(tmp_path):
    tuner = FakeTuner()
    compiled(tmp_path, tuner=tuner)
    assert tuner.tuned == 0
