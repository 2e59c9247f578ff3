from search.fake_world import FP32, INT8, NONE, TEACHER_NS, FakeWorld, config, measurement

from autokd_edge.core.events import Graded, Probed
from autokd_edge.core.limits import Slack
from autokd_edge.core.pupil import Cost, Failed, Grade, Member, Pupil, Screened
from autokd_edge.search.verdicts import best_grade, closest, said

FAILED = Failed(stage="build", error="BuildError", message="refused", retryable=False)


def a_world(*, latency_x=0.5, memory_bytes=None, max_drop=None):
    world = FakeWorld()
    world.open(config(latency_x=latency_x, memory_bytes=memory_bytes, max_drop=max_drop))
    return world


def a_pupil(number):
    from search.fake_world import ARCHITECTURES, DISTILLATIONS

    member = Member(architecture=ARCHITECTURES.at([0.1 * number] * len(ARCHITECTURES)), index=0)
    return Pupil(member=member, distillation=DISTILLATIONS.at([0.5, 0.5]))


def graded(world, number, accuracy, latency_x, variant=FP32):
    reading = measurement(latency_x * TEACHER_NS, protocol="final")
    outcome = Grade(accuracy=accuracy, measurement=reading, float_graph=NONE, graph=NONE, engine=NONE)
    event = Graded(pupil=a_pupil(number), variant=variant, outcome=outcome, at_s=world.events[-1].at_s + 1)
    world.events.append(event)
    return event


def probed(world, number, latency_x, memory_bytes=1000):
    cost = Cost(parameters=1, macs=1, activation_bytes=1)
    outcome = Screened(cost=cost, measurements=(measurement(latency_x * TEACHER_NS, memory_bytes=memory_bytes),))
    world.events.append(Probed(member=a_pupil(number).member, outcome=outcome, at_s=world.events[-1].at_s + 1))


def test_without_grades_nothing_is_best():
    assert best_grade(a_world().study) is None


def test_the_most_accurate_engine_that_keeps_all_limits_is_best():
    world = a_world()
    graded(world, 1, accuracy=90.0, latency_x=0.1)
    best = graded(world, 2, accuracy=92.0, latency_x=0.4)
    graded(world, 3, accuracy=93.0, latency_x=0.6)
    assert best_grade(world.study) == best


def test_the_faster_of_two_engines_within_a_tenth_of_a_point_is_best():
    world = a_world()
    graded(world, 1, accuracy=92.05, latency_x=0.4)
    fast = graded(world, 1, accuracy=92.0, latency_x=0.3, variant=INT8)
    graded(world, 2, accuracy=91.9, latency_x=0.1)
    assert best_grade(world.study) == fast


def test_the_accuracy_floor_counts_for_the_best():
    world = a_world(max_drop=1.0)  # the teacher has 94 %
    graded(world, 1, accuracy=92.9, latency_x=0.1)
    assert best_grade(world.study) is None
    kept = graded(world, 2, accuracy=93.0, latency_x=0.1)
    assert best_grade(world.study) == kept


def test_where_nothing_was_graded_the_probed_member_with_the_smallest_worst_violation_is_closest():
    world = a_world(memory_bytes=1000)
    probed(world, 1, latency_x=0.55, memory_bytes=3000)
    probed(world, 2, latency_x=0.7, memory_bytes=900)
    probed(world, 3, latency_x=0.9, memory_bytes=900)
    found = closest(world.study)
    assert (found.member, found.variant, found.binding.limit) == (a_pupil(2).member, None, "latency")
    assert "latency 1.407 ms (limit 1.005 ms, +40.0%)" in str(found)


def test_graded_engines_come_before_probed_members():
    world = a_world()
    probed(world, 1, latency_x=0.4)
    graded(world, 2, accuracy=90.0, latency_x=0.6)
    world.events.append(Graded(pupil=a_pupil(3), variant=INT8, outcome=FAILED, at_s=100.0))
    found = closest(world.study)
    assert (found.member, found.variant) == (a_pupil(2).member, FP32)


def test_a_point_of_accuracy_weighs_as_much_as_a_hundredth_of_a_device_limit():
    world = a_world(max_drop=1.0)
    graded(world, 1, accuracy=91.0, latency_x=0.4)  # 2 points too low
    graded(world, 2, accuracy=94.0, latency_x=0.5075)  # 1.5 % too slow
    assert closest(world.study).member == a_pupil(2).member
    graded(world, 3, accuracy=92.0, latency_x=0.4)  # 1 point too low
    assert str(closest(world.study)).endswith("an accuracy drop of 2.00 points (limit 1.00, +1.00)")


def test_where_nothing_was_measured_or_nothing_is_limited_nothing_is_closest():
    world = a_world(latency_x=None)
    probed(world, 1, latency_x=0.5)
    assert closest(world.study) is None
    failed = a_world()
    failed.events.append(Probed(member=a_pupil(1).member, outcome=FAILED, at_s=2.0))
    assert closest(failed.study) is None


def test_a_broken_limit_on_instructions_is_said_in_instructions():
    slack = Slack(limit="instructions", reading=6_000_000, bound=4_000_000)
    assert said(slack) == "6,000,000 instructions (limit 4,000,000, +50.0%)"
