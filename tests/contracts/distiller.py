"""What every Distiller keeps; a test class inherits it and gives ``distiller``, ``another`` (equal, new) and ``spec``."""

import math

from safetensors.numpy import load_file

from autokd_edge.core.student import parameter_shapes
from autokd_edge.students.lower_onnx import onnx_from_spec

STEPS = 6


class DistillerContract:
    def point(self, distiller, unit: float = 0.5):
        return distiller.space.at([unit] * len(distiller.space))

    def test_what_was_taught_is_written_as_the_specs_own_arrays(self, distiller, spec, tmp_path):
        taught = distiller.teach(spec, self.point(distiller), steps=STEPS, seed=1, out=tmp_path / "w.safetensors")
        arrays = load_file(tmp_path / "w.safetensors")
        assert {name: value.shape for name, value in arrays.items()} == parameter_shapes(spec)
        assert onnx_from_spec(spec, arrays).graph.node
        assert 0 <= taught.accuracy <= 100
        assert math.isfinite(taught.loss)
        assert taught.seconds > 0

    def test_nothing_unfinished_is_left_beside_the_weights(self, distiller, spec, tmp_path):
        distiller.teach(spec, self.point(distiller), steps=STEPS, seed=1, out=tmp_path / "out" / "w.safetensors")
        assert {path.name for path in (tmp_path / "out").iterdir()} <= {"w.safetensors", "w.json"}

    def test_the_same_seed_teaches_the_same_bytes(self, distiller, another, spec, tmp_path):
        point = self.point(distiller)
        first = distiller.teach(spec, point, steps=STEPS, seed=1, out=tmp_path / "a.safetensors")
        second = another.teach(spec, point, steps=STEPS, seed=1, out=tmp_path / "b.safetensors")
        assert (first.accuracy, first.loss) == (second.accuracy, second.loss)
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()

    def test_lessons_before_it_do_not_change_a_lesson(self, distiller, another, spec, tmp_path):
        point = self.point(distiller)
        distiller.teach(spec, self.point(distiller, 0.1), steps=STEPS + 3, seed=4, out=tmp_path / "other.safetensors")
        distiller.teach(spec, point, steps=STEPS, seed=1, out=tmp_path / "a.safetensors")
        another.teach(spec, point, steps=STEPS, seed=1, out=tmp_path / "b.safetensors")
        a, b = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "b.safetensors")
        assert all((a[name] == b[name]).all() for name in a)

    def test_other_distillation_parameters_teach_other_weights(self, distiller, spec, tmp_path):
        for unit in (0.1, 0.9):
            distiller.teach(spec, self.point(distiller, unit), steps=STEPS, seed=1, out=tmp_path / f"{unit}.safetensors")
        a, b = (load_file(tmp_path / f"{unit}.safetensors") for unit in (0.1, 0.9))
        assert any((a[name] != b[name]).any() for name in a)

    def test_what_is_there_already_is_read_and_not_taught_again(self, distiller, another, spec, tmp_path):
        out = tmp_path / "w.safetensors"
        taught = distiller.teach(spec, self.point(distiller), steps=STEPS, seed=1, out=out)
        before = out.stat().st_mtime_ns
        assert another.teach(spec, self.point(distiller), steps=STEPS, seed=1, out=out) == taught
        assert out.stat().st_mtime_ns == before

    def test_every_corner_of_its_space_can_be_taught(self, distiller, spec, tmp_path):
        width = len(distiller.space)
        for corner in range(2**width):
            unit = [float(corner >> bit & 1) for bit in range(width)]
            taught = distiller.teach(spec, distiller.space.at(unit), steps=1, seed=1, out=tmp_path / f"{corner}.safetensors")
            assert math.isfinite(taught.loss)
