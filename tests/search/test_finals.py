"""Finalists are read by the final protocol before they are taught for long."""

import pytest
from search.fake_world import FP32, INT8, TEACHER_NS, FakeWorld, config, latency_ns
from search.test_policy import a_policy, a_world

from autokd_edge.core.events import Confirm, Confirmed, GradeEngine, Probe, Taught, Teach
from autokd_edge.core.pupil import Failed
from autokd_edge.core.study import fold
from autokd_edge.search.confirmations import is_confirmed, refused
from autokd_edge.search.finals import began_s, begun
from autokd_edge.search.plan import Plan
from autokd_edge.search.verdicts import best_grade

BOUND_NS = 0.6 * TEACHER_NS  # of the worlds here


def finals(world: FakeWorld) -> list[Taught]:
    return [taught for taught in world.study.teachings if taught.final]


def worst_ns(world: FakeWorld, member) -> float:
    return latency_ns(member) * world.final_latency_factor


def test_where_the_screening_reading_is_optimistic_no_long_teaching_is_spent_on_what_breaks_the_limit():
    world = a_world(teachings=6, seed=4, final_latency_factor=1.3, final_members=1)
    world.run(a_policy(variants=(FP32,)))
    study = world.study
    broken = {c.member for c in study.confirmations if c.outcome.median_ns > BOUND_NS}
    assert broken == refused(study, (FP32,))
    assert broken
    assert not broken & {taught.pupil.member for taught in finals(world)}
    assert all(worst_ns(world, taught.pupil.member) <= BOUND_NS for taught in finals(world))
    assert best_grade(study) is not None


def test_the_excess_that_the_first_finalist_lacked_chooses_the_next_one():
    world = a_world(teachings=6, seed=4, final_latency_factor=1.3, final_members=1)
    world.run(a_policy(variants=(FP32,)))
    study = world.study
    enough = [t for t in study.teachings if not t.final and worst_ns(world, t.pupil.member) <= BOUND_NS]
    assert 0 < len(enough) < 6
    first, second = (confirmed.member for confirmed in study.confirmations)
    assert worst_ns(world, first) > BOUND_NS
    assert second == max(enough, key=lambda t: t.outcome.accuracy).pupil.member


def test_the_time_that_a_refused_finalist_would_have_cost_goes_to_the_next_one():
    world = a_world(seconds=480.0, seed=4, final_latency_factor=1.3, final_members=1)
    world.run(a_policy(variants=(FP32,)))
    assert refused(world.study, (FP32,))
    (final,) = finals(world)
    assert final.steps > 3 * 100
    assert 0.8 * 480 < final.at_s <= 0.88 * 480 + 1e-9


def test_every_member_of_a_family_is_confirmed_before_it_is_taught_and_those_that_break_the_limit_are_left_out():
    world = a_world(teachings=4, latency_x=0.55, seed=10, final_latency_factor=1.05)
    world.run(a_policy(variants=(FP32,)))
    known = set()
    for event in world.events:
        if isinstance(event, Confirmed):
            known.add(event.member)
        if isinstance(event, Taught) and event.final:
            assert event.pupil.member in known
            assert is_confirmed(world.study, event.pupil.member)
    architecture = finals(world)[0].pupil.member.architecture
    left_out = {member for member in refused(world.study, (FP32,)) if member.architecture == architecture}
    assert left_out
    assert not left_out & {taught.pupil.member for taught in finals(world)}


def test_members_that_share_the_time_are_confirmed_before_the_first_of_them_is_taught():
    world = a_world(seconds=12_000.0, latency_x=0.6, seed=3, probe_s=200.0)
    policy = a_policy(variants=(FP32,))
    while not isinstance(action := policy.next(world.study), Teach) or not action.final:
        world.do(action)
    assert len(world.study.confirmations) > 1
    assert len({c.member.architecture for c in world.study.confirmations}) == 1


def test_a_variant_that_breaks_the_limit_is_followed_by_another_that_may_win_and_is_not_graded():
    world = a_world(teachings=4, seed=4, final_latency_factor=1.3, final_members=1)
    world.run(a_policy())
    study = world.study
    member = study.confirmations[0].member
    assert [(c.member, c.variant) for c in study.confirmations] == [(member, FP32), (member, INT8)]
    assert not refused(study, (FP32, INT8))
    assert [(graded.pupil.member, graded.variant) for graded in study.grades] == [(member, INT8)]


def test_one_variant_that_keeps_the_limits_is_enough_to_be_taught():
    world = a_world(teachings=4, final_members=1)
    world.run(a_policy())
    assert [confirmed.variant for confirmed in world.study.confirmations] == [FP32]
    assert [graded.variant for graded in world.study.grades] == [FP32, INT8]


def test_a_finalist_that_cannot_be_read_is_refused_and_the_failure_is_said():
    world = a_world(teachings=3, unconfirmed_variants=(FP32, INT8), final_members=1)
    _, stop = world.run(a_policy())
    assert all(isinstance(confirmed.outcome, Failed) for confirmed in world.study.confirmations)
    assert not finals(world)
    assert "no engine could be graded: no other taught candidate is left; 3 untrained finalists were refused" in stop.reason
    assert "the last failure: MeasureError in stage 'measure': no answer" in stop.reason


