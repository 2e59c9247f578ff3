"""What every FineTuner keeps; a test class inherits it and gives ``tuner``, ``another`` (equal, new), ``graph`` and ``distillation``."""

import onnx


class FineTunerContract:
    def test_only_constants_of_the_graph_change(self, tuner, graph, distillation, tmp_path):
        tuner.tune(graph, tuner.recipe(distillation), out=tmp_path / "made.onnx")
        before, after = onnx.load(graph).graph, onnx.load(tmp_path / "made.onnx").graph
        assert list(before.node) == list(after.node)
        assert (list(before.input), list(before.output)) == (list(after.input), list(after.output))
        shapes = [{(tensor.name, tensor.data_type, tuple(tensor.dims)) for tensor in one.initializer} for one in (before, after)]
        assert shapes[0] == shapes[1]
        assert before != after

    def test_equal_arguments_give_equal_bytes(self, tuner, another, graph, distillation, tmp_path):
        assert tuner.recipe(distillation) == another.recipe(distillation)
        for name, one in (("a", tuner), ("b", another)):
            one.tune(graph, one.recipe(distillation), out=tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_what_is_there_already_is_not_made_again(self, tuner, graph, distillation, tmp_path):
        (tmp_path / "made.onnx").write_bytes(b"made before")
        tuner.tune(graph, tuner.recipe(distillation), out=tmp_path / "made.onnx")
        assert (tmp_path / "made.onnx").read_bytes() == b"made before"

    def test_nothing_unfinished_is_left_beside_the_graph(self, tuner, graph, distillation, tmp_path):
        tuner.tune(graph, tuner.recipe(distillation), out=tmp_path / "out" / "made.onnx")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["made.onnx"]
