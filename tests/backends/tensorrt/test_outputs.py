"""What trtexec writes: recorded on boards where the reference data is present, and each version's rules."""

import io
import json
from pathlib import Path

import pytest

from autokd_edge.backends.tensorrt.flags import traced_from_ms
from autokd_edge.backends.tensorrt.outputs import Trace, device, executed, inspected, layer_times, refusal, summary, timings
from autokd_edge.backends.tensorrt.trtexec_program import trace
from autokd_edge.backends.tensorrt.version import banner_version, spelt, within
from autokd_edge.core.codec import decode
from autokd_edge.errors import BuildError, BuildOutOfMemoryError, MeasureError, UnsupportedOperationError

RECORDED = next((folder / "shared" / "data" / "samples" for folder in Path(__file__).parents if (folder / "shared").is_dir()), None)
recorded = pytest.mark.skipif(RECORDED is None, reason="needs the reference data beside the checkout")


def text(name):
    return (RECORDED / name).read_text()


@pytest.mark.reference
@recorded
class TestRecordedLogs:
    def test_a_whole_log_of_a_jetson_nano_with_8_2_1(self):
        log = text("trtexec_8.2.1_jetson_nano_fp32.log")
        assert banner_version(log) == (8, 2, 1)
        found = device(log)
        assert (found.name, found.compute_capability) == ("NVIDIA Tegra X1", "5.3")
        figures = summary(log)
        assert figures["Latency"]["median"] == 90.3035
        assert figures["GPU Compute Time"] == {
            "min": 89.0273,
            "max": 91.2045,
            "mean": 90.1061,
            "median": 90.0183,
            "percentile(99%)": 91.2045,
        }
        assert figures["End-to-End Host Latency"]["max"] == 91.5049
        assert figures["H2D Latency"]["median"] == 0.276855
        assert figures["Enqueue Time"]["min"] == 1.54553

    @pytest.mark.parametrize(
        ("name", "version", "latency", "compute", "percentiles"),
        [
            ("trtexec_8.2.1_jetson_nano_best_tail.log", (8, 2, 1), 13.7999, 13.6698, 1),
            ("trtexec_8.4.0_xavier_agx_tail.log", (8, 4, 0), 0.401947, 0.388443, 1),
            ("trtexec_8.5.2_jetson_orin_nano_fp16_tail.log", (8, 5, 2), 10.7972, 10.1851, 3),
            ("trtexec_10.3.0_jetson_orin_fp16_tail.log", (10, 3, 0), 3.14062, 3.14062, 3),
        ],
    )
    def test_the_summary_of_each_version(self, name, version, latency, compute, percentiles):
        log = text(name)
        assert banner_version(log) == version
        figures = summary(log)
        assert (figures["Latency"]["median"], figures["GPU Compute Time"]["median"]) == (latency, compute)
        assert sum(figure.startswith("percentile") for figure in figures["Latency"]) == percentiles
        assert ("End-to-End Host Latency" in figures) is (version < (8, 4, 0))

    def test_the_parts_of_a_latency_add_up_to_it(self):
        for path in RECORDED.glob("trtexec_*_tail.log"):
            figures = summary(path.read_text())
            parts = sum(figures[name]["mean"] for name in ("H2D Latency", "GPU Compute Time", "D2H Latency"))
            assert figures["Latency"]["mean"] == pytest.approx(parts, rel=1e-3), path.name

    def test_banners_and_options_that_are_gone(self):
        log = text("trtexec_8.0.1_and_other_banners.txt")
        lines = [line for line in log.splitlines() if line.startswith("&&&&")]
        assert [banner_version(line) for line in lines] == [(8, 0, 1), (10, 2, 0), (10, 3, 0)]
        failed = "\n".join(line for line in log.splitlines() if "Unknown option" in line)
        assert "Unknown option: --explicitBatch" in str(refusal(1, failed))

    def test_a_run_with_the_profiler_on_has_no_summary(self):
        log = text("trtexec_8.5.2_xavier_dumpProfile_excerpt.log")
        assert (banner_version(log), summary(log)) == ((8, 5, 2), {})
        assert (device(log).name, device(log).compute_capability) == ("Xavier", "7.2")

    def test_profiles_of_old_and_new_versions(self):
        (new,) = layer_times(text("trtexec_exportProfile_8.4plus.json"), None)
        assert (new.name, new.mean_ns, new.precision) == ("/conv1/Conv + /act1/Relu", round(1160.78e6 / 41400), "unknown")
        old = layer_times(text("trtexec_exportProfile_pre8.4_excerpt.json"), None)
        assert len(old) == 6
        averages = [row["averageMs"] for row in json.loads(text("trtexec_exportProfile_pre8.4_excerpt.json"))[1:]]
        assert [layer.mean_ns for layer in old] == pytest.approx([1e6 * average for average in averages], abs=1)

    @pytest.mark.parametrize("name", ["exportTimes_8.0-8.2_schema.json", "exportTimes_8.4+_schema.json"])
    def test_traces_of_old_and_new_versions(self, name):
        document = text(f"trt_export_demo/{name}")
        found = timings(traced(document))
        rows = json.loads(document)
        assert found.runs == len(rows)
        assert found.compute_ns == tuple(round(1e6 * row["computeMs"]) for row in rows)
        assert found.h2d_ns == tuple(round(1e6 * row["h2dMs"]) for row in rows)
        assert found.enqueue_ns == tuple(round(1e6 * (row["endEnqMs"] - row["startEnqMs"])) for row in rows)
        before_8_5 = timings(traced(document, from_ms=200))
        assert before_8_5.runs == len(before_8_5.compute_ns) == sum(row["startComputeMs"] >= 200 for row in rows) < len(rows)


