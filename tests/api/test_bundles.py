"""Bundles made of a tiny engine of the fake backend, run by the function and by the command."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fakes.backend import FAKE_PROTOCOL, FAKE_TARGET, FAKE_TOOLCHAIN, FAKE_VARIANTS, FakeBoard, FakeBuilder
from fakes.bundle import sample_card
from fakes.command import run_here
from fakes.graphs import logits_by_onnxruntime, write_samples
from fakes.plugin import install_plugin
from fakes.study import sample_spec

from autokd_edge.api.bundles import run_bundle
from autokd_edge.bundle.manifest import Reading, Runtime
from autokd_edge.bundle.writer import BundleFiles, write_bundle
from autokd_edge.core.digest import digest_of_file
from autokd_edge.errors import TargetError
from autokd_edge.students.lower_onnx import onnx_from_spec


@pytest.fixture
def site(tmp_path) -> Path:
    return install_plugin(tmp_path / "site")


@pytest.fixture
def bundle(tmp_path):
    """Return how to write a bundle; ``wrong`` is added to the logits that the self-test records."""

    def write(*, wrong: float = 0.0) -> Path:
        graph, engine = tmp_path / "graph.onnx", tmp_path / "engine"
        graph.write_bytes(onnx_from_spec(sample_spec()).SerializeToString())
        FakeBuilder().build(graph, variant=FAKE_VARIANTS[0], target=FAKE_TARGET, out=engine)
        inputs = write_samples(tmp_path / "inputs.npy", 4, shape=sample_spec().input)
        np.save(tmp_path / "logits.npy", logits_by_onnxruntime(graph.read_bytes(), np.load(inputs)) + np.float32(wrong))
        files = BundleFiles(
            engine=engine,
            engine_name="engine.blob",
            float_graph=graph,
            quantized_graph=None,
            selftest_inputs=inputs,
            selftest_logits=tmp_path / "logits.npy",
        )
        reading = FakeBoard().measure(engine, variant=FAKE_VARIANTS[0], target=FAKE_TARGET, protocol=FAKE_PROTOCOL)
        card = dataclasses.replace(
            sample_card(digest_of_file(engine)),
            target=FAKE_TARGET,
            variant=FAKE_VARIANTS[0],
            measurements=(Reading(what="student engine", measurement=reading),),
            runtime=Runtime(package="fake", version=FAKE_TOOLCHAIN["fake"]),
        )
        write_bundle(tmp_path / "bundle", files, card)
        return tmp_path / "bundle"

    return write


def test_a_whole_bundle_passes_its_self_test_and_is_timed(bundle, site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    done = run_bundle(bundle(), protocol="screen")
    assert done.selftest.passed
    assert (done.measurement.protocol, done.measurement.origin) == ("screen", "replay")


def test_an_engine_that_answers_otherwise_fails_its_self_test_and_is_not_timed(bundle, site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    done = run_bundle(bundle(wrong=0.5), protocol="screen")
    assert not done.selftest.passed
    assert done.selftest.max_difference == pytest.approx(0.5, abs=1e-3)
    assert done.measurement is None


def test_the_command_ends_with_status_1_where_the_self_test_fails(bundle, site, tmp_path):
    folder = bundle(wrong=0.5)
    done = run_here("run", folder, folder=tmp_path, path=site)
    assert (done.status, done.err) == (1, "")
    assert done.out.startswith("self-test failed: ")
    assert '"reading": null' in run_here("run", folder, "--json", folder=tmp_path, path=site).out


def test_an_unknown_protocol_is_refused_before_anything_runs(bundle):
    with pytest.raises(TargetError, match="there is no protocol 'fast'"):
        run_bundle(bundle(), protocol="fast")
