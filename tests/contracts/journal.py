"""What every journal must do; a test class of an adapter inherits this and says how to open one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from fakes.study import sample_config, sample_events, sample_referenced

from autokd_edge.core.events import Opened
from autokd_edge.core.study import fold
from autokd_edge.ports import Journal

EVENTS = sample_events(probes=9, taught=3)


class JournalContract(ABC):
    """Subclass it as ``Test...`` and give ``open``: a journal on the same storage at each call of one test."""

    @abstractmethod
    def open(self) -> Journal:
        """Open a journal; called again it sees what the first one wrote."""

    def test_an_unknown_study_has_no_events(self) -> None:
        assert list(self.open().read("nothing")) == []

    def test_events_come_back_equal_and_in_order(self) -> None:
        journal = self.open()
        for event in EVENTS:
            journal.append("a", event)
        assert tuple(journal.read("a")) == EVENTS

    def test_events_are_there_for_another_reader(self) -> None:
        writer = self.open()
        for count, event in enumerate(EVENTS[:3], start=1):
            writer.append("a", event)
            assert tuple(self.open().read("a")) == EVENTS[:count]

    def test_a_study_goes_on_where_another_writer_stopped(self) -> None:
        for event in EVENTS:
            journal = self.open()
            list(journal.read("a"))
            journal.append("a", event)
        assert fold(self.open().read("a")) == fold(EVENTS)

    def test_studies_do_not_see_each_other(self) -> None:
        journal = self.open()
        journal.append("a", Opened(config=sample_config(seed=1), at_s=0.0))
        journal.append("b", Opened(config=sample_config(seed=2), at_s=0.0))
        journal.append("a", sample_referenced())
        assert [type(e).__name__ for e in journal.read("a")] == ["Opened", "Referenced"]
        assert list(journal.read("b")) == [Opened(config=sample_config(seed=2), at_s=0.0)]

    def test_names_of_any_characters_are_kept_apart(self) -> None:
        journal = self.open()
        names = ("a'; drop table", "a b", "ä", "A", "a")
        for seed, name in enumerate(names):
            journal.append(name, Opened(config=sample_config(seed=seed), at_s=0.0))
        for seed, name in enumerate(names):
            assert [e.config.seed for e in journal.read(name) if isinstance(e, Opened)] == [seed]
