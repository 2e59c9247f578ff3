from dataclasses import replace

from fakes.study import FP32, INT8, sample_measurement, sample_study

from autokd_edge.core.events import Confirmed
from autokd_edge.core.pupil import Failed, Screened
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.report.precisions import comparisons, variant_lines


def read_in_both(study: Study, count: int, ratio: float) -> Study:
    """Give the first measured members a reading in int8 too."""
    probes, given = [], 0
    for probed in study.probes:
        outcome = probed.outcome
        if isinstance(outcome, Screened) and given < count:
            given += 1
            other = sample_measurement(ratio * outcome.measurements[0].median_ns, variant=INT8)
            outcome = replace(outcome, measurements=(*outcome.measurements, other))
        probes.append(replace(probed, outcome=outcome))
    return replace(study, probes=tuple(probes))


def test_one_variant_needs_no_words() -> None:
    assert variant_lines(sample_study()) == ()


def test_each_variant_is_set_beside_the_first() -> None:
    study = read_in_both(sample_study(), 4, 0.5)
    first, second = variant_lines(study)
    assert (first.variant, first.ratio, first.said) == (str(FP32), "1.00\N{MULTIPLICATION SIGN}", "read first, on every candidate")
    assert (second.variant, second.read, second.ratio, second.said) == (
        str(INT8),
        "4",
        "0.50\N{MULTIPLICATION SIGN}",
        "read where it could decide",
    )


def test_a_variant_that_was_given_up_says_so() -> None:
    (_, second) = variant_lines(read_in_both(sample_study(), 5, 1.6))
    assert second.said == "skipped after it lost by more than 30% on 5 candidates in a row"
    assert [found.skipped for found in comparisons(read_in_both(sample_study(), 5, 1.6))] == [False, True]


def test_what_was_read_first_until_it_lost_says_so() -> None:
    study, other = sample_study(), Variant(backend="other", precision="fp32")
    fast, read = sample_measurement(100_000, variant=other), 0
    probes = []
    for probed in study.probes:
        outcome = probed.outcome
        if isinstance(outcome, Screened):
            read += 1
            outcome = replace(outcome, measurements=(*outcome.measurements, fast) if read <= 2 else (fast,))
        probes.append(replace(probed, outcome=outcome))
    first, second = variant_lines(replace(study, probes=tuple(probes)))
    said = f"read first until it took more than 2 times as long on 2 candidates in a row; then {other} was"
    assert (first.read, first.said) == ("2", said)
    assert (second.read, second.said) == (str(read), f"read first since {FP32} was given up")


def test_a_backend_whose_device_is_missing_says_so_even_where_only_a_finalist_met_it() -> None:
    study, gpu = sample_study(), Variant(backend="gpu", precision="int8")
    why = Failed(stage="build", error="AbsentDeviceError", message="needs a GPU", retryable=False)
    met = Confirmed(member=study.probes[0].member, variant=gpu, outcome=why, at_s=study.elapsed_s)
    (_, second) = variant_lines(replace(study, confirmations=(*study.confirmations, met)))
    assert (second.variant, second.read, second.said) == ("gpu/int8", "0", "left out after one try, with all of gpu: needs a GPU")
