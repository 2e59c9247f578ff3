"""The program in a bundle, run as its user runs it, on an engine that OpenVINO really built."""

import ast
import os
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from fakes.bundle import LABELS, sample_card, sample_files
from fakes.study import sample_spec

from autokd_edge.bundle import predict
from autokd_edge.bundle.writer import write_bundle
from autokd_edge.core.digest import digest_of_file
from autokd_edge.students.lower_onnx import onnx_from_spec

PROGRAM = Path(predict.__file__)
BUILD = """
    import sys, openvino
    core = openvino.Core()
    hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    blob = core.compile_model(core.read_model(sys.argv[1]), "CPU", hints).export_model()
    open(sys.argv[2], "wb").write(blob.getvalue() if hasattr(blob, "getvalue") else blob)
"""
PIXELS = np.random.default_rng(5).integers(0, 256, (28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed: pip install 'autokd-edge[openvino]'")
    import openvino

    folder = tmp_path_factory.mktemp("predict")
    model = onnx_from_spec(sample_spec())
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    subprocess.run([sys.executable, "-c", textwrap.dedent(BUILD), str(folder / "model.onnx"), str(folder / "model.blob")], check=True)
    engine = (folder / "model.blob").read_bytes()
    files = sample_files(folder, engine=engine)
    card = sample_card(digest_of_file(files.engine), package="openvino", version=openvino.__version__)
    write_bundle(folder / "bundle", files, card)
    return folder / "bundle"


def run(bundle: Path, *images: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": "" if path is None else str(path)}
    return subprocess.run(
        [sys.executable, "predict.py", *map(str, images)], cwd=bundle, capture_output=True, text=True, check=False, env=env
    )


def expected(bundle: Path, pixels: np.ndarray) -> dict[str, float]:
    """Compute label -> probability with ONNX Runtime, by the formula in the manifest."""
    import onnxruntime

    session = onnxruntime.InferenceSession(bundle.parent / "model.onnx", providers=["CPUExecutionProvider"])
    image = ((pixels / 255 - 0.286) / 0.353).astype(np.float32)[None, None]
    logits = session.run(None, {"input": image})[0][0].astype(np.float64)
    shares = np.exp(logits - logits.max())
    return dict(zip(LABELS, shares / shares.sum(), strict=True))


def pgm(pixels: np.ndarray, head: bytes = b"P5\n# a comment\n28 28\n# another\n255\n") -> bytes:
    return head + pixels.tobytes()


@pytest.mark.slow
def test_it_prints_the_label_and_the_probabilities_that_onnx_runtime_gives(bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", PIXELS)
    (tmp_path / "image.pgm").write_bytes(pgm(PIXELS))
    done = run(bundle, tmp_path / "image.npy", tmp_path / "image.pgm")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 22
    want = expected(bundle, PIXELS)
    for first, name in ((0, "image.npy"), (11, "image.pgm")):
        assert lines[first] == f"{tmp_path / name}: {max(want, key=want.__getitem__)}"
        rows = [re.fullmatch(r" *([\d.]+)%  (.*)", line) for line in lines[first + 1 : first + 11]]
        got = {row[2]: float(row[1]) / 100 for row in rows if row}
        assert got == pytest.approx(want, abs=6e-5)
        assert list(got.values()) == sorted(got.values(), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("small.pgm", b"P5 2 2 255\n1234", r"pixels must be uint8 \(h, w, c\) \(28, 28, 1\); got uint8 \(2, 2, 1\)"),
        ("colour.ppm", b"P6 28 28 255\n" + bytes(28 * 28 * 3), r"must be uint8 .* got uint8 \(28, 28, 3\)"),
        ("cut.pgm", b"P5 28 28 255\n" + bytes(100), "buffer is smaller"),
        ("deep.pgm", b"P5 28 28 65535\n" + bytes(28 * 28 * 2), "must be .npy or binary PGM or PPM of 255 levels"),
        ("absent.pgm", None, "No such file"),
    ],
)
def test_an_image_that_does_not_fit_is_one_sentence(bundle: Path, tmp_path: Path, name: str, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = run(bundle, tmp_path / name)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(said, done.stderr)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_an_onnxruntime_engine_is_run_by_onnxruntime(bundle: Path, tmp_path: Path) -> None:
    import onnxruntime

    files = sample_files(tmp_path, engine=(bundle.parent / "model.onnx").read_bytes())
    card = sample_card(digest_of_file(files.engine), package="onnxruntime", version=onnxruntime.__version__)
    write_bundle(tmp_path / "bundle", files, card)
    np.save(tmp_path / "image.npy", PIXELS)
    done = run(tmp_path / "bundle", tmp_path / "image.npy")
    want = expected(bundle, PIXELS)
    assert done.stdout.startswith(f"{tmp_path / 'image.npy'}: {max(want, key=want.__getitem__)}\n"), done.stderr


@pytest.mark.slow
def test_a_changed_engine_is_not_run(bundle: Path, tmp_path: Path) -> None:
    blob = bundle / "engine.blob"
    data = blob.read_bytes()
    try:
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        done = run(bundle, tmp_path / "never-read.pgm")
    finally:
        blob.write_bytes(data)
    assert done.returncode == 1
    assert done.stderr == "engine.blob was changed: it is not the engine that was measured\n"


def test_it_is_60_lines_at_most_and_imports_the_standard_library_and_numpy_alone() -> None:
    text = PROGRAM.read_text()
    assert len(text.splitlines()) <= 60
    imported = {alias.name.split(".")[0] for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == {"numpy"}
    assert re.findall(r"import_module\((.+?)\),", text) == ['card["runtime"]["package"]']


def test_it_goes_into_the_bundle_as_it_is(bundle: Path) -> None:
    assert (bundle / "predict.py").read_bytes() == PROGRAM.read_bytes()
