from pathlib import Path

import pytest
import torch
from fakes.plugin import install_plugin, write_target


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)  # faster for networks this small


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder to stand in, with the target; the fake backend is installed beside it."""
    folder = tmp_path_factory.mktemp("here")
    install_plugin(folder / "site")
    write_target(folder / "fake.toml")
    return folder


@pytest.fixture
def _standing_there(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here / "site")
