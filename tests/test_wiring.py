import dataclasses
import re

import pytest
from fakes.backend import FAKE_TARGET
from fakes.bundle import TARGET
from fakes.plugin import install_plugin

from autokd_edge.core.space import Real, SearchSpace
from autokd_edge.core.student import Task
from autokd_edge.core.target import Variant
from autokd_edge.errors import InputError, TargetError
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.ungated import UngatedPolicy
from autokd_edge.wiring import BACKEND_GROUP, FAMILIES, POLICIES, backends_of, family_named, policy_named, pool_of

SPACE = SearchSpace(parameters=(Real(name="tau", low=1.0, high=20.0),))
TASK = Task(image=(1, 8, 8), classes=2, channel_multiple=8)


def named(backend: str, *precisions: str):
    variants = tuple(Variant(backend=backend, precision=precision) for precision in precisions or ("fp32",))
    return dataclasses.replace(TARGET, variants=variants)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_says_the_name_that_it_has_on_the_command_line(name):
    assert family_named(name).name == name
    assert family_named(name).members(family_named(name).space(TASK).at([0.5] * len(family_named(name).space(TASK)))) >= 1


def test_several_families_are_one_space_to_search():
    family = family_named("nago, mbconv")
    assert family.name == "nago,mbconv"
    assert family.space(TASK).parameters[0].values == ("nago", "mbconv")


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_made_from_the_spaces_and_the_target(name):
    family = family_named("nago")
    policy = policy_named(name)(family.space(TASK), SPACE, FAKE_TARGET, family.members)
    assert isinstance(policy, PhasedPolicy | UngatedPolicy)


@pytest.mark.parametrize(
    ("ask", "wrong", "known", "hint"),
    [
        (
            family_named,
            "nagi",
            f"family must be one of {', '.join(FAMILIES)}; got 'nagi'",
            "--family nago",
        ),
        (family_named, "nago,mbconf", f"family must be one of {', '.join(FAMILIES)}; got 'mbconf'", "--family mbconv"),
        (family_named, "nago,", f"family must be one of {', '.join(FAMILIES)}; got ''", "--family nago"),
        (family_named, "nago,nago", "families must be named once each; got 'nago,nago'", "--family nago"),
        (
            policy_named,
            "randon",
            "policy must be one of edge-bo, random, random-ungated, evolution, bohb-paper, optuna-tpe, optuna-gp, ax; got 'randon'",
            "--policy random",
        ),
        (
            policy_named,
            "zzz",
            "policy must be one of edge-bo, random, random-ungated, evolution, bohb-paper, optuna-tpe, optuna-gp, ax; got 'zzz'",
            "--policy edge-bo",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_and_the_nearest(ask, wrong, known, hint):
    with pytest.raises(InputError, match=f"{re.escape(known)}. Hint: {hint}"):
        ask(wrong)


@pytest.mark.parametrize("name", ["openvino", "openvino-gpu", "openvino-npu", "onnxruntime", "tvm"])
def test_a_backend_of_the_package_is_made_without_writing_anything(name, tmp_path):
    backends = backends_of(named(name, "fp32", "int8"), tmp_path / "backends")
    assert {key: backend.name for key, backend in backends.items()} == {name: name}
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_nobody_provides_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(
        TargetError, match=r"backend of target 'host' must be one of openvino, openvino-gpu, openvino-npu, onnxruntime, tvm.*; got 'glow'"
    ):
        backends_of(named("glow"), tmp_path)


def test_a_package_brings_its_backend_by_an_entry_point(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install_plugin(tmp_path / "site"))
    backends = backends_of(named("fake", "fp32", "int8"), tmp_path)
    assert backends["fake"].builder.toolchain() == {"fake": "1.0"}


def test_a_broken_package_harms_only_those_who_ask_for_it(tmp_path, monkeypatch):
    site = tmp_path / "site"
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{BACKEND_GROUP}]\nbroken = no_such_module:backend\nopenvino = no_such_module:backend\n")
    monkeypatch.syspath_prepend(site)
    assert backends_of(named("openvino"), tmp_path)["openvino"].name == "openvino"
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        backends_of(named("broken"), tmp_path)


@pytest.mark.parametrize("name", POLICIES)
def test_rungs_are_for_strategies_that_have_them(name):
    if name not in ("optuna-tpe", "optuna-gp", "ax"):
        policy_named(name, rungs=2)
        return
    with pytest.raises(InputError, match=rf"policies that teach on rungs are .*; got '{name}' and 2 rungs\. Hint: --rungs 1"):
        policy_named(name, rungs=2)


@pytest.mark.parametrize("name", POLICIES)
def test_several_workers_are_for_strategies_that_choose_while_pupils_are_taught(name):
    family = family_named("nago")
    if isinstance(policy_named(name)(family.space(TASK), SPACE, FAKE_TARGET, family.members), PhasedPolicy):
        policy_named(name, workers=2)
        return
    said = rf"policies that choose while pupils are taught are edge-bo, random, evolution; got '{name}' and 2 workers\. Hint: --workers 1"
    with pytest.raises(InputError, match=said):
        policy_named(name, workers=2)


def test_several_addresses_are_a_pool_and_each_is_named_once():
    one, two = "ssh://pi@one", "ssh://pi@two"
    pool = pool_of([one, two]).pool
    assert [device.link.device for device in pool.devices] == [one, two]
    assert pool_of([one]).pool is None
    assert pool_of([]).link.device is None
    with pytest.raises(InputError, match="must be named once each; got 'ssh://pi@one' more than once"):
        pool_of([one, two, one])
