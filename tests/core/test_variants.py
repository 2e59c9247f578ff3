from dataclasses import replace

import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, TEACHER_NS, config, measurement, opening

from autokd_edge.core.events import Confirmed, Graded, Probed
from autokd_edge.core.pupil import Cost, Failed, Member, Pupil, Screened, Unread
from autokd_edge.core.study import Study, advance, fold
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import absences, comparison, first_variant, in_cheap_order, may_win, next_variant

BF16 = Variant(backend="fake", precision="bf16")
OTHER = Variant(backend="other", precision="fp32")
OTHER_INT8 = Variant(backend="other", precision="int8")
COST = Cost(parameters=1, macs=1, activation_bytes=1)
FAILED = Failed(stage="quantize", error="QuantizeError", message="refused", retryable=False)
ABSENT = Failed(stage="build", error="AbsentDeviceError", message="no GPU here", retryable=False)
LIMIT_X = 0.25  # of the teacher's latency
LIMIT_BYTES = 200_000


def read(
    limit_shares: dict[Variant, float], *, failed: tuple[Variant, ...] = (), memory_shares: dict[Variant, float] | None = None
) -> Screened:
    """A member with the given latencies, as shares of the latency limit, and the memories, as shares of that limit."""
    bytes_of = {v: round((memory_shares or {}).get(v, 1.0) * LIMIT_BYTES) for v in limit_shares}
    taken = {v: replace(measurement(share * LIMIT_X * TEACHER_NS, bytes_of[v]), variant=v) for v, share in limit_shares.items()}
    return Screened(cost=COST, measurements=tuple(taken.values()), unread=tuple(Unread(variant=v, failure=FAILED) for v in failed))


def a_study(*outcomes: Screened | Failed, latency_x: float | None = LIMIT_X, memory_bytes: int | None = None) -> Study:
    events = opening(config(latency_x=latency_x, memory_bytes=memory_bytes))
    for i, outcome in enumerate(outcomes):
        events.append(Probed(member=member(i), outcome=outcome, at_s=2.0 + i))
    return fold(events)


def member(i: int) -> Member:
    return Member(architecture=ARCHITECTURES.at([0.5] * len(ARCHITECTURES)), index=i)


def test_readings_that_need_quantising_come_last_and_fp32_first():
    assert in_cheap_order((INT8, BF16, FP32, OTHER)) == (FP32, OTHER, BF16, INT8)


def test_the_first_five_candidates_are_read_in_every_float_variant_to_learn_how_it_compares():
    fits = read({FP32: 0.9})
    assert next_variant(a_study(), (FP32, BF16), fits) == BF16
    assert next_variant(a_study(*[read({FP32: 0.9, BF16: 0.6})] * 4), (FP32, BF16), fits) == BF16
    assert next_variant(a_study(*[read({FP32: 0.9, BF16: 0.6})] * 5), (FP32, BF16), fits) is None


def test_a_candidate_that_fits_is_never_quantised_before_teaching():
    assert next_variant(a_study(), (FP32, INT8), read({FP32: 0.9})) is None
    assert next_variant(a_study(), (FP32, INT8), read({FP32: 1.1})) == INT8


def test_a_candidate_that_no_variant_can_bring_within_the_limit_is_read_once():
    assert next_variant(a_study(), (FP32, INT8), read({FP32: 4.1})) is None
    assert next_variant(a_study(), (FP32, INT8), read({FP32: 3.9})) == INT8


def test_after_that_only_a_candidate_that_breaks_the_limit_by_what_a_variant_gains_is_read_in_it():
    study = a_study(*[read({FP32: 0.9, INT8: 0.6})] * 5)  # 1.5 times faster
    assert next_variant(study, (FP32, INT8), read({FP32: 1.45})) == INT8
    assert next_variant(study, (FP32, INT8), read({FP32: 1.55})) is None
    assert next_variant(study, (FP32, INT8), read({FP32: 0.95})) is None


