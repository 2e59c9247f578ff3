import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config
from search.proposers import assert_uses_up_a_finite_space, proposed_apart

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.study import fold
from autokd_edge.search.ax_search import AxProposer, _import, _quiet
from autokd_edge.search.history import lessons, readings
from autokd_edge.search.ungated import UngatedPolicy

BEFORE_THE_MODEL = 5  # the centre and four Sobol points


def a_policy():
    return UngatedPolicy(AxProposer(ARCHITECTURES, DISTILLATIONS), (FP32,))


def a_world(teachings, **limits):
    """Return a world in which so many pupils that Ax proposed were taught."""
    world = FakeWorld()
    world.open(config(budget=Budget(seconds=None, teachings=100), **limits))
    while len(world.study.teachings) < teachings:
        world.do(a_policy().next(world.study))
    return world


def experiment_of(study):
    """Return what Ax is told of a study."""
    with _quiet():
        _import()
        return AxProposer(ARCHITECTURES, DISTILLATIONS)._told(study)


@pytest.mark.slow
def test_a_proposal_is_a_function_of_the_study_and_nothing_is_taught_twice():
    world = a_world(BEFORE_THE_MODEL, latency_x=0.5)
    action = a_policy().next(world.study)
    assert isinstance(action, Probe)
    assert a_policy().next(fold(list(world.events))) == action
    world.do(action)
    following = a_policy().next(world.study)
    assert isinstance(following, Teach)
    assert (following.pupil.member,) == action.members
    pupils = [taught.pupil for taught in world.study.teachings]
    assert following.pupil not in pupils
    assert len({pupil.member for pupil in pupils}) == len(pupils) == BEFORE_THE_MODEL


@pytest.mark.slow
def test_what_was_taught_counts_for_the_sobol_points_which_are_those_of_one_experiment():
    world = a_world(BEFORE_THE_MODEL)
    flat, empty = AxProposer(ARCHITECTURES, DISTILLATIONS)._flat, FakeWorld()
    empty.open(config())
    client, after, theirs = experiment_of(empty.study), experiment_of(world.study), []
    with _quiet():
        for lesson in world.study.teachings:
            ((trial, values),) = client.get_next_trials(max_trials=1).items()
            client.complete_trial(trial, raw_data={"accuracy": lesson.outcome.accuracy})
            theirs.append(values)
        ((following, _),) = after.get_next_trials(max_trials=1).items()
    assert theirs[0]["architecture.N_t"] == 6  # of 3 to 10: the centre
    assert [flat(taught.pupil) for taught in world.study.teachings] == [
        values if values["architecture.N_m"] > 1 else values | {"architecture.P_m": 0.5} for values in theirs
    ]
    assert after._experiment.trials[following].generator_run._generation_node_name == "MBM"


def test_each_limit_is_a_constraint_and_an_inactive_parameter_lies_in_the_middle():
    world = a_world(4, latency_x=0.2, memory_bytes=1_000_000)
    experiment = experiment_of(world.study)._experiment
    assert len(experiment.optimization_config.outcome_constraints) == 2
    data = experiment.lookup_data().df
    for trial, ((pupil, accuracy), reading) in enumerate(zip(lessons(world.study), readings(world.study), strict=True)):
        said = {row.metric_name: row["mean"] for _, row in data[data.trial_index == trial].iterrows()}
        assert said == {"accuracy": accuracy, "log_ratio_0": reading.log_ratios[0], "log_ratio_1": reading.log_ratios[1]}
        given = dict(pupil.member.architecture)
        assert experiment.trials[trial].arm.parameters["architecture.P_m"] == given.get("P_m", 0.5)
    assert any("P_m" not in pupil.member.architecture for pupil, _ in lessons(world.study))


@pytest.mark.thorough
def test_ax_learns_which_networks_keep_the_limit():
    world = a_world(20, latency_x=0.2)
    fits = [world.study.fits(probed) for probed in world.study.probes]
    assert sum(fits[BEFORE_THE_MODEL:]) / len(fits[BEFORE_THE_MODEL:]) > sum(fits[:BEFORE_THE_MODEL]) / BEFORE_THE_MODEL
    assert sum(fits[10:]) >= 5


def test_what_cannot_be_built_is_told_as_a_failed_trial_and_asked_no_more():
    world = FakeWorld(broken_probe=True)
    world.open(config())
    policy = a_policy()
    for _ in range(12):
        action = policy.next(world.study)
        assert not isinstance(action, Teach)
        world.do(action)
    assert len({probed.member for probed in world.study.probes}) == 12
    trials = experiment_of(world.study)._experiment.trials
    assert [trial.status.is_failed for trial in trials.values()] == [True] * 12


def test_a_finite_space_with_rising_numbers_is_used_up_without_repetition():
    assert_uses_up_a_finite_space(AxProposer)


def test_without_ax_one_sentence_says_what_to_type():
    done = proposed_apart("autokd_edge.search.ax_search", "AxProposer", before="sys.modules['ax'] = None")
    assert done.stdout.startswith("InputError")
    assert "pip install 'autokd-edge[baselines]'" in done.stdout


@pytest.mark.slow
def test_ax_says_nothing_of_its_own():
    done = proposed_apart("autokd_edge.search.ax_search", "AxProposer")
    assert done.stdout.startswith("Pupil(")
    assert done.stderr == ""
