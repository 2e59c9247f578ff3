"""What a user knows beforehand: guesses of good values, and an earlier study to recall."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from autokd_edge.api.folder import RunFolder
from autokd_edge.core.codec import encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.pupil import Lesson, Recalled
from autokd_edge.core.space import Choice, Integer, Ordinal, Parameter, Point, SearchSpace, Value
from autokd_edge.core.study import fold
from autokd_edge.errors import InputError, StoreError
from autokd_edge.store.journal import SQLJournal

_FEWEST = 5  # lessons: a model of fewer says little but its prior
_MOST = 200  # lessons recalled, the most accurate first: what the models of a choice can bear
_HINT = "--start tau=4,alpha=0.9"


def split_start(text: str) -> dict[str, str]:
    """Read ``name=value,name=value``; raises InputError."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise InputError(f"a start must be name=value, several with commas; got '{text}'", hint=_HINT)
        if name in found:
            raise InputError(f"a start must give a parameter once; got '{name}' twice", hint=_HINT)
        found[name] = value
    return found


def start_of(text: str, spaces: Sequence[SearchSpace]) -> Point:
    """Read a user's guess: values of some parameters of the spaces, in their order.

    Raises:
        InputError: a name or a value is not in the spaces, or contradicts another value.
    """
    given = split_start(text)
    parameters = {parameter.name: parameter for space in spaces for parameter in space.parameters}
    for name in given:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1) or list(parameters)[:1]
            raise InputError(f"a start must name parameters among {', '.join(parameters)}; got '{name}'", hint=f"--start {near[0]}=VALUE")
    values = {name: _value(parameter, given[name]) for name, parameter in parameters.items() if name in given}
    for name in values:
        when = parameters[name].when
        if when is not None and when.parameter in values and not when.met(values[when.parameter]):
            raise InputError(f"'{name}' has no effect with {when.parameter}={values[when.parameter]}; got '{text}'", hint=_HINT)
    return Point(values=tuple(values.items()))


def recalled_from(root: Path, *, family: str, loss: str, spaces: tuple[SearchSpace, SearchSpace]) -> tuple[Recalled, ...]:
    """Return what an earlier study taught, read from the folder of its run: at most 200 lessons, in their order.

    Raises:
        StoreError: there is no journal with one study in that folder.
        InputError: it searched other spaces, or taught too little.
    """
    if not (root / "journal.db").is_file():
        raise StoreError(f"an earlier study is the folder of its run; '{root}' has no journal.db", hint="--warm-from runs/STUDY")
    journal = SQLJournal(RunFolder(root).journal_url)
    names = journal.studies()
    if len(names) != 1:
        raise StoreError(f"an earlier study must be alone in its folder; '{root}' has {len(names)}", hint="--warm-from runs/STUDY")
    study = fold(journal.read(names[0]))
    if (study.config.family, study.config.loss) != (family, loss):
        raise InputError(
            f"an earlier study must have searched the same family and loss, {family} and {loss}; "
            f"'{root}' searched {study.config.family} and {study.config.loss}",
            hint=f"--family {study.config.family} --loss {study.config.loss}",
        )
    lessons = [
        Recalled(pupil=taught.pupil, accuracy=taught.outcome.accuracy)
        for taught in study.teachings
        if not taught.final and isinstance(taught.outcome, Lesson)
    ]
    usable = [one for one in lessons if _holds(spaces[0], one.pupil.member.architecture) and _holds(spaces[1], one.pupil.distillation)]
    if len(usable) < _FEWEST:
        raise InputError(
            f"an earlier study must have {_FEWEST} lessons within this space; '{root}' has {len(usable)}", hint="leave --warm-from out"
        )
    best = sorted(range(len(usable)), key=lambda i: -usable[i].accuracy)[:_MOST]
    return tuple(usable[i] for i in sorted(best))


def _value(parameter: Parameter, text: str) -> Value:
    kinds: dict[str, Value] = {str(value): value for value in parameter.values} if isinstance(parameter, Choice | Ordinal) else {}
    try:
        value = kinds.get(text) if kinds else int(text) if isinstance(parameter, Integer) else float(text)
    except ValueError:
        value = None
    if value is None or not parameter.holds(value):
        raise InputError(
            f"{parameter.name} must be {_range(parameter)}; got '{text}'", hint=f"--start {parameter.name}={parameter.at(0.5)}"
        )
    return value


def _range(parameter: Parameter) -> str:
    if isinstance(parameter, Choice | Ordinal):
        return f"one of {', '.join(map(str, parameter.values))}"
    return f"{'a whole number ' if isinstance(parameter, Integer) else ''}{parameter.low:g} to {parameter.high:g}"


def spaces_digest(spaces: Sequence[SearchSpace]) -> Digest:
    """Return by what a study knows the spaces of its architectures and of its distillation points again."""
    return Digest(digest_of_json([encode(space) for space in spaces]))


def _holds(space: SearchSpace, point: Point) -> bool:
    try:
        return space.point(dict(point)) == point
    except ValueError:  # a value out of range: it was another space
        return False
