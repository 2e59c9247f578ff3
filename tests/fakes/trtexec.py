#!/usr/bin/env python3
"""A stand-in for trtexec, for tests only: it builds and runs nothing.

``trtexec --as VERSION [--gpu CAPABILITY] [--fault FAULT] -- ARGUMENTS`` checks ARGUMENTS the way that version does,
refuses what it refuses, and prints and exports in its formats. Options and formats are transcribed from
samples/common of github.com/NVIDIA/TensorRT at 8.2.1, 8.6.1, 10.3.0 and 11.1. Times are made up from the
size of the graph; logits are ONNX Runtime's.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx

BUILD = {"--onnx", "--saveEngine", "--noTF32", "--profilingVerbosity", "--help"}
RUN = {"--loadEngine", "--warmUp", "--duration", "--iterations", "--streams", "--sleepTime", "--idleTime", "--avgRuns", "--useSpinWait"}
EXPORT = {"--loadInputs", "--exportTimes", "--exportProfile", "--exportOutput", "--exportLayerInfo"}
OPTIONS = {
    (8, 2, 1): BUILD | RUN | EXPORT | {"--fp16", "--int8", "--workspace", "--explicitBatch", "--buildOnly"},
    (8, 6, 1): BUILD
    | RUN
    | EXPORT
    | {"--fp16", "--int8", "--workspace", "--explicitBatch", "--buildOnly", "--skipInference", "--memPoolSize"},
    (10, 3, 0): BUILD | RUN | EXPORT | {"--fp16", "--int8", "--skipInference", "--memPoolSize"},
    (11, 1, 0): BUILD | RUN | EXPORT | {"--skipInference", "--memPoolSize", "--includeDataTransfers", "--noCudaGraph"},
}
WHOLE_NUMBERS = {"--warmUp", "--duration", "--sleepTime", "--idleTime", "--workspace"}  # up to 8.3
NEWEST_OPSET = {(8, 2, 1): 13, (8, 6, 1): 17, (10, 3, 0): 20, (11, 1, 0): 25}
KNOWN = {"Conv", "Relu", "Add", "Mul", "ReduceMean", "MatMul", "Gemm", "GlobalAveragePool", "AveragePool", "Flatten", "Identity"}
QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
STAMP = "[11/22/2026-12:00:00]"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--as", dest="version", required=True)
    parser.add_argument("--gpu", default="8.7")
    parser.add_argument("--fault", default="")
    split = sys.argv.index("--")
    settings = parser.parse_args(sys.argv[1:split])
    return Trtexec(tuple(map(int, settings.version.split("."))), settings.gpu, settings.fault).run(sys.argv[split + 1 :])


class RefusedError(Exception):
    pass


class Trtexec:
    def __init__(self, version, gpu, fault):
        self.version, self.gpu, self.fault = version, gpu, fault

    def run(self, argv):
        banner = f"TensorRT.trtexec [TensorRT v{self.spelt()}] # trtexec {' '.join(argv)}"
        print(f"&&&& RUNNING {banner}")
        if "--help" in argv:
            print("=== Model Options ===")
            return 0
        try:
            options = self.options(argv)
            print(
                f"{STAMP} [I] === Device Information ===\n{STAMP} [I] Selected Device: stand-in\n{STAMP} [I] Compute Capability: {self.gpu}"
            )
            if "--onnx" in options:
                self.build(options)
            if "--skipInference" not in options and "--buildOnly" not in options:
                self.infer(options)
        except RefusedError as error:
            print(*(f"{STAMP} [E] {line}" for line in str(error).splitlines()), sep="\n")
            print(f"&&&& FAILED {banner}")
            return 1
        print(f"&&&& PASSED {banner}")
        return 0

    def spelt(self):
        major, minor, patch = self.version
        return f"{major}{minor}{patch:02d}" if major < 10 else f"{major}{minor:02d}{patch:02d}"

    def options(self, argv):
        options = dict(argument.partition("=")[::2] for argument in argv)
        unknown = [name for name in options if name not in OPTIONS[self.version]]
        if unknown:
            raise RefusedError("\n".join(f"Unknown option: {name} {options[name]}" for name in unknown))
        for name in WHOLE_NUMBERS & set(options):
            if self.version < (8, 4, 0) and not options[name].isdigit():
                raise RefusedError(f"Invalid value for {name}: {options[name]}")
        return options

    def build(self, options):
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "killed":
            import os

            os.kill(os.getpid(), 9)
        if self.fault == "memory":
            raise RefusedError(
                "1: [defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)\nEngine could not be created"
            )
        model = onnx.load(options["--onnx"])
        nodes = list(model.graph.node)
        for index, node in enumerate(nodes):
            if node.op_type not in KNOWN | QUANTIZERS:
                raise RefusedError(
                    f'ModelImporter.cpp:773: While parsing node number {index} [{node.op_type} -> "{node.output[0]}"]:\n'
                    f"3: getPluginCreator could not find plugin: {node.op_type} version: 1\nFailed to parse onnx file"
                )
        if model.opset_import[0].version > NEWEST_OPSET[self.version]:
            raise RefusedError("Failed to parse onnx file")
        quantised = any(node.op_type in QUANTIZERS for node in nodes)
        if quantised and self.gpu in {"5.3", "6.2"}:
            raise RefusedError(
                "2: [builder.cpp] Error Code 2: Int8 precision is not supported on this platform\nEngine could not be created from network"
            )
        if quantised and self.version < (11, 0, 0) and "--int8" not in options:
            raise RefusedError("4: [network.cpp::validate::2738] Error Code 4: int8 is not configured in the builder")
        precision = "Int8" if quantised else "FP16" if "--fp16" in options else "FP32"
        header = {
            "version": self.spelt(),
            "gpu": self.gpu,
            "precision": precision,
            "detailed": options.get("--profilingVerbosity") == "detailed",
        }
        with Path(options["--saveEngine"]).open("wb") as out:
            out.write(json.dumps(header).encode() + b"\n" + model.SerializeToString(deterministic=True))

    def infer(self, options):
        with Path(options["--loadEngine"]).open("rb") as stream:
            head, _, body = stream.read().partition(b"\n")
        try:
            header = json.loads(head)
            model = onnx.load_from_string(body)
            onnx.checker.check_model(model)
        except Exception as error:  # whatever is wrong with the file, trtexec says this one thing
            raise RefusedError(
                "1: [stdArchiveReader.cpp::StdArchiveReader::30] Error Code 1: Serialization\nEngine deserialization failed"
            ) from error
        if (header["version"], header["gpu"]) != (self.spelt(), self.gpu):
            raise RefusedError("6: The engine plan file is not compatible with this version of TensorRT\nEngine deserialization failed")
        size = sum(np.prod(tensor.dims) for tensor in model.graph.initializer)
        compute = (0.05 + float(size) * 2e-5) * {"FP32": 1.0, "FP16": 0.6, "Int8": 0.4}[header["precision"]]
        rows = self.trace(compute, options)
        self.summary(rows)
        if "--exportTimes" in options:
            self.export_times(rows, options)
        layers = [node for node in model.graph.node if node.op_type not in QUANTIZERS]
        if "--exportProfile" in options:
            self.export_profile(layers, compute, len(rows), options["--exportProfile"])
        if "--exportLayerInfo" in options:
            self.export_layers(layers, header, options["--exportLayerInfo"])
        if "--exportOutput" in options:
            self.export_output(model, options)

    def trace(self, compute, options):
        """One row for each inference, those of the warm-up first."""
        warm_up, runs = float(options["--warmUp"]), int(options["--iterations"])
        seconds = 0.0 if self.fault == "short" else min(float(options["--duration"]), 0.05)
        rows, now = [], 0.0
        while now < warm_up or len([r for r in rows if r["startComputeMs"] >= warm_up]) < runs or now < warm_up + 1000 * seconds:
            wobble = compute * (1 + 0.004 * (len(rows) % 5)) * (2.0 if now + 0.01 < warm_up else 1.0)
            enqueue = 0.9 * wobble if self.fault == "launch-bound" else 0.2 * wobble
            rows.append(
                {
                    "startEnqMs": now,
                    "endEnqMs": now + enqueue,
                    "startH2dMs": now,
                    "endH2dMs": now + 0.01,
                    "startComputeMs": now + 0.01,
                    "endComputeMs": now + 0.01 + wobble,
                    "startD2hMs": now + 0.01 + wobble,
                    "endD2hMs": now + 0.012 + wobble,
                    "h2dMs": 0.01,
                    "computeMs": wobble,
                    "d2hMs": 0.002,
                    "latencyMs": 0.012 + wobble,
                    **({"endToEndMs": 0.02 + wobble} if self.version < (8, 4, 0) else {}),
                }
            )
            now += 0.02 + wobble
        return rows

    def export_times(self, rows, options):
        kept = rows if self.version < (8, 5, 0) else [row for row in rows if row["startComputeMs"] >= float(options["--warmUp"])]
        lines = ["{ " + ", ".join(f'"{name}" : {value:.6g}' for name, value in row.items()) + " }" for row in kept]
        with Path(options["--exportTimes"]).open("w") as out:
            out.write("garbage" if self.fault == "garbage" else "[\n  " + "\n, ".join(lines) + "\n]\n")

    def export_profile(self, layers, compute, count, path):
        share, percent = compute / len(layers), 100 / len(layers)
        rows = [f'  {{ "count" : {count} }}']
        for node in layers:
            median = f'"medianMs" : {share:.6g}, ' if self.version >= (8, 4, 0) else ""
            times = f'"timeMs" : {share * count:.6g}, "averageMs" : {share:.6g}, {median}"percentage" : {percent:.6g}'
            rows.append(f'{{ "name" : "{node.output[0]}", {times} }}')
        with Path(path).open("w") as out:
            out.write("[\n" + "\n, ".join(rows) + "\n]\n")

    def export_layers(self, layers, header, path):
        said = {
            "FP32": "Row major linear FP32",
            "FP16": "Two wide channel vectorized row major FP16 format",
            "Int8": "Four wide channel vectorized row major Int8 format",
        }
        tensor = {"Name": "t", "Dimensions": [1], "Format/Datatype": said[header["precision"]]}
        found = [
            {"Name": n.output[0], "LayerType": n.op_type, "Inputs": [tensor], "Outputs": [tensor]} if header["detailed"] else n.output[0]
            for n in layers
        ]
        with Path(path).open("w") as out:
            json.dump({"Layers": found, "Bindings": ["input", "logits"]}, out)

    def export_output(self, model, options):
        import onnxruntime

        name, _, path = options["--loadInputs"].partition(":")
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        raw = np.fromfile(path, np.float32)
        if raw.size != np.prod(shape):
            raise RefusedError(f"Unexpected file size for input {name}")
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {name: raw.reshape(shape)})
        shape = "x".join(map(str, logits.shape))
        values = ", ".join(f"{value:.6g}" for value in logits.ravel())
        with Path(options["--exportOutput"]).open("w") as out:
            out.write(f'[\n  {{ "name" : "logits"\n  , "dimensions" : "{shape}"\n  , "values" : [ {values} ]\n  }}\n]\n')

    def summary(self, rows):
        def line(name, values):
            ordered = sorted(values)
            figures = {"min": ordered[0], "max": ordered[-1], "mean": float(np.mean(ordered)), "median": float(np.median(ordered))}
            for percent in (99,) if self.version < (8, 5, 0) else (90, 95, 99):
                figures[f"percentile({percent}%)"] = ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
            print(f"{STAMP} [I] {name}: " + ", ".join(f"{figure} = {value:.6g} ms" for figure, value in figures.items()))

        print(f"{STAMP} [I] === Performance summary ===")
        line("Latency", [row["latencyMs"] for row in rows])
        if self.version < (8, 4, 0):
            line("End-to-End Host Latency", [row["endToEndMs"] for row in rows])
        line("Enqueue Time", [row["endEnqMs"] - row["startEnqMs"] for row in rows])
        line("H2D Latency", [row["h2dMs"] for row in rows])
        line("GPU Compute Time", [row["computeMs"] for row in rows])
        line("D2H Latency", [row["d2hMs"] for row in rows])


if __name__ == "__main__":
    sys.exit(main())
