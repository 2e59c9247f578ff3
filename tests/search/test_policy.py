import pytest
from contracts.policy import PolicyContract
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, TEACHER_NS, FakeWorld, config

from autokd_edge.core.events import Confirm, Graded, GradeEngine, Probe, Shipped, Stop, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Failed, Grade, Lesson
from autokd_edge.core.space import Choice, SearchSpace
from autokd_edge.search.finals import TUNING_STEP
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.verdicts import best_grade


def a_policy(plan=None, variants=(FP32, INT8), members=None):
    return PhasedPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), variants, plan, members=members)


def a_world(*, seconds=None, teachings=None, latency_x=0.6, final_steps=None, final_members=8, seed=0, limits=None, **world):
    fake = FakeWorld(**world)
    finals = {"final_steps": final_steps, "final_members": final_members}
    fake.open(config(budget=Budget(seconds=seconds, teachings=teachings), latency_x=latency_x, seed=seed, **finals, **(limits or {})))
    return fake


class TestRandomPolicy(PolicyContract):
    def policy(self):
        return a_policy()


def test_a_policy_without_variants_is_refused():
    with pytest.raises(ValueError, match="at least one variant"):
        a_policy(variants=())


def test_the_pool_comes_first_and_then_probes_and_teachings_take_turns():
    actions, _ = a_world(teachings=3).run(a_policy())
    assert [type(action) for action in actions[:9]] == [Probe, Probe, Probe, Probe, Teach, Probe, Teach, Probe, Teach]
    assert all(len(action.members) == 8 for action in actions[:4])


def test_a_budget_in_teachings_is_kept_to_the_letter():
    world = a_world(teachings=4)
    world.run(a_policy())
    assert sum(not taught.final for taught in world.study.teachings) == 4


def test_a_time_budget_leaves_the_planned_share_for_the_finals():
    world = a_world(seconds=480.0)
    world.run(a_policy())
    study = world.study
    last_search = max(taught.at_s for taught in study.teachings if not taught.final)
    assert 0.4 * 480 < last_search <= 0.6 * 480


def test_the_pool_ends_early_where_probing_is_slow():
    world = a_world(seconds=480.0, probe_s=12.0)
    actions, _ = world.run(a_policy())
    first_teaching = next(i for i, action in enumerate(actions) if isinstance(action, Teach))
    assert sum(len(action.members) for action in actions[:first_teaching]) == 8  # they end at 97 s, 20 % is 96 s


def test_the_final_teaching_uses_the_time_that_is_left_and_keeps_the_reserve_for_grading():
    world = a_world(seconds=480.0)
    world.run(a_policy())
    final = next(taught for taught in world.study.teachings if taught.final)
    assert final.steps > 3 * 100
    assert 0.8 * 480 < final.at_s <= 0.88 * 480 + 1e-9
    assert world.study.elapsed_s <= 480


@pytest.mark.parametrize("variants", [(FP32, INT8), (FP32,)])
def test_time_is_kept_for_tuning_where_there_is_something_to_tune(variants):
    def final_steps(qat_steps: int) -> int:
        world = a_world(seconds=480.0, final_members=1, limits={"qat_steps": qat_steps})
        world.run(a_policy(variants=variants))
        return next(taught.steps for taught in world.study.teachings if taught.final)

    kept = final_steps(0) - final_steps(100)
    assert kept == pytest.approx(TUNING_STEP * 100 if INT8 in variants else 0, abs=1)


def test_final_steps_that_are_given_are_taken():
    world = a_world(seconds=480.0, final_steps=123, final_members=1)
    world.run(a_policy())
    assert [taught.steps for taught in world.study.teachings if taught.final] == [123]


def test_the_best_pupils_family_is_probed_and_its_fastest_fitting_member_gets_the_first_final_teaching():
    world = a_world(teachings=4)
    world.run(a_policy())
    study = world.study
    best = max((t for t in study.teachings if not t.final), key=lambda t: t.outcome.accuracy)
    family = [p for p in study.probes if p.member.architecture == best.pupil.member.architecture]
    final = next(t for t in study.teachings if t.final)
    assert sorted(p.member.index for p in family) == list(range(8))
    assert final.pupil.distillation == best.pupil.distillation
    fastest = min((p for p in family if study.fits(p)), key=lambda p: p.outcome.measurements[0].median_ns)
    assert final.pupil.member == fastest.member


@pytest.mark.parametrize(("asked", "there"), [(1, 8), (8, 1)])
def test_families_of_one_member_and_those_of_which_one_is_wanted_go_to_the_final_without_probing(asked, there):
    actions, _ = a_world(teachings=2, final_members=asked).run(a_policy(members=lambda _: there))
    finals = [i for i, action in enumerate(actions) if isinstance(action, Teach) and action.final]
    assert len(finals) == 1
    assert [type(action) for action in actions[finals[0] - 2 : finals[0]]] == [Teach, Confirm]


