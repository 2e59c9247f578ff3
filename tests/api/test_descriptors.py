import pytest

from autokd_edge.api.descriptors import described, listed
from autokd_edge.devices.descriptors import target_names
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.errors import TargetError


def test_every_shipped_target_is_listed_with_its_variants():
    found = listed()
    assert tuple(found) == target_names()
    assert {"host", "intel-n100"} <= set(found)
    assert all("fp32" in facts["variants"] and facts["description"] for facts in found.values())


def test_the_host_is_described_as_this_machine():
    facts, machine = described("host"), read_fingerprint()
    assert (facts["cores"], tuple(facts["isa_flags"])) == (machine.cores, machine.isa_flags)
    assert 0 < facts["memory_bytes"] <= machine.memory_bytes


def test_another_target_is_described_as_its_descriptor_says_with_a_source_for_each_fact():
    facts = described("intel-n100")
    assert (facts["name"], facts["probe"], facts["cores"]) == ("intel-n100", False, 4)
    assert set(facts["sources"]) >= {"cores", "isa_flags", "memory_bytes", "variants"}


def test_an_unknown_target_is_refused_with_the_near_ones():
    with pytest.raises(TargetError, match="there is no target 'hots'; did you mean host"):
        described("hots")
