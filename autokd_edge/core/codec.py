"""Strict, type-directed translation between frozen dataclasses and JSON.

A value is written by the type of the field that holds it and read back by the same type. Members of
a union are told apart by a ``"kind"`` key with the class name. Unknown and missing fields are
errors that name the path of the field, so that the same code reads journals, manifests and TOML.
"""

# ruff: noqa: ANN401  types are data here: a field's type may be anything that typing can write
from __future__ import annotations

import dataclasses
import types
import typing
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

Json = Any  # None | bool | int | float | str | list[Json] | dict[str, Json]
KIND = "kind"
_SAMPLES = (int, ...)  # raw samples come by the hundred thousand: they are taken whole, not one by one


class CodecError(ValueError):
    """A document does not have the shape of the type; ``path`` is the field, dotted."""

    def __init__(self, path: str, law: str) -> None:
        super().__init__(f"field '{path}': {law}" if path else law)
        self.path = path


def encode(value: object, as_type: Any = None) -> Json:  # noqa: PLR0911  one case for each kind of type
    """Turn a value into JSON by its declared type (by default its own class)."""
    tp: Any = _plain(type(value) if as_type is None else as_type)
    if _is_union(tp):
        if value is None:
            return None
        members = [m for m in get_args(tp) if m is not type(None)]
        if len(members) > 1 and dataclasses.is_dataclass(value):
            return {KIND: type(value).__name__, **encode(value)}
        return encode(value, type(value) if len(members) > 1 else members[0])
    if dataclasses.is_dataclass(tp):
        hints = _hints(typing.cast("type", tp))
        return {name: encode(getattr(value, name), hint) for name, hint in hints.items()}
    if get_origin(tp) is tuple:
        items = typing.cast("tuple[object, ...]", value)
        if get_args(tp) == _SAMPLES:
            return list(items)
        return [encode(item, item_tp) for item, item_tp in zip(items, _item_types(tp, len(items)), strict=True)]
    if get_origin(tp) is dict:
        return {key: encode(item, get_args(tp)[1]) for key, item in typing.cast("dict[str, object]", value).items()}
    return value.value if isinstance(value, StrEnum) else value


T = TypeVar("T")


def decode(as_type: type[T], document: Json, path: str = "") -> T:
    """Read a JSON document as a type.

    Raises:
        CodecError: a field is missing, unknown, of the wrong type, or breaks the type's own law.
    """
    return typing.cast("T", _decode(as_type, document, path))


def _decode(tp: Any, doc: Json, path: str) -> object:
    tp = _plain(tp)
    if _is_union(tp):
        return _decode_union(tp, doc, path)
    if dataclasses.is_dataclass(tp):
        return _decode_dataclass(typing.cast("type", tp), doc, path)
    origin = get_origin(tp)
    if origin is tuple:
        return _decode_tuple(tp, doc, path)
    if origin is dict:
        if not isinstance(doc, dict):
            raise CodecError(path, f"must be a table; got {_said(doc)}")
        return {key: _decode(get_args(tp)[1], item, _join(path, key)) for key, item in doc.items()}
    if origin is Literal:
        if doc not in get_args(tp):
            raise CodecError(path, f"must be one of {', '.join(map(str, get_args(tp)))}; got {_said(doc)}")
        return doc
    return _decode_scalar(tp, doc, path)


def _decode_tuple(tp: Any, doc: Json, path: str) -> tuple[object, ...]:
    if not isinstance(doc, list):
        raise CodecError(path, f"must be a list; got {_said(doc)}")
    if get_args(tp) == _SAMPLES and set(map(type, doc)) <= {int}:
        return tuple(doc)
    kinds = _item_types(tp, len(doc))
    if len(kinds) != len(doc):
        raise CodecError(path, f"must have {len(kinds)} items; got {len(doc)}")
    return tuple(_decode(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, doc, strict=True)))


def _decode_scalar(tp: Any, doc: Json, path: str) -> object:
    if isinstance(tp, type) and issubclass(tp, StrEnum):
        try:
            return tp(doc)
        except ValueError:
            raise CodecError(path, f"must be one of {', '.join(tp)}; got {_said(doc)}") from None
    if tp is float and isinstance(doc, int) and not isinstance(doc, bool):
        return float(doc)
    if not isinstance(doc, tp) or (tp is int and isinstance(doc, bool)):
        raise CodecError(path, f"must be {tp.__name__}; got {_said(doc)}")
    return doc


def _decode_dataclass(tp: type, doc: Json, path: str) -> object:
    if not isinstance(doc, dict):
        raise CodecError(path, f"must be a table; got {_said(doc)}")
    hints = _hints(tp)
    required = {f.name for f in dataclasses.fields(tp) if _required(f)}
    for name in doc:
        if name not in hints:
            raise CodecError(_join(path, name), f"is not known; known are {', '.join(hints)}")
    for name in hints:
        if name in required and name not in doc:
            raise CodecError(_join(path, name), "is missing")
    values = {name: _decode(hints[name], item, _join(path, name)) for name, item in doc.items()}
    try:
        return tp(**values)
    except CodecError:
        raise
    except ValueError as error:
        raise CodecError(path, str(error)) from error


def _decode_union(tp: Any, doc: Json, path: str) -> object:
    members = [m for m in get_args(tp) if m is not type(None)]
    if doc is None and type(None) in get_args(tp):
        return None
    if len(members) == 1:
        return _decode(members[0], doc, path)
    if isinstance(doc, dict):
        by_name: dict[str, Any] = {m.__name__: m for m in members if isinstance(m, type) and dataclasses.is_dataclass(m)}
        kind = doc.get(KIND)
        if kind not in by_name:
            raise CodecError(_join(path, KIND), f"must be one of {', '.join(by_name)}; got {_said(kind)}")
        return _decode(by_name[kind], {k: v for k, v in doc.items() if k != KIND}, path)
    for member in members:
        if member is type(doc):
            return doc
    raise CodecError(path, f"must be one of {', '.join(m.__name__ for m in members)}; got {_said(doc)}")


def _plain(tp: Any) -> Any:
    while hasattr(tp, "__supertype__"):  # NewType
        tp = tp.__supertype__
    return tp


def _is_union(tp: Any) -> bool:
    return get_origin(tp) in (Union, types.UnionType)


def _item_types(tp: Any, count: int) -> list[Any]:
    args = get_args(tp)
    return [args[0]] * count if len(args) == 2 and args[1] is Ellipsis else list(args)


@cache
def _hints(tp: type) -> dict[str, Any]:
    hints = typing.get_type_hints(tp)
    return {f.name: hints[f.name] for f in dataclasses.fields(tp) if f.init}


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _said(doc: Json) -> str:
    text = repr(doc)
    return text if len(text) <= 60 else f"{text[:57]}..."
