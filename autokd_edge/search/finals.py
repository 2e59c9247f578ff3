"""The last phase: probe the best pupil's family, teach its fastest fitting member longer, grade its engines."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.space import Point
from autokd_edge.core.study import Action, Failed, Grade, GradeEngine, Member, Probe, Pupil, Stop, Study, Taught, Teach
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import may_win
from autokd_edge.search import pace
from autokd_edge.search.history import Reading, asked, lessons, readings
from autokd_edge.search.plan import Plan
from autokd_edge.search.verdicts import best_grade, closest


def begun(study: Study) -> bool:
    """Say whether the final phase has begun; it never goes back to searching."""
    return any(taught.final for taught in study.teachings) or any(probed.member.index > 0 for probed in study.probes)


def finish(study: Study, plan: Plan, variants: tuple[Variant, ...]) -> Action:
    """Return the next action of the final phase."""
    finals = tuple(taught for taught in study.teachings if taught.final)
    ungraded = _ungraded(study, finals, variants)
    if ungraded is not None:
        return ungraded
    if best_grade(study) is not None:
        return Stop(reason="the final engines are graded and one keeps all limits")
    lead = _lead(study, finals)
    why = _why_no_other(study, plan, finals)
    if lead is None or why:
        return Stop(reason=_none_kept(study, why or "no other taught candidate is left"))
    unprobed = _unprobed(study, plan, lead.pupil.member.architecture)
    if unprobed:
        return Probe(members=unprobed)
    return Teach(pupil=Pupil(member=lead.chosen, distillation=lead.pupil.distillation), steps=_steps(study, plan, lead), final=True)


def _ungraded(study: Study, finals: tuple[Taught, ...], variants: tuple[Variant, ...]) -> GradeEngine | None:
    """Return the next variant of the last finalist that may win and was not tried yet."""
    if not finals or isinstance(finals[-1].outcome, Failed):
        return None
    pupil = finals[-1].pupil
    graded = {grade.variant for grade in study.grades if grade.pupil == pupil}
    left = (variant for variant in may_win(study, pupil.member, variants) if variant not in graded)
    return next((GradeEngine(pupil=pupil, variant=variant) for variant in left), None)


def _why_no_other(study: Study, plan: Plan, finals: tuple[Taught, ...]) -> str:
    """Say why no finalist may follow those that were tried; empty where one may. The first always may."""
    seconds = study.config.budget.seconds
    if len(finals) >= plan.finalists:
        return f"all {plan.finalists} finalists were tried"
    if finals and seconds is not None and study.elapsed_s + pace.teach_s(study) + pace.grade_s(study) > seconds:
        return f"the budget of {study.config.budget} leaves no time for another finalist"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lead:
    """A pupil of the search whose family goes into the final, and the member that does for now."""

    pupil: Pupil
    accuracy: float
    times_tried: int
    excess: float  # worst excess of the member chosen
    chosen: Member


def _lead(study: Study, finals: tuple[Taught, ...]) -> _Lead | None:
    """Return the most promising pupil: never tried, with the margin that the last finalist lacked, most accurate."""
    tried = {(final.pupil.member, final.pupil.distillation) for final in finals}
    fitting: dict[Point, list[Reading]] = {}
    for reading in readings(study):
        if reading.fits:
            fitting.setdefault(reading.member.architecture, []).append(reading)
    leads = []
    for pupil, accuracy in lessons(study):
        family = [r for r in fitting.get(pupil.member.architecture, []) if (r.member, pupil.distillation) not in tried]
        if family:
            chosen = min(family, key=lambda r: (r.latency, r.member.index))
            times = sum(f.pupil.member.architecture == pupil.member.architecture for f in finals)
            leads.append(_Lead(pupil=pupil, accuracy=accuracy, times_tried=times, excess=chosen.worst, chosen=chosen.member))
    most = _excess_allowed(study, finals)
    return min(leads, key=lambda lead: (lead.times_tried, max(0.0, lead.excess - most), -lead.accuracy), default=None)


def _excess_allowed(study: Study, finals: tuple[Taught, ...]) -> float:
    """Return the excess at probing that would have passed the final reading, by the finalists so far.

    A finalist probed at 0.95 times the limit and read at 1.1 times in the end says that 0.86 times
    (an excess of -0.14) is needed. 0 where no finalist broke a device limit.
    """
    probed = {reading.member: reading.worst for reading in readings(study)}
    allowed = 0.0
    for final in finals:
        grades = [g.outcome for g in study.grades if g.pupil == final.pupil and isinstance(g.outcome, Grade)]
        worst = [max((slack.excess for slack in study.slacks(grade.measurement)), default=0.0) for grade in grades]
        if worst and min(worst) > 0 and final.pupil.member in probed:
            allowed = min(allowed, (1 + probed[final.pupil.member]) / (1 + min(worst)) - 1)
    return allowed


def _unprobed(study: Study, plan: Plan, architecture: Point) -> tuple[Member, ...]:
    """Return the members of the family to probe; none where the time left is needed for teaching."""
    known = asked(study)
    members = tuple(m for i in range(plan.family) if (m := Member(architecture=architecture, index=i)) not in known)
    cost_s = len(members) * pace.probe_s(study) + pace.teach_s(study)
    return members if cost_s <= _left_s(study, plan) else ()


def _steps(study: Study, plan: Plan, lead: _Lead) -> int:
    config = study.config
    if config.final_steps is not None:
        return config.final_steps
    if config.budget.seconds is None:
        return plan.final_factor * config.search_steps
    rate = pace.steps_per_s(study, lead.pupil.member.architecture) or 0.0
    return max(config.search_steps, int(_left_s(study, plan) * rate))


def _left_s(study: Study, plan: Plan) -> float:
    """Return the seconds left for probing and teaching; without end where the budget is not a time."""
    seconds = study.config.budget.seconds
    return float("inf") if seconds is None else seconds * (1 - plan.grading_share) - study.elapsed_s


def _none_kept(study: Study, why: str) -> str:
    if any(isinstance(graded.outcome, Grade) for graded in study.grades):
        return f"no engine keeps all limits: {why}; {closest(study)}"
    outcomes = [*(taught.outcome for taught in study.teachings), *(graded.outcome for graded in study.grades)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    last = f"; the last failure: {failures[-1].error} in stage '{failures[-1].stage}': {failures[-1].message}" if failures else ""
    return f"no engine could be graded: {why}{last}"
