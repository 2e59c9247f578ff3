"""What goes beside a network whose readings were predicted: a script that builds it on the board and measures it there."""

from __future__ import annotations

from pathlib import Path
from string import Template

from autokd_edge.bundle.manifest import Card

GRAPH_TO_BUILD = "to_build.onnx"
SCRIPT = "build_and_measure.sh"

_HEAD = Template("""#!/bin/sh
# The readings in manifest.json are predicted: no board was at hand. This builds $graph on one and measures it.
#   sh $script ssh://user@board   from a machine that has autokd-edge, by its whole protocol
#   sh $script                    on the board itself, this folder copied there
set -eu
cd "$$(dirname "$$0")"
if [ $$# -gt 0 ]; then
  exec autokd-edge profile $source --target $target --device "$$1" --data selftest_inputs.npy --out ../profile.json
fi
engine="$${TMPDIR:-/tmp}/autokd_student.engine"
""")
# TF32 is no FP32; what lies between INT8 layers runs in FP16, as in the engines that a search builds.
_FLAGS = {"fp32": "--noTF32", "fp16": "--fp16", "int8": "--fp16 --int8"}
_BODIES = {
    "tensorrt": Template("""PATH=$$PATH:/usr/src/tensorrt/bin
exec trtexec --onnx=$graph --saveEngine="$$engine" $flags --warmUp=500 --duration=10 --iterations=100 --streams=1 --useSpinWait
"""),
    "openvino": Template("""exec benchmark_app -m $graph -d CPU -hint none -nthreads $threads -nstreams 1 -infer_precision $hint \\
  -api sync -nireq 1 -inference_only -t 10
"""),
}
_ELSEWHERE = Template("""echo "$backend builds and measures from a machine that has autokd-edge: sh $script ssh://user@board" >&2
exit 2
""")


def script_text(card: Card, *, quantized: bool) -> str:
    """Write the script for the variant that a bundle was made for; ``quantized`` says that its graph is quantised."""
    backend, precision = card.variant.backend, card.variant.precision
    facts = {
        "graph": GRAPH_TO_BUILD,
        "script": SCRIPT,
        "source": "student.int8.onnx" if quantized else "student.onnx",
        "target": card.target.name,
        "backend": backend,
        "threads": card.target.threads,
        "flags": _FLAGS.get(precision, ""),
        "hint": "bf16" if precision == "bf16" else "f32",
    }
    return _HEAD.substitute(facts) + _BODIES.get(backend, _ELSEWHERE).substitute(facts)


def readme_text(card: Card) -> str:
    """Say what the folder holds and what it does not."""
    return (
        f"{GRAPH_TO_BUILD} classifies images of {card.data}. It was chosen for target {card.target.name} as {card.variant} by PREDICTED "
        "latency and memory:\nno board was at hand, no engine was built, and accuracies are those of the graph, computed by ONNX Runtime "
        f"elsewhere.\nmanifest.json holds the recipe (network, distillation, teacher, data) and the error of the prediction.\n"
        f"Build and measure it on the board: sh {SCRIPT} (on the board), or sh {SCRIPT} ssh://user@board\n"
    )


def write_script(path: Path, card: Card, *, quantized: bool) -> None:
    """Write the script to a file that may be run."""
    path.write_text(script_text(card, quantized=quantized), encoding="utf-8")
    path.chmod(0o755)
