"""Run the device program as a board would, and take what it prints."""

import json
import subprocess
import sys

from autokd_edge.devices.runtime import DEVICE_PROGRAM


def run_device_program(driver, mode, request, *, program=DEVICE_PROGRAM):
    """Start it isolated from this package and return the finished process."""
    argv = [sys.executable, "-I", str(program), str(driver), mode]
    return subprocess.run(argv, input=json.dumps(request).encode(), capture_output=True, timeout=60, check=False)
