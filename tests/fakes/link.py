"""A link that runs nothing: it answers with what a test gives it."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Finished


class FakeLink:
    """Answers each program by ``respond(argv, request)``: a document, a Finished, or an exception to raise."""

    def __init__(self, respond: Callable[[Sequence[str], Any], Any]) -> None:
        self._respond = respond
        self.modes: list[str] = []

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout_s: float) -> Finished:
        self.modes.append(argv[-1])
        answer = self._respond(argv, {**json.loads(stdin), "timeout_s": timeout_s})
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Finished):
            return answer
        return Finished(status=0, stdout=json.dumps(answer).encode(), stderr=b"")

    @property
    def device(self) -> None:
        return

    @property
    def python(self) -> tuple[str, ...]:
        return ("python",)

    def push(self, path: Path) -> str:
        return str(path)

    def place(self, out: Path) -> str:
        return LocalLink().place(out)

    def pull(self, remote: str, out: Path) -> None:
        if Path(remote) != out:
            shutil.copyfile(remote, out)
