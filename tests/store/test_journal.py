import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from contracts.journal import EVENTS, JournalContract
from fakes.small_disk import make_read_only, small_disk

from autokd_edge.core.codec import decode, encode
from autokd_edge.core.events import Begun, Confirmed, Event, Graded, Opened, Probed, PutAside
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Failed, Grade, Screened
from autokd_edge.errors import StoreError
from autokd_edge.store.formats import todays
from autokd_edge.store.journal import SCHEMA_VERSION, SQLJournal, sqlite_url

OLD_FORMATS = Path(__file__).parent / "assets"
FORMATS = sorted(int(path.stem.removeprefix("events-")) for path in OLD_FORMATS.glob("events-[0-9].json"))
LATEST_FORMAT = FORMATS[-1]


class TestSQLiteJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = sqlite_url(tmp_path / "folder" / "journal.sqlite")

    def open(self) -> SQLJournal:
        return SQLJournal(self.url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a journal with the study "a" of all sample events and return its file."""
    path = tmp_path / "journal.sqlite"
    journal = SQLJournal(sqlite_url(path))
    for event in EVENTS:
        journal.append("a", event)
    return path


def edit(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement)
    connection.close()


def test_opening_and_reading_create_nothing(tmp_path: Path) -> None:
    journal = SQLJournal(sqlite_url(tmp_path / "folder" / "journal.sqlite"))
    assert list(journal.read("a")) == []
    assert journal.studies() == ()
    assert list(tmp_path.iterdir()) == []


def test_studies_are_listed_by_name(file: Path) -> None:
    journal = SQLJournal(sqlite_url(file))
    journal.append("0", EVENTS[0])
    assert journal.studies() == ("0", "a")


def test_the_second_of_two_writers_is_refused_and_may_go_on_after_reading(file: Path) -> None:
    first, second = SQLJournal(sqlite_url(file)), SQLJournal(sqlite_url(file))
    assert len(list(first.read("a"))) == len(list(second.read("a"))) == len(EVENTS)
    first.append("a", EVENTS[1])
    with pytest.raises(StoreError, match=rf"one writer; another process wrote event {len(EVENTS)} of 'a'"):
        second.append("a", EVENTS[2])
    assert list(second.read("a"))[-1] == EVENTS[1]
    second.append("a", EVENTS[2])
    assert tuple(first.read("a")) == (*EVENTS, EVENTS[1], EVENTS[2])


def test_two_processes_that_begin_one_study_cannot_both_open_it(tmp_path: Path) -> None:
    first, second = (SQLJournal(sqlite_url(tmp_path / "journal.sqlite")) for _ in range(2))
    assert list(first.read("a")) == list(second.read("a")) == []
    first.append("a", EVENTS[0])
    with pytest.raises(StoreError, match="another process wrote event 0"):
        second.append("a", EVENTS[0])


def test_a_study_longer_than_a_page_comes_back_whole(tmp_path: Path) -> None:
    journal = SQLJournal(sqlite_url(tmp_path / "journal.sqlite"))
    journal.append("a", EVENTS[0])
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 520)"
    rows = "SELECT study, i, kind, body, digest, written_at FROM autokd_event, n"
    edit(tmp_path / "journal.sqlite", f"INSERT INTO autokd_event {numbers} {rows}")
    assert sum(1 for _ in journal.read("a")) == 521


APPENDING = """
    import itertools, sys
    from fakes.study import sample_referenced
    from autokd_edge.store.journal import SQLJournal

    journal = SQLJournal(sys.argv[1])
    for count in itertools.count(1):
        journal.append("a", sample_referenced(at_s=float(count)))
        print(count, flush=True)
"""


@pytest.mark.slow
def test_what_append_returned_for_survives_kill_9(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "journal.sqlite")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    argv = [sys.executable, "-c", textwrap.dedent(APPENDING), url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "12\n":
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        returned = 12 + len(process.stdout.readlines())
    events = list(SQLJournal(url).read("a"))
    assert len(events) in {returned, returned + 1}  # one may be on the disk before its append returned
    assert [event.at_s for event in events] == [float(n) for n in range(1, len(events) + 1)]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "store must be a URL; got ''"),
        ("runs/journal.sqlite", "store must be a URL; got 'runs/journal.sqlite'"),
        ("mysql://somebody:secret@host/db", r"must begin with sqlite:/// or postgresql://; got 'mysql://somebody:\*\*\*@host/db'"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_a_url_that_is_no_journal_is_refused(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as raised:
        SQLJournal(url)
    assert "--store sqlite:///" in raised.value.hint


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"must be a file; '.*' is a folder"):
        SQLJournal(sqlite_url(tmp_path))


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_text("not a database, but a text that is long enough to have a header" * 20)
    with pytest.raises(StoreError, match="is not an SQLite database"):
        SQLJournal(sqlite_url(path))


@pytest.mark.parametrize("statement", ["UPDATE autokd_schema SET version = version + 1", "DELETE FROM autokd_schema"])
def test_another_schema_version_is_refused_with_both_versions(file: Path, statement: str) -> None:
    edit(file, statement)
    with pytest.raises(StoreError, match=rf"journal.sqlite': schema version of a journal must be {SCHEMA_VERSION}; got (2|none)"):
        SQLJournal(sqlite_url(file))


def test_events_without_a_schema_version_are_refused(file: Path) -> None:
    edit(file, "DROP TABLE autokd_schema")
    with pytest.raises(StoreError, match="must say its schema version"):
        SQLJournal(sqlite_url(file))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE autokd_event SET body = replace(body, '0.25', '0.50') WHERE sequence = 0", "event 0 of 'a' in .* is damaged"),
        ("DELETE FROM autokd_event WHERE sequence = 4", "event 4 of 'a' in .* is missing"),
    ],
)
def test_a_changed_or_missing_event_is_named(file: Path, statement: str, said: str) -> None:
    edit(file, statement)
    with pytest.raises(StoreError, match=said):
        list(SQLJournal(sqlite_url(file)).read("a"))


def test_an_event_of_a_shape_that_is_not_known_is_named_with_its_field(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.create_function("sha256", 1, lambda text: __import__("hashlib").sha256(text.encode()).hexdigest())
    with connection:
        connection.execute("UPDATE autokd_event SET body = replace(body, '\"seed\"', '\"sead\"') WHERE sequence = 0")
        connection.execute("UPDATE autokd_event SET digest = sha256(body) WHERE sequence = 0")
    connection.close()
    with pytest.raises(StoreError, match=r"event 0 of 'a' in .* breaks the schema: field 'config.sead': is not known"):
        list(SQLJournal(sqlite_url(file)).read("a"))


def test_a_file_cut_in_the_middle_is_damaged(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2 // 4096 * 4096])
    with pytest.raises(StoreError, match="is damaged"):
        list(SQLJournal(sqlite_url(file)).read("a"))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = SQLJournal(sqlite_url(tmp_path / "file" / "folder" / "journal.sqlite"))
    with pytest.raises(StoreError, match="cannot be made"):
        journal.append("a", EVENTS[0])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", kibibytes=256) as folder:
        yield folder


def append_until_refused(journal: SQLJournal) -> tuple[int, StoreError]:
    """Return how many events were written and what refused the next one."""
    for written in range(1000):
        try:
            journal.append("a", EVENTS[1])
        except StoreError as error:
            return written, error
    raise AssertionError("the disk never became full")


def test_a_full_disk_is_one_sentence_and_keeps_every_written_event(disk: Path) -> None:
    journal = SQLJournal(sqlite_url(disk / "journal.sqlite"))
    written, error = append_until_refused(journal)
    assert "on a disk that is full. Hint: free some space; the same command then goes on from the last event" in str(error)
    assert written > 3
    assert list(journal.read("a")) == [EVENTS[1]] * written


def test_a_journal_on_a_read_only_disk_is_read_and_not_written(disk: Path) -> None:
    SQLJournal(sqlite_url(disk / "journal.sqlite")).append("a", EVENTS[0])
    make_read_only(disk)
    journal = SQLJournal(sqlite_url(disk / "journal.sqlite"))
    assert list(journal.read("a")) == [EVENTS[0]]
    with pytest.raises(StoreError, match="file or its folder is read-only"):
        journal.append("a", EVENTS[1])


def kept_events(number: int) -> list[Event]:
    documents = json.loads((OLD_FORMATS / f"events-{number}.json").read_text())
    return [decode(cast("type[Event]", Event), todays(document)) for document in documents]


@pytest.mark.parametrize("number", FORMATS)
def test_every_event_ever_written_is_still_read_and_says_the_same(number: int) -> None:
    events = kept_events(number)
    assert {type(event).__name__ for event in events} == {"Opened", "Referenced", "Probed", "Taught", "Graded", "Shipped"}
    assert events == kept_events(LATEST_FORMAT)


def test_what_is_written_today_says_all_that_the_latest_kept_format_says() -> None:
    documents = json.loads((OLD_FORMATS / f"events-{LATEST_FORMAT}.json").read_text())
    written = [encode(event, Event) for event in kept_events(LATEST_FORMAT)]
    assert all(holds(new, old) for new, old in zip(written, documents, strict=True))
    assert [decode(cast("type[Event]", Event), document) for document in written] == kept_events(LATEST_FORMAT)


def holds(new: object, old: object) -> bool:
    """Say whether a document has every field of another with its value; it may have more of them, which have defaults."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and holds(new[name], value) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(holds, new, old))
    return old == new


def test_a_board_put_aside_and_a_reading_with_an_address_are_read_as_they_were_written() -> None:
    documents = json.loads((OLD_FORMATS / "events-of-a-pool.json").read_text())
    probed, gone = (decode(cast("type[Event]", Event), todays(document)) for document in documents)
    assert isinstance(gone, PutAside)
    assert (gone.device, gone.reason[:12]) == ("ssh://pi@board-2", "its sentinel")
    assert isinstance(probed, Probed)
    assert isinstance(probed.outcome, Screened)
    assert probed.outcome.measurements[0].device == "ssh://pi@board-1"


def test_an_engine_whose_graph_was_tuned_is_read_as_it_was_written() -> None:
    documents = json.loads((OLD_FORMATS / "events-of-a-tuned-engine.json").read_text())
    opened, graded = (decode(cast("type[Event]", Event), todays(document)) for document in documents)
    assert isinstance(opened, Opened)
    assert opened.config.qat_steps == 400
    assert isinstance(graded, Graded)
    assert isinstance(graded.outcome, Grade)
    found = graded.outcome.quantized
    assert found is not None
    assert found.tuning is not None
    assert (found.tuning.steps, found.tuning.loss, found.tuning.distillation) == (400, "kd", graded.pupil.distillation)
    assert (found.untuned_accuracy, found.tried[1].tuned) == (90.1, True)


def test_what_accuracy_is_traded_for_in_a_front_is_read_as_it_was_written() -> None:
    (document,) = json.loads((OLD_FORMATS / "events-of-a-front.json").read_text())
    opened = decode(cast("type[Event]", Event), todays(document))
    assert isinstance(opened, Opened)
    assert [goal.pareto for goal in opened.config.goals] == [("latency", "memory")]
    assert holds(encode(opened, Event), document)


def test_a_finalist_read_before_it_is_taught_is_read_as_it_was_written() -> None:
    documents = json.loads((OLD_FORMATS / "events-of-finalists.json").read_text())
    kept, failed = (decode(cast("type[Event]", Event), todays(document)) for document in documents)
    assert isinstance(kept, Confirmed)
    assert isinstance(failed, Confirmed)
    assert isinstance(kept.outcome, Measurement)
    assert (kept.outcome.protocol, kept.variant.precision, kept.goal) == ("final", "fp32", 0)
    assert failed.outcome == Failed(stage="measure", error="MeasureError", message="the device does not answer", retryable=True)
    assert holds([encode(event, Event) for event in (kept, failed)], documents)


def test_a_teaching_that_was_begun_beside_others_is_read_as_it_was_written() -> None:
    documents = json.loads((OLD_FORMATS / "events-of-workers.json").read_text())
    opened, begun = (decode(cast("type[Event]", Event), todays(document)) for document in documents)
    assert isinstance(opened, Opened)
    assert isinstance(begun, Begun)
    assert opened.config.workers == 4
    assert (begun.steps, begun.of_steps, begun.final, begun.at_s) == (100, 300, False, 31.5)
    assert all(map(holds, [encode(event, Event) for event in (opened, begun)], documents))


def test_the_first_format_is_among_the_kept_ones() -> None:
    assert FORMATS[0] == 1
