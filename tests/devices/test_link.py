"""The link to this machine."""

from pathlib import Path

import pytest
from contracts.link import LinkContract

from autokd_edge.devices.link import LocalLink


@pytest.mark.slow
class TestLocalLink(LinkContract):
    @pytest.fixture
    def link(self):
        return LocalLink()


def test_files_stay_where_they_are(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"1")
    assert LocalLink().push(path) == str(path)
    assert LocalLink().place(path) == str(path)
    LocalLink().pull(str(path), path)
    assert path.read_bytes() == b"1"
