"""One whole profile on a device behind a real sshd, with the real runtime."""

import json
from importlib.util import find_spec

import pytest
from fakes.command import run_here
from fakes.graphs import write_graph, write_samples
from fakes.sshd import LoopbackBoard

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: pip install 'autokd-edge[openvino]'"),
]


def test_a_network_is_quantised_here_and_built_timed_and_looked_into_there(tmp_path):
    write_graph(tmp_path / "model.onnx", channels=32)
    write_samples(tmp_path / "images.npy")
    with LoopbackBoard(tmp_path / "board") as board, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", board.path_with_client())
        board.give_runtimes()
        argv = ("--device", board.device, "--protocol", "final", "--data", "images.npy", "--per-layer", "--json")
        done = run_here("profile", "model.onnx", *argv, folder=tmp_path)
    assert done.status == 0, done
    variants = {variant["precision"]: variant for variant in json.loads(done.out)["variants"]}
    for precision, layer_precision in (("fp32", "f32"), ("int8", "i8")):
        variant = variants[precision]
        assert variant["outcome"] == "measured", variant
        assert variant["reading"]["samples"] >= 150
        assert sum(layer["precision"] == layer_precision for layer in variant["layers"]) >= 3
        assert "executed-precision-differs" not in variant["reading"]["flags"]
