"""Ask a device program one question: a request on stdin, one JSON document on stdout."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from autokd_edge.core.codec import Json
from autokd_edge.devices.process import last_line
from autokd_edge.errors import AbsentDeviceError, MeasureError, RuntimeMissingError, StageError
from autokd_edge.ports import Link

NO_DEVICE = os.EX_UNAVAILABLE  # the status of a device program that builds for a device which the machine lacks
_MISSING = re.compile(r"^(?:ModuleNotFoundError: No module named|importlib\.metadata\.PackageNotFoundError: .* for) '?([\w.-]+)")


def ask(link: Link, argv: Sequence[str], request: Json, *, timeout_s: float, failure: type[StageError], hint: str = "") -> Json:
    """Run a program to its end and return its answer; every way to fail is a ``failure``.

    ``hint`` is what to do where the program lacks a package. The vendor's last line is kept: it says why.

    Raises:
        StageError: of class ``failure``; retryable where a time limit ended the program; of a build, AbsentDeviceError
            where the program ended with ``NO_DEVICE``.
        RuntimeMissingError: another device lacks a package.
        DeviceError: the device, or the way to it, failed.
    """
    with failing_as(failure):
        finished = link.run(argv, stdin=json.dumps(request).encode(), timeout_s=timeout_s)
    said = last_line(finished.stderr) or "nothing on stderr"
    if finished.status < 0:
        raise failure(f"the vendor's runtime crashed with {_signal_name(-finished.status)}; its last line: {said}")
    if finished.status == NO_DEVICE and issubclass(AbsentDeviceError, failure):
        raise AbsentDeviceError(said)
    if finished.status != 0:
        missing = _MISSING.search(said)
        if missing and link.device is not None:
            raise RuntimeMissingError(
                f"'{link.device}' must have the package '{missing[1]}'; it has not",
                hint=f"autokd-edge doctor --target TARGET --device {link.device} --install",
            )
        raise failure(said, hint=hint if missing else "")
    try:
        return json.loads(finished.stdout)
    except ValueError as error:
        raise failure(f"a device program must answer with one JSON document; got {finished.stdout[:60]!r}") from error


@contextmanager
def made_on_device(link: Link, out: Path) -> Iterator[str]:
    """Give a place on the device for a file that a program makes; fetch it to ``out``, or leave nothing there.

    Raises:
        MeasureError: the place could not be made or the file could not be fetched.
    """
    try:
        remote = link.place(out)
        yield remote
        link.pull(remote, out)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


@contextmanager
def failing_as(failure: type[StageError]) -> Iterator[None]:
    """Give a link's failure the class of the stage that met it."""
    try:
        yield
    except MeasureError as error:
        if isinstance(error, failure):  # it keeps what it is: a time limit, say
            raise
        raise failure(error.args[0], hint=error.hint, retryable=error.retryable) from error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
