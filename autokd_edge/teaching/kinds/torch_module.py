"""Teachers that are torch modules: exported programs, functions of the user's own, and the model libraries."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from autokd_edge.core.digest import Digest, digest_of_file, digest_of_json
from autokd_edge.core.student import INPUT
from autokd_edge.errors import TeacherError
from autokd_edge.students.exported_program import load_exported
from autokd_edge.teaching.arithmetic import CPU, teaching_device
from autokd_edge.teaching.bridge import Bridge, Reads, bridged_graph, reads_of
from autokd_edge.teaching.card import Card, card_beside, check_classes, says_image
from autokd_edge.teaching.onnx_cost import cost_of_graph
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher

OPSET = 17  # what TensorRT 8.6 and newer, OpenVINO and ONNX Runtime read
AGREE = 1e-3  # of the largest logit; float32 sums in another order differ by less
_ANY_BATCH = 'torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("n")},))'
PROBED = 2  # images that a new teacher is asked about, to see its classes; a fixed batch of 1 shows


def pt2_teacher(path: Path, data: TeachingData) -> Teacher:
    """Read ``FILE.pt2``, a program written by ``torch.export.save`` with a dynamic batch.

    Raises:
        TeacherError: no whole exported program, a fixed batch, or other classes than the data's.
    """
    try:
        program = load_exported(path)
    except ValueError as error:
        raise TeacherError(
            f"teacher '{path}' must be a whole exported program; {error}",
            hint="torch.export.save(torch.export.export(model, ...), 'FILE.pt2')",
        ) from error
    return torch_teacher(path.name, program.module(), digest_of_file(path), card_beside(path), data, moves=False)


def function_teacher(path: Path, function: str, data: TeachingData) -> Teacher:
    """Run ``FILE.py`` and call its ``function()``, which returns a torch module; this runs the code in the file.

    Raises:
        TeacherError: no such file or function, it raises, or what it returns is no module or has other classes.
    """
    if not path.is_file():
        raise TeacherError(f"teacher file must exist; '{path}' does not", hint="--teacher FILE.py:function")
    spec = importlib.util.spec_from_file_location("autokd_edge_teacher", path)
    try:
        assert spec is not None and spec.loader is not None, "a .py file has a loader"  # noqa: PT018, S101
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made = getattr(module, function)()
    except Exception as error:  # the user's own code
        raise TeacherError(
            f"teacher '{path}:{function}' could not be made; {type(error).__name__}: {error}",
            hint=f"""python -c "import runpy; runpy.run_path('{path}')['{function}']()" shows all of it""",
        ) from error
    if not isinstance(made, nn.Module):
        raise TeacherError(
            f"'{path}:{function}' must return a torch.nn.Module; it returned {type(made).__name__}",
            hint=f"let {function}() return the network",
        )
    return torch_teacher(f"{path.name}:{function}", made.eval(), digest_of_file(path), card_beside(path), data)


def torch_teacher(name: str, module: nn.Module, source: Digest, card: Card, data: TeachingData, *, moves: bool = True) -> Teacher:
    """Make a teacher of a module in evaluation mode; ``source`` names what its weights do not.

    It answers on the device that teaches, but for one that ``moves`` to no other: an exported program names its own in its operations.

    Raises:
        TeacherError: it does not answer for images of the data set, or has other classes.
    """
    reads = card.reads(data, name)
    bridge = Bridge(reads_of(data), reads, name=name)
    whole = nn.Sequential(bridge, module)
    check_classes(name, card.classes, _answers(whole, name)(torch.zeros(PROBED, *data.image)).shape[1], data)
    graph = _exported(module, bridge, reads, data)

    def write(out: Path) -> None:
        assert graph is not None, "a teacher without a graph has no way to write one"  # noqa: S101
        out.write_bytes(graph.SerializeToString(deterministic=True))

    return Teacher(
        name=name,
        digest=digest_of_json(["torch", source, _weights(module), *reads.facts]),
        classes=len(data.classes),
        answers=lambda: _answers(whole, name, teaching_device() if moves else CPU),
        write_graph=None if graph is None else write,
        cost=None if graph is None else cost_of_graph(graph),
    )


def _fitting(name: str) -> str:
    """Return the next step for a teacher that does not take a batch of images, by the kind of its name."""
    file = Path(name.partition(":")[0])
    if file.suffix not in {".py", ".pt2"}:
        return "another --teacher, or --teacher none"  # of a library, which says itself what it reads
    card = says_image(file.stem)
    return f"{card}; or {_ANY_BATCH}" if file.suffix == ".pt2" else card


def _answers(module: nn.Module, name: str, device: torch.device = CPU) -> Callable[[Tensor], Tensor]:
    if device != CPU:
        module = module.to(device)

    @torch.no_grad()
    def answer(images: Tensor) -> Tensor:
        try:
            found: Any = module(images.to(device))
        except Exception as error:  # the module is the user's
            why = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
            raise TeacherError(
                f"teacher '{name}' must answer for batches of images {tuple(images.shape)}; {why}",
                hint=_fitting(name),
            ) from error
        found = getattr(found, "logits", found)  # transformers wraps its logits
        found = found[0] if isinstance(found, tuple | list) else found
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
            raise TeacherError(
                f"teacher '{name}' must give logits (n, classes); it gave {getattr(found, 'shape', type(found).__name__)}",
                hint="wrap the network so that it returns the logits alone",
            )
        return found.float().cpu()

    return answer


def _weights(module: nn.Module) -> str:
    content = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        content.update(key.encode())
        content.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data if value.ndim else str(value.item()).encode())
    return content.hexdigest()


def _exported(module: nn.Module, bridge: Bridge, reads: Reads, data: TeachingData) -> onnx.ModelProto | None:
    """Write the module as ONNX for one image; None where torch's exporter cannot, and then the target does not read it."""
    try:
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "teacher.onnx"
            torch.onnx.export(
                module,
                (torch.zeros(1, *reads.image),),
                out,
                dynamo=False,  # the other exporter needs a package more and takes ten times as long
                training=torch.onnx.TrainingMode.PRESERVE,  # an exported program cannot change its mode
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=["logits"],
            )
            model = bridged_graph(onnx.load(out), bridge, reads_of(data))
            onnx.checker.check_model(model)
            return model if _agree(model, nn.Sequential(bridge, module), data) else None
    except Exception:  # noqa: BLE001  the exporter raises nearly anything; all mean that there is no graph
        return None


def _agree(model: onnx.ModelProto, module: nn.Module, data: TeachingData) -> bool:
    """Run both on one image: a tracer writes down as constants what a module computes outside of torch."""
    image = torch.from_numpy(data.train.images[:1].astype(np.float32) / 255)
    wanted = _answers(module, "teacher")(image).numpy()
    session: Any
    try:
        runtime: Any = importlib.import_module("onnxruntime")
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except ImportError:
        session = ReferenceEvaluator(model)
    found = session.run(None, {INPUT: image.numpy()})[0]
    return bool(np.allclose(found, wanted, rtol=AGREE, atol=AGREE * float(np.abs(wanted).max())))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back torch's remarks on its own exporter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
