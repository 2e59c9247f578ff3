"""What every backend keeps as a whole: the numbers of each layer, of any shape, in each precision that the target allows.

The reference is torch, so that no runtime is compared with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from autokd_edge.conformance.graphs import IMAGE, write_graph
from autokd_edge.conformance.networks import DESIGNED, OPS, SHAPES, STUDENT_OPS, Case, designed, student, write_case
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import BuildError, MeasureError
from autokd_edge.ports import Board, Builder, Quantizer

FLOAT_TOLERANCE = 1e-4  # relative and absolute: sums in another order
LOW_PRECISION_ERROR = 0.1  # root mean square, of the logits' own spread: eight bits and some layers
MORE_STUDENTS = 4  # of each operation
SAMPLES = 32
_INTEGERS = {"u8", "i8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A backend on a target, with a folder to work in."""

    builder: Builder
    quantizer: Quantizer
    board: Board
    target: Target
    folder: Path

    def engine(self, case: Case, variant: Variant, name: str = "engine") -> Path:
        """Quantise where the variant asks for it, and build."""
        graph = case.graph
        if variant.precision == "int8":
            graph = self.folder / "quantised.onnx"
            self.quantizer.quantize(case.graph, case.samples, variant=variant, target=self.target, out=graph)
        self.builder.build(graph, variant=variant, target=self.target, out=self.folder / name)
        return self.folder / name

    def logits(self, engine: Path, samples: Path, variant: Variant) -> npt.NDArray[np.float32]:
        """Run an engine on samples: logits ``(n, classes)``."""
        out = self.folder / "logits.npy"
        self.board.infer(engine, samples, variant=variant, target=self.target, out=out)
        logits: npt.NDArray[np.float32] = np.load(out)
        return logits

    def check(self, spec: StudentSpec, variants: Sequence[Variant]) -> None:
        """Build a network in each variant and compare its logits with torch's."""
        case = write_case(self.folder, spec, count=SAMPLES)
        assert np.abs(case.expected).max() > 0.01, "zeros would agree as well"
        for variant in variants:
            logits = self.logits(self.engine(case, variant), case.samples, variant)
            if variant.precision == "fp32":
                np.testing.assert_allclose(logits, case.expected, rtol=FLOAT_TOLERANCE, atol=FLOAT_TOLERANCE)
            else:
                error = float(np.sqrt(((logits - case.expected) ** 2).mean()) / case.expected.std())
                assert error < LOW_PRECISION_ERROR, f"{variant}: {error:.3f} of the spread of the logits"


class _Benched:
    @pytest.fixture
    def variants(self, variant: Variant, target: Target) -> tuple[Variant, ...]:
        """Return the variants that the target allows of the backend under test; give it where the target names none."""
        found = tuple(one for one in target.variants if one.backend == variant.backend)
        assert found, f"target '{target.name}' must name a variant of backend '{variant.backend}'"
        return found

    @pytest.fixture
    def bench(self, builder: Builder, quantizer: Quantizer, board: Board, target: Target, tmp_path: Path) -> Bench:
        """Put the parts together."""
        return Bench(builder=builder, quantizer=quantizer, board=board, target=target, folder=tmp_path)


