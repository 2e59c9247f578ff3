"""Searches and profiles without a board: predicted from a recording, said so everywhere, and refused where it cannot be."""

import json

import pytest
from fakes.command import held_by, run_here
from fakes.graphs import write_graph
from fakes.plugin import install_plugin, write_target
from fakes.recording import sample_recording

from autokd_edge.api.folder import RunFolder
from autokd_edge.bundle.checker import read_bundle
from autokd_edge.core.events import Opened, Probed
from autokd_edge.core.pupil import Screened
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.devices.recordings import digest_of_recording, recording_bytes
from autokd_edge.store.journal import SQLJournal

pytestmark = pytest.mark.slow
SEARCH = (
    "search",
    "--data",
    "digits",
    "--teacher",
    "example:digits",
    "--target",
    "fake.toml",
    "--max-latency",
    "50x",
    "--family",
    "mbconv",
)
SEARCH = (*SEARCH, "--policy", "random", "--budget", "1", "--search-steps", "4", "--final-steps", "8", "--final-members", "1")
SEARCH = (*SEARCH, "--study", "mine", "--out", "run")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicting")
    install_plugin(folder / "site")
    write_target(folder / "fake.toml")
    recording = sample_recording(load_target(str(folder / "fake.toml"))[0], read_fingerprint())
    (folder / "recorded.json").write_bytes(recording_bytes(recording))
    write_graph(folder / "model.onnx")
    return folder, recording


def run(folder, *argv):
    return run_here(*argv, folder=folder, path=folder / "site")


def test_a_search_without_a_board_predicts_and_its_bundle_says_so(here):
    folder, recording = here
    done = run(folder, *SEARCH, "--predict", "recorded.json")
    assert done.status == 0, done
    assert "predicted from 40 recorded networks: latency" in done.out
    assert "measured" not in done.out
    assert "build and measure it: sh run/bundle/build_and_measure.sh" in done.out
    events = list(SQLJournal(RunFolder(folder / "run").journal_url).read("mine"))
    assert isinstance(events[0], Opened)
    assert events[0].config.goals[0].device == f"recording {digest_of_recording(recording)}"
    readings = [m for e in events if isinstance(e, Probed) and isinstance(e.outcome, Screened) for m in e.outcome.measurements]
    assert {reading.origin for reading in readings} == {"predicted"}
    card = read_bundle(folder / "run" / "bundle").card
    assert card.predicted
    assert {accuracy.computed_by for accuracy in card.accuracies} == {"onnxruntime on this machine, of the graph"}
    page = (folder / "run" / "report.html").read_text()
    assert "predicted from 40 recorded networks: latency" in page
    assert "Nothing here ran on the device" in page
    refused = run(folder, "run", "run/bundle")
    assert refused.status == 2
    assert "was never built: its readings are predicted" in refused.last


def test_a_study_of_predictions_does_not_go_on_with_measurements(here):
    folder, _ = here
    run(folder, *SEARCH, "--predict", "recorded.json")
    refused = run(folder, *SEARCH)
    assert refused.status == 2
    assert "device was recording " in refused.last


def test_a_profile_says_that_it_is_predicted_and_how_well(here):
    folder, _ = here
    document = json.loads(run(folder, "profile", "model.onnx", "--target", "fake.toml", "--predict", "recorded.json", "--json").out)
    first = document["variants"][0]
    assert first["outcome"] == "predicted"
    assert first["reading"]["prediction"]["networks"] == 40
    assert first["reading"]["flags"] == ["extrapolated"]  # 12x12 pixels, 28x28 were recorded


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--predict", "recorded"), "nothing was recorded on a device of target 'fake-host', so that no reading can be predicted"),
        (("--predict", "none.json"), "recorded readings 'none.json' cannot be read"),
        (("--predict", "fake.toml"), "must be a file that tools/record_readings.py wrote"),
        (("--predict", "recorded.json", "--device", "ssh://pi@board"), "measured or predicted; "),
    ],
)
@pytest.mark.parametrize("command", [SEARCH, ("profile", "model.onnx", "--target", "fake.toml")])
def test_what_cannot_be_predicted_is_refused_and_nothing_is_written(here, command, argv, said):
    folder, _ = here
    before = held_by(folder)
    refused = run(folder, *command, *argv)
    assert (refused.status, refused.out) == (2, "")
    assert said in refused.last
    assert held_by(folder) == before


def test_a_board_that_is_not_here_names_both_ways_on(tmp_path):
    write_graph(tmp_path / "model.onnx")
    refused = run_here("profile", "model.onnx", "--target", "jetson-nano", folder=tmp_path)
    assert refused.status == 2
    assert "Hint: --device ssh://user@host measures on such a board, --predict recorded" in refused.last
