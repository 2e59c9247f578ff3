"""Several targets as they are typed: what holds for all of them, what for one, and what cannot be meant."""

import pytest
from fakes.plugin import write_target

from autokd_edge.api.options import SearchOptions
from autokd_edge.errors import InputError, LimitError, TargetError

TWO = ("host", "intel-n100")


def goals(**changes):
    return SearchOptions(**{"data": "digits", "teacher": "example:digits", "target": TWO} | changes).goals()


def test_a_limit_without_a_target_holds_for_all_of_them():
    assert [goal.limits.latency.bound_ns for goal in goals(max_latency="3ms")] == [3_000_000] * 2
    assert [goal.target.name for goal in goals()] == list(TWO)


def test_a_limit_of_a_target_holds_for_it_and_the_others_have_the_one_without():
    own = goals(max_latency=("0.5x", "intel-n100=p99:30ms"), max_memory="host=20MB", max_drop=("host=1", "intel-n100=2%"))
    assert own[0].limits.latency.times_teacher == 0.5
    assert (own[1].limits.latency.percent, own[1].limits.latency.bound_ns) == (99.0, 30_000_000)
    assert (own[0].limits.memory.bound_bytes, own[1].limits.memory) == (20_000_000, None)
    assert [goal.limits.max_drop for goal in own] == [1.0, 2.0]
    assert [goal.limits.max_quant_drop for goal in goals(max_quant_drop="host=0.3")] == [0.3, 0.5]


def test_a_device_is_given_to_each_target():
    boards = tuple(f"intel-n100=ssh://user@board-{number}:2222" for number in (1, 2))
    assert [goal.addresses for goal in goals(device=boards)] == [(), ("ssh://user@board-1:2222", "ssh://user@board-2:2222")]
    (one,) = goals(target="host", device="ssh://user@board")
    assert one.addresses == ("ssh://user@board",)


def test_a_descriptor_of_ones_own_goes_by_its_path_and_by_its_name(tmp_path):
    path = str(write_target(tmp_path / "mine.toml"))
    for key in (path, "fake-host"):
        assert goals(target=("host", path), max_latency=f"{key}=3ms")[1].limits.latency.bound_ns == 3_000_000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"max_latency": "pi=3ms"},
            r"max-latency must be of one of the targets host, intel-n100; got 'pi'\. Hint: --max-latency host=30ms",
        ),
        ({"max_latency": "intel-n10=3ms"}, "Hint: --max-latency intel-n100=30ms"),
        (
            {"max_latency": ("3ms", "4ms")},
            r"once for all targets, or once for each as TARGET=30ms; got 3ms and 4ms\. Hint: --max-latency host=",
        ),
        ({"max_memory": ("host=3MB", "host=4MB")}, "max-memory must be given once for a target; 'host' has 3MB and 4MB"),
        ({"target": "host", "max_drop": ("1", "2")}, r"max-drop must be given once; got 1 and 2\. Hint: --max-drop 2"),
        ({"target": ("host", "host")}, r"targets must be named once each; got 'host' 2 times\. Hint: --target host$"),
        ({"target": ()}, r"a search needs a target; got none\. Hint: --target host"),
        (
            {"device": "ssh://board"},
            r"devices of its own, given as TARGET=ADDRESS; got 'ssh://board'\. Hint: --device intel-n100=ssh://board",
        ),
        ({"device": "host=telnet://board"}, "telnet"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        goals(**changes)


def test_a_wrong_limit_of_one_target_is_refused_as_one_of_all_would_be():
    with pytest.raises(LimitError, match=r"latency limit must be a positive number .* got '3parsec'"):
        goals(max_latency="host=3parsec")
    with pytest.raises(TargetError, match="there is no target 'hots'"):
        goals(target=("host", "hots"))


def test_two_descriptors_of_one_name_are_refused(tmp_path):
    paths = [str(write_target(tmp_path / f"{name}.toml")) for name in "ab"]
    with pytest.raises(InputError, match="targets must be named once each; got 'fake-host' 2 times"):
        goals(target=paths)


def test_a_name_that_is_no_folder_is_refused_among_several(tmp_path):
    path = write_target(tmp_path / "mine.toml")
    path.write_text(path.read_text().replace('"fake-host"', '"../fake"'))
    with pytest.raises(InputError, match=r"each has a folder of its name: .* got '\.\./fake'"):
        goals(target=("host", str(path)))


def test_a_budget_has_a_teaching_for_each_target():
    options = SearchOptions(data="digits", teacher="example:digits", target=TWO, budget="1")
    with pytest.raises(InputError, match=r"a teaching for each of 2 targets; got 1\. Hint: --budget 2"):
        options.check()
