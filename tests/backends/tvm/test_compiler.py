"""The process that compiles."""

import pytest

from autokd_edge.backends.tvm.compiler import Compiler
from autokd_edge.errors import BuildError


def compiler(tmp_path, program):
    (tmp_path / "program.py").write_text(program)
    return Compiler(install="pip install it", program=("python3", str(tmp_path / "program.py")))


def test_a_missing_package_is_one_sentence_with_the_command_to_type(tmp_path):
    with pytest.raises(BuildError, match=r"ModuleNotFoundError: No module named 'absent'\. Hint: pip install it"):
        compiler(tmp_path, "import absent").ask({}, timeout_s=10)


def test_a_crash_is_a_failure_with_its_signal_and_the_next_graph_is_compiled(tmp_path):
    crash = """
import sys
for line in sys.stdin:
    status = -11 if "crash" in line else 0
    print('{"status": %d, "said": "the last words", "answer": {"made": 1}}' % status, flush=True)
"""
    ours = compiler(tmp_path, crash)
    with pytest.raises(BuildError, match="crashed with SIGSEGV; its last line: the last words"):
        ours.ask({"graph": "crash"}, timeout_s=10)
    assert ours.ask({"graph": "good"}, timeout_s=10) == {"made": 1}


def test_an_overrun_is_retryable_and_the_next_question_starts_another_process(tmp_path):
    slow = """
import pathlib, sys, time
seen = pathlib.Path(sys.argv[0]).with_name("seen")
for line in sys.stdin:
    if not seen.exists():
        seen.touch()
        time.sleep(60)
    print('{"status": 0, "said": "", "answer": 7}', flush=True)
"""
    ours = compiler(tmp_path, slow)
    with pytest.raises(BuildError, match=r"must be compiled within 0\.5 s") as caught:
        ours.ask({}, timeout_s=0.5)
    assert caught.value.retryable
    assert ours.ask({}, timeout_s=10) == 7
