import dataclasses

import pytest
from fakes.study import FP32, INT8

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
        ({"compute_capabilities": ("sm_87",)}, "must be written like 8.7; got 'sm_87'"),
        ({"workspace_bytes": -1}, "workspace_bytes must not be negative; got -1"),
        ({"qdq_allowed": False, "variants": (INT8,)}, "takes no quantise-dequantise pairs, so it must have no int8 variant"),
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