def test_the_fitting_members_of_the_family_are_taught_alike_the_fastest_first_and_the_best_engine_wins():
    world = a_world(teachings=4, latency_x=0.55, seed=2)
    world.run(a_policy())
    study = world.study
    finals = [taught for taught in study.teachings if taught.final]
    probed = {p.member: p for p in study.probes if p.member.architecture == finals[0].pupil.member.architecture}
    fitting = [member for member, p in probed.items() if study.fits(p)]
    assert len(probed) == 8
    assert [t.pupil.member for t in finals] == sorted(fitting, key=lambda m: (study.best(probed[m].outcome).median_ns, m.index))
    assert {(t.steps, t.pupil.distillation) for t in finals} == {(400, finals[0].pupil.distillation)}
    best = best_grade(study)
    assert best.outcome.accuracy >= max(g.outcome.accuracy for g in study.grades) - 0.1


def test_a_time_budget_that_is_too_short_for_the_family_goes_to_one_member():
    world = a_world(seconds=480.0)
    world.run(a_policy())
    assert sum(taught.final for taught in world.study.teachings) == 1


@pytest.mark.thorough
def test_a_long_time_budget_is_shared_by_the_fitting_members_of_the_family():
    world = a_world(seconds=12_000.0, latency_x=None)
    world.run(a_policy())
    study = world.study
    finals = [taught for taught in study.teachings if taught.final]
    assert len(finals) == 8
    assert len({taught.steps for taught in finals}) == 1
    assert finals[0].steps >= 20 * 100
    assert 0.8 * 12_000 < study.elapsed_s <= 12_000


def test_given_final_steps_are_repeated_for_the_family_while_the_time_lasts():
    world = a_world(seconds=480.0, final_steps=200)
    world.run(a_policy())
    study = world.study
    finals = [taught for taught in study.teachings if taught.final]
    assert 1 < len(finals) < 8
    assert {taught.steps for taught in finals} == {200}
    assert study.elapsed_s <= 480
    assert study.elapsed_s + 200 * 0.15 + 2 * 5.0 > 480


def test_a_member_whose_teaching_fails_does_not_keep_the_others_from_theirs():
    world = a_world(teachings=3)
    policy = a_policy()
    while sum(taught.final for taught in world.study.teachings) < 1 or not isinstance(policy.next(world.study), Teach):
        world.do(policy.next(world.study))
    world.broken_teaching = True
    world.do(policy.next(world.study))
    world.broken_teaching = False
    world.run(policy)
    outcomes = [type(taught.outcome) for taught in world.study.teachings if taught.final]
    assert outcomes[:3] == [Lesson, Failed, Lesson]


def test_a_variant_that_fails_is_not_the_end():
    world = a_world(teachings=2, broken_variants=(FP32,), final_members=1)
    world.run(a_policy())
    study = world.study
    assert [type(graded.outcome) for graded in study.grades] == [Failed, Grade]
    assert best_grade(study).variant == INT8


def test_where_every_variant_fails_three_finalists_are_tried_and_the_failure_is_said():
    world = a_world(teachings=4, broken_variants=(FP32, INT8))
    _, stop = world.run(a_policy())
    finals = [taught.pupil for taught in world.study.teachings if taught.final]
    assert len({pupil.member.architecture for pupil in finals}) == 3
    assert "no engine could be graded" in stop.reason
    assert "QuantizeError" in stop.reason


def test_a_finalist_that_breaks_the_limit_in_the_end_is_followed_by_the_best_with_enough_margin():
    world = a_world(teachings=6, seed=4, taught_latency_factor=1.3, final_members=1)
    world.run(a_policy(variants=(FP32,)))
    study = world.study
    probed = {p.member.architecture: p.outcome.measurements[0].median_ns for p in study.probes if p.member.index == 0}
    enough = [t for t in study.teachings if not t.final and 1.3 * probed[t.pupil.member.architecture] <= 0.6 * TEACHER_NS]
    assert 0 < len(enough) < 6
    first, second = (grade for grade in study.grades)
    assert first.outcome.measurement.median_ns > 0.6 * TEACHER_NS
    assert second.pupil.member.architecture == max(enough, key=lambda t: t.outcome.accuracy).pupil.member.architecture
    assert best_grade(study) == second


def test_where_no_engine_keeps_the_limits_the_closest_and_the_binding_limit_are_said():
    world = a_world(teachings=3, taught_latency_factor=50.0)
    _, stop = world.run(a_policy())
    assert "no engine keeps all limits: all 3 finalists were tried" in stop.reason
    assert "closest candidate" in stop.reason
    assert "latency" in stop.reason


def test_no_second_finalist_is_begun_when_the_time_is_used_up():
    world = a_world(seconds=480.0, taught_latency_factor=50.0, grade_s=40.0)
    _, stop = world.run(a_policy())
    assert sum(taught.final for taught in world.study.teachings) == 1
    assert "leaves no time for another finalist" in stop.reason


