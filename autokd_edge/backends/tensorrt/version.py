"""Versions of TensorRT as trtexec's banner spells them: v8201 is 8.2.1, v100300 is 10.3.0."""

from __future__ import annotations

import re
from typing import TypeAlias

Version: TypeAlias = tuple[int, int, int]

_BANNER = re.compile(r"&&&& (?:RUNNING|PASSED|FAILED) TensorRT\.trtexec \[TensorRT v(\d{4,6})\]")


def banner_version(log: str) -> Version | None:
    """Return the version in the first banner of a log, or None where there is none."""
    found = _BANNER.search(log)
    if found is None:
        return None
    number = int(found[1])
    # Up to 9 the major version stands before three digits, from 10 on before four.
    if len(found[1]) == 4:
        return number // 1000, number // 100 % 10, number % 100
    return number // 10000, number // 100 % 100, number % 100


def spelt(version: Version) -> str:
    """Write a version with dots."""
    return ".".join(map(str, version))


def within(version: Version, described: str) -> bool:
    """Say whether a version lies in a descriptor's range, "8.0 - 8.2", whose ends are written as major.minor."""
    first, _, last = described.partition(" - ")
    least, most = (tuple(map(int, end.split("."))) for end in (first, last))
    return least <= version[:2] <= most
