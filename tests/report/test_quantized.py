from fakes.study import sample_study

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
