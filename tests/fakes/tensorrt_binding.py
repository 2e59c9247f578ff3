"""A stand-in for the Python binding of TensorRT, for tests only; it lies in a folder of the path as ``tensorrt.py``.

It has the names that the binding of FAKE_TENSORRT (a version) has, and no others: 8.2 knows bindings by number, 8.6 tensors by
name as well, 10 tensors by name only. It reads what the stand-in trtexec builds, refuses engines of another version or GPU
(FAKE_GPU) and addresses that are not on the GPU, and computes with ONNX Runtime. Names and order: python/src/infer/pyCore.cpp
of github.com/NVIDIA/TensorRT. FAKE_FAULT is what is to go wrong.
"""

import ctypes
import enum
import json
import os
import signal

import numpy as np

__version__ = os.environ["FAKE_TENSORRT"]
_NUMBERS = tuple(int(number) for number in os.environ["FAKE_TENSORRT"].split("."))
_FAULT = os.environ.get("FAKE_FAULT", "")
if _FAULT == "crashes":
    os.kill(os.getpid(), signal.SIGSEGV)
_plugins = []


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


if _NUMBERS < (8, 5):
    del TensorIOMode
float32 = DataType.FLOAT


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = Severity

    def __init__(self):
        self._made = True


class Logger(ILogger):
    pass


def init_libnvinfer_plugins(logger, namespace):
    assert logger._made
    assert isinstance(namespace, str)
    _plugins.append(namespace)
    return True


class Runtime:
    def __init__(self, logger):
        assert logger._made, "the base class of a logger must be initialised"
        print("a vendor prints on stdout")
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        import onnx
        from google.protobuf.message import DecodeError

        head, _, body = bytes(serialized_engine).partition(b"\n")
        try:
            header, model = json.loads(head), onnx.load_from_string(body)
            onnx.checker.check_model(model)
        except (ValueError, DecodeError, onnx.checker.ValidationError):
            return self._refuse("1: [stdArchiveReader.cpp::StdArchiveReader::30]\nError Code 1: Serialization")
        if (header["version"], header["gpu"]) != (_spelt(), os.environ["FAKE_GPU"]) or not _plugins:
            return self._refuse("6: The engine plan file is not compatible with this version of TensorRT")
        engine = (NamedEngine if _NUMBERS >= (10,) else BothEngine if _NUMBERS >= (8, 5) else NumberedEngine)()
        engine._model, engine._logger = model, self._logger
        return engine

    def _refuse(self, why):
        self._logger.log(Severity.ERROR, why)
        self._logger.log(Severity.WARNING, "and a warning")
        self._logger.log(Severity.ERROR, "4: [runtime.cpp::deserializeCudaEngine::50] Error Code 4: Internal Error")


def _spelt():
    major, minor, patch = _NUMBERS[:3]
    return f"{major}{minor}{patch:02d}" if major < 10 else f"{major}{minor:02d}{patch:02d}"


class _Engine:
    def create_execution_context(self):
        if _FAULT == "no-context":
            self._logger.log(Severity.ERROR, "2: [executionContext.cpp] OutOfMemory (no further information)")
            return None
        context = ExecutionContext()
        context._engine = self
        return context

    def _ends(self):
        """Each input and output as (name, is it an input, shape): the order of bindings."""
        graph = self._model.graph
        found = [(one.name, True, one) for one in graph.input] + [(one.name, False, one) for one in graph.output]
        if _FAULT == "output-first":
            found.reverse()
        return [(name, first, tuple(d.dim_value for d in one.type.tensor_type.shape.dim)) for name, first, one in found]


class NumberedEngine(_Engine):
    @property
    def num_bindings(self):
        return len(self._ends())

    def get_binding_name(self, index):
        return self._ends()[index][0]

    def binding_is_input(self, index):
        return self._ends()[index][1]

    def get_binding_shape(self, index):
        return self._ends()[index][2]

    def get_binding_dtype(self, index):  # noqa: ARG002  as the real one
        return DataType.HALF if _FAULT == "half" else DataType.FLOAT


class NamedEngine(_Engine):
    @property
    def num_io_tensors(self):
        return len(self._ends())

    def get_tensor_name(self, index):
        return self._ends()[index][0]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self._of(name)[1] else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return self._of(name)[2]

    def get_tensor_dtype(self, name):  # noqa: ARG002  as the real one
        return DataType.HALF if _FAULT == "half" else DataType.FLOAT

    def _of(self, name):
        return next(one for one in self._ends() if one[0] == name)


class BothEngine(NumberedEngine, NamedEngine):
    pass


class ExecutionContext:
    _session, _runs = None, 0

    def execute_v2(self, bindings):
        ends, model = self._engine._ends(), self._engine._model
        device = ctypes.CDLL("libcudart.so")
        device.fakeBytesAt.argtypes, device.fakeBytesAt.restype = [ctypes.c_void_p], ctypes.c_size_t
        views, there = {}, [device.fakeBytesAt(address) for address in bindings]
        if there != [4 * int(np.prod(shape)) for _, _, shape in ends] or self._failed():
            self._engine._logger.log(Severity.ERROR, "1: [convolutionRunner.cpp] Error Code 1: Cuda Runtime (an illegal memory access)")
            return False
        for address, (name, _, shape) in zip(bindings, ends, strict=True):
            floats = (ctypes.c_float * int(np.prod(shape))).from_address(address)
            views[name] = np.frombuffer(floats, np.float32).reshape(shape)
        if self._session is None:
            import onnxruntime

            self._session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (image,), (logits,) = [[name for name, first, _ in ends if first is which] for which in (True, False)]
        views[logits][...] = np.nan if _FAULT == "nan" and self._runs == 2 else self._session.run(None, {image: views[image]})[0]
        return True

    def _failed(self):
        """The second run is the one that goes wrong."""
        self._runs += 1
        if self._runs == 2 and _FAULT == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if _FAULT == "hangs":
            signal.pause()
        return self._runs == 2 and _FAULT == "fails"
