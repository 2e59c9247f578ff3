"""A backend without a vendor: deterministic builder, quantiser and board for tests of everything above.

An engine is one line of JSON and the ONNX graph it was made of. Latency follows from the graph's
nodes and bytes, so that larger networks are slower and int8 is faster; logits are the graph's own,
by ONNX Runtime. Readings say origin "replay": nothing here was measured.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from fakes.graphs import logits_by_onnxruntime
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from autokd_edge.core.codec import encode
from autokd_edge.core.digest import digest_of_bytes, digest_of_file, digest_of_json
from autokd_edge.core.measure import Fingerprint, Measurement, Memory, Protocol, Sentinel
from autokd_edge.core.quantization import LayerNoise, QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import BuildError, MeasureError, QuantizeError
from autokd_edge.ports import Backend

FAKE_TOOLCHAIN = {"fake": "1.0"}
FAKE_FINGERPRINT = Fingerprint(
    machine="x86_64",
    processor="fake",
    isa_flags=("avx2", "avx_vnni"),
    cores=4,
    memory_bytes=8 * 2**30,
    system="fake",
    governor="performance",
    virtual=False,
)
FAKE_VARIANTS = tuple(Variant(backend="fake", precision=precision) for precision in ("fp32", "int8"))
FAKE_TARGET = Target(
    name="fake-board",
    family="x86",
    description="a board that is not there",
    architecture="x86_64",
    probe=False,
    isa_flags=("avx2",),
    cores=4,
    memory_bytes=8 * 2**30,
    threads=1,
    variants=FAKE_VARIANTS,
    int8_saturates=False,
    opset_max=13,
    static_shapes_only=False,
    channel_multiple=8,
    sources={},
)
FAKE_PROTOCOL = Protocol(
    name="fake",
    warmup_runs=1,
    warmup_s=0.1,
    warmup_tolerance=0.1,
    blocks=3,
    block_runs=160,
    block_s=0,
    block_samples=5_000,
    cooldown_s=0,
    sentinel_runs=1,
    sentinel_drift=0.03,
    retries=0,
    timeout_s=1,
)


class FakeBuilder:
    """Builds any ONNX graph; ``refuse_one_in`` n refuses those whose digest is a multiple of n."""

    def __init__(self, *, refuse_one_in: int = 0) -> None:
        self._refuse_one_in = refuse_one_in

    def toolchain(self) -> Mapping[str, str]:
        return FAKE_TOOLCHAIN

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:  # noqa: ARG002  the port's signature
        data = _graph_bytes(graph, BuildError)
        if self._refuse_one_in and int(digest_of_bytes(data), 16) % self._refuse_one_in == 0:
            raise BuildError("the fake compiler refuses this graph")
        header = json.dumps({"variant": encode(variant), "graph": digest_of_bytes(data)})
        out.write_bytes(header.encode() + b"\n" + data)


class FakeQuantizer:
    """Marks the graph as quantised; ``noise`` times a random direction is added to the first layer's weights.

    A quarter of it to the next one's, and so on, but for layers that are kept; the report tells the same order.
    """

    def __init__(self, *, noise: float = 0.0) -> None:
        self._noise = noise
        self.kept: list[tuple[str, ...]] = []

    def quantize(
        self,
        graph: Path,
        samples: Path,
        *,
        variant: Variant,
        target: Target,  # noqa: ARG002  the port's signature
        out: Path,
        keep: Sequence[str] = (),
    ) -> QuantizeReport:
        if variant.precision != "int8":
            raise QuantizeError(f"the fake quantiser gives int8; got '{variant}'")
        model = onnx.load_from_string(_graph_bytes(graph, QuantizeError))
        shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
        calibration = np.load(samples)
        if calibration.shape[1:] != shape[1:]:
            raise QuantizeError(f"samples must be (n, {shape[1:]}); got {calibration.shape}")
        self.kept.append(tuple(keep))
        model.doc_string = f"quantised but for {', '.join(keep)}" if keep else "quantised"
        layers = [node for node in model.graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
        for i, node in enumerate(layers):
            if self._noise and node.output[0] not in keep:
                _disturb(model, node.input[1], self._noise * 0.25**i)
        out.write_bytes(model.SerializeToString(deterministic=True))
        noise = tuple(
            LayerNoise(name=n.output[0], op=n.op_type, quantized=n.output[0] not in keep, sqnr_db=20.0, own_sqnr_db=10.0 + i)
            for i, n in enumerate(layers)
        )
        return QuantizeReport(layers=noise, bias_corrected=False, logits_sqnr_db=30.0, other_logits_sqnr_db=29.0)


def _disturb(model: onnx.ModelProto, name: str, noise: float) -> None:
    (tensor,) = (one for one in model.graph.initializer if one.name == name)
    weights = numpy_helper.to_array(tensor)
    direction = np.random.default_rng(len(name)).standard_normal(weights.shape)
    tensor.CopyFrom(numpy_helper.from_array((weights + noise * direction).astype(np.float32), name))


class FakeBoard:
    """Reads engines of the fake builder; latency is ``slowness`` times what the graph's size says."""

    def __init__(self, *, slowness: float = 1.0) -> None:
        self._slowness = slowness

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        data = _engine_graph(engine)
        nodes = len(onnx.load_from_string(data).graph.node)
        faster = 0.6 if variant.precision == "int8" else 1.0
        latency_ns = round(self._slowness * faster * (20_000 + 5_000 * nodes + len(data) // 10))
        block = tuple(latency_ns + 10 * (run % 7) for run in range(protocol.block_runs))
        return Measurement(
            origin="replay",
            target=target.name,
            variant=variant,
            engine=digest_of_file(engine),
            protocol=protocol.name,
            protocol_digest=digest_of_json(encode(protocol)),
            toolchain=dict(FAKE_TOOLCHAIN),
            fingerprint=FAKE_FINGERPRINT,
            clock="none",
            threads=target.threads,
            blocks_ns=(block,) * protocol.blocks,
            memory=Memory(peak_rss_bytes=50_000_000 + 3 * len(data), null_rss_bytes=50_000_000),
            executed={"u8" if variant.precision == "int8" else "f32": nodes},
            sentinel=Sentinel(before_ns=50_000, after_ns=50_000),
            flags=(),
        )

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:  # noqa: ARG002  the port's signature
        data = _engine_graph(engine)
        samples = np.load(inputs)
        shape = tuple(dim.dim_value for dim in onnx.load_from_string(data).graph.input[0].type.tensor_type.shape.dim)
        if samples.shape[1:] != shape[1:]:
            raise MeasureError(f"samples must be (n, {shape[1:]}); got {samples.shape}")
        np.save(out, logits_by_onnxruntime(data, samples))


def fake_backend(*, refuse_one_in: int = 0, slowness: float = 1.0) -> Backend:
    """Put the three together."""
    return Backend(
        name="fake", builder=FakeBuilder(refuse_one_in=refuse_one_in), quantizer=FakeQuantizer(), board=FakeBoard(slowness=slowness)
    )


def _graph_bytes(graph: Path, failure: type[BuildError | QuantizeError]) -> bytes:
    try:
        data = graph.read_bytes()
        onnx.checker.check_model(onnx.load_from_string(data))
    except (DecodeError, onnx.checker.ValidationError, UnicodeError, OSError) as error:
        raise failure(f"not an ONNX graph: {error}") from error
    return data


def _engine_graph(engine: Path) -> bytes:
    header, _, data = engine.read_bytes().partition(b"\n")
    try:
        known = json.loads(header)["graph"]
    except (ValueError, KeyError, TypeError):
        known = None
    if known != digest_of_bytes(data):
        raise MeasureError("not an engine of the fake builder, or damaged")
    return data
