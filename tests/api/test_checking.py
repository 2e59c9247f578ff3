"""The check of limits on real digits with the fake backend."""

import json

import pytest
from fakes.command import run_here

pytestmark = pytest.mark.slow
ASKED = ["check", "--data", "digits", "--teacher", "example:digits", "--target", "fake.toml", "--probes", "10", "--json"]


def test_the_share_that_fits_is_said_and_nothing_is_left_behind(here):
    finished = run_here(*ASKED, "--max-latency", "5x", folder=here, path=here / "site")
    assert finished.status == 0, finished.err
    document = json.loads(finished.out)
    assert document["probed"] == 10
    assert document["measured"] + sum(document["refused"].values()) == 10
    assert document["fitting"].endswith("%)")
    assert "parameters" in document["fastest"]
    assert {path.name for path in here.iterdir()} == {"fake.toml", "site"}


def test_limits_that_nothing_keeps_end_with_a_status_of_their_own_and_the_closest_candidate(here):
    finished = run_here(*ASKED, "--max-latency", "0.0001x", folder=here, path=here / "site")
    assert finished.status == 3
    document = json.loads(finished.out)
    assert document["fitting"].startswith("0 of")
    assert "latency" in document["closest"]


def test_of_two_targets_each_has_its_shares(here):
    (here / "second.toml").write_text((here / "fake.toml").read_text().replace('name = "fake-host"', 'name = "second-host"'))
    asked = ("--target", "second.toml", "--max-latency", "fake-host=5x", "--max-latency", "second-host=0.0001x", "--probes", "4")
    finished = run_here(*ASKED[:-3], "--json", *asked, folder=here, path=here / "site")
    (here / "second.toml").unlink()
    assert finished.status == 3  # one of them has nothing that fits
    document = json.loads(finished.out)
    assert [document[name]["probed"] for name in ("fake-host", "second-host")] == [4, 4]
    assert "closest" in document["second-host"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "a check needs a limit of the device; got none"),
        (("--max-latency", "3parsec"), "latency limit must be"),
        (("--max-latency", "3ms", "--probes", "0"), "candidates to probe must be 1 to 10000; got 0"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_asked(words, said, here):
    finished = run_here(*ASKED, *words, folder=here, path=here / "site")
    assert finished.status == 2
    assert said in finished.err
    assert {path.name for path in here.iterdir()} == {"fake.toml", "site"}