def test_the_gain_is_the_largest_of_the_last_five_candidates_over_the_best_variant_read_before():
    often, once = read({FP32: 1.5, BF16: 1.1, INT8: 1.0}), read({FP32: 1.5, BF16: 1.2, INT8: 0.8})
    candidate = read({FP32: 2.0, BF16: 1.4})
    assert next_variant(a_study(once, *[often] * 4), (FP32, BF16, INT8), candidate) == INT8  # 1.2 / 0.8 is 1.5
    assert next_variant(a_study(once, *[often] * 5), (FP32, BF16, INT8), candidate) is None


def test_the_gain_is_over_what_the_candidate_itself_was_read_in():
    study = a_study(*[read({FP32: 2.0, BF16: 1.0, INT8: 0.8})] * 5)  # 2.5 times faster than fp32, 1.25 times than bf16
    assert next_variant(study, (FP32, BF16, INT8), read({FP32: 2.4})) == INT8  # bf16 gains twice, which is not enough
    assert next_variant(study, (FP32, BF16, INT8), read({FP32: 2.0, BF16: 1.3})) is None
    assert next_variant(study, (FP32, OTHER), read({OTHER: 3.9})) == FP32  # what it gains on that was not seen
    assert next_variant(study, (FP32, OTHER), read({OTHER: 4.1})) is None


def test_of_a_variant_that_was_not_seen_no_more_is_expected_than_the_same_precision_of_another_backend_gains():
    learnt, variants = a_study(*[read({FP32: 2.0, INT8: 1.0})] * 5), (FP32, INT8, OTHER_INT8)
    assert next_variant(learnt, variants, read({FP32: 2.1})) is None  # within 4 times, beyond what INT8 gains
    assert next_variant(learnt, variants, read({FP32: 1.9, INT8: 1.1})) == OTHER_INT8
    assert next_variant(a_study(*[read({FP32: 2.0, INT8: 1.0})] * 4), (FP32, OTHER_INT8), read({FP32: 2.1})) == OTHER_INT8


def test_fp32_of_another_backend_is_read_first_once_the_screening_variant_lost_to_it_on_five_candidates_in_a_row():
    variants = (FP32, OTHER, BF16, INT8)
    lost, close = read({FP32: 1.4, OTHER: 1.0}), read({FP32: 1.2, OTHER: 1.0})
    assert first_variant(a_study(), FP32, variants) == FP32
    assert first_variant(a_study(*[lost] * 4), FP32, variants) == FP32
    assert first_variant(a_study(*[lost] * 5), FP32, variants) == OTHER
    assert first_variant(a_study(*[lost] * 4, close), FP32, variants) == FP32
    assert first_variant(a_study(*[lost] * 4, read({FP32: 9.0}), lost), FP32, variants) == OTHER  # one was not read in both
    assert first_variant(a_study(*[read({FP32: 1.4, INT8: 1.0, BF16: 1.0})] * 5), FP32, variants) == FP32  # of other precisions
    assert first_variant(a_study(*[lost] * 5, read({OTHER: 1.0})), FP32, variants) == OTHER


def test_what_is_not_read_first_any_more_is_not_read_nor_graded():
    study = a_study(*[read({FP32: 1.4, OTHER: 1.0})] * 5, read({OTHER: 1.1}))
    assert next_variant(study, (FP32, OTHER), read({OTHER: 1.1})) is None
    assert may_win(study, member(5), (FP32, OTHER, INT8)) == (OTHER, INT8)
    assert (comparison(study, OTHER).read, comparison(study, OTHER).ratios) == (6, (1.0 / 1.4,) * 5)


def test_a_variant_gives_way_to_none_that_is_less_precise():
    study = a_study(*[read({FP32: 3.0, OTHER: 1.4, OTHER_INT8: 0.5})] * 5)
    assert not comparison(a_study(*[read({FP32: 1.4, INT8: 0.5})] * 5), FP32).skipped
    assert not comparison(study, OTHER).skipped
    assert next_variant(study, (FP32, OTHER, INT8, OTHER_INT8), read({OTHER: 1.4})) == OTHER_INT8
    assert comparison(a_study(*[read({BF16: 1.4, FP32: 1.0})] * 5), BF16).skipped


