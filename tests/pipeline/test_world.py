"""The fakes of these tests keep the same contracts as the real adapters."""

import pytest
from contracts.distiller import DistillerContract
from contracts.image_sets import ImageSetsContract
from pipeline.world import IMAGE, TEACHER, FakeDistiller, FakeImages


class TestFakeDistiller(DistillerContract):
    @pytest.fixture
    def distiller(self):
        return FakeDistiller()

    @pytest.fixture
    def another(self):
        return FakeDistiller()

    @pytest.fixture
    def spec(self):
        return TEACHER


class TestFakeImages(ImageSetsContract):
    @pytest.fixture
    def images(self, tmp_path):
        return FakeImages(tmp_path / "inputs", test_allowed=True)

    @pytest.fixture
    def again(self, tmp_path):
        return FakeImages(tmp_path / "inputs", test_allowed=True)

    @pytest.fixture
    def image(self):
        return IMAGE
