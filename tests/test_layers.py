"""The import graph holds, and every module imports on a machine without vendors."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import autokd_edge

ROOT = Path(__file__).parent.parent
VENDORS = (
    "openvino",
    "nncf",
    "onnxruntime",
    "tensorrt_rtx",
    "plotly",
    "sklearn",
    "datasets",
    "PIL",
    "timm",
    "torchvision",
    "transformers",
    "psycopg",
    "torch",
    "botorch",
    "gpytorch",
    "scipy",
    "tvm",
    "tvm_ffi",
    "optuna",
    "ax",
)
# What teaches or models is torch (or SciPy) by nature; everything else must load without it.
TORCH_BY_NATURE = (
    "autokd_edge.teaching.",
    "autokd_edge.students.depthwise",
    "autokd_edge.students.lower_torch",
    "autokd_edge.search.accuracies",
    "autokd_edge.search.acquisition",
    "autokd_edge.search.beliefs",
    "autokd_edge.search.bohb",
    "autokd_edge.search.candidates",
    "autokd_edge.search.edge_bo",
    "autokd_edge.search.explain",
    "autokd_edge.search.front_bo",
    "autokd_edge.search.gain",
    "autokd_edge.search.kde",
    "autokd_edge.search.kernel",
    "autokd_edge.search.likelihood",
    "autokd_edge.search.prior",
    "autokd_edge.search.surrogate",
    "autokd_edge.api.checking",
    "autokd_edge.api.distilling",
    "autokd_edge.api.goals",
    "autokd_edge.api.search",
    "autokd_edge.api.shipping",
)
BLOCKER = """
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {vendors}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
failed = []
for name in {modules}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed.append(f"{{name}} needs {{error.name}}")
print(*failed, sep="\\n")
"""


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(autokd_edge.__path__, "autokd_edge.")]
    programs = {"autokd_edge.__main__"}
    return [name for name in found if name not in programs]


def failures(names: list[str]) -> list[str]:
    program = BLOCKER.format(vendors=set(VENDORS), modules=names)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.slow
def test_every_module_but_those_that_are_torch_by_nature_imports_without_vendors() -> None:
    light = [name for name in modules() if not name.startswith(TORCH_BY_NATURE) and name != "autokd_edge.teaching"]
    assert len(light) > 50
    assert failures(light) == []


@pytest.mark.slow
def test_the_check_bites_a_module_that_needs_a_vendor() -> None:
    assert failures(["autokd_edge.teaching.losses"]) == ["autokd_edge.teaching.losses needs torch"]


@pytest.mark.slow
def test_imports_point_down_the_layers() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
