"""What every Builder keeps; the tests of a backend of your own inherit it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autokd_edge.conformance.graphs import write_graph
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import BuildError
from autokd_edge.ports import Builder


class BuilderContract:
    """Builds, refuses, repeats itself, and says what it is made of."""

    def test_an_engine_is_one_file_that_is_not_empty(self, builder: Builder, variant: Variant, target: Target, tmp_path: Path) -> None:
        builder.build(write_graph(tmp_path / "graph.onnx"), variant=variant, target=target, out=tmp_path / "engine")
        assert (tmp_path / "engine").stat().st_size > 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["engine", "graph.onnx"]

    def test_equal_graphs_give_equal_engines_and_other_weights_another(
        self, builder: Builder, variant: Variant, target: Target, tmp_path: Path
    ) -> None:
        engines = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            graph = write_graph(tmp_path / f"{name}.onnx", seed=seed)
            builder.build(graph, variant=variant, target=target, out=tmp_path / name)
            engines.append((tmp_path / name).read_bytes())
        assert engines[0] == engines[1]
        assert engines[0] != engines[2]

    def test_a_damaged_graph_is_a_build_error_and_leaves_no_engine(
        self, builder: Builder, variant: Variant, target: Target, tmp_path: Path
    ) -> None:
        graph = write_graph(tmp_path / "graph.onnx")
        graph.write_bytes(graph.read_bytes()[:200])
        with pytest.raises(BuildError):
            builder.build(graph, variant=variant, target=target, out=tmp_path / "engine")
        assert not (tmp_path / "engine").exists()

    def test_a_missing_graph_is_a_build_error(self, builder: Builder, variant: Variant, target: Target, tmp_path: Path) -> None:
        with pytest.raises(BuildError):
            builder.build(tmp_path / "none.onnx", variant=variant, target=target, out=tmp_path / "engine")
        assert not (tmp_path / "engine").exists()

    def test_the_toolchain_names_packages_and_versions(self, builder: Builder) -> None:
        toolchain = dict(builder.toolchain())
        assert toolchain
        versions = {name: version for name, version in toolchain.items() if "/" not in name}  # the others are digests of programs
        assert versions
        assert all(name and version[0].isdigit() for name, version in versions.items())
