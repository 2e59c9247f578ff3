"""Every error of a user's input names what to do next, seen in the sources: most are too rare to be met one by one."""

import ast
from pathlib import Path

import autokd_edge
from autokd_edge import errors


def kinds_of_input_errors() -> set[str]:
    found = [errors.InputError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__ for kind in found}


def raised_without_hint(source: str) -> list[int]:
    kinds = kinds_of_input_errors()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call.lineno for call in calls if call.func.id in kinds and not any(word.arg == "hint" for word in call.keywords)]


def test_an_error_without_a_hint_is_found():
    assert raised_without_hint("raise DataError('no')\nraise DataError('no', hint='--data digits')") == [1]


def test_every_wrong_input_is_answered_with_the_next_step():
    sources = sorted(Path(autokd_edge.__file__).parent.rglob("*.py"))
    assert len(sources) > 200
    assert [f"{path}:{line}" for path in sources for line in raised_without_hint(path.read_text(encoding="utf-8"))] == []
