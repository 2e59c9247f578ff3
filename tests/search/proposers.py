"""What every proposer that wraps another package must do."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.fake_world import FP32, FakeWorld, config

from autokd_edge.core.space import Choice, Ordinal, SearchSpace
from autokd_edge.search.ungated import UngatedPolicy

_TESTS = Path(__file__).parents[1]
_PROPOSE = """
import sys
{before}
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FakeWorld, config
from autokd_edge.errors import InputError
from {module} import {proposer}
world = FakeWorld(); world.open(config())
try:
    print({proposer}(ARCHITECTURES, DISTILLATIONS{more}).propose(world.study))
except InputError as error:
    print("InputError", error)
"""


def proposed_apart(module: str, proposer: str, *, more: str = "", before: str = "") -> subprocess.CompletedProcess[str]:
    """Have a new process print a first proposal, or the InputError in its place."""
    program = _PROPOSE.format(module=module, proposer=proposer, more=more, before=before)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_TESTS)


def assert_uses_up_a_finite_space(make: Callable[[SearchSpace, SearchSpace], Any]) -> None:
    """Check that each of six networks is asked once, and then none."""
    space = SearchSpace(parameters=(Choice(name="op", values=("a", "b")), Ordinal(name="width", values=(8, 16, 32))))
    proposer = make(space, SearchSpace(parameters=()))
    world = FakeWorld(broken_probe=True)
    world.open(config())
    policy = UngatedPolicy(proposer, (FP32,))
    for _ in range(6):
        world.do(policy.next(world.study))
    assert len({probed.member.architecture for probed in world.study.probes}) == 6
    assert proposer.propose(world.study) is None
