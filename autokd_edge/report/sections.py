"""The sections of the page, each a function of the outcome; an empty text where there is nothing to show."""

from __future__ import annotations

from html import escape

from autokd_edge.core.events import Graded
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Pupil, Screened
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.study import keeps
from autokd_edge.report import explained, precisions, quantized, wording
from autokd_edge.report import front as front_report
from autokd_edge.report.comparison import compare
from autokd_edge.report.drawing import LEGEND, drawing, kinds_in
from autokd_edge.report.family import COLUMNS as MEMBER_COLUMNS
from autokd_edge.report.family import family_of, rows, told
from autokd_edge.report.finalists import finalists_in_words, short_lesson_in_words
from autokd_edge.report.markup import card, conditions, definitions, plot, section, sentence, table
from autokd_edge.report.outcome import Outcome, broken, engine_name, grades, refusals, taught_in_words, untrained_median_ns
from autokd_edge.report.plots import TAIL, accuracy_by_memory_plot, accuracy_plot, history_plot, memory_plot, parameters_plot, samples_plot
from autokd_edge.report.precisions import variant_lines
from autokd_edge.report.quantized import noisiest_layers, quantized_sentences
from autokd_edge.report.table import verdict


def header(outcome: Outcome) -> str:
    """Say what the study is about and what it came to."""
    study = outcome.study
    kind = "good" if outcome.best is not None else "warn"
    fitting = sum(study.fits(probed) for probed in study.probes)
    word = wording.origins(m for p in study.probes if isinstance(p.outcome, Screened) for m in p.outcome.measurements)
    story = (
        f"The search probed {len(study.probes)} untrained networks of the family {study.config.family} (readings {word}); {fitting} kept "
        f"the limits of the device. It taught {taught_in_words(study)} and graded {len(study.grades)} engines, in "
        f"{wording.duration(study.elapsed_s)} of work."
    )
    story += "".join(f" {sentence(wording.put_aside(gone))}" for gone in study.put_aside)
    return (
        f'<header><p class="kicker">autokd-edge \N{MIDDLE DOT} study {escape(outcome.name)}</p>'
        f"<h1>{'Students' if study.goal.pareto else 'A student'} of {escape(study.config.teacher)} for {escape(study.goal.target)}</h1>"
        f'<p class="verdict {kind}">{escape(sentence(verdict(outcome)))}</p><p class="lead">{escape(story)}</p></header>'
    )


def cards(outcome: Outcome) -> str:
    """Show the four figures that a reader looks for first."""
    grade, teacher, reference = outcome.grade, outcome.teacher_reading, outcome.study.reference
    if grade is None or teacher is None or reference is None or reference.accuracy is None:
        return ""
    student, cost = grade.measurement, outcome.student_cost
    drop, of = grade.accuracy - reference.accuracy, "validation"
    tests = (outcome.accuracy("teacher", "test"), outcome.accuracy("student engine", "test"))
    told = f"{wording.percent(grade.accuracy)} against {wording.percent(reference.accuracy)}"
    if tests[0] is not None and tests[1] is not None:
        drop, of = tests[1].percent - tests[0].percent, "test"
        told = f"{wording.percent(tests[1].percent)} against {wording.percent(tests[0].percent)}"
    counted = wording.fewer_instructions(teacher, student)
    what, ratio = ("Instructions", counted) if counted else ("Latency, median", wording.speed(teacher, student))
    shown = [
        (what, ratio, f"{wording.work(student)} against {wording.work(teacher)}"),
        (f"Accuracy, {of}", wording.points(drop), told),
    ]
    if cost is not None and reference.cost is not None:
        ratio = wording.times(reference.cost.parameters / cost.parameters, "fewer", "more")
        shown.append(("Parameters", ratio, f"{cost.parameters:,} against {reference.cost.parameters:,}"))
    own, theirs = student.memory.engine_bytes, teacher.memory.engine_bytes
    if own and theirs:
        shown.append(("Peak memory", wording.times(theirs / own, "less", "more"), f"{wording.size(own)} against {wording.size(theirs)}"))
    said = conditions(f"{who}: {wording.conditions(m)}" for who, m in (("student", student), ("teacher", teacher)))
    return f'<div class="cards">{"".join(card(*facts) for facts in shown)}</div><div class="under-cards">{said}</div>'


def front(outcome: Outcome) -> str:
    """Draw the front of a study that searched for one, and list every engine with its place."""
    study = outcome.study
    if not study.goal.pareto or not (study.teachings or study.grades):
        return ""
    plots = [accuracy_plot(outcome)] + ([accuracy_by_memory_plot(outcome)] if "memory" in study.goal.pareto else [])
    listed = table(front_report.columns(outcome), front_report.rows(outcome), strong=1, css="figures")
    title = f"The front: accuracy against {' and '.join(study.goal.pareto)}"
    return section(title, f"Up and to the left is better. {front_report.NOTE}", *map(plot, plots), listed)


