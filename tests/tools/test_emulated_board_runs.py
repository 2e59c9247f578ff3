"""A real arm64 Debian under emulation: brought up, reached over SSH, measured on, taken down. Slow on its first run.

Its files stay in .data for the next run, as `down --keep` leaves them; only root can make them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from emulated import binfmt, running
from emulated.places import NAME, Places
from fakes.targets import write_target_without

from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.facts import EMULATED, facts_over
from autokd_edge.devices.fingerprint import fingerprint_of, fingerprint_over
from autokd_edge.devices.reference import write_sentinel
from autokd_edge.devices.ssh import SshLink

ROOT = Path(__file__).parent.parent.parent
TOOL = ROOT / "tools" / "emulated_board.py"
PLACES = Places(ROOT / ".data" / "emulated-board-of-tests")
MISSING = ("must be installed", "must be there", "only root may", "must be had of")

# A short one: what is asked here is what a reading calls itself.
QUICK = """
name = "quick"
warmup_runs = 2
warmup_s = 0.1
warmup_tolerance = 0.5
blocks = 2
block_runs = 7
block_s = 0.0
block_samples = 20
cooldown_s = 0.0
sentinel_runs = 3
sentinel_drift = 0.5
retries = 0
timeout_s = 120.0
"""

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]


def tool(*words):
    argv = [sys.executable, str(TOOL), *words, "--folder", str(PLACES.folder)]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def board():
    """The board with ONNX Runtime on it; skipped where a package or a privilege is missing."""
    up = tool("up", "--install", "onnxruntime", "numpy")
    if up.returncode != 0 and any(words in up.stderr for words in MISSING):
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
    yield PLACES
    down = tool("down", "--keep")
    assert (down.returncode, down.stderr) == (0, "")
    assert running.processes_of(PLACES) == []
    assert running.mounts_below(PLACES.folder, Path("/proc/self/mountinfo").read_text()) == []
    assert not (binfmt.KERNEL / binfmt.entry_of(PLACES.folder)).exists()


@pytest.fixture(scope="module")
def link(board):
    link = SshLink(SshConnection(ssh_address(f"ssh://{NAME}"), client=[str(board.ssh)]))
    yield link
    link.close()


def test_to_bring_a_running_board_up_again_changes_nothing(board):
    before, port = running.processes_of(board), running.port_of(board)
    again = tool("up")
    assert (again.returncode, again.stderr) == (0, "")
    assert set(before) <= {*running.processes_of(board), *before}
    assert running.port_of(board) == port
    assert tool("status").returncode == 0


def test_nothing_of_the_board_is_mounted_for_this_machine(board):
    assert running.mounts_below(board.folder, Path("/proc/self/mountinfo").read_text()) == []


def test_real_programs_for_arm_run_there_over_ssh(link):
    said = link.run(["uname", "-m"], stdin=b"", timeout_s=30)
    assert (said.status, said.stdout) == (0, b"aarch64\n")
    program = "import platform, struct; print(platform.machine(), struct.calcsize('P'))"
    assert link.run([*link.python, "-c", program], stdin=b"", timeout_s=60).stdout == b"aarch64 8\n"


def test_files_go_there_and_back_over_the_same_connection(link, tmp_path):
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(300_000))
    link.pull(link.push(sent), back)
    assert back.read_bytes() == sent.read_bytes()


def test_the_board_says_that_it_is_emulated_and_what_processor_its_programs_see(link):
    found = fingerprint_over(link)
    assert (found.machine, found.emulated, found.processor) == ("aarch64", True, "emulated aarch64")
    assert found.isa_flags == ("asimd",)  # a Cortex-A72, not the flags of this machine's processor


def test_it_is_known_to_be_emulated_by_what_runs_there_and_not_by_our_mark_alone(link):
    facts = {name: said for name, said in facts_over(link).items() if name != EMULATED}
    hidden = {**facts, "/proc/cpuinfo": "processor : 0\nFeatures : fp asimd\n"}  # as newer emulators pretend
    assert fingerprint_of(facts).emulated
    assert fingerprint_of(hidden).emulated


def test_a_profile_of_the_board_says_emulated_in_the_table_and_in_json_and_counts_instructions(board, tmp_path):
    write_sentinel(tmp_path / "model.onnx")
    (tmp_path / "quick.toml").write_text(QUICK)
    words = ["--target", "raspberry-pi-4", "--device", f"ssh://{NAME}", "--protocol", "quick.toml", "--out", "profile.json"]
    table = _autokd(board, tmp_path, "profile", "model.onnx", *words)
    document = _autokd(board, tmp_path, "report", "profile.json", "--json")
    assert "onnxruntime/fp32 (emulated," in table
    assert "measured" not in table
    row = json.loads(document)["variants"][0]
    assert (row["outcome"], row["reading"]["origin"]) == ("emulated", "emulated")
    assert "measured" not in document
    recorded = json.loads((tmp_path / "profile.json").read_text())["rows"][0]["outcome"]["measurement"]
    assert (recorded["origin"], recorded["fingerprint"]["emulated"]) == ("emulated", True)
    if not recorded["fingerprint"]["counts_instructions"]:
        pytest.skip("instructions are not counted here: apt-get install qemu-user gcc")
    # 4 M multiply-adds of 4 floats each, and what brings them: 2.1 M on a Cortex-A72 with ONNX Runtime 1.32.
    assert 1_000_000 < row["reading"]["instructions"] < 5_000_000
    assert f"{row['reading']['instructions']:,} (counted by the emulator)" in table


def test_a_search_on_the_board_ships_an_engine_for_arm_that_runs_there_and_is_called_emulated(board, tmp_path):
    # ONNX Runtime's start alone takes 15 s under emulation.
    write_target_without("raspberry-pi-4", "onnxruntime/fp32", "onnxruntime/int8", out=tmp_path / "arm.toml")
    words = ["--target", "arm.toml", "--device", f"ssh://{NAME}", "--data", "digits", "--teacher", "example:digits"]
    words += ["--family", "mbconv", "--max-instructions", "20x", "--budget", "2min", "--final-members", "1", "--out", "run"]
    words += ["--search-steps", "20", "--final-steps", "40", "--study", "arm"]
    document = json.loads(_autokd(board, tmp_path, "search", *words, "--json"))
    assert document["best"]["reading"]["origin"] == "emulated"
    table = _autokd(board, tmp_path, "report", "run")
    assert "not compared: emulated" in table
    assert "measured" not in table
    header = (tmp_path / "run" / "bundle" / "engine").read_bytes()[:20]
    assert (header[:4], header[18]) == (b"\x7fELF", 183)  # EM_AARCH64
    ran = json.loads(_autokd(board, tmp_path, "run", "run/bundle", "--device", f"ssh://{NAME}", "--protocol", "screen", "--json"))
    assert (ran["selftest_passed"], ran["reading"]["origin"]) == (True, "emulated")


def _autokd(board, folder, *words):
    environment = {**os.environ, "PATH": f"{board.ssh.parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    program = [sys.executable, "-c", "import sys; from autokd_edge.cli import main; sys.exit(main())"]
    ran = subprocess.run([*program, *words], check=False, capture_output=True, text=True, cwd=folder, env=environment, timeout=800)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
