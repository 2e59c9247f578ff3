"""A doctor on this machine and on one behind a real sshd."""

import json
import os
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from fakes.command import run_here
from fakes.jetson import cudart, install_binding, install_trtexec
from fakes.sshd import LoopbackBoard

from autokd_edge.api.doctor import examine_device

pytestmark = pytest.mark.slow


def write_wheel(folder, name, release):
    """Write a package that leads to the one of these tests, as an index would give it."""
    info = f"{name}-{release}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{release}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}-of-these-tests.pth", sysconfig.get_path("purelib"))
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A board without a runtime, whose package index is a folder; its python3 is this one, without what is installed."""
    folder = tmp_path_factory.mktemp("doctor")
    wheels, tools = folder / "wheels", folder / "bin"
    wheels.mkdir()
    tools.mkdir()
    write_wheel(wheels, "openvino", version("openvino"))
    write_wheel(wheels, "numpy", "1.0")
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PATH": f"{tools}:/usr/bin:/bin"}
    with LoopbackBoard(folder / "board", environment=environment) as board, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", board.path_with_client())
        yield board


def examined(tmp_path, *argv):
    done = run_here("doctor", "--json", *argv, folder=tmp_path)
    document = json.loads(done.out)
    assert done.status == (0 if document["fit"] else 1)
    return document, {finding["what"]: finding for finding in document["findings"]}


def test_this_machine_can_run_a_search(tmp_path):
    document, findings = examined(tmp_path)
    assert document["fit"]
    assert findings["runtime openvino"]["device"].startswith(f"openvino {version('openvino')}")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_runtime_is_named_installed_found_and_removed_again(board, tmp_path):
    document, findings = examined(tmp_path, "--device", board.device)
    assert not document["fit"]
    missing = findings["runtime openvino"]
    assert (missing["weight"], f"'{board.device}' must have the package" in missing["device"]) == ("wrong", True)
    assert missing["mend"].endswith(f"--device {board.device} --install")

    document, findings = examined(tmp_path, "--device", board.device, "--install")
    assert document["done"] == [f"installed openvino=={version('openvino')}, numpy"]
    assert findings["runtime openvino"]["weight"] == "ok"
    assert document["fit"]
    assert (board.cache / "autokd-edge" / "venv" / "bin" / "python").exists()

    document, _ = examined(tmp_path, "--device", board.device, "--clean")
    assert (document["done"], document["fit"]) == (["removed what was ours"], False)
    assert [path for path in (board.cache / "autokd-edge").rglob("*") if path.is_file()] == []  # nor what examining it needed


def test_a_backend_whose_compiler_is_missing_is_a_note_where_another_is_read_first(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for program in Path("/usr/bin").iterdir():
        if "gcc" not in program.name:
            (tmp_path / "bin" / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    seen = examine_device("host", None)
    row = next(finding for finding in seen.findings if finding.what == "runtime tvm")
    assert seen.fit
    assert (row.weight, row.mend) == ("note", "apt-get install gcc libc6-dev")
    assert row.device.endswith("it is not installed: a search leaves tvm/fp32, tvm/int8 out")
    alone = tmp_path / "alone.toml"
    text = (Path(__file__).parents[2] / "targets" / "host.toml").read_text()
    alone.write_text(text.replace('"openvino"', '"tvm"', 1).replace('backend = "tvm"\nprecision = "fp32"\n\n[[variants]]\n', "", 1))
    assert not examine_device(str(alone), None).fit


def test_a_target_that_the_device_is_not_is_said_and_its_runtimes_are_looked_at_all_the_same(tmp_path):
    document, findings = examined(tmp_path, "--target", "intel-n100")
    if document["fit"]:
        pytest.skip("this machine is an Intel N100")
    assert findings["target"]["weight"] == "wrong"
    assert findings["runtime openvino"]["weight"] == "ok"
    gpu = findings["runtime openvino-gpu"]
    if gpu["weight"] != "ok":  # it is seen by building for it, not by the runtime's being there
        assert gpu["weight"] == "note"
        assert gpu["device"].startswith("this engine needs an Intel GPU and its driver; OpenVINO sees CPU")
        assert gpu["device"].endswith("a search leaves openvino-gpu/fp16, openvino-gpu/int8 out")


def test_a_backend_that_nobody_provides_is_one_finding_among_the_others(tmp_path):
    text = (Path(__file__).parents[2] / "targets" / "host.toml").read_text().replace('backend = "openvino"', 'backend = "unheard-of"')
    (tmp_path / "odd.toml").write_text(text)
    document, findings = examined(tmp_path, "--target", "odd.toml")
    assert not document["fit"]
    assert "got 'unheard-of'" in findings["runtimes"]["device"]
    assert findings["architecture"]["weight"] == "ok"


@pytest.mark.parametrize("command", ["search", "check"])
def test_a_target_that_is_built_ahead_of_time_is_called_unfit_by_the_doctor_and_refused_by_a_search(tmp_path, command):
    document, findings = examined(tmp_path, "--target", "rtx")
    assert not document["fit"]
    said = findings["readings of tensorrt_rtx"]["device"]
    assert said.startswith(
        "an engine of target 'rtx' (compute capability 8.6, 8.9, 12.0) is built ahead of time and cannot be measured here"
    )
    done = run_here(command, "--target", "rtx", "--data", "digits", "--teacher", "example:digits", "--max-latency", "1ms", folder=tmp_path)
    assert (done.status, list(tmp_path.iterdir())) == (2, [])
    assert said in done.last
    assert done.last.endswith("Hint: autokd-edge profile MODEL.onnx --target rtx builds them")


def test_the_table_says_all_this_to_people(tmp_path):
    done = run_here("doctor", "--lock-clocks", folder=tmp_path)
    assert done.status == 0
    assert done.out.startswith("clocks: ")
    assert done.out.endswith("a search can run there\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--install",), "--install and --clean must have a device to work on; none was given. Hint: --device ssh://user@host"),
        (("--target", "nowhere"), "there is no target 'nowhere'"),
        (("--device", "pi@board"), "a device must be ssh://user@host"),
    ],
)
def test_wrong_input_is_refused(tmp_path, argv, said):
    done = run_here("doctor", *argv, folder=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert said in done.last


def test_nobody_at_the_address_is_one_sentence_and_status_1(tmp_path):
    done = run_here("doctor", "--device", "ssh://nobody@127.0.0.1:1", folder=tmp_path)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)


def test_each_board_of_a_pool_is_examined_also_where_another_cannot_be_reached(tmp_path):
    addresses = ("ssh://nobody@127.0.0.1:1", "ssh://nobody@127.0.0.1:2")
    done = run_here("doctor", "--json", "--device", addresses[0], "--device", addresses[1], folder=tmp_path)
    documents = json.loads(done.out)
    assert done.status == 1
    assert [(one["device"], one["fit"]) for one in documents] == [(address, False) for address in addresses]
    assert all("must answer and run commands" in one["findings"][0]["device"] for one in documents)


@pytest.mark.parametrize(("binding", "weight"), [("8.2.1.8", "ok"), (None, "note")])
def test_a_jetsons_python_binding_has_a_row_and_a_missing_one_the_command_that_mends_it(tmp_path, monkeypatch, binding, weight):
    """The rows are of the Python that runs this test, with the stand-in of the binding on its path or without."""
    trtexec = install_trtexec(tmp_path / "bin", "8.2.1")
    install_binding(tmp_path / "python", binding)
    monkeypatch.setenv("PATH", f"{trtexec.parent}:{os.environ['PATH']}")
    for name, value in {"PYTHONPATH": str(tmp_path / "python"), "FAKE_TENSORRT": binding or "", "LD_LIBRARY_PATH": str(cudart())}.items():
        monkeypatch.setenv(name, value)
    findings = {finding.what: finding for finding in examine_device("jetson-nano", None).findings}
    assert findings["runtime tensorrt"].device == "tensorrt 8.2.1"
    row = findings["tensorrt for Python"]
    assert (row.weight, row.mend) == (weight, "" if binding else "sudo apt-get install python3-libnvinfer")
    assert row.device.startswith("8.2.1, " if binding else "'/usr/bin/python3': No module named 'tensorrt'; logits come from one process")
