import dataclasses
import math
import typing

import pytest

from autokd_edge.api.keywords import SearchKeywords
from autokd_edge.api.options import MOST_SEED, SearchOptions, cores
from autokd_edge.core.limits import Budget, InstructionLimit
from autokd_edge.errors import InputError, LimitError

GOOD = SearchOptions(data="digits", teacher="example:digits")


def options(**changes) -> SearchOptions:
    return dataclasses.replace(GOOD, **changes)


def test_only_data_and_teacher_must_be_given():
    GOOD.check()
    (goal,) = GOOD.goals()
    assert goal.target.name == "host"
    assert goal.limits.latency is goal.limits.memory is goal.limits.max_drop is None
    assert GOOD.budgeted() == Budget(seconds=1800.0, teachings=None)


def test_limits_are_read_as_they_are_written():
    limits = options(max_latency="p99:3ms", max_memory="0.5x", max_drop="1.5%", max_instructions="1.5M").goals()[0].limits
    assert (limits.latency.percent, limits.latency.bound_ns) == (99.0, 3_000_000)
    assert (limits.memory.times_teacher, limits.max_drop) == (0.5, 1.5)
    assert limits.instructions == InstructionLimit(bound=1_500_000, times_teacher=None)
    assert options(max_instructions="5000").goals()[0].limits.instructions == InstructionLimit(bound=5000, times_teacher=None)
    assert options(max_instructions="0.25x").goals()[0].limits.instructions == InstructionLimit(bound=None, times_teacher=0.25)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[
            ("max_latency", text)
            for text in ("-3ms", "3", "abc", "p0:3ms", "p100:3ms", "99:3ms", "0x", "0ms", "3 ms", "", "infms", "1e3ms")
        ],
        *[("max_memory", text) for text in ("-1MB", "20", "MB", "0B", "1TB", "")],
        *[("max_instructions", text) for text in ("-1M", "5m", "M", "0", "0x", "1e6", "")],
        *[("max_drop", text) for text in ("-1", "101", "abc", "nan", "")],
        *[("budget", text) for text in ("0", "-5", "abc", "8m", "0s", "1.5", "")],
    ],
)
def test_a_quantity_that_means_nothing_is_refused_with_what_was_written(name, text):
    with pytest.raises(LimitError, match=rf"got '{text.partition(':')[0]}") as caught:
        options(**{name: text}).check()
    assert caught.value.hint.startswith(f"--{name.replace('_', '-')}")


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1])
def test_a_seed_outside_of_its_range_is_refused(seed):
    with pytest.raises(InputError, match=rf"seed must be 0 to {MOST_SEED}; got {seed}"):
        options(seed=seed).check()
    options(seed=0).check()
    options(seed=MOST_SEED).check()


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "-a", "a b", "ä", "a\n", "x" * 101])
def test_a_study_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(InputError, match="study name must be 1 to 100 letters"):
        options(study=name).check()


@pytest.mark.parametrize("name", ["a", "Study-1.2_b", "x" * 100])
def test_a_plain_study_name_is_taken(name):
    options(study=name).check()


@pytest.mark.parametrize("name", ["search_steps", "final_steps", "final_members"])
def test_steps_and_members_must_be_at_least_one(name):
    with pytest.raises(InputError, match=f"{name.replace('_', '-')} must be at least 1; got 0"):
        options(**{name: 0}).check()


@pytest.mark.parametrize(("epochs", "samples", "steps"), [(2.0, 1_280, 20), (0.5, 1_300, 5), (3.0, 100, 3), (0.01, 1_280, 1)])
def test_final_epochs_are_passes_over_whole_batches_of_the_training_images(epochs, samples, steps):
    assert options(final_epochs=epochs).final_steps_for(samples) == steps


def test_without_epochs_the_steps_are_taken_as_they_are():
    assert options(final_steps=7).final_steps_for(1_000) == 7
    assert options().final_steps_for(1_000) is None


@pytest.mark.parametrize(("budget", "steps"), [("30min", 200), ("8min", 120), ("60s", 15), ("1s", 1), ("20", 200)])
def test_a_short_time_budget_makes_the_teachings_of_the_search_shorter(budget, steps):
    assert options(budget=budget).steps_of_search() == steps
    assert options(budget=budget, search_steps=7).steps_of_search() == 7


@pytest.mark.parametrize("epochs", [0.0, -1.0, math.inf, math.nan])
def test_final_epochs_must_be_above_zero(epochs):
    with pytest.raises(InputError, match="final-epochs must be above 0; got"):
        options(final_epochs=epochs).check()


def test_final_steps_and_epochs_together_are_refused():
    with pytest.raises(InputError, match=r"one is enough; got 5 and 2\. Hint: --final-epochs 2"):
        options(final_epochs=2.0, final_steps=5).check()


def test_the_keywords_of_the_python_function_are_the_fields_of_the_options():
    hints = typing.get_type_hints(SearchKeywords)
    fields = {field.name: typing.get_type_hints(SearchOptions)[field.name] for field in dataclasses.fields(SearchOptions)}
    assert hints == fields
    marked = typing.get_type_hints(SearchKeywords, include_extras=True)
    required = {field.name for field in dataclasses.fields(SearchOptions) if field.default is dataclasses.MISSING}
    assert required == {name for name, hint in marked.items() if typing.get_origin(hint) is typing.Required}


def test_starts_and_earlier_studies_are_for_the_policy_that_uses_them():
    options(start=("tau=4,alpha=0.9", "N_m=1"), warm_from="runs/a").check()
    with pytest.raises(InputError, match="several with commas; got 'tau'"):
        options(start=("tau",)).check()
    for changes in ({"start": ("tau=4",)}, {"warm_from": "runs/a"}):
        with pytest.raises(InputError, match="only edge-bo makes use of --start and --warm-from; got --policy random"):
            options(policy="random", **changes).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rungs": 0}, r"rungs must be at least 1; got 0\. Hint: --rungs 3"),
        ({"rungs": 2, "eta": 1}, r"eta must be 2 to 4; got 1\. Hint: --eta 3"),
        ({"rungs": 2, "eta": 5}, "eta must be 2 to 4; got 5"),
        ({"rungs": 6}, r"the lowest of 6 rungs must have a step; 200 steps over 3 to the power of 5 are fewer\. Hint: --search-steps 243"),
    ],
)
def test_rungs_that_cannot_be_climbed_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        options(**changes).check()
    options(rungs=5).check()


@pytest.mark.parametrize("workers", [0, -1, cores() + 1])
def test_workers_must_have_a_core_each(workers):
    hint = min(max(1, workers), cores())
    said = rf"workers must be 1 to {cores()}, a core of this machine for each; got {workers}\. Hint: --workers {hint}"
    with pytest.raises(InputError, match=said):
        options(workers=workers).check()
    options(workers=cores()).check()


def test_tuning_takes_no_negative_number_of_steps():
    with pytest.raises(InputError, match="qat-steps must be at least 0, which tunes nothing; got -1") as caught:
        options(qat_steps=-1).check()
    assert caught.value.hint == "--qat-steps 400"
    options(qat_steps=0).check()