def traced(document, from_ms=0.0):
    """A trace as it comes from the board."""
    return decode(Trace, json.loads(json.dumps(trace(io.StringIO(document), from_ms, 1000))))


NAMES = ("startComputeMs", "startEnqMs", "endEnqMs", "h2dMs", "computeMs", "d2hMs", "latencyMs")
TRACE = json.dumps([dict.fromkeys(NAMES, number) for number in (1.0, 2.0)])


@pytest.mark.parametrize(
    "document",
    ["", "[", "{}", "garbage", '[{"computeMs": 1}]', '[{"startComputeMs": null}]', TRACE[:-1], TRACE.replace("}, {", "} {"), TRACE[1:]],
)
def test_what_is_no_trace_has_no_columns(document):
    assert trace(io.StringIO(document), 0.0, 10) is None


def test_no_trace_or_a_warm_up_alone_is_a_measure_error():
    with pytest.raises(MeasureError, match="it wrote none that can be read"):
        timings(None)
    for document in (TRACE, "[]", "[ ]\n"):
        with pytest.raises(MeasureError, match="must time inferences after its warm-up; it timed none"):
            timings(traced(document, from_ms=10))
    assert timings(traced(TRACE, from_ms=1.5)).compute_ns == (2_000_000,)
    assert timings(traced(TRACE)).compute_ns == (1_000_000, 2_000_000)


def test_up_to_8_4_a_trace_begins_with_the_warm_up():
    assert traced_from_ms((8, 4, 1), 0.2) == 200
    assert traced_from_ms((8, 5, 0), 0.2) == 0


NO_PROFILES = [None, "", "[]", '[{"count": 0}, {"name": "a", "timeMs": 1}]', '[{"count": 3}]', '[{"count": 3}, {"name": "a"}]']


@pytest.mark.parametrize("profile", NO_PROFILES)
def test_a_profile_that_cannot_be_read_is_a_measure_error(profile):
    with pytest.raises(MeasureError, match="must export the times of layers"):
        layer_times(profile, None)


@pytest.mark.parametrize(
    ("said", "precision"),
    [
        ("Channel major FP16 format where channel % 2 == 0", "f16"),
        ("Row major linear FP32", "f32"),
        ("Thirty-two wide channel vectorized row major Int8 format", "i8"),
        ("Half", "f16"),
        ("Float", "f32"),
        ("Row major INT8 format", "i8"),
        ("FP8", "unknown"),
    ],
)
def test_the_precision_of_a_layer_is_that_of_what_it_reads(said, precision):
    layer = {"Name": "a", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": said}], "Outputs": [{"Format/Datatype": "Int32"}]}
    (found,) = inspected(json.dumps({"Layers": [layer]}))
    assert (found.name, found.kind, found.precision) == ("a", "CaskConvolution", precision)


def test_copies_between_formats_are_no_kernels_and_an_engine_without_details_says_nothing():
    layers = [{"Name": "a", "LayerType": kind, "Inputs": [{"Format/Datatype": "FP16"}]} for kind in ("Reformat", "CaskConvolution")]
    assert executed(inspected(json.dumps({"Layers": layers}))) == {"f16": 1}
    assert executed(inspected(json.dumps({"Layers": ["a", "b"]}))) == {"unknown": 1}
    assert inspected("nonsense") == inspected(None) == ()


@pytest.mark.parametrize(
    ("status", "log", "failure", "said"),
    [
        (1, "[x] [E] 2: [ltWrapper.cpp] OutOfMemory (no further information)\n[x] [E] Engine failed", BuildOutOfMemoryError, "OutOfMemory"),
        (-9, "", BuildOutOfMemoryError, "was killed"),
        (1, "[x] [E] [TRT] ModelImporter.cpp: No importer registered for op: Einsum", UnsupportedOperationError, "no operation Einsum"),
        (1, "[x] [E] Error[2]: Int8 is not supported on this platform", UnsupportedOperationError, "no such precision"),
        (1, "[x] [E] first\n[x] [E] last", BuildError, "status 1: last"),
        (134, "Aborted", BuildError, "status 134: Aborted"),
        (1, "", BuildError, "nothing"),
    ],
)
def test_a_refusal_is_named_by_what_the_log_says(status, log, failure, said):
    error = refusal(status, log)
    assert type(error) is failure
    assert said in str(error)


@pytest.mark.parametrize(("described", "version", "holds"), [("8.0 - 8.2", (8, 2, 1), True), ("8.0 - 8.2", (8, 4, 0), False)])
def test_a_version_lies_in_a_descriptors_range_by_major_and_minor(described, version, holds):
    assert within(version, described) is holds
    assert spelt(version) == ".".join(map(str, version))


def test_a_log_without_a_banner_has_no_version():
    assert banner_version("trtexec") is None