def test_where_the_final_protocol_refuses_all_the_closest_of_them_is_said_and_nothing_is_taught_for_long():
    world = a_world(teachings=3, final_latency_factor=50.0)
    _, stop = world.run(a_policy(variants=(FP32,)))
    closest = min(confirmed.outcome.median_ns for confirmed in world.study.confirmations)
    assert not finals(world)
    assert "no engine keeps all limits: no" in stop.reason
    assert "untrained finalists were refused by the final protocol; the closest candidate as fake/fp32 untrained has latency" in stop.reason
    assert f"{closest / 1e6:.3g}"[:3] in stop.reason


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 11])
def test_where_nobody_that_was_taught_has_the_margin_a_measured_one_that_has_it_is_taught_as_the_best_was(seed):
    world = a_world(teachings=1, seed=seed, final_latency_factor=1.3, final_members=1)
    world.run(a_policy(variants=(FP32,)))
    (taught,) = (t for t in world.study.teachings if not t.final)
    (final,) = finals(world)
    assert refused(world.study, (FP32,)) == {taught.pupil.member}
    assert final.pupil.member != taught.pupil.member
    assert final.pupil.distillation == taught.pupil.distillation
    assert worst_ns(world, final.pupil.member) <= BOUND_NS
    assert best_grade(world.study) is not None


def test_a_variant_that_broke_the_limit_when_it_was_probed_is_not_read_after_a_better_one_did():
    world = a_world(teachings=3, final_latency_factor=50.0)
    world.run(a_policy())
    assert world.study.confirmations
    for confirmed in world.study.confirmations:
        probed = next(p.outcome for p in world.study.probes if p.member == confirmed.member)
        reading = probed.reading(confirmed.variant)
        assert reading is None or all(slack.excess <= 0 for slack in world.study.slacks(reading))


def test_no_more_than_the_planned_number_of_finalists_is_refused():
    world = a_world(teachings=3, final_latency_factor=50.0)
    _, stop = world.run(a_policy(Plan(refusals=2), variants=(FP32,)))
    assert len(world.study.confirmations) == 2
    assert "no more finalists are read; 2 untrained finalists were refused by the final protocol" in stop.reason


def test_refused_finalists_end_with_the_time_budget():
    world = a_world(seconds=480.0, final_latency_factor=50.0, confirm_s=60.0)
    _, stop = world.run(a_policy(variants=(FP32,)))
    assert not finals(world)
    assert "leaves no time for another finalist" in stop.reason
    assert world.study.elapsed_s <= 480 + 60


def test_where_no_finalist_keeps_the_limits_what_the_search_taught_with_their_margin_is_graded():
    world = a_world(seconds=480.0, seed=4, taught_latency_factor=1.2, final_members=1)
    actions, stop = world.run(a_policy(Plan(finalists=1), variants=(FP32,)))
    (final,) = finals(world)
    first, *others = world.study.grades
    assert first.pupil == final.pupil
    assert first.outcome.measurement.median_ns > BOUND_NS
    assert 1 <= len(others) <= 2
    assert {one.pupil for one in others} <= {t.pupil for t in world.study.teachings if not t.final}
    shipped = best_grade(world.study)
    assert shipped in others
    assert shipped.outcome.measurement.median_ns <= BOUND_NS
    assert stop.reason == "no finalist keeps all limits; a student that the search taught for 100 steps does"
    assert not any(isinstance(action, Teach) for action in actions[actions.index(GradeEngine(pupil=first.pupil, variant=FP32)) :])


def test_what_the_search_taught_is_not_graded_where_it_is_not_accurate_enough():
    world = a_world(seconds=480.0, seed=4, taught_latency_factor=1.2, final_members=1, limits={"max_drop": 0.5})
    _, stop = world.run(a_policy(Plan(finalists=1), variants=(FP32,)))
    assert all(t.outcome.accuracy < 94 - 0.5 for t in world.study.teachings if not t.final)
    assert len(world.study.grades) == len(finals(world))
    assert "no engine keeps all limits" in stop.reason


def test_without_a_limit_of_the_device_nothing_has_to_be_confirmed():
    world = a_world(teachings=2, latency_x=None, final_members=1)
    actions, _ = world.run(a_policy())
    assert not any(isinstance(action, Confirm) for action in actions)
    assert finals(world)


def test_the_final_phase_begins_with_the_first_confirmation_where_nothing_else_is_probed():
    world = a_world(teachings=2, final_members=1)
    policy = a_policy()
    while not isinstance(action := policy.next(world.study), Confirm):
        world.do(action)
    assert not begun(world.study)
    before_s = world.study.elapsed_s
    world.do(action)
    assert begun(world.study)
    assert began_s(world.study) == before_s


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_a_final_phase_cut_at_any_event_goes_on_to_the_same_end(factor):
    world = a_world(teachings=4, seed=4, final_latency_factor=factor, final_members=3)
    _, stop = world.run(a_policy())
    first = next(i for i, event in enumerate(world.events) if isinstance(event, Confirmed))
    for cut in range(first, len(world.events), 2):
        rest = a_world(teachings=4, seed=4, final_latency_factor=factor, final_members=3)
        rest.events = list(world.events[:cut])
        _, again = rest.run(a_policy())
        assert rest.events == world.events
        assert again == stop


def test_a_study_of_before_that_was_in_its_finals_goes_on_and_what_was_taught_is_graded_first():
    world = a_world(teachings=4, final_members=2)
    world.run(a_policy())
    before = [event for event in world.events if not isinstance(event, Confirmed)]
    taught = next(i for i, event in enumerate(before) if isinstance(event, Taught) and event.final)
    old = FakeWorld(events=before[: taught + 1])
    actions, _ = old.run(a_policy())
    assert [type(action).__name__ for action in actions[:3]] == ["GradeEngine", "GradeEngine", "Confirm"]
    assert best_grade(old.study) is not None
    assert fold(old.events).config == config(budget=world.study.config.budget, latency_x=0.6, final_members=2)
    assert not any(isinstance(action, Probe) for action in actions)
