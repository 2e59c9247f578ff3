import json

import pytest
from fakes.backend import FAKE_FINGERPRINT, FAKE_TARGET
from fakes.recording import sample_recording

from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.recordings import SHIPPED, load_recording, recording_bytes
from autokd_edge.errors import InputError, TargetError

RECORDING = sample_recording(FAKE_TARGET, FAKE_FINGERPRINT, networks=2)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fake.json"
    path.write_bytes(recording_bytes(RECORDING))
    return path


def test_what_was_written_is_read(file):
    assert load_recording(FAKE_TARGET, str(file)) == RECORDING


def changed(file, edit):
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def test_a_changed_reading_is_refused(file):
    changed(file, lambda d: d["recording"]["networks"][0]["readings"][0].update(median_ns=1))
    with pytest.raises(InputError, match="must be as they were written; their sha256 is another one"):
        load_recording(FAKE_TARGET, str(file))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sha256": "x"}', "no json"])
def test_what_is_no_recording_is_refused_in_one_line(file, text):
    file.write_text(text)
    with pytest.raises(InputError, match=r"must be a file that tools/record_readings\.py wrote; it is none") as refused:
        load_recording(FAKE_TARGET, str(file))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_recording(FAKE_TARGET, str(tmp_path / "none.json"))


def test_readings_of_another_target_are_refused_and_the_ways_on_are_named(file):
    nano = load_target("jetson-nano")[0]
    with pytest.raises(
        TargetError,
        match=r"must be of the target, 'jetson-nano' with threads = 1; '.*' is of 'fake-board' with 1\. Hint: --device ssh://user@host",
    ):
        load_recording(nano, str(file))


def test_a_target_on_which_nothing_was_recorded_names_both_ways_on():
    nano = load_target("jetson-nano")[0]
    with pytest.raises(TargetError) as refused:
        load_recording(nano, SHIPPED)
    said = str(refused.value)
    assert said.startswith("nothing was recorded on a device of target 'jetson-nano', so that no reading can be predicted. Hint: ")
    assert "--device ssh://user@host" in said
    assert "tools/record_readings.py --target jetson-nano" in said
    assert "--predict FILE" in said
