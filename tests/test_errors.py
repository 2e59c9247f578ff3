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


def name_of(called: ast.expr) -> str:
    return called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""


def says_something(hint: ast.expr) -> bool:
    """Whether a hint is not empty on any way through it: ``x if there else ""`` is, on one."""
    return not any(isinstance(part, ast.Constant) and part.value == "" for part in (hint, *branches(hint)))


def branches(hint: ast.expr) -> list[ast.expr]:
    inner = [hint.body, hint.orelse] if isinstance(hint, ast.IfExp) else hint.values if isinstance(hint, ast.BoolOp) else []
    return [*inner, *(part for one in inner for part in branches(one))]


def raised_without_hint(source: str) -> list[int]:
    kinds = kinds_of_input_errors()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and name_of(node.func) in kinds]
    hints = [(call.lineno, [word.value for word in call.keywords if word.arg == "hint"]) for call in calls]
    return [line for line, said in hints if not said or not says_something(said[0])]


def test_an_error_without_a_hint_is_found():
    assert raised_without_hint("raise DataError('no')\nraise DataError('no', hint='--data digits')") == [1]
    assert raised_without_hint("raise errors.DataError('no')") == [1]


def test_a_hint_that_is_empty_on_one_way_is_found():
    assert raised_without_hint("raise DataError('no', hint=near if near else '')") == [1]
    assert raised_without_hint("raise DataError('no', hint=near or '')") == [1]
    assert raised_without_hint("raise DataError('no', hint='a' if near else 'b')") == []


def test_every_wrong_input_is_answered_with_the_next_step():
    sources = sorted(Path(autokd_edge.__file__).parent.rglob("*.py"))
    assert len(sources) > 200
    assert [f"{path}:{line}" for path in sources for line in raised_without_hint(path.read_text(encoding="utf-8"))] == []