def test_one_runtime_s_memory_says_nothing_of_another_s():
    variants = (FP32, BF16, INT8, OTHER, OTHER_INT8)
    heavy = read({FP32: 0.9}, memory_shares={FP32: 20.0})
    assert next_variant(a_study(memory_bytes=LIMIT_BYTES), variants, heavy) == OTHER  # and none of its own backend's
    light = read({FP32: 0.9, OTHER: 0.8}, memory_shares={FP32: 20.0, OTHER: 3.0})
    assert next_variant(a_study(light, memory_bytes=LIMIT_BYTES), variants, light) == OTHER_INT8
    learnt = a_study(*[light] * 5, memory_bytes=LIMIT_BYTES)
    assert next_variant(learnt, (FP32, OTHER), read({FP32: 0.9}, memory_shares={FP32: 6.6})) == OTHER  # it gains 6.7 times
    assert next_variant(learnt, (FP32, OTHER), read({FP32: 0.9}, memory_shares={FP32: 6.8})) is None
    assert next_variant(a_study(memory_bytes=LIMIT_BYTES), variants, read({FP32: 4.1}, memory_shares={FP32: 20.0})) is None


@pytest.mark.parametrize(("memories", "skipped"), [((20.0, 0.9), False), ((20.0, 3.0), False), ((3.5, 3.0), True), ((0.9, 0.3), True)])
def test_a_variant_loses_to_none_that_breaks_a_limit_which_it_keeps_or_is_nearer_to(memories, skipped):
    both = read({FP32: 0.5, OTHER: 0.9}, memory_shares=dict(zip((FP32, OTHER), memories, strict=True)))
    study = a_study(*[both] * 5, memory_bytes=LIMIT_BYTES)
    assert comparison(study, OTHER).skipped == skipped


def test_what_alone_keeps_the_memory_limit_is_graded_though_it_is_slower():
    study = a_study(read({FP32: 0.3, OTHER: 0.9}, memory_shares={FP32: 20.0, OTHER: 0.9}), memory_bytes=LIMIT_BYTES)
    assert may_win(study, member(0), (FP32, INT8, OTHER)) == (INT8, OTHER)


def test_a_candidate_that_another_variant_brought_within_the_limit_is_decided():
    study = a_study(*[read({FP32: 0.9, BF16: 0.6, INT8: 0.5})] * 5)
    assert next_variant(study, (FP32, BF16, INT8), read({FP32: 1.2})) == BF16
    assert next_variant(study, (FP32, BF16, INT8), read({FP32: 1.2, BF16: 0.8})) is None
    assert next_variant(study, (FP32, BF16, INT8), read({FP32: 1.2, BF16: 1.1})) == INT8


def test_a_variant_that_lost_by_more_than_30_percent_on_five_candidates_in_a_row_is_skipped():
    lost, close = read({FP32: 1.2, INT8: 1.6}), read({FP32: 1.2, INT8: 1.5})
    assert comparison(a_study(*[lost] * 5), INT8).skipped
    assert not comparison(a_study(*[lost] * 4), INT8).skipped
    assert not comparison(a_study(*[lost] * 4, close, lost), INT8).skipped
    assert comparison(a_study(close, *[lost] * 5), INT8).skipped
    assert next_variant(a_study(*[lost] * 5), (FP32, INT8), read({FP32: 1.1})) is None


def test_a_variant_that_took_more_than_twice_the_time_on_two_candidates_in_a_row_is_skipped():
    far, close = read({FP32: 1.2, INT8: 2.5}), read({FP32: 1.2, INT8: 2.3})
    assert comparison(a_study(far, far), INT8).why_skipped == "took more than 2 times as long on 2 candidates in a row"
    assert not comparison(a_study(far, close), INT8).skipped
    assert not comparison(a_study(far, far, close), INT8).skipped
    assert not comparison(a_study(*[read({FP32: 1.2}, failed=(INT8,))] * 2), INT8).skipped  # a failure tells no time
    assert first_variant(a_study(*[read({FP32: 2.1, OTHER: 1.0})] * 2), FP32, (FP32, OTHER)) == OTHER


