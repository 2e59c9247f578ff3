"""The emulated board's commands and its recovery, without root: what would be run, found, and left alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import emulated_board
import pytest
from emulated import binfmt, counting, running, system
from emulated.places import BoardError, InputError, Places

TOOL = Path(emulated_board.__file__)
POLICY = """Package files:
 100 /var/lib/dpkg/status
     release a=now
 500 http://mirror.example/debian-security bookworm-security/main amd64 Packages
     release v=12,o=Debian,a=oldstable-security,n=bookworm-security,l=Debian-Security,c=main,b=amd64
 500 http://mirror.example/debian bookworm-updates/main amd64 Packages
 500 http://mirror.example/debian bookworm/main amd64 Packages
     origin mirror.example
Pinned packages:
"""
DEBIANS = r":qemu-aarch64:M::\x7fELF\x02\xb7\x00:\xff\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPF"
MOUNTS = r"""22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
90 22 0:30 / /srv/board/system.part/proc rw - proc proc rw
91 22 0:31 / /srv/boards rw - tmpfs tmpfs rw
92 90 0:32 / /srv/board/system.part/proc/a\040b rw - tmpfs tmpfs rw
"""


@pytest.fixture
def places(tmp_path):
    found = Places(tmp_path / "board")
    found.folder.mkdir()
    return found


@pytest.fixture
def kernel(tmp_path):
    """A folder with the two files that binfmt_misc has when nothing is registered."""
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    for name in ("register", "status"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("tool", ["emulated_board.py", "record_readings.py"])
def test_a_mistake_on_the_command_line_is_one_line(tool):
    done = subprocess.run([sys.executable, TOOL.with_name(tool), "bogus"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.endswith(f"Hint: {tool} --help\n")


def test_the_mirror_and_the_suite_are_those_that_apt_uses():
    assert system.mirror_of(POLICY) == ("http://mirror.example/debian", "bookworm")
    with pytest.raises(BoardError, match=r"names none. Hint: apt-get update"):
        system.mirror_of("Package files:\n 100 /var/lib/dpkg/status\n")


def test_a_folder_with_a_space_stays_one_argument_and_one_word_for_ssh():
    folder = Path("/srv/a b")
    assert running.sshd_argv(Places(folder)).count(f"--root={folder}/system") == 1
    said = running.ssh_config_text(Places(folder), 2222)
    assert f'IdentityFile "{folder}/keys/user"' in said
    assert "StrictHostKeyChecking yes" in said


def test_what_makes_the_board_ends_with_the_tool_and_mounts_for_itself_alone():
    argv = system.alone(["/bin/true"])
    assert argv[1:3] == ["--pdeathsig", "KILL"]
    assert {"--mount", "--pid", "--fork", "--kill-child", "--mount-proc"} < set(argv)
    assert argv[-1] == "/bin/true"


def test_each_folder_has_an_entry_of_its_own_made_of_debians():
    one, other = binfmt.entry_of(Path("/srv/one")), binfmt.entry_of(Path("/srv/other"))
    assert one != other
    assert binfmt.line_of(one, DEBIANS + "\n") == DEBIANS.replace(":qemu-aarch64:", f":{one}:")
    for other_line in (DEBIANS.removesuffix("F"), ":qemu-arm:M::x:y:/usr/bin/z:F", ""):
        with pytest.raises(BoardError, match="must hold one entry, qemu-aarch64 with flag F"):
            binfmt.line_of(one, other_line)


@pytest.mark.skipif(not binfmt.DEBIANS.is_file(), reason="apt-get install qemu-user-static")
def test_an_entry_is_registered_once_and_removed_alone(places, kernel):
    binfmt.register(places, kernel)
    entry = kernel / binfmt.entry_of(places.folder)
    assert (kernel / "register").read_text().startswith(f":{entry.name}:M::")
    assert not places.mounted.exists()
    entry.touch()  # as the kernel does
    (kernel / "register").write_text("")
    binfmt.register(places, kernel)
    assert (kernel / "register").read_text() == ""
    another = kernel / "qemu-arm"
    another.touch()
    binfmt.unregister(places, kernel)
    assert (entry.read_text(), another.read_text()) == ("-1", "")


def test_what_was_mounted_for_boards_stays_while_another_board_needs_it(places, kernel):
    places.mounted.touch()
    (kernel / binfmt.entry_of(Path("/srv/other"))).touch()
    binfmt.unregister(places, kernel)  # unmounting this folder would fail
    assert not places.mounted.exists()


def test_mounts_in_the_folder_are_found_and_those_beside_it_are_not():
    found = running.mounts_below(Path("/srv/board"), MOUNTS)
    assert found == ["/srv/board/system.part/proc", "/srv/board/system.part/proc/a b"]


def test_an_orphan_that_was_making_the_board_is_ended_and_nobody_else(places):
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen([*waits, str(places.part)]) as orphan, subprocess.Popen([*waits, f"{places.part}-other"]) as other:
        try:
            end = time.monotonic() + 10
            while orphan.pid not in running.processes_of(places):
                assert time.monotonic() < end
                time.sleep(0.02)
            running_now = running.processes_of(places)
            assert running_now == [orphan.pid]
            _reaped_by_itself(orphan, lambda: running.end(places))
            assert other.poll() is None
        finally:
            other.kill()
            orphan.kill()


def _reaped_by_itself(process, act):
    """A killed child stays a zombie until it is waited for; the root of a zombie cannot be read, so that it does not count."""
    act()
    assert process.wait(timeout=10) == -9


def test_a_folder_with_something_else_in_it_is_left_alone(places):
    (places.folder / "thesis.tex").write_text("precious")
    for make in (True, False):
        with pytest.raises(InputError, match="must be empty, or a board's"), emulated_board.held(places, make=make):
            pytest.fail("it was taken")
    assert [path.name for path in places.folder.iterdir()] == ["thesis.tex"]


def test_one_command_at_a_time_works_on_a_folder(places):
    with (
        emulated_board.held(places, make=True),
        pytest.raises(BoardError, match="one command at a time"),
        emulated_board.held(places, make=False),
    ):
        pytest.fail("it was taken twice")
    with emulated_board.held(places, make=False):
        assert places.mark.is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may bring a board down")
def test_what_an_interrupted_command_left_is_taken_down(places, capsys):
    with emulated_board.held(places, make=True):
        (places.part / "debootstrap").mkdir(parents=True)
        (places.folder / "keys").mkdir()
    for _ in range(2):
        emulated_board.down(places, keep=False)
        assert not places.folder.exists()
    assert capsys.readouterr().out.splitlines() == ["the board is down", f"no board in '{places.folder}'"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["up", "--cpu", "a72;reboot"], 2, "a processor must be one of QEMU's names; got 'a72;reboot'"),
        (["up", "--install", "-r"], 2, "expected at least one argument"),
        (["up", "--install", "$(reboot)"], 2, "a package must be a name"),
        (["up", "--folder", "/srv/$(reboot)"], 2, "a folder's path must be of letters, digits"),
        (["sideways"], 2, "invalid choice"),
    ],
)
def test_wrong_words_end_with_status_2_and_nothing_written(tmp_path, words, status, said):
    ran = _tool(words[0], "--folder", str(tmp_path / "board"), *words[1:])
    assert ran.returncode == status
    assert said in ran.stderr.splitlines()[-1]
    assert not (tmp_path / "board").exists()


def test_the_status_of_no_board_is_1_and_makes_nothing(tmp_path):
    ran = _tool("status", "--folder", str(tmp_path / "board"))
    assert (ran.returncode, ran.stdout) == (1, f"emulated board in '{tmp_path}/board': not made\n")
    assert not (tmp_path / "board").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root_there_is_one_line_with_the_command_to_type(tmp_path):
    with pytest.raises(BoardError, match=r"only root may .* Hint: sudo python3 tools/emulated_board.py up"):
        _as_nobody(lambda: emulated_board.up(Places(tmp_path / "board"), "max", []))


def test_the_libraries_of_the_counting_emulator_are_read_from_ldd():
    listed = "\tlinux-vdso.so.1 (0x7ff)\n\tlibz.so.1 => /lib/x/libz.so.1 (0x7f1)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f2)\n"
    assert counting.libraries(listed) == [("/lib/x/libz.so.1", "libz.so.1"), ("/lib64/ld-linux-x86-64.so.2", "ld-linux-x86-64.so.2")]


def _tool(*words):
    return subprocess.run([sys.executable, str(TOOL), *words], check=False, capture_output=True, text=True, timeout=60)


def _as_nobody(act):
    os.seteuid(65534)
    try:
        act()
    finally:
        os.seteuid(0)
