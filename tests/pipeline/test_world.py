"""The fakes of these tests keep the same contracts as the real adapters."""

import numpy as np
import pytest
from contracts.distiller import DistillerContract
from contracts.fine_tuner import FineTunerContract
from contracts.image_sets import ImageSetsContract
from fakes.backend import FAKE_TARGET, FakeQuantizer
from pipeline.world import IMAGE, INT8, TEACHER, FakeDistiller, FakeFineTuner, FakeImages, write_teacher

from autokd_edge.core.space import Point


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


class TestFakeFineTuner(FineTunerContract):
    @pytest.fixture
    def graph(self, tmp_path):
        """A graph that the fake quantiser disturbed, and beside it the float one."""
        write_teacher(tmp_path / "float.onnx")
        np.save(tmp_path / "noise.npy", np.zeros((2, *IMAGE), np.float32))
        made = tmp_path / "quantised.onnx"
        FakeQuantizer(noise=1.0).quantize(tmp_path / "float.onnx", tmp_path / "noise.npy", variant=INT8, target=FAKE_TARGET, out=made)
        return made

    @pytest.fixture
    def tuner(self, graph):
        made = FakeFineTuner(left=0.5)
        made.original = graph.with_name("float.onnx")
        return made

    @pytest.fixture
    def another(self, tuner):
        return tuner

    @pytest.fixture
    def distillation(self):
        return Point(values=(("tau", 2.0),))
