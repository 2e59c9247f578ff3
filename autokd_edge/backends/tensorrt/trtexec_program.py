"""Run trtexec on the board, one job after another: a request on stdin, one JSON document on stdout, then the end.

Standard library of Python 3.6 only, which is what JetPack 4 ships. A request holds ``programs``, the places
to look for trtexec, and ``jobs``; a job holds ``arguments``, in which ``{name}`` stands for a file that the
job exports, and ``exports``: the names to give back. Of a trace of times the columns of evenly spaced rows from
``from_ms`` on are given back, and how many rows there were: the trace of a minute is 170 MB where an inference
takes 0.1 ms. The first job that fails is the last that runs.
"""

# ruff: noqa: UP006, UP035, UP045, PTH118, PTH123  Python 3.6 runs this, and its types and paths are of its time
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Iterator, Optional, TextIO

COLUMNS = ("startComputeMs", "startEnqMs", "endEnqMs", "h2dMs", "computeMs", "d2hMs", "latencyMs")
ROWS_MOST = 200000  # kept of all traces together: some 16 MB of an answer, for which the link has 64 MiB
LOG_MOST = 200000  # characters: a verbose build says tens of megabytes
POLL_S = 0.02
SESSION = "AUTOKD_EDGE_SESSION"  # names a folder that the link removes, also after whoever asked was killed


def main() -> int:
    """Answer the request that waits on stdin."""
    end_with_parent()
    request = json.load(sys.stdin)
    program = next(filter(None, map(shutil.which, request["programs"])), None)
    if program is None:
        json.dump({"missing": request["programs"]}, sys.stdout)
        return 0
    answers = []
    for job in request["jobs"]:
        time.sleep(job.get("pause_s", 0))
        answers.append(run(program, job, ROWS_MOST // len(request["jobs"])))
        if answers[-1]["status"] != 0:
            break
    json.dump({"jobs": answers}, sys.stdout)
    return 0


def run(program: str, job: Dict[str, Any], rows_most: int) -> Dict[str, Any]:
    """Run trtexec once and say its status, log, exports, peak memory, and how far the available memory fell."""
    folder = tempfile.mkdtemp(dir=os.environ.get(SESSION))
    try:
        files = {name: os.path.join(folder, name) for name in job["exports"]}
        arguments = [placed(argument, files) for argument in job["arguments"]]
        before = available_bytes()
        least = before
        with open(os.path.join(folder, "log"), "w+b") as log:
            child = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent)  # noqa: PLW1509  no thread here
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                least = min(least, available_bytes())
                time.sleep(POLL_S)
            child.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            log.seek(0)
            text = log.read().decode("utf-8", "replace")
        return {
            "status": child.returncode,
            "log": text if len(text) <= LOG_MOST else text[: LOG_MOST // 2] + "\n...\n" + text[-LOG_MOST // 2 :],
            "exports": {
                name: exported_times(path, job.get("from_ms", 0.0), rows_most) if name == "times" else exported(path)
                for name, path in files.items()
            },
            "peak_rss_bytes": usage.ru_maxrss * 1024,
            "available_drop_bytes": max(0, before - least),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def placed(argument: str, files: Dict[str, str]) -> str:
    """Put the files of a job in the place of their names."""
    for name, path in files.items():
        argument = argument.replace("{" + name + "}", path)
    return argument


def exported(path: str) -> Optional[str]:
    """Read a file that trtexec exported; None where it wrote none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def exported_times(path: str, from_ms: float, rows_most: int) -> Optional[Dict[str, Any]]:
    """Read a trace that trtexec exported; None where it wrote none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return trace(stream, from_ms, rows_most)
    except OSError:
        return None


def trace(stream: TextIO, from_ms: float, rows_most: int) -> Optional[Dict[str, Any]]:
    """Count the rows that start at ``from_ms`` or later and keep the columns of ``rows_most`` at most; None where it is no trace.

    The kept rows are evenly spaced, so that their percentiles are those of all; no more of a trace is in memory at once.
    """
    kept = {name: [] for name in COLUMNS}  # type: Dict[str, Any]
    rows, stride = 0, 1
    try:
        for text in row_texts(stream):
            if rows % stride:
                rows += 1
                continue
            row = json.loads(text)
            numbers = {name: float(row[name]) for name in COLUMNS}
            if rows == 0 and numbers["startComputeMs"] < from_ms:  # rows come in the order of time
                continue
            for name, number in numbers.items():
                kept[name].append(number)
            rows += 1
            if len(kept["computeMs"]) > rows_most:
                kept = {name: numbers[::2] for name, numbers in kept.items()}
                stride *= 2
    except (ValueError, KeyError, TypeError):
        return None
    return {"rows": rows, "columns": kept}


def row_texts(stream: TextIO) -> Iterator[str]:
    """Yield the objects of a JSON list of flat objects, each as it is written; raises ValueError where it is something else."""
    rest, between = "", "["
    while True:
        piece = stream.read(65536)
        if not piece:
            break
        *whole, rest = (rest + piece).split("}")
        for text in whole:
            before, brace, row = text.partition("{")
            if not brace or before.strip() != between:
                raise ValueError("a trace must be a list of flat objects")
            between = ","
            yield "{" + row + "}"
    if "".join(rest.split()) != ("[]" if between == "[" else "]"):
        raise ValueError("a trace must end where its list does")


def available_bytes() -> int:
    """Read how much memory the system can still give."""
    with open("/proc/meminfo", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def end_with_parent() -> None:
    """Ask Linux to end this process with the one that started it: nobody may measure next to an orphan."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main())
