"""The report for a terminal: Rich tables of the same lines that the page shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from autokd_edge.core.study import keeps
from autokd_edge.report import explained, family, front, precisions, wording
from autokd_edge.report.comparison import compare
from autokd_edge.report.finalists import finalists_in_words, short_lesson_in_words
from autokd_edge.report.outcome import Outcome, broken, engine_name, grades, refusals
from autokd_edge.report.quantized import quantized_sentences


def report_tables(outcomes: Sequence[Outcome]) -> RenderableType:
    """Lay out the whole report, one goal after another."""
    if len(outcomes) == 1:
        return goal_tables(outcomes[0])
    return Group(*(part for outcome in outcomes for part in (Rule(Text(f"target {outcome.study.goal.target}")), goal_tables(outcome))))


def goal_tables(outcome: Outcome) -> RenderableType:
    """Lay out one goal: verdict, teacher beside student, variants tried, the family, and what was refused."""
    parts: list[RenderableType] = [Text(verdict(outcome), style="bold green" if outcome.best is not None else "bold yellow")]
    parts.append(comparison_table(outcome))
    engines = front_table(outcome) if outcome.study.goal.pareto else variants_table(outcome)
    parts.extend(table for table in (engines, family_table(outcome)) if table is not None)
    finals = (finalists_in_words(outcome.study), short_lesson_in_words(outcome.study, outcome.best))
    parts.extend(Text(said) for said in (*finals, *quantized_sentences(outcome.study)) if said)
    if outcome.tuning is not None:
        parts.append(Text(f"the shipped engine: {wording.tuned(outcome.tuning)}"))
    parts.extend(map(Text, explained.reasons(outcome)))
    parts.extend(table for table in (influence_table(outcome), screening_table(outcome), refusals_table(outcome)) if table is not None)
    return Group(*parts)


def verdict(outcome: Outcome) -> str:
    """Say in one line what a study came to."""
    if outcome.front:
        return front.told(outcome)
    if outcome.best is not None and outcome.grade is not None:
        slacks = ", ".join(wording.slack(slack) for slack in outcome.study.grade_slacks(outcome.grade))
        return (
            f"all limits kept by {outcome.best.variant}: {slacks}" if slacks else f"best engine {outcome.best.variant}; no limits were set"
        )
    return f"no student keeps all limits yet{f': {outcome.closest}' if outcome.closest else ''}"


def comparison_table(outcome: Outcome) -> Table:
    """Set the teacher beside the student."""
    which = "the most accurate student of the front" if outcome.front else "student"
    table = _table(f"Teacher beside {which}, study '{outcome.name}'", ("Quantity", "Teacher", "Student", "Compared"))
    for line in compare(outcome):
        table.add_row(Text(line.quantity, style="dim"), Text(line.teacher), Text(line.student, style="bold"), Text(line.compared))
    return table


def variants_table(outcome: Outcome) -> Table | None:
    """List every engine that was built of a taught student; None where there is none."""
    found = grades(outcome.study)
    if not found:
        return None
    title = f"Engines graded ({wording.origins(grade.measurement for _, grade in found)})"
    table = _table(title, ("Engine", "Accuracy, validation", "Latency, median", "Peak memory", "Limits"))
    for graded, grade in found:
        slacks = outcome.study.grade_slacks(grade)
        verdict_text = "kept" if keeps(slacks) else f"broken: {', '.join(broken(slacks))}"
        if outcome.best == graded:
            verdict_text += ", the best"
        cells = (
            wording.percent(grade.accuracy),
            wording.latency(grade.measurement.median_ns),
            wording.size(grade.measurement.memory.engine_bytes),
        )
        table.add_row(Text(engine_name(outcome.study, graded)), *map(Text, cells), Text(verdict_text))
    return table


def front_table(outcome: Outcome) -> Table:
    """List every engine of a study that searched for a front, and which are on it."""
    word = wording.origins(grade.measurement for _, grade in grades(outcome.study))
    table = _table(f"The front of accuracy against {' and '.join(outcome.study.goal.pareto)} ({word})", front.columns(outcome))
    for row in front.rows(outcome):
        table.add_row(*map(Text, row))
    return table


def screening_table(outcome: Outcome) -> Table | None:
    """Compare the variants that untrained members were read in; None where there was only one."""
    lines = precisions.variant_lines(outcome.study)
    if not lines:
        return None
    table = _table("Variants of untrained candidates", precisions.COLUMNS)
    for line in lines:
        table.add_row(*map(Text, (line.variant, line.read, line.ratio, line.said)))
    return table


def influence_table(outcome: Outcome) -> Table | None:
    """List the parameters that mattered most, as the study's models predict; None where there is no model."""
    found = explained.rows(outcome)
    if not found:
        return None
    table = _table(
        "Parameters that mattered (predicted by the search's models; shares overlap where parameters act together)", explained.COLUMNS
    )
    for row in found:
        table.add_row(*map(Text, row))
    return table


def family_table(outcome: Outcome) -> Table | None:
    """List the members of the best family that were taught in full, their mean and spread; None where there is one at most."""
    found = family.family_of(outcome.study, outcome.best)
    if found is None or len(found.members) < 2:
        return None
    table = _table(f"The family: {family.told(found)}", family.COLUMNS)
    for row in family.rows(found):
        table.add_row(*map(Text, row))
    return table


def refusals_table(outcome: Outcome) -> Table | None:
    """Count what was refused, by reason; None where nothing was."""
    found = refusals(outcome.study)
    if not found:
        return None
    table = _table("Refused", ("Stage", "Reason", "Count", "For example"))
    for refusal in found:
        table.add_row(Text(refusal.stage), Text(refusal.reason), Text(str(refusal.count)), Text(refusal.example))
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
