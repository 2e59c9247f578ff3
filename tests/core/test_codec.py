import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, cast

import pytest
from fakes.study import FP32, sample_config, sample_events, sample_measurement, sample_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.events import Action, Begun, Confirm, Event, GradeEngine, Probe, Stop, StudyConfig, Teach, Wait
from autokd_edge.core.limits import Budget, LatencyLimit, Limits, MemoryLimit, Slack
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.space import Choice, Integer, Point, Real, SearchSpace, When
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.target import Target, Variant

EVENT = cast("type[Event]", Event)
ACTION = cast("type[Action]", Action)
EVENTS = sample_events(probes=20, taught=6)
PUPIL = EVENTS[-1].pupil  # type: ignore[union-attr]  # the last event is Shipped


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A type with what the journal does not use, so that the codec is tested on its own."""

    colour: Colour
    pair: tuple[int, str]
    table: dict[str, float]
    mode: Literal["a", "b"]
    either: int | float | str
    maybe: Variant | None = None
    positive: int = 1

    def __post_init__(self) -> None:
        if self.positive < 1:
            raise ValueError(f"positive must be at least 1; got {self.positive}")


ODD = Odd(colour=Colour.RED, pair=(1, "x"), table={"t": 0.5}, mode="b", either=2.0)
VALUES: list[tuple[object, type]] = [
    (ODD, Odd),
    (Artifact(kind="engine", key=digest_of_bytes(b"k"), digest=digest_of_bytes(b"d"), size_bytes=3), Artifact),
    (sample_config(), StudyConfig),
    (sample_measurement(150_000.0), Measurement),
    (sample_spec(), StudentSpec),
    (Limits(latency=LatencyLimit(percent=99.0, bound_ns=5, times_teacher=None), memory=None, max_drop=None), Limits),
    (MemoryLimit(bound_bytes=None, times_teacher=0.5), MemoryLimit),
    (Slack(limit="memory", reading=1.0, bound=2.0), Slack),
    (Budget(seconds=None, teachings=3), Budget),
    (
        SearchSpace(
            parameters=(
                Integer(name="n", low=1, high=4, log=True),
                Real(name="p", low=0.1, high=0.9, when=When(parameter="n", above=1.0)),
                Choice(name="op", values=("a", 2, 0.5)),
            )
        ),
        SearchSpace,
    ),
    (
        Protocol(
            name="screen",
            warmup_runs=5,
            warmup_s=1.0,
            warmup_tolerance=0.02,
            blocks=3,
            block_runs=50,
            block_s=0.0,
            block_samples=5_000,
            cooldown_s=0.0,
            sentinel_runs=20,
            sentinel_drift=0.03,
            retries=1,
            timeout_s=60.0,
        ),
        Protocol,
    ),
    (
        Target(
            name="n100",
            family="x86",
            description="a board",
            architecture="x86_64",
            probe=False,
            isa_flags=("avx2",),
            cores=4,
            memory_bytes=10**9,
            threads=1,
            variants=(FP32,),
            int8_saturates=False,
            opset_max=21,
            static_shapes_only=False,
            channel_multiple=8,
            sources={},
        ),
        Target,
    ),
    *[(action, ACTION) for action in (Probe(members=(PUPIL.member,)), Teach(pupil=PUPIL, steps=3, final=True), Stop(reason="done"))],
    (Begun(pupil=PUPIL, steps=3, final=False, at_s=1.5), EVENT),
    (Wait(), ACTION),
    *[(action, ACTION) for action in (Confirm(member=PUPIL.member, variant=FP32), GradeEngine(pupil=PUPIL, variant=FP32))],
    *[(event, EVENT) for event in EVENTS],
]


@pytest.mark.parametrize(("value", "as_type"), VALUES, ids=lambda v: type(v).__name__ if dataclasses.is_dataclass(v) else "")
def test_every_value_comes_back_equal_through_json_text(value: object, as_type: type) -> None:
    text = json.dumps(encode(value, as_type), allow_nan=False)
    assert decode(as_type, json.loads(text)) == value


def test_the_sample_events_hold_every_kind() -> None:
    assert {type(event).__name__ for event in EVENTS} == {"Opened", "Referenced", "Probed", "Taught", "Graded", "Shipped"}


@given(st.lists(st.tuples(st.text(min_size=1), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()), max_size=5))
@settings(deadline=None)  # a busy machine is no defect
def test_points_of_any_values_come_back_with_their_types(values: list[tuple[str, int | float | str]]) -> None:
    point = Point(values=tuple(values))
    back = decode(Point, json.loads(json.dumps(encode(point))))
    assert back == point
    assert [type(v) for _, v in back] == [type(v) for _, v in point]


def document(**changes: object) -> dict[str, object]:
    return {**cast("dict[str, object]", encode(ODD)), **changes}


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        (document(extra=1), "field 'extra': is not known"),
        ({k: v for k, v in document().items() if k != "pair"}, "field 'pair': is missing"),
        (document(pair=[1]), "field 'pair': must have 2 items; got 1"),
        (document(pair="1x"), "field 'pair': must be a list"),
        (document(pair=[True, "x"]), "field 'pair[0]': must be int; got True"),
        (document(table={"t": "fast"}), "field 'table.t': must be float; got 'fast'"),
        (document(table=[]), "field 'table': must be a table"),
        (document(colour="blue"), "field 'colour': must be one of red; got 'blue'"),
        (document(mode="c"), "field 'mode': must be one of a, b; got 'c'"),
        (document(either=None), "field 'either': must be one of int, float, str; got None"),
        (document(maybe=3), "field 'maybe': must be a table; got 3"),
        (document(maybe={"backend": "x"}), "field 'maybe.precision': is missing"),
        (document(positive=0), "positive must be at least 1; got 0"),
        ([], "must be a table; got []"),
    ],
)
def test_a_document_of_another_shape_is_refused_with_the_path_of_the_field(doc: object, said: str) -> None:
    with pytest.raises(CodecError) as raised:
        decode(Odd, doc)
    assert said in str(raised.value)


def test_a_whole_number_is_read_where_a_real_one_is_asked_for() -> None:
    assert decode(Odd, document(table={"t": 2})).table == {"t": 2.0}


@pytest.mark.parametrize("block", [[1, 2.0], [1, True], [1, "2"], [1, None]])
def test_a_sample_that_is_no_whole_number_is_named(block: list[object]) -> None:
    doc = {**cast("dict[str, object]", encode(sample_measurement(1000.0))), "blocks_ns": [[5], block]}
    with pytest.raises(CodecError, match=r"field 'blocks_ns\[1\]\[1\]': must be int; got"):
        decode(Measurement, doc)


def test_an_unknown_kind_of_event_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CodecError, match=r"'kind': must be one of Opened, Referenced, .*; got 'Renamed'"):
        decode(EVENT, {"kind": "Renamed"})


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(CodecError) as raised:
        decode(Odd, document(mode="x" * 500))
    assert len(str(raised.value)) < 150
