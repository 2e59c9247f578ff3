"""Run trtexec on the board, one job after another: a request on stdin, one JSON document on stdout, then the end.

Standard library of Python 3.6 only, which is what JetPack 4 ships. A request holds ``programs``, the places
to look for trtexec, and ``jobs``; a job holds ``arguments``, in which ``{name}`` stands for a file that the
job exports, and ``exports``: the names to give back. Of a trace of times the columns are given back, because
the document of a long run is forty times as large. The first job that fails is the last that runs.
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
from typing import Any, Dict, List, Optional

COLUMNS = ("startComputeMs", "startEnqMs", "endEnqMs", "h2dMs", "computeMs", "d2hMs", "latencyMs")
LOG_MOST = 200000  # characters: a verbose build says tens of megabytes
POLL_S = 0.02


def main() -> int:
    """Answer the request that waits on stdin."""
    request = json.load(sys.stdin)
    program = next(filter(None, map(shutil.which, request["programs"])), None)
    if program is None:
        json.dump({"missing": request["programs"]}, sys.stdout)
        return 0
    answers = []
    for job in request["jobs"]:
        time.sleep(job.get("pause_s", 0))
        answers.append(run(program, job))
        if answers[-1]["status"] != 0:
            break
    json.dump({"jobs": answers}, sys.stdout)
    return 0


def run(program: str, job: Dict[str, Any]) -> Dict[str, Any]:
    """Run trtexec once and say its status, log, exports, peak memory, and how far the available memory fell."""
    folder = tempfile.mkdtemp()
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
            "exports": {name: exported(name, path) for name, path in files.items()},
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


def exported(name: str, path: str) -> Any:  # noqa: ANN401  a document of trtexec's
    """Read a file that trtexec exported; None where it wrote none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return None
    return columns(text) if name == "times" else text


def columns(text: str) -> Optional[Dict[str, List[float]]]:
    """Turn a trace, one object for each inference, into lists of numbers; None where it is no trace."""
    try:
        rows = json.loads(text)
        return {name: [float(row[name]) for row in rows] for name in COLUMNS}
    except (ValueError, KeyError, TypeError):
        return None


def available_bytes() -> int:
    """Read how much memory the system can still give."""
    with open("/proc/meminfo", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def end_with_parent() -> None:
    """Ask Linux to end trtexec with this program: nobody may measure next to an orphan."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main())