def test_where_nothing_fits_the_device_is_asked_up_to_the_cap_and_the_distance_is_said():
    world = a_world(teachings=3, latency_x=0.001)
    _, stop = world.run(a_policy())
    assert len(world.study.probes) == 240
    assert not world.study.teachings
    assert "no candidate fits after 240 probes" in stop.reason
    assert "(limit 0.00201 ms, 92.2 times the limit)" in stop.reason


def test_where_nothing_fits_a_time_budget_ends_the_probing_too():
    world = a_world(seconds=100.0, latency_x=0.001)
    _, stop = world.run(a_policy())
    assert 0.6 * 100 < world.study.elapsed_s < 0.9 * 100
    assert "60% of the budget" in stop.reason


def test_a_memory_limit_binds_too():
    world = a_world(teachings=2, latency_x=None, limits={"memory_bytes": 10})
    _, stop = world.run(a_policy())
    assert "memory" in stop.reason


def test_without_limits_everything_that_is_measured_fits():
    world = a_world(teachings=2, latency_x=None)
    _, stop = world.run(a_policy())
    assert isinstance(stop, Stop)
    assert all(world.study.fits(probed) for probed in world.study.probes)


def test_failing_teachings_do_not_stop_a_search_while_others_succeed():
    world = a_world(teachings=4, final_members=1)
    policy = a_policy()
    world.broken_teaching = True
    while not world.study.teachings:
        world.do(policy.next(world.study))
    world.broken_teaching = False
    world.run(policy)
    assert [type(taught.outcome) for taught in world.study.teachings] == [Failed, Lesson, Lesson, Lesson, Lesson]


def test_a_final_teaching_that_fails_is_followed_by_another_finalist():
    world = a_world(teachings=3, final_members=1)
    policy = a_policy()
    while not isinstance(action := policy.next(world.study), Teach) or not action.final:
        world.do(action)
    world.broken_teaching = True
    world.do(action)
    world.broken_teaching = False
    actions, _ = world.run(policy)
    finals = [taught for taught in world.study.teachings if taught.final]
    assert [type(taught.outcome) for taught in finals] == [Failed, Lesson]
    assert any(isinstance(action, GradeEngine) for action in actions)


def test_the_accuracy_floor_is_judged_on_the_engine():
    world = a_world(teachings=3, limits={"max_drop": 0.0})
    _, stop = world.run(a_policy())
    assert "accuracy drop" in stop.reason


def test_a_shipped_study_is_at_its_end():
    world = a_world(teachings=2)
    policy = a_policy()
    world.run(policy)
    graded = best_grade(world.study)
    assert isinstance(graded, Graded)
    world.events.append(Shipped(pupil=graded.pupil, variant=graded.variant, bundle=graded.outcome.engine, at_s=1e6))
    assert policy.next(world.study) == Stop(reason="the bundle is written")


def test_a_cut_off_batch_goes_on_with_the_members_that_are_left():
    world = a_world(teachings=2)
    policy = a_policy()
    batch = policy.next(world.study).members
    world.do(Probe(members=batch[:3]))
    assert policy.next(world.study) == Probe(members=batch[3:])


def test_a_batch_on_a_slow_board_ends_with_the_time_for_searching():
    world = a_world(seconds=600, latency_x=1e-6)
    world.probe_s = 100.0  # a batch of eight is longer than the budget
    actions, stop = world.run(a_policy())
    assert [type(action) for action in actions] == [Probe]
    assert len(actions[0].members) == 8
    assert 3 <= len(world.study.probes) <= 4  # until 360 s
    assert stop.reason.startswith("no candidate fits after")


def test_a_space_that_is_used_up_is_taught_to_its_end_and_then_goes_to_the_finals():
    values = {"N_t": (3, 4), "K_t": (2,), "N_m": (1,), "N_b": (3, 4), "width": (1e5, 1e6), "op": ("conv3x3",)}
    small = SearchSpace(parameters=tuple(Choice(name=name, values=choices) for name, choices in values.items()))
    guess = SearchSpace(parameters=(Choice(name="tau", values=(4.0,)), Choice(name="alpha", values=(0.9,))))
    world = a_world(teachings=100, latency_x=1.0)
    world.run(PhasedPolicy(RandomChooser(small, guess), (FP32,)))
    study = world.study
    assert sum(probed.member.index == 0 for probed in study.probes) == 8
    assert len({taught.pupil for taught in study.teachings if not taught.final}) == 8
    assert best_grade(study) is not None


def test_a_plan_with_shares_that_fall_is_refused():
    with pytest.raises(ValueError, match="shares must rise"):
        Plan(pool_share=0.7)


def test_a_budget_that_the_teacher_used_up_still_probes_one_candidate_and_names_it():
    world = a_world(seconds=1.0, latency_x=1e-6)
    actions, stop = world.run(a_policy())
    assert [type(action) for action in actions] == [Probe]
    assert len(world.study.probes) == 1
    assert "no candidate fits after 1 probes" in stop.reason
    assert "latency" in stop.reason
