"""Bundles of engines that are programs of their own, used as on a board: with make and a C compiler."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tvm_ffi
from fakes.bundle import sample_card
from fakes.emulated import EmulatedLink
from fakes.study import sample_spec

from autokd_edge.backends.tvm.board import TVMBoard
from autokd_edge.backends.tvm.builder import TVMBuilder
from autokd_edge.bundle.checker import check_bundle, read_bundle
from autokd_edge.bundle.native import native_files
from autokd_edge.bundle.writer import BundleFiles, write_bundle
from autokd_edge.core.digest import digest_of_file
from autokd_edge.core.target import Variant
from autokd_edge.devices.board import Place
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink
from autokd_edge.students.lower_onnx import onnx_from_spec

VARIANT = Variant(backend="tvm", precision="fp32")


@pytest.fixture
def write(tmp_path):
    """Write a bundle of an untaught student for a target; ``wrong`` is added to the logits that are recorded."""

    def made(target, place, *, wrong=0.0, module=False):
        builder, graph, spec = TVMBuilder(), tmp_path / "graph.onnx", sample_spec()
        graph.write_bytes(onnx_from_spec(spec).SerializeToString())
        builder.build(graph, variant=VARIANT, target=target, out=tmp_path / "made")
        card = dataclasses.replace(sample_card(digest_of_file(tmp_path / "made")), runtime=None, target=target)
        (tmp_path / "library").mkdir()
        builder.library(graph, variant=VARIANT, target=target, folder=tmp_path / "library")
        if module:
            builder.module(graph, variant=VARIANT, target=target, folder=tmp_path / "library")
        inputs, logits = tmp_path / "inputs.npy", tmp_path / "logits.npy"
        np.save(inputs, np.random.default_rng(0).standard_normal((4, *spec.input), dtype=np.float32))
        TVMBoard(builder, place).infer(tmp_path / "made", inputs, variant=VARIANT, target=target, out=logits)
        np.save(logits, np.load(logits) + np.float32(wrong))
        files = BundleFiles(
            engine=tmp_path / "made",
            engine_name="engine",
            float_graph=graph,
            quantized_graph=None,
            selftest_inputs=inputs,
            selftest_logits=logits,
            more=native_files(tmp_path / "library", card),
        )
        write_bundle(tmp_path / "bundle", files, card)
        return tmp_path / "bundle"

    return made


@pytest.fixture
def here(tmp_path):
    return target_here(load_target("host")[0], read_fingerprint()), Place(link=LocalLink(), lease=Lease(tmp_path / "lock"), folder=tmp_path)


def run(*arguments, folder):
    done = subprocess.run([shutil.which(arguments[0]), *arguments[1:]], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_make_run_checks_the_engine_and_classifies_an_image(write, here, tmp_path):
    bundle = write(*here)
    channels, height, width = sample_spec().input
    assert channels == 1
    (tmp_path / "shoe.pgm").write_bytes(b"P5 %d %d 255\n" % (width, height) + bytes(range(256)) * 4)
    status, said = run("make", "run", f"IMAGE={tmp_path / 'shoe.pgm'}", folder=bundle)
    assert status == 0, said
    assert "self-test: 4 of 4 labels" in said
    assert any(f"shoe.pgm: {label}, " in said for label in read_bundle(bundle).card.labels)
    check_bundle(bundle)  # nothing was left in it


@pytest.mark.slow
def test_make_run_fails_where_the_engine_computes_something_else(write, here):
    status, said = run("make", "run", folder=write(*here, wrong=1.0))
    assert status != 0
    assert "the self-test failed: this engine does not compute what it did when it was built" in said


@pytest.mark.slow
def test_the_runtime_form_gives_the_same_logits_in_tvms_runtime_and_is_timed_there(write, here):
    bundle = write(*here, module=True)
    status, said = run("make", "run-module", f"TVM_FFI={Path(tvm_ffi.__file__).parent}", folder=bundle)
    assert status == 0, said
    match = re.search(r"in TVM's runtime: 4 samples, largest logit difference 0, median ([0-9.]+) us", said)
    assert match, said
    assert float(match[1]) > 0
    check_bundle(bundle)


@pytest.mark.slow
def test_a_module_refuses_tensors_that_are_not_its_own(write, here):
    bundle = write(*here, module=True)
    run_student = tvm_ffi.load_module(str(bundle / "autokd_student.so")).autokd_run
    image, logits = np.zeros((1, *sample_spec().input), np.float32), np.zeros((1, sample_spec().classes), np.float32)
    run_student(*map(tvm_ffi.from_dlpack, (image, logits)))
    assert logits.std() > 0
    for wrong in (image.astype(np.float64), image[..., :-1].copy(), image.repeat(2, axis=3)[..., ::2]):
        with pytest.raises(ValueError, match="autokd_run takes two float32 tensors of the CPU without gaps: an image and its logits"):
            run_student(*map(tvm_ffi.from_dlpack, (wrong, logits)))


@pytest.mark.slow
def test_a_bundle_for_arm_holds_the_program_the_library_and_a_short_example(write, tmp_path):
    link = EmulatedLink("cortex-a72")
    place = Place(link=link, lease=Lease(tmp_path / "lock"), folder=tmp_path, fingerprint=link.fingerprint)
    bundle = write(load_target("raspberry-pi-4")[0], place)
    names = {path.name for path in bundle.iterdir()}
    assert {"engine", "autokd_student.h", "libautokd_student.a", "autokd_card.h", "classify.c", "Makefile"} <= names
    assert "predict.py" not in names
    assert len((bundle / "classify.c").read_text().splitlines()) <= 40
    vectors = [str(bundle / name) for name in ("selftest_inputs.npy", "selftest_logits.npy")]
    checked = link.run([str(bundle / "engine"), "check", *vectors, "1e-5"], stdin=b"", timeout_s=60)
    assert b"self-test: 4 of 4 labels, largest logit difference 0 " in checked.stdout
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    assert compiler, "apt-get install gcc-aarch64-linux-gnu"
    status, said = run(compiler, "-Wall", "-Werror", "-O2", "classify.c", "libautokd_student.a", "-lm", "-o", "../classify", folder=bundle)
    assert status == 0, said
