"""The command line as a whole, asked as a module: where its script is not on the path."""

import subprocess
import sys
from importlib import metadata

import pytest


def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "autokd_edge", *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--version"], 0, f"autokd-edge {metadata.version('autokd-edge')}\n"),
        (["--help"], 0, "Find the best small student"),
        ([], 2, "Find the best small student"),
        (["sarch"], 2, "No such command 'sarch'"),
    ],
)
def test_the_module_is_the_command_line(arguments, status, said):
    done = asked(*arguments)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