def test_candidates_that_were_not_read_in_a_variant_do_not_break_its_row():
    lost, not_read = read({FP32: 1.2, INT8: 1.6}), read({FP32: 5.0})
    assert comparison(a_study(lost, lost, not_read, FAILED, lost, lost, lost), INT8).skipped


def test_a_variant_that_fails_on_five_candidates_in_a_row_is_skipped_too():
    study = a_study(*[read({FP32: 1.2}, failed=(INT8,))] * 5)
    known = comparison(study, INT8)
    assert known.skipped
    assert known.median_ratio is None
    assert next_variant(study, (FP32, INT8), read({FP32: 1.2})) is None


def test_one_failure_that_says_a_compiler_is_missing_leaves_out_its_backend_too():
    lacking = replace(read({FP32: 1.2}), unread=(Unread(variant=OTHER, failure=replace(ABSENT, error="AbsentCompilerError")),))
    assert absences(a_study(lacking)) == {"other": (OTHER, ABSENT.message)}
    assert next_variant(a_study(lacking), (FP32, OTHER), read({FP32: 1.2})) is None


def test_one_failure_that_says_the_machine_lacks_a_device_leaves_out_all_variants_of_its_backend():
    gpu, gpu_int8 = Variant(backend="gpu", precision="fp16"), Variant(backend="gpu", precision="int8")
    variants, slow = (FP32, gpu, gpu_int8, INT8), read({FP32: 1.2})
    lacking = replace(slow, unread=(Unread(variant=gpu, failure=ABSENT),))
    assert next_variant(a_study(), variants, slow) == gpu
    assert next_variant(a_study(), variants, lacking) == INT8  # on the same candidate
    study = a_study(lacking, slow)
    assert next_variant(study, variants, slow) == INT8
    assert (comparison(study, gpu).skipped, comparison(study, gpu).absent) == (True, "no GPU here")
    assert comparison(study, gpu_int8).skipped
    assert not comparison(study, INT8).skipped
    assert may_win(study, member(1), variants) == (FP32, INT8)
    assert may_win(study, member(7), variants) == (FP32, INT8)  # never probed
    assert absences(study) == {"gpu": (gpu, "no GPU here")}
    other = a_study(replace(slow, unread=(Unread(variant=gpu, failure=FAILED),)))
    assert next_variant(other, variants, slow) == gpu  # any other failure is a candidate's own


@pytest.mark.parametrize("event", ["confirmed", "graded"])
def test_a_device_that_is_first_missed_after_the_probes_is_left_out_too(event):
    gpu, study = Variant(backend="gpu", precision="int8"), a_study(read({FP32: 0.9}), read({FP32: 0.9}))
    assert may_win(study, member(1), (FP32, gpu)) == (FP32, gpu)
    pupil = Pupil(member=member(0), distillation=DISTILLATIONS.at([0.5] * len(DISTILLATIONS)))
    confirmed = Confirmed(member=member(0), variant=gpu, outcome=ABSENT, at_s=9.0)
    met = {"confirmed": confirmed, "graded": Graded(pupil=pupil, variant=gpu, outcome=ABSENT, at_s=9.0)}
    assert may_win(advance(study, met[event]), member(1), (FP32, gpu)) == (FP32,)


def test_a_variant_that_failed_on_a_candidate_is_not_tried_on_it_again():
    assert next_variant(a_study(), (FP32, INT8), read({FP32: 1.2}, failed=(INT8,))) is None


def test_without_device_limits_five_candidates_are_read_in_every_float_variant_and_no_more():
    both = read({FP32: 0.9, BF16: 0.6})
    assert next_variant(a_study(latency_x=None), (FP32, BF16, INT8), read({FP32: 9.0})) == BF16
    assert next_variant(a_study(*[both] * 5, latency_x=None), (FP32, BF16, INT8), read({FP32: 9.0})) is None


