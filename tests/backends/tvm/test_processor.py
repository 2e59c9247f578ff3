"""From a target's flags to LLVM's names."""

from dataclasses import replace

import pytest

from autokd_edge.backends.tvm.processor import processor_of
from autokd_edge.devices.descriptors import load_target
from autokd_edge.errors import BuildError


@pytest.mark.parametrize(
    ("flags", "cpu", "lanes", "dot"),
    [
        (("sse4_2",), "x86-64-v2", 4, ""),
        (("sse4_2", "avx2", "fma"), "x86-64-v3", 8, ""),
        (("avx2", "avx_vnni"), "x86-64-v3", 8, ""),
        (("avx2", "avx512f"), "x86-64-v4", 16, ""),
        (("avx2", "avx512f", "avx512_vnni"), "x86-64-v4", 16, "vnni"),
    ],
)
def test_an_x86_processor_gets_no_more_than_its_flags_promise(flags, cpu, lanes, dot):
    target = replace(load_target("intel-n100")[0], isa_flags=flags)
    processor = processor_of(target)
    assert (processor.cpu, processor.lanes, processor.dot) == (cpu, lanes, dot)
    assert ("+avx512vnni" in processor.features) == ("avx512_vnni" in flags)


@pytest.mark.parametrize(
    ("name", "cpu", "features", "dot"),
    [
        ("raspberry-pi-4", "cortex-a72", (), ""),
        ("raspberry-pi-zero-2w", "cortex-a72", (), ""),
        ("raspberry-pi-5", "cortex-a76", ("+dotprod", "+fullfp16"), "sdot"),
    ],
)
def test_an_arm_board_gets_the_dot_product_where_its_processor_has_it(name, cpu, features, dot):
    processor = processor_of(load_target(name)[0])
    assert (processor.triple, processor.cpu, processor.features, processor.dot) == ("aarch64-linux-gnu", cpu, features, dot)
    assert (processor.lanes, processor.accumulators) == (4, 24)


def test_another_architecture_is_refused_with_those_that_are_built_for():
    with pytest.raises(BuildError, match="builds for aarch64, x86_64; target 'raspberry-pi-4' is armv7l"):
        processor_of(replace(load_target("raspberry-pi-4")[0], architecture="armv7l"))