def comparison(outcome: Outcome) -> str:
    """Set the teacher beside the student."""
    rows = [(line.quantity, line.teacher, line.student, line.compared) for line in compare(outcome)]
    teacher, student = outcome.teacher_reading, None if outcome.grade is None else outcome.grade.measurement
    if teacher is None or student is None:
        note = "No graded engine keeps all limits, so the student's column is empty."
    elif student.prediction is not None:
        note = (
            "Nothing here ran on the device: latency and memory are predicted from recorded readings, with the error that is stated beside "
            "them, and accuracies are those of the graphs, computed elsewhere."
        )
    elif _alike(teacher, student):
        note = "Both ran in the same runtime, on the same device, by the same protocol. The accuracy that counts is the engine's own."
    else:
        note = "The two readings were not taken under the same conditions: compare device, runtime and protocol before the figures."
    title = "Teacher beside the most accurate student" if outcome.front else "Teacher beside student"
    return section(title, note, table(("Quantity", "Teacher", "Student", "Compared"), rows, strong=2, css="compare"))


def accuracy(outcome: Outcome) -> str:
    """Plot accuracy against latency; of a front its own section does."""
    if outcome.study.goal.pareto or not (outcome.study.teachings or outcome.study.grades):
        return ""
    note = (
        "Up and to the left is better. What a limit is compared with is the upper confidence bound of the percentile, "
        "so that is what the axis shows. Point at a mark to read it."
    )
    return section("Accuracy against latency", note, plot(accuracy_plot(outcome)))


def reasons(outcome: Outcome) -> str:
    """Say which limit binds, what more of it would buy, and which parameters mattered."""
    said, rows = explained.reasons(outcome), explained.rows(outcome)
    if not said and not rows:
        return ""
    told = "".join(f"<p>{escape(one)}</p>" for one in said)
    note = "Counts are of what was read; what is said of accuracy, and the shares, is predicted by the models that the search"
    note += " went by. Shares overlap where parameters act together."
    return section("Why", note, told, table(explained.COLUMNS, rows) if rows else "")


def engines(outcome: Outcome) -> str:
    """List every engine that was graded."""
    found = grades(outcome.study)
    if not found:
        return ""
    rows = []
    for graded, grade in found:
        slacks = outcome.study.grade_slacks(grade)
        told = "kept" if keeps(slacks) else f"broken: {', '.join(broken(slacks))}"
        m = grade.measurement
        rows.append(
            (
                f"{engine_name(outcome.study, graded)}{' (the best)' if graded == outcome.best else ''}",
                wording.percent(grade.accuracy),
                wording.latency(m.median_ns),
                wording.latency(m.percentile_ns(99.0)),
                _untrained(outcome, graded, m),
                wording.size(m.memory.engine_bytes),
                wording.executed(m),
                told,
            )
        )
    columns = ("Engine", "Accuracy, validation", "Median", "p99", "Untrained", "Peak memory", "Executed", "Limits")
    note = (
        "Precision is a choice made by reading the clock: each variant of a taught student is built, timed and graded. "
        "Beside it stands the median of the untrained engine that the search went by, where it was of the same variant, "
        "and by how much the taught one differs from it."
    )
    said = conditions(wording.all_conditions(grade.measurement for _, grade in found))
    return section("Engines graded", note, table(columns, rows, strong=1, css="figures"), _quantized(outcome), _tuned(outcome), said)


def _quantized(outcome: Outcome) -> str:
    """Say what quantising did, and list the layers that were kept in float or add most noise."""
    told = "".join(f"<p>{escape(sentence(said))}</p>" for said in quantized_sentences(outcome.study))
    rows = noisiest_layers(outcome.study)
    return f"{told}<h3>Noise of quantising, by layer, before any tuning</h3>{table(quantized.COLUMNS, rows)}" if rows else told


def _tuned(outcome: Outcome) -> str:
    """Say what tuning the shipped engine on its board won."""
    if outcome.tuning is None:
        return ""
    return f"<p>{escape(sentence(f'the shipped engine: {wording.tuned(outcome.tuning)}'))}. It gives the same logits to the bit.</p>"


def family(outcome: Outcome) -> str:
    """List the members of the best family that were taught in full, with their mean and spread."""
    found = family_of(outcome.study, outcome.best)
    if found is None or len(found.members) < 2:
        return ""
    note = f"What a search finds is a family; members differ by chance alone. {told(found)}."
    return section(
        "The family", note, table(MEMBER_COLUMNS, rows(found), css="figures"), conditions(wording.all_conditions(found.readings))
    )


