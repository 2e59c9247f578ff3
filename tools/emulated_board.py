"""An emulated Arm board: a real arm64 Debian under QEMU's user mode, with its own sshd on loopback and throw-away keys.

    tools/emulated_board.py up [--cpu cortex-a72] [--install onnxruntime numpy]
    tools/emulated_board.py status
    tools/emulated_board.py down [--keep]

For trying the whole way over SSH without hardware. Nothing read on it was measured: the programs are
translated for this machine's processor, and readings say ``emulated`` everywhere. Python's standard
library only; needs root and Debian's debootstrap, qemu-user-static and openssh-client. The first ``up``
takes some minutes and 0.4 GB, the next ones seconds. An interrupted run is made good by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from arguments import Arguments
from emulated.binfmt import register, unregister
from emulated.counting import offer_counting
from emulated.places import NAME, BoardError, InputError, Places
from emulated.running import end, make_keys, port_of, processes_of, start, unmount
from emulated.system import install, make_system

FOLDER = Path(".data/emulated-board")
_CPU = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
# The OpenSSH client reads some others in its configuration: quotes, %, $.
_PATH = re.compile(r"[A-Za-z0-9_./ +@,=-]+\Z")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=<>!~,\[\]-]*\Z")


def main() -> int:
    """Read the command line; a failure is one line on stderr."""
    parser = Arguments(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("up", help="make the board where it is not there, and start it")
    starting.add_argument("--cpu", default="cortex-a72", help="processor that QEMU emulates (default: %(default)s)")
    starting.add_argument("--install", nargs="+", default=[], metavar="PACKAGE", help="wheels to put on the board, onnxruntime say")
    ending = commands.add_parser("down", help="end the board and remove its folder")
    ending.add_argument("--keep", action="store_true", help="leave the files, so that the next start takes seconds")
    commands.add_parser("status", help="say whether the board runs; exit status 0 where it does")
    for command in commands.choices.values():
        command.add_argument("--folder", type=Path, default=FOLDER, help="holds everything (default: %(default)s)")
    options = parser.parse_args()
    places = Places(options.folder.absolute())
    try:
        if not _PATH.match(str(places.folder)):
            raise InputError(f"a folder's path must be of letters, digits and ._/+@,=- and spaces; got '{places.folder}'", hint="--folder")
        if options.command == "up":
            up(places, options.cpu, options.install)
            return 0
        if options.command == "down":
            down(places, keep=options.keep)
            return 0
        return status(places)
    except BoardError as error:
        print(f"emulated_board: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except OSError as error:
        print(f"emulated_board: {error.filename or 'a program'}: {error.strerror}", file=sys.stderr)
        return 1


def up(places: Places, cpu: str, packages: list[str]) -> None:
    """Make and start the board; say how to use it."""
    if not _CPU.match(cpu):
        raise InputError(f"a processor must be one of QEMU's names; got '{cpu}'", hint="--cpu cortex-a72")
    for package in packages:
        if not _PACKAGE.match(package):
            raise InputError(f"a package must be a name, with a version or not; got '{package}'", hint="--install onnxruntime numpy")
    if platform.machine() in {"aarch64", "arm64"}:
        raise BoardError("an emulated board is for machines that are no Arm themselves; this one is: measure on it with --target")
    check_root("up")
    with held(places, make=True):
        made = places.system.is_dir()
        if not made:
            print("making the board: some minutes, once", flush=True)
            end(places)
        make_keys(places)
        register(places)
        make_system(places)
        counting = offer_counting(places)
        if packages:
            install(places, packages)
        start(places, cpu)
        _give_to_caller(places)
    _explain(places)
    if counting:
        print(counting)


def down(places: Places, *, keep: bool) -> None:
    """End the board; remove its folder, or keep the files."""
    if not places.folder.exists():
        print(f"no board in '{places.folder}'")
        return
    check_root("down")
    with held(places, make=False):
        end(places)
        unregister(places)
        unmount(places)
        if not keep:
            for path in sorted(places.folder.iterdir(), key=lambda path: path == places.mark):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            places.folder.rmdir()
    print("the board is down" + (", its files are kept" if keep else ""))


def status(places: Places) -> int:
    """Say whether the board runs."""
    running = bool(processes_of(places)) and port_of(places) is not None
    if running:
        _explain(places)
        return 0
    made = "made, not running" if places.system.is_dir() else "not made"
    print(f"emulated board in '{places.folder}': {made}")
    return 1


def check_root(command: str) -> None:
    """Refuse to go on without the right to mount and to change the root; raises BoardError."""
    if os.geteuid() != 0:
        raise BoardError("only root may make a board's file system and namespaces", hint=f"sudo python3 tools/emulated_board.py {command}")


@contextlib.contextmanager
def held(places: Places, *, make: bool) -> Iterator[None]:
    """Hold the folder for one command at a time; the hold ends with the process.

    Raises:
        BoardError: another command works on it, or the folder is not ours.
    """
    folder = places.folder
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BoardError(f"one command at a time may work on '{folder}'; another one does", hint="wait for its end") from None
        if not folder.is_dir() or not os.path.samestat(os.fstat(handle), folder.stat()):
            raise BoardError(f"'{folder}' was removed in the meantime", hint="run the same command again")
        if not places.mark.is_file():
            if any(folder.iterdir()):
                raise InputError(f"the folder must be empty, or a board's; '{folder}' is neither", hint="give another --folder")
            places.mark.write_text("made by tools/emulated_board.py, removed by its `down`\n", encoding="ascii")
        yield
    finally:
        os.close(handle)


def _give_to_caller(places: Places) -> None:
    """Let the user behind sudo read the key."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if uid.isdigit() and gid.isdigit():
        for path in (places.user_key.parent, places.user_key, places.ssh_config, places.known_hosts):
            os.chown(path, int(uid), int(gid))


def _explain(places: Places) -> None:
    print(f"the emulated board answers on port {port_of(places)} of loopback, as ssh://{NAME}; its readings are emulated, never measured")
    print("an ssh that knows its keys:")
    print(f'  export PATH="{places.ssh.parent}:$PATH"')
    print(f"or, for good, this line first in ~/.ssh/config:  Include {places.ssh_config}")
    print(f"then:  autokd-edge profile MODEL.onnx --target raspberry-pi-4 --device ssh://{NAME}")


if __name__ == "__main__":
    sys.exit(main())
