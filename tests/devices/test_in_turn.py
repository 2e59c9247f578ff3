import threading
from functools import partial

import pytest

from autokd_edge.devices.in_turn import in_turn


@pytest.mark.parametrize("width", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs_whichever_ends_first(width):
    first_may_end = threading.Event()

    def job(number):
        if number == 0 and width > 1:
            first_may_end.wait(10)
        if number == 1:
            first_may_end.set()
        return number

    assert list(in_turn((lambda n=n: job(n) for n in range(6)), width=width)) == list(range(6))


def test_a_job_is_drawn_when_the_one_a_width_before_it_was_taken_in():
    taken = []
    jobs = (partial(lambda *seen: seen, n, len(taken)) for n in range(5))
    for result in in_turn(jobs, width=2):
        taken.append(result)  # noqa: PERF402  what is taken in decides what comes next
    assert taken == [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3)]


def test_a_job_that_fails_raises_in_its_place_and_the_others_are_waited_for():
    ended = []

    def fails():
        raise ValueError("no")

    def slow():
        threading.Event().wait(0.05)
        ended.append("slow")

    with pytest.raises(ValueError, match="no"):
        list(in_turn(iter([fails, slow]), width=3))
    assert ended == ["slow"]


def test_whoever_takes_the_results_may_stop_and_what_was_begun_is_waited_for():
    ended = []

    def job(number):
        threading.Event().wait(0.02 * number)
        ended.append(number)
        return number

    results = in_turn((lambda n=n: job(n) for n in range(9)), width=3)
    assert next(results) == 0
    results.close()
    assert sorted(ended) == [0, 1, 2]
