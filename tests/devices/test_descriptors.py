"""Targets and protocols as TOML."""

import dataclasses
from pathlib import Path

import pytest

from autokd_edge.core.measure import samples_needed
from autokd_edge.core.target import Target
from autokd_edge.devices.descriptors import load_protocol, load_target, target_names
from autokd_edge.errors import TargetError

SHIPPED = Path(__file__).parents[2] / "targets"


def own(tmp_path, change):
    path = tmp_path / "my-board.toml"
    path.write_text(change((SHIPPED / "intel-n100.toml").read_text()))
    return str(path)


BOARDS = {
    *("jetson-nano", "jetson-tx2", "jetson-xavier-nx", "jetson-agx-xavier", "jetson-orin-nano", "jetson-agx-orin", "jetson-thor"),
    *("raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2w", "rk3588"),
    *("intel-n100", "intel-atom-x6000e", "intel-core-ultra", "rtx", "host"),
}


def test_the_boards_that_people_use_are_shipped():
    assert set(target_names()) >= BOARDS


@pytest.mark.parametrize("name", target_names())
def test_every_fact_of_a_shipped_target_has_a_source(name):
    target, digest = load_target(name)
    assert target.name == name
    assert len(digest) == 64
    without = {"name", "description", "probe", "sources"} | ({"isa_flags", "cores", "memory_bytes"} if target.probe else set())
    unsaid = {field.name for field in dataclasses.fields(Target) if getattr(target, field.name) == field.default}
    empty = {name for name in ("runtime_versions",) if not getattr(target, name)}
    assert set(target.sources) == {field.name for field in dataclasses.fields(Target)} - without - unsaid - empty
    assert all(len(source) > 10 for source in target.sources.values())


# What a reader can look up: a source of these names a page or a file, or says that nothing confirms them.
LOOKED_UP = ("compute_capabilities", "power_modes", "runtime_versions", "cores", "memory_bytes", "isa_flags")


def unsupported(sources):
    """Sources that nobody outside can follow: a table the repository does not carry, or memory alone."""
    private = {name for name, source in sources.items() if "target table" in source}
    remembered = {name for name in LOOKED_UP if "recalled" in sources.get(name, "") and "not confirmed" not in sources[name]}
    return private | remembered


@pytest.mark.parametrize("name", target_names())
def test_a_reader_can_follow_the_source_of_every_fact_that_can_be_looked_up(name):
    target, _ = load_target(name)
    assert unsupported(target.sources) == set()


def test_a_private_table_and_a_bare_memory_are_no_sources():
    sources = {"variants": "INT8: the project's target table", "cores": "recalled: a data sheet", "isa_flags": "recalled, not confirmed"}
    assert unsupported(sources) == {"variants", "cores"}


@pytest.mark.parametrize("name", [name for name in target_names() if name.startswith("jetson")])
def test_a_jetson_has_int8_where_its_chip_has_integer_products_and_nowhere_else(name):
    target, _ = load_target(name)
    (capability,) = target.compute_capabilities
    has_int8 = any(variant.precision == "int8" for variant in target.variants)
    assert has_int8 is target.qdq_allowed is (capability not in {"5.3", "6.2"})
    assert {"fp32", "fp16"} <= {variant.precision for variant in target.variants}
    assert 0 < target.workspace_bytes <= target.memory_bytes // 8


def test_an_unknown_target_names_the_near_ones_and_the_command():
    with pytest.raises(TargetError, match=r"there is no target 'intel-n10'; did you mean intel-n100.* Hint: autokd-edge targets"):
        load_target("intel-n10")
    with pytest.raises(TargetError, match=r"known are host, intel-atom-x6000e.*, rtx"):
        load_target("zzz")


def test_a_path_of_ones_own_works_and_other_content_is_another_digest(tmp_path):
    same, same_digest = load_target(own(tmp_path, lambda text: text))
    assert (same, same_digest) == load_target("intel-n100")
    _, other = load_target(own(tmp_path, lambda text: text.replace("threads = 1", "threads = 2")))
    assert other != same_digest


def test_a_path_to_nothing_says_so(tmp_path):
    with pytest.raises(TargetError, match="is not a file"):
        load_target(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("cores = 4", "kernels = 4"), r"my-board.toml.*field 'kernels'.*not known"),
        (lambda text: text.replace("threads = 1\n", ""), r"my-board.toml.*field 'threads'.*missing"),
        (lambda text: text.replace("cores = 4", "cores = '4'"), r"my-board.toml.*field 'cores'.*must be int"),
        (lambda text: text.replace("cores = 4", "cores = 0"), r"my-board.toml.*positive; got 0"),
        (lambda text: text.replace('precision = "int8"', "precision = 8"), r"my-board.toml.*field 'variants\[1\].precision'"),
        (lambda text: text.replace("[sources]", "[sources]\nspeed = 'guess'"), r"my-board.toml.*field 'sources.speed'"),
        (lambda text: text + "\n]", r"my-board.toml.*readable TOML"),
    ],
)
def test_a_broken_descriptor_names_file_and_field(tmp_path, change, said):
    with pytest.raises(TargetError, match=said):
        load_target(own(tmp_path, change))


def test_bytes_that_are_no_text_are_a_target_error(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TargetError, match="readable TOML"):
        load_target(str(path))


def test_both_protocols_bound_a_p95_and_final_is_longer():
    (screen, screen_digest), (final, final_digest) = load_protocol("screen"), load_protocol("final")
    for protocol in (screen, final):
        assert protocol.blocks * protocol.block_runs >= samples_needed(95)
    assert (final.blocks, final.block_runs, final.block_s) == (5, 50, 2.0)
    assert final_digest != screen_digest
    with pytest.raises(TargetError, match="there is no protocol 'scren'; did you mean screen"):
        load_protocol("scren")


def test_the_sustained_protocol_gives_one_median_a_minute_for_ten_minutes():
    protocol, _ = load_protocol("sustained")
    assert (protocol.blocks, protocol.block_s, protocol.cooldown_s, protocol.retries) == (10, 60.0, 0.0, 0)
    assert protocol.timeout_s > protocol.blocks * protocol.block_s + protocol.warmup_s
