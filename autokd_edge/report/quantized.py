"""What quantising did to the engines that were graded, in sentences and by layer."""

from __future__ import annotations

from autokd_edge.core.events import Graded
from autokd_edge.core.pupil import Grade
from autokd_edge.core.quantization import LayerNoise, Quantized
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.report import wording
from autokd_edge.report.outcome import engine_name, grades

COLUMNS = ("Engine", "Layer", "Operation", "Runs as", "SQNR, its own noise", "SQNR, with the noise before it")
_WORST = 8  # layers of an engine that the page lists


def quantized_sentences(study: Study) -> tuple[str, ...]:
    """Say of each quantised engine how many layers stayed in float, and what it gained and lost against fp32."""
    return tuple(_sentence(study, graded, grade) for graded, grade in grades(study) if grade.quantized is not None)


def noisiest_layers(study: Study) -> tuple[tuple[str, ...], ...]:
    """Return rows for the layers of each quantised engine that were kept in float or add most noise."""
    rows: list[tuple[str, ...]] = []
    for graded, grade in grades(study):
        if grade.quantized is not None:
            layers = sorted(grade.quantized.report.layers, key=_by_noise)[:_WORST]
            rows.extend((engine_name(study, graded), *_layer(layer)) for layer in layers)
    return tuple(rows)


def _sentence(study: Study, graded: Graded, grade: Grade) -> str:
    found = grade.quantized
    if found is None:
        return ""
    parts = [layers_in_float(found)]
    plain = _in_float(study, graded)
    if plain is not None:
        parts.append(f"{wording.work(grade.measurement)} against {wording.work(plain.measurement)} fp32")
    parts.extend(accuracy_told(found, grade.accuracy))
    if found.report.bias_corrected:
        before = "" if found.tuning is None else " before tuning"
        corrected, other = _db(found.report.logits_sqnr_db), _db(found.report.other_logits_sqnr_db)
        parts.append(f"biases corrected{before}: logits at {corrected} instead of {other}")
    return f"{engine_name(study, graded)}, {named(graded.variant, found)}: {'; '.join(parts)}"


def named(variant: Variant, found: Quantized) -> str:
    """Name the precision of a quantised engine, and how its graph was tuned."""
    tuned = "" if found.tuning is None else f" after {found.tuning.steps} steps of quantisation-aware tuning"
    return f"{variant.precision.upper()}{tuned}"


def layers_in_float(found: Quantized) -> str:
    """Say how many layers stayed in float, and which."""
    kept = found.report.in_float
    names = f" ({', '.join(kept)})" if kept else ""
    return f"{len(kept)} of {len(found.report.layers)} layers kept in float{names}"


def accuracy_told(found: Quantized, accuracy: float) -> tuple[str, ...]:
    """Say the accuracy of a quantised engine beside those of float, of no tuning, and of fewer layers in float."""
    said = f"{wording.percent(accuracy)} against {wording.percent(found.float_accuracy)} in float"
    if found.tuning is not None:
        said += f", {wording.percent(found.untuned_accuracy)} without tuning"
    parts = [said]
    fewer = [one for one in found.tried if one.kept < len(found.keep)]
    if fewer:
        each = (f"{wording.percent(one.accuracy)} ({one.kept}{', tuned' if one.tuned else ''})" for one in fewer)
        parts.append(f"with fewer kept {', '.join(each)}")
    if found.untunable:
        parts.append(f"tuning was given up: {found.untunable}")
    return tuple(parts)


def _in_float(study: Study, graded: Graded) -> Grade | None:
    """Return the grade of the same pupil in fp32, by the same backend where there is one."""
    found = [(g, grade) for g, grade in grades(study) if g.pupil == graded.pupil and g.variant.precision == "fp32"]
    found.sort(key=lambda pair: pair[0].variant.backend != graded.variant.backend)
    return found[0][1] if found else None


def _layer(layer: LayerNoise) -> tuple[str, ...]:
    runs = "int8" if layer.quantized else "float"
    return layer.name, layer.op, runs, _db(layer.own_sqnr_db) if layer.quantized else "\N{EM DASH}", _db(layer.sqnr_db)


def _by_noise(layer: LayerNoise) -> tuple[bool, float]:
    return layer.quantized, float("inf") if layer.own_sqnr_db is None else layer.own_sqnr_db


def _db(sqnr_db: float | None) -> str:
    return "no noise" if sqnr_db is None else f"{sqnr_db:.1f} dB"
