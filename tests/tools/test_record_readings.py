"""The recorder, with a backend that needs no vendor: what it writes is read, and a cut-off call goes on."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from fakes.plugin import install_plugin, write_target

from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.recordings import load_recording

TOOL = Path(__file__).parents[2] / "tools" / "record_readings.py"


@pytest.fixture
def record(tmp_path, monkeypatch):
    install_plugin(tmp_path / "site")
    target = write_target(tmp_path / "fake.toml")
    monkeypatch.syspath_prepend(tmp_path / "site")
    spec = importlib.util.spec_from_file_location("record_readings", TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)

    def run(name, *, count, seed=0):
        argv = ["record_readings.py", "--target", target, "--count", count, "--seed", seed, "--out", tmp_path / name]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        return module.main()

    return run


def test_what_was_cut_off_goes_on_to_the_same_recording(record, tmp_path):
    assert record("whole.json", count=3) == 0
    target = load_target(str(tmp_path / "fake.toml"))[0]
    whole = load_recording(target, str(tmp_path / "whole.json"))
    assert len(whole.networks) == 3
    assert {str(one.variant) for one in whole.variants} == {"fake/fp32", "fake/int8"}
    assert all(network.counts["dense nodes"] >= 1 and len(network.readings) == 2 for network in whole.networks)

    lines = (tmp_path / "cut.json").with_suffix(".part")
    record("cut.json", count=1)
    head = {"target": "fake-host", "processor": whole.fingerprint.processor, "seed": 0}
    (tmp_path / "cut.json").unlink()
    lines.write_text(json.dumps(head) + '\n{"number": 0, "net')
    assert record("cut.json", count=3) == 0
    assert load_recording(target, str(tmp_path / "cut.json")).networks == whole.networks
    assert not lines.exists()


def test_another_seed_does_not_go_on_with_what_is_there(record, tmp_path, capsys):
    begun = tmp_path / "other.part"
    begun.write_text(json.dumps({"target": "fake-host", "processor": "another", "seed": 1}) + "\n")
    assert record("other.json", count=3) == 2
    assert "must be of the same target, processor and seed" in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()
