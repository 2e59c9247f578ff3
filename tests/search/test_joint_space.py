from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Lesson
from autokd_edge.core.space import Choice, Ordinal, Real, SearchSpace, WhenEqual
from autokd_edge.search.history import readings
from autokd_edge.search.joint_space import JointSpace, told
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser

WIDTH = Ordinal(name="width", values=(8, 16, 32), when=WhenEqual(parameter="op", value="conv"))
SPACE = JointSpace(
    SearchSpace(parameters=(Choice(name="op", values=("conv", "skip")), WIDTH)),
    SearchSpace(parameters=(Real(name="width", low=0.0, high=1.0),)),
)


def test_equal_names_in_both_spaces_are_told_apart_and_a_rising_number_is_its_index():
    answers = {"architecture.op": "conv", "architecture.width": 1, "distillation.width": 0.5}
    pupil = SPACE.pupil(lambda name, _: answers[name])
    assert pupil.member.architecture["width"] == 16
    assert pupil.distillation["width"] == 0.5
    assert SPACE.values(pupil) == answers
    assert list(SPACE.parameters) == list(answers)
    assert SPACE.parameters["architecture.width"] == WIDTH


def test_an_inactive_parameter_is_not_asked_about_and_has_no_value():
    answers = {"architecture.op": "skip", "distillation.width": 0.5}
    pupil = SPACE.pupil(lambda name, _: answers[name])
    assert "width" not in pupil.member.architecture
    assert SPACE.values(pupil) == answers


def test_the_lessons_of_the_search_are_told_with_the_readings_of_their_members():
    world = FakeWorld()
    world.open(config(budget=Budget(seconds=None, teachings=3), memory_bytes=1_000_000))
    world.run(PhasedPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), (FP32,)))
    study = world.study
    ratios = {reading.member: reading.log_ratios for reading in readings(study)}
    searched = [taught for taught in study.teachings if not taught.final]
    assert len(searched) < len(study.teachings)
    assert all(isinstance(taught.outcome, Lesson) for taught in searched)
    assert [(lesson.pupil, lesson.accuracy, lesson.log_ratios) for lesson in told(study)] == [
        (taught.pupil, taught.outcome.accuracy, ratios[taught.pupil.member]) for taught in searched
    ]
    assert all(len(lesson.log_ratios) == 2 for lesson in told(study))
