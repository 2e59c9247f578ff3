import pytest
from fakes.study import sample_events

from autokd_edge.api.knowledge import recalled_from, spaces_digest, split_start, start_of
from autokd_edge.core.events import Opened, Taught
from autokd_edge.core.pupil import Lesson
from autokd_edge.core.space import Choice, Integer, Ordinal, Real, SearchSpace, When
from autokd_edge.errors import InputError, StoreError
from autokd_edge.store.journal import SQLJournal, sqlite_url

FIRST = SearchSpace(
    parameters=(
        Integer(name="N_m", low=1, high=10),
        Real(name="P_m", low=0.1, high=0.9, when=When(parameter="N_m", above=1)),
        Choice(name="op", values=("conv3x3", "separable")),
        Ordinal(name="width", values=(8, 16)),
    )
)
SECOND = SearchSpace(parameters=(Real(name="tau", low=1.0, high=20.0, log=True),))
SPACES = (FIRST, SECOND)


def test_a_start_is_read_in_the_order_of_the_spaces():
    assert start_of("tau=4, N_m=2,op=separable,width=16", SPACES).values == (("N_m", 2), ("op", "separable"), ("width", 16), ("tau", 4.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tau", r"a start must be name=value, several with commas; got 'tau'"),
        ("tau=1,tau=2", r"a parameter once; got 'tau' twice"),
        ("tua=4", r"among N_m, P_m, op, width, tau; got 'tua'\. Hint: --start tau=VALUE"),
        ("tau=99", r"tau must be 1 to 20; got '99'\. Hint: --start tau=4\.472"),
        ("N_m=2.5", r"N_m must be a whole number 1 to 10; got '2\.5'"),
        ("op=conv", r"op must be one of conv3x3, separable; got 'conv'"),
        ("width=12", r"width must be one of 8, 16; got '12'"),
        ("N_m=1,P_m=0.5", r"'P_m' has no effect with N_m=1"),
        ("tau=nan", r"tau must be 1 to 20; got 'nan'"),
    ],
)
def test_a_start_that_is_not_in_the_spaces_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        start_of(text, SPACES)


def test_the_text_alone_is_checked_without_spaces():
    assert split_start("a=1,b=x") == {"a": "1", "b": "x"}


def spaces_of(events):
    """Return spaces that hold every point of a study."""

    def space(points):
        values = {name: sorted({dict(p)[name] for p in points if name in p}, key=str) for p in points for name, _ in p}
        return SearchSpace(parameters=tuple(Choice(name=name, values=tuple(found)) for name, found in values.items()))

    taught = [event.pupil for event in events if isinstance(event, Taught)]
    return space([pupil.member.architecture for pupil in taught]), space([pupil.distillation for pupil in taught])


def test_spaces_are_known_again_until_one_choice_of_theirs_is_another():
    wider = SearchSpace(parameters=(*FIRST.parameters, Choice(name="block", values=("inverted", "fused"))))
    assert spaces_digest(SPACES) == spaces_digest((SearchSpace(parameters=FIRST.parameters), SECOND))
    assert len({spaces_digest(spaces) for spaces in (SPACES, (wider, SECOND), (SECOND, FIRST))}) == 3


def record(root, taught=7):
    journal, events = SQLJournal(sqlite_url(root / "journal.db")), sample_events(probes=12, taught=taught)
    for event in events:
        journal.append("a", event)
    return events


def test_the_lessons_of_an_earlier_run_are_recalled_in_their_order(tmp_path):
    events = record(tmp_path)
    opened = next(event for event in events if isinstance(event, Opened))
    found = recalled_from(tmp_path, family=opened.config.family, loss="kd", spaces=spaces_of(events))
    lessons = [event for event in events if isinstance(event, Taught) and not event.final and isinstance(event.outcome, Lesson)]
    assert [(one.pupil, one.accuracy) for one in found] == [(event.pupil, event.outcome.accuracy) for event in lessons]


def test_an_earlier_study_of_other_spaces_or_without_lessons_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"has no journal\.db"):
        recalled_from(tmp_path, family="nago", loss="kd", spaces=SPACES)
    events = record(tmp_path)
    family = next(event for event in events if isinstance(event, Opened)).config.family
    with pytest.raises(InputError, match="the same family and loss, mbconv and kd"):
        recalled_from(tmp_path, family="mbconv", loss="kd", spaces=SPACES)
    with pytest.raises(InputError, match=r"must have 5 lessons within this space; .* has 0"):
        recalled_from(tmp_path, family=family, loss="kd", spaces=SPACES)
