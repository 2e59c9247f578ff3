"""Offer to count instructions on the board: QEMU with a plugin of ours, and a program that starts others under it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from emulated.places import BoardError, Places, program

SOURCE = Path(__file__).with_name("insn_counter.c")
COMMAND = "usr/local/bin/autokd-count-instructions"
_HERE = "/opt/autokd-edge-counting"
_LIBRARY = re.compile(r"(/\S+/(\S+)) \(0x")
# The emulator of Debian's qemu-user loads plugins, the static one cannot. It is a program for this machine's
# processor: it is started by its own loader with its own libraries, which the board has not.
_SCRIPT = f"""#!/bin/sh
# Runs a program, given by its path, and counts its instructions: it finds its own count, 8 bytes that grow as it
# goes, in the file that AUTOKD_EDGE_COUNTER names, and removes the file; who names the file before reads it after.
: "${{AUTOKD_EDGE_COUNTER:=$(mktemp)}}"
export AUTOKD_EDGE_COUNTER
exec {_HERE}/lib/ld-linux-x86-64.so.2 --library-path {_HERE}/lib {_HERE}/qemu-aarch64 \\
  -plugin "{_HERE}/insn_counter.so,counter=$AUTOKD_EDGE_COUNTER" "$@"
"""


def offer_counting(places: Places) -> str:
    """Put the counting emulator on the board; return what is missing for it, "" where nothing is.

    Raises:
        BoardError: the plugin does not compile.
    """
    command = places.system / COMMAND
    if command.exists() and command.read_text(encoding="ascii") == _SCRIPT:
        return ""
    try:
        emulator, compiler, ldd = program("qemu-aarch64", "qemu-user"), program("gcc", "gcc libc6-dev"), program("ldd", "libc-bin")
    except BoardError as error:
        return f"instructions are not counted: {error}"
    shutil.rmtree(places.counting, ignore_errors=True)
    (places.counting / "lib").mkdir(parents=True)
    plugin = places.counting / "insn_counter.so"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(plugin), str(SOURCE)], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise BoardError(f"the counting plugin must compile; gcc said: {done.stderr.strip().splitlines()[-1]}")
    shutil.copy(emulator, places.counting / "qemu-aarch64")
    listed = subprocess.run([ldd, emulator], check=True, capture_output=True, text=True).stdout
    for path, name in libraries(listed):
        shutil.copy(path, places.counting / "lib" / name)
    command.with_name("part").write_text(_SCRIPT, encoding="ascii")
    command.with_name("part").chmod(0o755)
    command.with_name("part").rename(command)
    return ""


def libraries(listed: str) -> list[tuple[str, str]]:
    """Return path and name of each library that ``ldd`` lists, the loader included."""
    return _LIBRARY.findall(listed)
