"""What quantising did to the engines that were graded, in sentences and by layer."""

from __future__ import annotations

from autokd_edge.core.events import Graded
from autokd_edge.core.pupil import Grade
from autokd_edge.core.quantization import LayerNoise
from autokd_edge.core.study import Study
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
    kept, layers = found.report.in_float, len(found.report.layers)
    names = f" ({', '.join(kept)})" if kept else ""
    parts = [f"{len(kept)} of {layers} layers kept in float{names}"]
    plain = _in_float(study, graded)
    if plain is not None:
        parts.append(f"{wording.latency(grade.measurement.median_ns)} against {wording.latency(plain.measurement.median_ns)} fp32")
    parts.append(f"{wording.percent(grade.accuracy)} against {wording.percent(found.float_accuracy)} in float")
    if len(found.tried) > 1:
        parts.append("with fewer kept " + ", ".join(f"{wording.percent(one.accuracy)} ({one.kept})" for one in found.tried[:-1]))
    if found.report.bias_corrected:
        parts.append(f"biases corrected: logits at {_db(found.report.logits_sqnr_db)} instead of {_db(found.report.other_logits_sqnr_db)}")
    return f"{engine_name(study, graded)}, {graded.variant.precision.upper()}: {'; '.join(parts)}"


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
