"""Run an engine on a file of samples on the board, in one process, through JetPack's own Python binding of TensorRT.

``python logits_program.py version | infer``: a request on stdin, one JSON document on stdout, then the end. Standard
library of Python 3.6, the board's ``tensorrt`` and, over ctypes, its libcudart; no numpy, no pycuda. The binding of 8.x
knows bindings by their number, that of 10 tensors by their name; ``execute_v2`` takes their addresses in that order in both.
"""

# ruff: noqa: UP006, UP035, PTH123, PTH207  Python 3.6 runs this, and its types and paths are of its time
import ast
import contextlib
import ctypes
import ctypes.util
import glob
import importlib
import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Tuple

Vendor = Any  # an object of TensorRT's
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
SAID_MOST = 1000  # characters
# Where JetPack puts libcudart, besides the folders that the linker knows.
FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/lib/aarch64-linux-gnu")


class Tensor(NamedTuple):
    """What an engine reads or gives."""

    name: str
    is_input: bool
    shape: Tuple[int, ...]
    is_float32: bool


def main() -> int:
    """Answer the request that waits on stdin."""
    end_with_parent()
    answers = os.dup(1)
    os.dup2(2, 1)  # what a vendor prints goes to stderr
    answer = {"version": version, "infer": infer}[sys.argv[1]](json.load(sys.stdin))
    with os.fdopen(answers, "w") as out:
        json.dump(answer, out)
    return 0


def version(_request: Dict[str, Any]) -> Dict[str, str]:
    """Say the binding's version, or why there is none that can be used."""
    try:
        vendor: Vendor = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:  # no such package, or one of its libraries is not there
        return {"absent": str(error)}
    try:
        Cuda()
    except OSError as error:
        return {"absent": str(error), "lacks": "libcudart"}
    return {"version": str(vendor.__version__)}


def infer(request: Dict[str, Any]) -> Dict[str, int]:
    """Run ``engine`` on each sample of ``inputs`` (.npy, float32), batch 1; write logits to ``out``, float32 and nothing else."""
    vendor: Vendor = importlib.import_module("tensorrt")
    cuda, listener = Cuda(), listening(vendor)
    vendor.init_libnvinfer_plugins(listener, "")
    runtime = vendor.Runtime(listener)
    with open(request["engine"], "rb") as stream:
        engine = runtime.deserialize_cuda_engine(stream.read())
    if engine is None:
        sys.exit(f"TensorRT could not read the engine: {listener.why()}")
    context = engine.create_execution_context()
    if context is None:
        sys.exit(f"TensorRT could not make room to run the engine: {listener.why()}")
    tensors = tensors_of(vendor, engine)
    image, logits = ends(tensors)
    sizes = [4 * volume(tensor.shape) for tensor in tensors]
    with open(request["inputs"], "rb") as samples, open(request["out"], "wb") as out:
        count = check_samples(samples, image.shape)
        addresses = [cuda.malloc(size) for size in sizes]
        given, read = tensors.index(image), tensors.index(logits)
        row = ctypes.create_string_buffer(sizes[read])
        for index in range(count):
            sample = samples.read(sizes[given])
            if len(sample) < sizes[given]:
                sys.exit(f"the file of samples must hold {count}; it ends within sample {index}")
            cuda.copy(addresses[given], sample, sizes[given], TO_DEVICE)
            if not context.execute_v2(addresses):
                sys.exit(f"TensorRT did not run sample {index}: {listener.why()}")
            cuda.copy(row, addresses[read], sizes[read], TO_HOST)
            out.write(row.raw)
    return {"samples": count, "classes": logits.shape[-1]}


def tensors_of(vendor: Vendor, engine: Vendor) -> List[Tensor]:
    """List an engine's inputs and outputs in the order of execute_v2's addresses."""
    if hasattr(engine, "num_bindings"):  # up to 9
        return [
            Tensor(
                engine.get_binding_name(index),
                engine.binding_is_input(index),
                tuple(engine.get_binding_shape(index)),
                engine.get_binding_dtype(index) == vendor.float32,
            )
            for index in range(engine.num_bindings)
        ]
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [
        Tensor(
            name,
            engine.get_tensor_mode(name) == vendor.TensorIOMode.INPUT,
            tuple(engine.get_tensor_shape(name)),
            engine.get_tensor_dtype(name) == vendor.float32,
        )
        for name in names
    ]


