"""Read target descriptors and measuring protocols: TOML by a strict schema, shipped ones by name, a user's own by path."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from pathlib import Path
from typing import TypeVar

from autokd_edge.core.codec import CodecError, Json, decode, encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.measure import Protocol
from autokd_edge.core.target import Target
from autokd_edge.errors import TargetError

_PACKAGE = Path(__file__).parent.parent
T = TypeVar("T", Target, Protocol)


def target_names() -> tuple[str, ...]:
    """Return the names of the shipped targets, sorted."""
    return _names("targets")


def load_target(name_or_path: str) -> tuple[Target, Digest]:
    """Return a target as its descriptor says it, and the digest of all that it says.

    A shipped target goes by its name, one of the user's own by a path that ends in ``.toml``.

    Raises:
        TargetError: there is no such target (names the near ones), or its descriptor breaks the
            schema (names file and field).
    """
    target, path = _load(name_or_path, Target, "targets", "target")
    if isinstance(target, Target):
        unknown = sorted(set(target.sources) - {field.name for field in dataclasses.fields(Target)})
        if unknown:
            near = difflib.get_close_matches(unknown[0], [field.name for field in dataclasses.fields(Target)], n=1)
            raise TargetError(
                f"target descriptor '{path}': field 'sources.{unknown[0]}': is the source of no known field",
                hint=f"{near[0]} = ... under [sources]" if near else f"remove {unknown[0]} from [sources]",
            )
    return target, digest_of_target(target)


def load_protocol(name_or_path: str) -> tuple[Protocol, Digest]:
    """Return a measuring protocol and the digest of all that it says; raises TargetError."""
    protocol, _ = _load(name_or_path, Protocol, "profiles", "protocol")
    return protocol, digest_of_json(encode(protocol))


def digest_of_target(target: Target) -> Digest:
    """Hash all that a target says; of a probed target this names the machine too."""
    return digest_of_json(encode(target))


def _load(name_or_path: str, as_type: type[T], folder: str, what: str) -> tuple[T, Path]:
    path = Path(name_or_path) if name_or_path.endswith(".toml") else data_folder(folder) / f"{name_or_path}.toml"
    if not path.is_file():
        raise _unknown(name_or_path, folder, what)
    try:
        document: Json = tomllib.loads(path.read_text(encoding="utf-8"))
        return decode(as_type, document), path
    except CodecError as error:
        raise TargetError(
            f"{what} descriptor '{path}': {error}", hint=f"compare it with those that ship, in {data_folder(folder)}"
        ) from error
    except (OSError, ValueError) as error:
        raise TargetError(
            f"{what} descriptor '{path}' must be a readable TOML file: {error}",
            hint=f"compare it with those that ship, in {data_folder(folder)}",
        ) from error


def _unknown(name: str, folder: str, what: str) -> TargetError:
    known = _names(folder)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = "autokd-edge targets" if what == "target" else f"--{what} {(near or known)[0]}"
    if name.endswith(".toml"):
        return TargetError(f"{what} descriptor '{name}' is not a file", hint=hint)
    said = f"did you mean {' or '.join(near)}" if near else f"known are {', '.join(known)}"
    return TargetError(f"there is no {what} '{name}'; {said}", hint=hint)


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in data_folder(folder).glob("*.toml")))


def data_folder(name: str) -> Path:
    """Return a data folder: inside the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
