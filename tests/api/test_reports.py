import os

import pytest
from fakes.study import sample_events, sample_spec

from autokd_edge.api.folder import RunFolder
from autokd_edge.api.reports import latest_run, outcomes_of
from autokd_edge.core.student import Task
from autokd_edge.core.study import fold
from autokd_edge.errors import StoreError
from autokd_edge.store.journal import SQLJournal, sqlite_url


def record(root, name="a", **study):
    journal = SQLJournal(sqlite_url(root / "journal.db"))
    events = sample_events(probes=8, taught=2, **study)
    for event in events:
        journal.append(name, event)
    return events


def test_a_finished_study_is_told_with_its_best_engine(tmp_path):
    events = record(tmp_path)
    RunFolder(tmp_path).write_teacher(sample_spec())
    (outcome,), folder = outcomes_of(tmp_path)
    assert outcome.study == fold(events)
    assert (outcome.name, folder.root, outcome.teacher) == ("a", tmp_path, sample_spec())
    assert outcome.best is not None
    assert outcome.closest == ""


def test_a_study_in_which_nothing_fits_is_told_with_the_closest_candidate(tmp_path):
    record(tmp_path, feasible=False)
    (outcome,), _ = outcomes_of(tmp_path)
    assert outcome.best is None
    assert outcome.closest.startswith("the closest candidate")


def test_the_models_of_a_study_that_chose_from_other_spaces_are_not_asked(tmp_path):
    record(tmp_path)
    RunFolder(tmp_path).write_task(Task(image=(1, 28, 28), classes=10, channel_multiple=8))
    (outcome,), _ = outcomes_of(tmp_path)
    assert outcome.study.config.spaces_digest is None  # as in studies of before
    assert outcome.explanation is None


def test_a_study_that_only_began_is_told(tmp_path):
    journal = SQLJournal(sqlite_url(tmp_path / "journal.db"))
    journal.append("a", sample_events(probes=2, taught=1)[0])
    (outcome,), _ = outcomes_of(tmp_path)
    assert (outcome.best, outcome.closest, outcome.study.reference) == (None, "", None)


def test_a_folder_without_a_journal_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"has no journal\.db\. Hint: autokd-edge report runs/STUDY"):
        outcomes_of(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_several_studies_one_must_be_named(tmp_path):
    record(tmp_path, "a")
    record(tmp_path, "b")
    with pytest.raises(StoreError, match=r"a journal of 2 studies needs a name: a, b\. Hint: --study NAME"):
        outcomes_of(tmp_path)
    assert outcomes_of(tmp_path, study="b")[0][0].name == "b"
    with pytest.raises(StoreError, match="study must be one of a, b; got 'c'"):
        outcomes_of(tmp_path, study="c")


def test_an_empty_journal_is_said_to_have_no_study(tmp_path):
    (tmp_path / "journal.db").touch()
    with pytest.raises(StoreError, match="a journal of 0 studies needs a name: none is there"):
        outcomes_of(tmp_path)


def test_a_journal_elsewhere_is_read_by_its_url(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    record(tmp_path / "elsewhere")
    (outcome,), folder = outcomes_of(tmp_path / "run", store=sqlite_url(tmp_path / "elsewhere" / "journal.db"))
    assert (outcome.name, folder.root) == ("a", tmp_path / "run")


def test_the_latest_run_is_the_one_whose_journal_was_written_last(tmp_path):
    for age, name in enumerate(("a", "c", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.db").touch()
        os.utime(tmp_path / name / "journal.db", (1_000_000 - age, 1_000_000 - age))
    assert latest_run(tmp_path) == tmp_path / "a"


@pytest.mark.parametrize("folder", ["", "none"])
def test_without_any_run_the_report_says_what_it_needs(tmp_path, folder):
    with pytest.raises(StoreError, match=r"a report needs the folder of a run; '.*' has none"):
        latest_run(tmp_path / folder)
