import dataclasses
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes.outcome import emulated_outcome, infeasible_outcome, outcomes_of_two, sample_outcome, tuned_outcome
from fakes.study import sample_config

from autokd_edge.core.events import Opened
from autokd_edge.core.study import fold
from autokd_edge.errors import InputError
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.page import page, write_page

pytest.importorskip("plotly", reason="plotly is not installed: pip install 'autokd-edge[report]'")


def own(text: str) -> str:
    """Return a page without Plotly's own script."""
    return re.sub(r"<script>(?!\nfor).*?</script>", "", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def text() -> str:
    return page((sample_outcome(),))


def test_the_page_has_every_section(text: str) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles == [
        "Teacher beside student",
        "Accuracy against latency",
        "Engines graded",
        "Architecture",
        "What the device said before teaching",
        "Every run",
        "The search",
    ]
    assert "<summary>To do it again</summary>" in text
    assert text.count('<svg class="net"') == 2


def test_a_page_of_emulated_readings_says_so_and_never_that_they_were_measured() -> None:
    html = own(page((emulated_outcome(),)))
    assert html.count("emulated") > 10
    assert "faster" not in html
    assert "slower" not in html
    assert "replayed" not in html
    assert re.findall(r"[^.<>]*\bmeasured\b[^.<>]*", html) == []
    assert html.count("2,107,742 (counted by the emulator)") == 2


def test_the_page_reaches_for_nothing_outside_of_itself(text: str) -> None:
    html = own(text)
    assert not re.findall(r"(?:src|href)=|@import|url\(", html)
    assert "default-src 'none'" in html
    assert "connect-src" not in html


def test_every_plot_has_its_figure_and_its_conditions(text: str) -> None:
    names = re.findall(r'<div class="plot" data-name="([\w-]+)">', text)
    assert names == ["accuracy", "memory", "parameters", "samples", "history"]
    for name in names:
        after = text.split(f'data-name="{name}"')[1]
        assert '<ul class="conditions"><li>Replayed on host (Sample Processor 2.0 GHz' in after.split("</section>")[0]


def test_measured_is_not_said_of_replayed_readings(text: str) -> None:
    assert "replayed" in own(text)
    assert "easured" not in own(text)


def test_readings_that_are_not_alike_are_not_said_to_be(text: str) -> None:
    assert "Both ran in the same runtime, on the same device, by the same protocol" in text
    for html in (_page_of(threads=4), _page_of(fingerprint={"throttled": ("thermal",)})):
        assert "Both ran in the same runtime" not in html
        assert "were not taken under the same conditions" in html


def test_readings_some_minutes_apart_on_one_machine_are_alike() -> None:
    minutes_later = {"available_bytes": 123, "clock_khz": 456, "temperature_c": 78.0}
    assert "Both ran in the same runtime" in _page_of(fingerprint=minutes_later)


def _page_of(fingerprint: Mapping[str, object] | None = None, **changes: object) -> str:
    """Make the page of the sample with changes in the reading of its student, or in the fingerprint of that."""
    outcome = sample_outcome()
    assert outcome.best is not None
    assert outcome.grade is not None
    reading = outcome.grade.measurement
    machine = dataclasses.replace(reading.fingerprint, **(fingerprint or {}))
    reading = dataclasses.replace(reading, fingerprint=machine, **changes)
    best = dataclasses.replace(outcome.best, outcome=dataclasses.replace(outcome.grade, measurement=reading))
    return page((dataclasses.replace(outcome, best=best),))


def test_equal_outcomes_give_equal_pages(text: str) -> None:
    assert page((sample_outcome(),)) == text


def test_data_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    outcome = sample_outcome()
    goal = dataclasses.replace(outcome.study.goal, target=evil)
    config = dataclasses.replace(outcome.study.config, goals=(goal,), teacher=evil, data=evil, family=evil, policy=evil)
    accuracies = [dataclasses.replace(a, computed_by=evil, machine=evil) for a in outcome.accuracies]  # type: ignore[type-var]  # they are dataclasses
    study = dataclasses.replace(outcome.study, config=config)
    html = page((dataclasses.replace(outcome, name=evil, study=study, accuracies=accuracies, closest=evil),))
    assert evil not in html
    assert "<title>&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_without_a_best_engine_the_page_says_how_close_it_came() -> None:
    html = own(page((infeasible_outcome(),)))
    assert "No student keeps all limits yet: the closest candidate as openvino/int8 has latency 0.366 ms" in html
    assert 'class="card"' not in html
    assert "broken: latency" in html


def test_a_study_that_has_only_begun_has_a_page() -> None:
    html = own(page((Outcome(name="new", study=fold((Opened(config=sample_config(), at_s=0.0),)), best=None),)))
    assert "<h2>Teacher beside student</h2>" in html
    assert 'class="plot"' not in html


def test_a_page_replaces_an_older_one_and_leaves_nothing_beside_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs" / "report.html"
    write_page(path, (infeasible_outcome(),))
    write_page(path, (sample_outcome(),))
    assert path.read_text("utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"report '.*' cannot be written: "):
        write_page(tmp_path / "file" / "report.html", (infeasible_outcome(),))


@pytest.mark.slow
def test_a_browser_draws_every_plot_without_an_error(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is installed: apt install chromium")
    write_page(tmp_path / "report.html", (sample_outcome(),))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    place = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [browser, *flags, *place, f"file://{tmp_path / 'report.html'}"], capture_output=True, text=True, check=True, timeout=120
    )
    drawn = re.findall(r'<div class="plot js-plotly-plot" data-name="([\w-]+)"', done.stdout)
    assert drawn == ["accuracy", "memory", "parameters", "samples", "history"]
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_page_of_two_targets_has_each_section_of_each_and_leads_to_them() -> None:
    html = own(page(outcomes_of_two()))
    assert html.count("<h2>Teacher beside student</h2>") == html.count("<h2>The search</h2>") == 2
    assert [html.count(f'<article id="goal-{number}">') for number in (0, 1, 2)] == [1, 1, 0]
    assert '<a href="#goal-1">pi</a>: all limits kept by openvino/int8' in html
    assert "for host and one for pi</title>" in html
    assert set(re.findall(r'href="(.)', html)) == {"#"}


def test_what_tuning_won_is_said() -> None:
    assert "he shipped engine: tuned 14 workloads, 112 candidates in 48 s: 310 µs against 360 µs" in own(page((tuned_outcome(),)))