def probes(outcome: Outcome) -> str:
    """Plot the members that were probed, and say what was refused and why."""
    if not outcome.study.probes:
        return ""
    pair = (("Peak memory", memory_plot(outcome)), ("Parameters", parameters_plot(outcome)))
    parts = [f'<div class="pair">{"".join(f"<div><h3>{title}</h3>{plot(shown)}</div>" for title, shown in pair)}</div>']
    told_of_finals = (finalists_in_words(outcome.study), short_lesson_in_words(outcome.study, outcome.best))
    parts.extend(f"<p>{escape(sentence(said))}</p>" for said in told_of_finals if said)
    lines = [(line.variant, line.read, line.ratio, line.said) for line in variant_lines(outcome.study)]
    if lines:
        parts.append(f"<h3>In which variant</h3>{table(precisions.COLUMNS, lines)}")
    found = refusals(outcome.study)
    if found:
        rows = [(r.reason, r.stage, str(r.count), r.example or "\N{EM DASH}") for r in found]
        parts.append(f"<h3>Refused, and why</h3>{table(('Reason', 'Stage', 'Count', 'For example'), rows)}")
    note = (
        "That trained weights do not change speed is a bet: every candidate is built and read with random weights before any is taught, "
        "and what was taught is read again."
    )
    return section("What the device said before teaching", note, *parts)


def architecture(outcome: Outcome) -> str:
    """Draw the winner, and the teacher above it."""
    if outcome.student is None:
        return ""
    parts = []
    kinds = kinds_in(outcome.student)
    if outcome.teacher is not None:
        parts.append(f"<h3>Teacher</h3>{_net(outcome.teacher, 'The teacher')}<h3>Student</h3>")
        kinds |= kinds_in(outcome.teacher)
    parts.append(_net(outcome.student, "The student"))
    swatches = "".join(f'<li><span class="swatch {kind}"></span>{escape(name)}</li>' for kind, name in LEGEND if kind in kinds)
    parts.append(f'<ul class="keys">{swatches}</ul>')
    if outcome.best is not None:
        parts.append(definitions(_choices(outcome.best.pupil)))
    note = (
        "From the image on the left to the classifier on the right. A taller block has more channels; normalisation and activation "
        "are part of their convolution, and several lines into a block are merged there. Point at a block to read it."
    )
    return section("Architecture", note, *parts)


def samples(outcome: Outcome) -> str:
    """Plot every latency sample."""
    shown = samples_plot(outcome)
    if shown is None:
        return ""
    note = f"Every single run that the figures above are made of; the outer {TAIL:.1%} on either side are left out of the picture only."
    return section("Every run", note, plot(shown))


def history(outcome: Outcome) -> str:
    """Plot the course of the search."""
    if not outcome.study.teachings:
        return ""
    return section("The search", "Pauses between runs of the same study are not counted.", plot(history_plot(outcome)))


def provenance(outcome: Outcome) -> str:
    """Say everything that is needed to do it again."""
    study, config = outcome.study, outcome.study.config
    facts = {
        "Target": f"{study.goal.target} (sha256 {study.goal.target_digest})",
        "Data": f"{config.data} (sha256 {config.data_digest})",
        "Teacher": f"{config.teacher} (sha256 {config.teacher_digest})",
        "Family, policy, seed": f"{config.family}, {config.policy}, {config.seed}",
        "Budget": str(config.budget),
        **{f"Protocol {name}": f"sha256 {digest}" for name, digest in config.protocols.items()},
    }
    m = outcome.grade.measurement if outcome.grade is not None else outcome.teacher_reading
    if m is not None:
        machine = m.fingerprint
        facts |= {
            "Toolchain": ", ".join(f"{name} {version}" for name, version in m.toolchain.items()),
            "Machine": f"{machine.processor}, {machine.cores} cores, {wording.size(machine.memory_bytes)}, {machine.machine}",
            "System": f"{machine.system}; governor {machine.governor}; {'virtual machine' if machine.virtual else 'no hypervisor seen'}",
            "ISA flags": ", ".join(machine.isa_flags) or "none read",
            "Clock": m.clock,
        }
    if study.shipped is not None:
        facts["Bundle's manifest"] = f"sha256 {study.shipped.bundle}"
    return f"<section><details><summary>To do it again</summary>{definitions(facts)}</details></section>"


def _alike(teacher: Measurement, student: Measurement) -> bool:
    pairs = (
        (teacher.origin, student.origin),
        (teacher.fingerprint.lasting, student.fingerprint.lasting),
        (wording.runtime(teacher), wording.runtime(student)),
        (teacher.protocol_digest, student.protocol_digest),
    )
    return all(one == other for one, other in pairs)


def _untrained(outcome: Outcome, graded: Graded, taught: Measurement) -> str:
    median_ns = untrained_median_ns(outcome.study, graded)
    return "\N{EM DASH}" if median_ns is None else f"{wording.latency(median_ns)} ({taught.median_ns / median_ns - 1:+.1%})"


def _net(spec: StudentSpec, title: str) -> str:
    return f'<div class="net-scroll">{drawing(spec, title=title)}</div>'


def _choices(pupil: Pupil) -> dict[str, str]:
    return {
        "Architecture": ", ".join(f"{name} = {value}" for name, value in pupil.member.architecture) + f"; member {pupil.member.index}",
        "Distillation": ", ".join(f"{name} = {value}" for name, value in pupil.distillation),
    }