class BackendContract(_Benched):
    """The quick selection: every operation and shape in fp32, odd shapes and random students in every precision."""

    @pytest.mark.parametrize("op", OPS)
    def test_each_op_alone_computes_in_fp32_what_torch_does(self, op: str, bench: Bench, variant: Variant) -> None:
        bench.check(OPS[op], [variant])

    @pytest.mark.parametrize("shape", SHAPES)
    def test_odd_shapes_compute_in_every_precision_what_torch_does(self, shape: str, bench: Bench, variants: tuple[Variant, ...]) -> None:
        bench.check(SHAPES[shape], variants)

    @pytest.mark.parametrize("op", STUDENT_OPS)
    def test_random_students_compute_in_every_precision_what_torch_does(self, op: str, bench: Bench, variants: tuple[Variant, ...]) -> None:
        bench.check(student(op), variants)

    @pytest.mark.parametrize("name", DESIGNED)
    def test_designed_networks_compute_in_fp32_what_torch_does(self, name: str, bench: Bench, variant: Variant) -> None:
        bench.check(designed(name), [variant])

    def test_the_precision_that_ran_is_read_back(self, bench: Bench, variants: tuple[Variant, ...], protocol: Protocol) -> None:
        case = write_case(bench.folder, SHAPES["odd channels"], count=8)
        convolutions = sum(node.op_type == "Conv" for node in onnx.load(case.graph).graph.node)
        for variant in variants:
            reading = _reading(bench, bench.engine(case, variant), variant, protocol)
            assert "executed-precision-differs" not in reading.flags, f"{variant}: {reading.executed}"
            if variant.precision == "fp32":
                assert reading.executed["f32"] >= convolutions
            if variant.precision == "int8":
                assert sum(reading.executed.get(name, 0) for name in _INTEGERS) >= convolutions

    def test_a_float_engine_that_calls_itself_int8_is_flagged_or_refused(self, bench: Bench, variant: Variant, protocol: Protocol) -> None:
        case = write_case(bench.folder, OPS["convolution"], count=1)
        engine = bench.engine(case, variant)
        try:
            reading = _reading(bench, engine, replace(variant, precision="int8"), protocol)
        except MeasureError:
            return  # a backend without int8
        assert "executed-precision-differs" in reading.flags

    def test_a_larger_engine_takes_more_time_and_memory(self, bench: Bench, variant: Variant, protocol: Protocol, tmp_path: Path) -> None:
        readings = []
        for channels in (8, 256):
            graph = write_graph(tmp_path / "g.onnx", channels=channels)
            bench.builder.build(graph, variant=variant, target=bench.target, out=tmp_path / "engine")
            readings.append(_reading(bench, tmp_path / "engine", variant, protocol))
        small, large = readings
        assert large.median_ns > 2 * small.median_ns
        assert large.memory.engine_bytes > small.memory.engine_bytes + 2 * 2**20  # 4.7 MB of weights

    def test_logits_that_are_not_finite_are_a_failure(self, bench: Bench, variant: Variant, tmp_path: Path) -> None:
        graph = write_graph(tmp_path / "g.onnx", scale=1e38)
        bench.builder.build(graph, variant=variant, target=bench.target, out=tmp_path / "engine")
        np.save(tmp_path / "samples.npy", np.full((2, *IMAGE), 1e6, np.float32))
        with pytest.raises(MeasureError, match="logits must be finite; sample 0 is not"):
            bench.logits(tmp_path / "engine", tmp_path / "samples.npy", variant)

    def test_two_builds_give_the_same_numbers(self, bench: Bench, variants: tuple[Variant, ...]) -> None:
        case = write_case(bench.folder, SHAPES["odd channels"], count=3)
        for variant in variants:
            first, second = (bench.logits(bench.engine(case, variant, name), case.samples, variant) for name in ("first", "second"))
            np.testing.assert_array_equal(first, second)

    def test_a_precision_that_nobody_builds_is_a_build_error(self, bench: Bench, variant: Variant) -> None:
        case = write_case(bench.folder, OPS["convolution"], count=1)
        with pytest.raises(BuildError, match="int3"):
            bench.engine(case, replace(variant, precision="int3"))
        assert not (bench.folder / "engine").exists()


class ThoroughBackendContract(_Benched):
    """Every operation alone in every precision, and more random students: minutes, for a release or a new backend."""

    @pytest.mark.parametrize("op", OPS)
    def test_each_op_alone_computes_in_every_precision_what_torch_does(self, op: str, bench: Bench, variants: tuple[Variant, ...]) -> None:
        bench.check(OPS[op], variants)

    @pytest.mark.parametrize("seed", range(MORE_STUDENTS))
    @pytest.mark.parametrize("op", STUDENT_OPS)
    def test_more_random_students_compute_in_every_precision_what_torch_does(
        self, op: str, seed: int, bench: Bench, variants: tuple[Variant, ...]
    ) -> None:
        bench.check(student(op, seed=10 + seed), variants)


def _reading(bench: Bench, engine: Path, variant: Variant, protocol: Protocol) -> Measurement:
    return bench.board.measure(engine, variant=variant, target=bench.target, protocol=protocol)
