"""What is shown while a search runs."""

import io
import re
from dataclasses import replace

from fakes.study import sample_events, sample_pupil, sample_study, sample_study_of_two, with_finalists
from rich.console import Console

from autokd_edge.core.events import Begun, Confirm, Confirmed, GradeEngine, Probe, Stop, Teach, Wait
from autokd_edge.core.pupil import Failed
from autokd_edge.core.study import advance, fold
from autokd_edge.core.target import Variant
from autokd_edge.report.progress import Progress, best_so_far, phase_of


def shown(*, terminal: bool) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    return Progress(Console(file=stream, force_terminal=terminal, width=200), "sample"), stream


def test_each_action_has_its_phase() -> None:
    pupil = sample_pupil(0)
    assert phase_of(None) == "reading the teacher"
    assert phase_of(Probe(members=(pupil.member,))) == "asking the device"
    confirm = Confirm(member=pupil.member, variant=Variant(backend="openvino", precision="bf16"))
    assert phase_of(confirm) == "reading the untrained finalist by the final protocol, openvino/bf16"
    assert phase_of(Teach(pupil=pupil, steps=1, final=False)) == "teaching"
    assert phase_of(Teach(pupil=pupil, steps=1, final=True)) == "teaching the finalist"
    assert phase_of(GradeEngine(pupil=pupil, variant=Variant(backend="openvino", precision="int8"))) == "grading openvino/int8"
    assert phase_of(Stop(reason="done")) == "finishing"


def test_a_line_tells_phase_counts_best_and_what_is_left() -> None:
    study = sample_study()
    progress, stream = shown(terminal=False)
    with progress:
        progress.watch(study, Stop(reason="done"))
    line = stream.getvalue()
    fits = sum(study.fits(probed) for probed in study.probes)
    assert f"{len(study.probes)} probed ({fits} fit), {len(study.teachings)} taught, {len(study.grades)} graded" in line
    assert best_so_far(study) in line
    assert re.search(r"left$", line.strip())
    assert line.count("\n") == 1


def test_lines_are_written_when_the_phase_changes_and_not_for_every_step() -> None:
    study, pupil = sample_study(), sample_pupil(0)
    progress, stream = shown(terminal=False)
    with progress:
        progress.watch(study, Probe(members=(pupil.member,)))
        progress.watch(study, Probe(members=(pupil.member,)))
        progress.watch(study, Teach(pupil=pupil, steps=1, final=False))
    assert [line.split(" | ")[1] for line in stream.getvalue().splitlines()] == ["asking the device", "teaching"]


def test_a_backend_that_is_left_out_is_said_once() -> None:
    study, gpu = sample_study(), Variant(backend="gpu", precision="fp16")
    why = Failed(stage="build", error="AbsentDeviceError", message="needs a GPU", retryable=False)
    met = Confirmed(member=sample_pupil(0).member, variant=gpu, outcome=why, at_s=study.elapsed_s)
    progress, stream = shown(terminal=False)
    with progress:
        for seen in (study, advance(study, met), advance(study, met)):
            progress.watch(seen, Wait())
    target = study.goal.target
    assert stream.getvalue().splitlines()[1:] == [f"sample | gpu/fp16 on {target}: left out after one try, with all of gpu: needs a GPU"]


def test_a_terminal_shows_one_live_line() -> None:
    progress, stream = shown(terminal=True)
    with progress:
        progress.watch(sample_study(), None)
    assert "reading the teacher" in stream.getvalue()


def test_who_is_being_taught_is_counted_and_waiting_is_teaching() -> None:
    study, pupil = sample_study(), sample_pupil(50)
    running = replace(study, beginnings=(Begun(pupil=pupil, steps=300, final=False, at_s=study.elapsed_s),))
    progress, stream = shown(terminal=False)
    with progress:
        progress.watch(running, Wait())
    assert "sample | teaching | " in stream.getvalue()
    assert "graded, 1 being taught | " in stream.getvalue()


def test_finalists_that_were_refused_before_they_were_taught_are_counted() -> None:
    progress, stream = shown(terminal=False)
    with progress:
        progress.watch(with_finalists(sample_study(), (1.01, 5.0)), Stop(reason="done"))
    assert "graded, 1 finalist refused | " in stream.getvalue()


def test_before_the_first_lesson_there_is_no_best() -> None:
    assert best_so_far(fold(sample_events(taught=0, final=False)[:1])) == "none taught yet"


def test_of_two_targets_the_one_that_is_worked_for_is_named() -> None:
    study = sample_study_of_two()
    progress, stream = shown(terminal=False)
    with progress:
        progress.watch(study, Probe(members=(sample_pupil(0).member,), goal=1))
    fits = sum(view.fits(probed) for view in (study.of(0), study.of(1)) for probed in view.probes)
    assert f"asking the device for pi | {len(study.probes)} probed ({fits} fit)" in stream.getvalue()
