from dataclasses import replace

from fakes.study import INT8, sample_digest, sample_events, sample_quantized, sample_study

from autokd_edge.core.events import Graded
from autokd_edge.core.quantization import FineTuningRecipe, Quantized, Tried
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study, fold
from autokd_edge.report.quantized import COLUMNS, noisiest_layers, quantized_sentences


def test_a_quantised_engine_is_explained_in_one_sentence() -> None:
    (said,) = quantized_sentences(sample_study())
    assert said == (
        "openvino/int8, INT8: 1 of 3 layers kept in float (conv0); 195 µs against 272 µs fp32; 93.31 % against 91.50 % in float; "
        "with fewer kept 90.00 % (0); biases corrected: logits at 28.1 dB instead of 26.0 dB"
    )


def test_layers_kept_in_float_come_first_and_then_the_noisiest() -> None:
    rows = noisiest_layers(sample_study())
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert [row[1:] for row in rows] == [
        ("conv0", "Conv", "float", "\N{EM DASH}", "no noise"),
        ("conv1", "Conv", "int8", "32.0 dB", "31.5 dB"),
        ("fc", "Gemm", "int8", "40.2 dB", "28.1 dB"),
    ]


def test_a_study_without_quantised_engines_says_nothing() -> None:
    study = sample_study(final=False)
    assert quantized_sentences(study) == ()
    assert noisiest_layers(study) == ()


def tuned(**of) -> Quantized:
    """The sample's gate, passed by tuning with every layer quantised."""
    tried = (Tried(kept=0, accuracy=90.1), Tried(kept=0, accuracy=91.2, tuned=True))
    recipe = FineTuningRecipe(
        steps=400, loss="kd", distillation=Point(values=()), seed=0, teacher=sample_digest("teacher"), data=sample_digest("data")
    )
    layers = tuple(replace(layer, quantized=True) for layer in sample_quantized().report.layers)
    report = replace(sample_quantized().report, layers=layers)
    return replace(sample_quantized(), **{"report": report, "keep": (), "tried": tried, "tuning": recipe} | of)


def with_quantized(found: Quantized) -> Study:
    """The sample study with another history of its quantised engine."""
    events = [
        replace(e, outcome=replace(e.outcome, accuracy=91.2, quantized=found)) if isinstance(e, Graded) and e.variant == INT8 else e
        for e in sample_events()
    ]
    return fold(events)


def test_an_engine_whose_graph_was_tuned_says_so_and_what_it_had_without() -> None:
    (said,) = quantized_sentences(with_quantized(tuned()))
    assert said == (
        "openvino/int8, INT8 after 400 steps of quantisation-aware tuning: 0 of 3 layers kept in float; 195 µs against 272 µs fp32; "
        "91.20 % against 91.50 % in float, 90.10 % without tuning; "
        "biases corrected before tuning: logits at 28.1 dB instead of 26.0 dB"
    )


def test_what_was_tried_with_fewer_layers_in_float_says_which_was_tuned() -> None:
    steps = ((0, 85.0, False), (0, 90.0, True), (1, 86.0, False), (1, 91.2, True))
    tried = tuple(Tried(kept=kept, accuracy=accuracy, tuned=was) for kept, accuracy, was in steps)
    (said,) = quantized_sentences(with_quantized(tuned(keep=("conv0",), tried=tried)))
    assert "91.20 % against 91.50 % in float, 86.00 % without tuning; with fewer kept 85.00 % (0), 90.00 % (0, tuned); " in said


def test_tuning_that_was_given_up_says_why() -> None:
    (said,) = quantized_sentences(with_quantized(tuned(tuning=None, untunable="it brought 80.00 % instead of 90.10 %")))
    assert "INT8: 0 of 3 layers" in said
    assert "; tuning was given up: it brought 80.00 % instead of 90.10 %; " in said