def ends(tensors: List[Tensor]) -> Tuple[Tensor, Tensor]:
    """Return the one input and the one output of an engine."""
    inputs, outputs = [one for one in tensors if one.is_input], [one for one in tensors if not one.is_input]
    if len(inputs) != 1 or len(outputs) != 1 or not all(one.is_float32 and min(one.shape) > 0 for one in tensors):
        said = ", ".join(f"{one.name}{list(one.shape)}" for one in tensors)
        sys.exit(f"an engine must have one input and one output, float32 and of fixed shape; it has {said}")
    return inputs[0], outputs[0]


def check_samples(stream: BinaryIO, shape: Tuple[int, ...]) -> int:
    """Read the head of an .npy file, whose samples must be float32 of the engine's shape; say how many there are."""
    magic = stream.read(8)
    if magic[:6] != b"\x93NUMPY":
        sys.exit(f"samples must be an .npy file; it begins with {magic!r}")
    form, size = ("<H", 2) if magic[6] == 1 else ("<I", 4)
    (length,) = struct.unpack(form, stream.read(size))
    head = ast.literal_eval(stream.read(length).decode("latin1"))
    found = tuple(head["shape"])
    if head["descr"] != "<f4" or head["fortran_order"] or found[1:] != shape[1:] or shape[0] != 1:
        wanted = ", ".join(map(str, shape[1:]))
        sys.exit(f"samples must be float32 (n, {wanted}) for an engine of batch 1; got {head['descr']} {found}")
    return int(found[0])


def volume(shape: Tuple[int, ...]) -> int:
    """Multiply the sizes of all dimensions."""
    product = 1
    for size in shape:
        product *= size
    return product


class Cuda:
    """The three calls of libcudart that copy samples there and logits back; every status is looked at."""

    def __init__(self) -> None:
        self._library = library()
        self._library.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
        self._library.cudaMemcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._library.cudaGetErrorString.restype = ctypes.c_char_p

    def malloc(self, size: int) -> int:
        """Return the address of so many bytes on the GPU; the end of the process gives them back."""
        address = ctypes.c_void_p()
        self._check(f"cudaMalloc of {size} bytes", self._library.cudaMalloc(ctypes.byref(address), size))
        return address.value or 0

    def copy(self, to: Any, source: Any, size: int, kind: int) -> None:  # noqa: ANN401  an address, bytes or a buffer, as ctypes takes them
        """Copy bytes and wait until they are there."""
        self._check(f"cudaMemcpy of {size} bytes", self._library.cudaMemcpy(to, source, size, kind))

    def _check(self, call: str, status: int) -> None:
        if status != 0:
            said = self._library.cudaGetErrorString(status).decode("ascii", "replace")
            sys.exit(f"{call} must give status 0; it gave {status} ({said})")


def library() -> Any:  # noqa: ANN401  a ctypes library
    """Load libcudart; raises OSError."""
    for place in places():
        with contextlib.suppress(OSError):  # a broken one is passed by; what none of them is, is said below
            return ctypes.CDLL(place)
    raise OSError("there is no libcudart where the linker looks, nor in " + ", ".join(FOLDERS))


def places() -> Iterator[str]:
    """Name libcudart: the one that TensorRT itself has loaded, what the linker finds, then what lies in JetPack's folders."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        loaded = {line.split(None, 5)[5].strip() for line in stream if "/libcudart" in line}
    yield from sorted(loaded)
    yield "libcudart.so"
    found = ctypes.util.find_library("cudart")
    if found:
        yield found
    for folder in FOLDERS:
        yield from sorted(glob.glob(folder + "/libcudart.so*"), reverse=True)


def listening(vendor: Vendor) -> Vendor:
    """Make the logger of this process, which keeps the errors that TensorRT said: the first is the cause, others follow from it."""

    class Listener(vendor.ILogger):  # type: ignore[misc]  # the vendor's class has no type
        def __init__(self) -> None:
            vendor.ILogger.__init__(self)
            self.said: List[str] = []

        def log(self, severity: Vendor, message: str) -> None:
            if severity in {vendor.Logger.ERROR, vendor.Logger.INTERNAL_ERROR}:
                self.said.append(" ".join(message.split()))

        def why(self) -> str:
            return "; ".join(self.said)[:SAID_MOST] or "it did not say why"

    return Listener()


def end_with_parent() -> None:
    """Ask Linux to end this program with the one that started it: nobody may measure next to an orphan."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main())
