"""The program of a worker: reads a classroom and then exercises, one line of JSON each, and answers each with a line.

It ends when nobody writes to it any more, in the middle of a lesson too: what was learnt is saved on the way.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import TextIO

from autokd_edge.core.codec import decode, encode
from autokd_edge.errors import AutoKDError
from autokd_edge.teaching.classroom import Answer, Classroom, Exercise, answered, refused
from autokd_edge.teaching.trainer import KDDistiller


def main() -> None:
    """Answer until the input ends."""
    answers = _own_output()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, lines), daemon=True).start()
    classroom = decode(Classroom, json.loads(lines.get()))
    distiller: KDDistiller | AutoKDError
    try:
        distiller = classroom.distiller()
    except AutoKDError as error:
        distiller = error
    while True:
        exercise = decode(Exercise, json.loads(lines.get()))
        answer = refused(distiller) if isinstance(distiller, AutoKDError) else answered(distiller, exercise)
        answers.write(json.dumps(encode(answer, Answer)) + "\n")
        answers.flush()


def _own_output() -> TextIO:
    """Keep stdout for answers: what a teacher's code prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _listen(stream: TextIO, lines: queue.SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line)
    os._exit(0)  # whoever asked is gone; the lesson goes on from what was saved when it is asked for again


if __name__ == "__main__":
    main()
