"""A backend in a package of its own registers by its entry point and passes the suites that this package ships."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
EXAMPLE = TESTS / "example_backend"


def install(site: Path) -> Path:
    """Write what an installer would, from the package's own pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in project["entry-points"].items()]
    (info / "entry_points.txt").write_text("\n".join(points))
    shutil.copytree(EXAMPLE / "autokd_example", site / "autokd_example", ignore=shutil.ignore_patterns("__pycache__"))
    return site


SOME = "not each_op_alone and not designed and not random_students or gate or shuffle"  # the others take half a minute


@pytest.mark.parametrize(
    ("chosen", "least"),
    [pytest.param(SOME, 20, marks=pytest.mark.slow), pytest.param("", 40, marks=pytest.mark.thorough)],
    ids=["some", "all"],
)
def test_a_backend_of_a_third_party_passes_the_suites_by_its_entry_point_alone(tmp_path, chosen, least):
    site = install(tmp_path / "site")
    paths = os.pathsep.join([str(site), str(TESTS.parent)])  # the package beside these tests
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]
    argv += ["--import-mode=importlib", "-k", chosen, str(EXAMPLE / "conformance.py")]
    ran = subprocess.run(argv, env={**os.environ, "PYTHONPATH": paths}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= least
    assert "skipped" not in ran.stdout