@pytest.mark.parametrize(
    ("shares", "winners"),
    [
        ({FP32: 0.9}, (FP32, INT8)),  # not read: nothing is known
        ({FP32: 0.9, INT8: 0.5}, (FP32, INT8)),
        ({FP32: 0.9, INT8: 1.1}, (FP32, INT8)),  # slower by 22 %
        ({FP32: 0.6, INT8: 0.8}, (FP32,)),  # slower by 33 % than what is more precise
        ({FP32: 1.2, INT8: 0.5}, (FP32, INT8)),  # above the limit by 20 %
        ({FP32: 1.4, INT8: 0.5}, (INT8,)),
        ({FP32: 3.0, INT8: 2.0}, (INT8,)),  # nothing may; the closest does
    ],
)
def test_engines_are_graded_in_the_variants_that_may_win(shares, winners):
    assert may_win(a_study(read(shares)), member(0), (FP32, INT8)) == winners


def test_a_variant_that_the_search_gave_up_is_graded_only_where_it_did_not_lose_on_the_member_itself():
    lost = read({FP32: 0.6, INT8: 0.9})
    study = a_study(*[lost] * 5, read({FP32: 0.6}))
    assert may_win(study, member(5), (FP32, INT8)) == (FP32,)
    assert may_win(a_study(read({FP32: 0.6, INT8: 0.7}), *[lost] * 5), member(0), (FP32, INT8)) == (FP32, INT8)


def test_of_two_backends_the_one_that_lost_in_float_is_not_graded_in_what_was_not_read():
    variants = (FP32, OTHER, INT8, OTHER_INT8)
    assert may_win(a_study(read({FP32: 0.9, OTHER: 0.6})), member(0), variants) == (OTHER, OTHER_INT8)
    assert may_win(a_study(read({FP32: 0.9, OTHER: 0.8})), member(0), variants) == (FP32, OTHER, INT8, OTHER_INT8)
    assert may_win(a_study(read({FP32: 0.9, OTHER: 0.6})), member(0), (FP32, OTHER, INT8)) == (OTHER, INT8)  # alone in its precision
    assert may_win(a_study(read({FP32: 0.9, OTHER: 0.6, INT8: 0.5})), member(0), variants) == (OTHER, INT8, OTHER_INT8)  # read itself
    failed = read({FP32: 0.9, OTHER: 0.6}, failed=(OTHER_INT8,))
    assert may_win(a_study(failed), member(0), variants) == (OTHER, INT8, OTHER_INT8)


def test_of_two_backends_the_one_that_lost_in_float_is_not_read_in_what_needs_quantising():
    variants = (FP32, OTHER, INT8, OTHER_INT8)
    assert next_variant(a_study(), variants, read({FP32: 1.6, OTHER: 1.2})) == OTHER_INT8
    assert next_variant(a_study(), variants, read({FP32: 1.6, OTHER: 1.2, OTHER_INT8: 1.1})) is None
    assert next_variant(a_study(), variants, read({FP32: 1.6, OTHER: 1.2}, failed=(OTHER_INT8,))) == INT8
    assert next_variant(a_study(), variants, read({FP32: 1.3, OTHER: 1.2, OTHER_INT8: 1.1})) == INT8


def test_what_was_given_up_before_speaks_for_its_backend_on_a_candidate_that_was_not_read_in_it():
    lost, variants = read({FP32: 1.4, OTHER: 1.0}), (FP32, OTHER, INT8, OTHER_INT8)
    assert may_win(a_study(*[lost] * 5, read({OTHER: 0.9})), member(5), variants) == (OTHER, OTHER_INT8)
    assert may_win(a_study(*[lost] * 4, read({OTHER: 0.9})), member(4), variants) == variants
    assert may_win(a_study(read({FP32: 1.0, OTHER: 0.9}), *[lost] * 5), member(0), variants) == (FP32, OTHER, OTHER_INT8)
    gone = read({OTHER: 0.9}, failed=(OTHER_INT8,))
    assert INT8 in may_win(a_study(*[lost] * 5, *[gone] * 5), member(5), variants)  # the other backend's was given up too


def test_a_member_that_was_never_probed_may_win_in_every_variant():
    assert may_win(a_study(), member(0), (FP32, INT8)) == (FP32, INT8)
