import itertools
import sys
from pathlib import Path

import pytest

from autokd_edge.core.events import Probe
from autokd_edge.core.pupil import Cost, Failed, Member, Screened
from autokd_edge.core.space import Choice, SearchSpace

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
from table_world import NONE, Entry, Table, TableWorld

SPACE = SearchSpace(parameters=tuple(Choice(name=f"op_{a}", values=tuple("abcdefgh")) for a in range(3)))
POINTS = [SPACE.point(dict(zip(("op_0", "op_1", "op_2"), row, strict=True))) for row in itertools.product("abcdefgh", repeat=3)]
TABLE = Table(
    digest=NONE,
    space=SPACE,
    entries={point: Entry(latency_ns=1_000_000, accuracy=50.0, cost=Cost(parameters=1, macs=1, activation_bytes=1)) for point in POINTS},
)


def outcomes(*, bad: bool, seed: int = 0):
    world = TableWorld(table=TABLE, bound_ns=1_000_000, teachings=1, seed=seed, policy="p", bad_readings=bad)
    world.do(Probe(members=tuple(Member(architecture=point, index=0) for point in POINTS)))
    return [probed.outcome for probed in world.study.probes]


def test_one_reading_in_ten_is_wild_and_flagged_and_one_in_ten_fails():
    found = outcomes(bad=True)
    failed = [outcome for outcome in found if isinstance(outcome, Failed)]
    wild = [o.measurements[0] for o in found if isinstance(o, Screened) and o.measurements[0].flags]
    assert len(failed) / len(found) == pytest.approx(0.1, abs=0.04)
    assert len(wild) / len(found) == pytest.approx(0.1, abs=0.04)
    assert all(reading.flags == ("noisy",) and reading.between_variation > 0.3 for reading in wild)
    assert {round(reading.median_ns / 1e6, 2) for reading in wild} == {0.33, 3.0}
    assert outcomes(bad=True) == found
    assert outcomes(bad=True, seed=1) != found


def test_without_bad_readings_every_one_is_the_tables():
    assert {o.measurements[0].median_ns for o in outcomes(bad=False)} == {1_000_000}
