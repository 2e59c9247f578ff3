"""The targets of a search as they are typed, and what was given for each of them: ``3ms`` for all, ``pi=30ms`` for one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from autokd_edge.core.limits import MAX_QUANT_DROP, Limits, parse_drop, parse_instructions, parse_latency, parse_memory
from autokd_edge.core.target import Target
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.descriptors import load_target
from autokd_edge.errors import InputError

Several: TypeAlias = str | Sequence[str] | None
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedGoal:
    """A target with what was asked of it; ``target`` is as its descriptor says it.

    ``addresses`` are of what measures, several of a pool of boards; none is the machine that searches. ``predict`` names
    recorded readings in place of a device.
    """

    target: Target
    limits: Limits
    addresses: tuple[str, ...]
    predict: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLimits:
    """The options that may be given once for all targets or for each of them, unread."""

    max_latency: Several = None
    max_memory: Several = None
    max_instructions: Several = None
    max_drop: Several = None
    max_quant_drop: Several = None
    device: Several = None
    predict: Several = None


def asked_goals(targets: Several, asked: AskedLimits) -> tuple[AskedGoal, ...]:
    """Read the targets' descriptors and what was asked of each.

    Raises:
        InputError: there is no such target, it is named twice, or what was asked cannot be used.
    """
    typed = listed(targets)
    if not typed:
        raise InputError("a search needs a target; got none", hint="--target host")
    loaded = [load_target(name)[0] for name in typed]
    names = [target.name for target in loaded]
    _check_names(names)
    keys = dict(zip(typed, names, strict=True)) | {name: name for name in names}
    latency = _for_each(asked.max_latency, "max-latency", "30ms", keys)
    memory = _for_each(asked.max_memory, "max-memory", "20MB", keys)
    instructions = _for_each(asked.max_instructions, "max-instructions", "5M", keys)
    drop = _for_each(asked.max_drop, "max-drop", "1.5", keys)
    quant_drop = _for_each(asked.max_quant_drop, "max-quant-drop", "0.5", keys)
    addresses, predict = _addresses(asked.device, keys), _for_each(asked.predict, "predict", "FILE", keys)
    _check_one_source(addresses, predict)
    return tuple(
        AskedGoal(
            target=target,
            limits=Limits(
                latency=None if (text := latency[target.name]) is None else parse_latency(text),
                memory=None if (text := memory[target.name]) is None else parse_memory(text),
                max_drop=None if (text := drop[target.name]) is None else parse_drop(text),
                max_quant_drop=MAX_QUANT_DROP if (text := quant_drop[target.name]) is None else parse_drop(text, option="--max-quant-drop"),
                instructions=None if (text := instructions[target.name]) is None else parse_instructions(text),
            ),
            addresses=addresses[target.name],
            predict=predict[target.name],
        )
        for target in loaded
    )


def listed(given: Several) -> tuple[str, ...]:
    """Return what was given as a tuple: nothing, one text, or several."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _check_one_source(addresses: dict[str, tuple[str, ...]], predict: dict[str, str | None]) -> None:
    for name, recording in predict.items():
        if recording is not None and addresses[name]:
            raise InputError(
                f"readings of a target are measured or predicted; '{name}' got --device {addresses[name][0]} and --predict {recording}",
                hint=f"--predict {recording}, or --device {addresses[name][0]}",
            )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            others = " ".join(f"--target {one}" for one in dict.fromkeys(names))
            raise InputError(f"targets must be named once each; got '{name}' {names.count(name)} times", hint=others)
        if len(names) > 1 and not _FOLDER_NAME.match(name):
            raise InputError(
                f"of several targets each has a folder of its name: letters, digits, dots, dashes or underscores; got '{name}'",
                hint="change the name in the descriptor",
            )


def _for_each(given: Several, option: str, example: str, keys: dict[str, str]) -> dict[str, str | None]:
    """Return target -> text; what was given without a target holds for those that have none of their own."""
    names = tuple(dict.fromkeys(keys.values()))
    own: dict[str, str] = {}
    shared: list[str] = []
    for text in listed(given):
        key, sign, rest = text.partition("=")
        if not sign:
            shared.append(text)
            continue
        name = _target_named(key, option, example, keys)
        if name in own:
            raise InputError(
                f"{option} must be given once for a target; '{name}' has {own[name]} and {rest}", hint=f"--{option} {name}={rest}"
            )
        own[name] = rest
    if len(shared) > 1 and len(names) == 1:
        raise InputError(f"{option} must be given once; got {' and '.join(shared)}", hint=f"--{option} {shared[-1]}")
    if len(shared) > 1:
        raise InputError(
            f"{option} must be given once for all targets, or once for each as TARGET={example}; got {' and '.join(shared)}",
            hint=" ".join(f"--{option} {name}={text}" for name, text in zip(names, shared, strict=False)),
        )
    return {name: own.get(name, shared[0] if shared else None) for name in names}


def _target_named(key: str, option: str, example: str, keys: dict[str, str]) -> str:
    if key in keys:
        return keys[key]
    near = difflib.get_close_matches(key, keys, n=1) or [next(iter(keys))]
    names = ", ".join(dict.fromkeys(keys.values()))
    raise InputError(f"{option} must be of one of the targets {names}; got '{key}'", hint=f"--{option} {near[0]}={example}")


def _addresses(given: Several, keys: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Return target -> addresses; of one target they may be given without its name."""
    names = tuple(dict.fromkeys(keys.values()))
    found: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())
    for text in listed(given):
        key, sign, rest = text.partition("=")
        if not sign and len(names) > 1:
            raise InputError(
                f"of several targets each has devices of its own, given as TARGET=ADDRESS; got '{text}'",
                hint=f"--device {names[-1]}={text}",
            )
        name = _target_named(key, "device", "ssh://user@host", keys) if sign else names[0]
        address = rest if sign else text
        ssh_address(address)
        found[name] = (*found[name], address)
    return found
