import dataclasses

import pytest
from fakes.study import FP32

from autokd_edge.core.target import Target

BOARD = Target(
    name="board",
    family="x86",
    description="a board",
    architecture="x86_64",
    probe=False,
    isa_flags=("avx2",),
    cores=4,
    memory_bytes=10**9,
    threads=1,
    variants=(FP32,),
    int8_saturates=False,
    opset_max=21,
    static_shapes_only=False,
    channel_multiple=8,
    sources={},
)


def test_a_variant_is_written_as_backend_and_precision() -> None:
    assert str(FP32) == "openvino/fp32"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": ()}, "variants must not be empty for target 'board'"),
        ({"threads": 0}, "threads must be at least 1; got 0"),
        ({"channel_multiple": 0}, "channel_multiple must be at least 1; got 0"),
        ({"probe": True}, "must be empty where probe is true"),
        ({"cores": 0}, "cores and memory_bytes must be positive; got 0 and 1000000000"),
    ],
)
def test_a_descriptor_that_breaks_a_law_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(BOARD, **changes)  # type: ignore[arg-type]  # the fields are parameters of the test


def test_a_probing_descriptor_leaves_the_machine_facts_empty() -> None:
    assert dataclasses.replace(BOARD, probe=True, isa_flags=(), cores=0, memory_bytes=0).cores == 0
