"""The TVM board."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from contracts.board import BoardContract


@pytest.mark.slow
class TestTVMBoard(BoardContract):
    @pytest.fixture
    def origin(self):
        return "device"

    def test_a_reading_beside_processes_that_hold_every_core_is_flagged_noisy(self, board, engine, variant, target, protocol):
        hold = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
        busy = [subprocess.Popen([sys.executable, "-c", hold, str(core)]) for core in os.sched_getaffinity(0)]
        try:
            reading = board.measure(engine, variant=variant, target=target, protocol=replace(protocol, block_s=0.2))
        finally:
            for process in busy:
                process.kill()
                process.wait()
        assert "noisy" in reading.flags
