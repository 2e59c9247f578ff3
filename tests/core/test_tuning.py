"""What came of tuning."""

import pytest

from autokd_edge.core.codec import decode, encode
from autokd_edge.core.tuning import Tuning

PLAIN = {"most": 8, "workloads": 3, "known": 1, "candidates": 16, "failed": {"crashed": 2}, "changed": 2, "seconds": 4.5}


@pytest.mark.parametrize(
    ("untuned_ns", "tuned_ns", "dropped", "kept"),
    [(10.0, 9.0, "", True), (10.0, 10.0, "", False), (10.0, 9.0, "a limit", False), (None, None, "", False)],
)
def test_the_tuned_engine_is_kept_where_it_is_faster_and_nothing_is_against_it(untuned_ns, tuned_ns, dropped, kept):
    tuning = Tuning(**PLAIN, untuned_ns=untuned_ns, tuned_ns=tuned_ns, dropped=dropped)
    assert tuning.kept == kept
    assert decode(Tuning, encode(tuning)) == tuning


@pytest.mark.parametrize(("changes", "law"), [({"most": 0}, "at least 1; got 0"), ({"tuned_ns": None}, "both engines must be timed")])
def test_what_cannot_be_is_refused(changes, law):
    with pytest.raises(ValueError, match=law):
        Tuning(**{**PLAIN, "untuned_ns": 1.0, "tuned_ns": 1.0, **changes})
