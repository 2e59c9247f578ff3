"""Names on the command line -> adapters: one literal table for each port, and an entry-point group for others.

A package registers a backend under the entry-point group ``autokd_edge.backends``: a callable that takes
the ``devices.board.Place`` where engines run, with a folder for its own files, and returns a ``ports.Backend``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, TypeVar

from autokd_edge.core.recording import Recording
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.target import Target
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.board import Place
from autokd_edge.devices.board_lease import BoardLease
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.descriptors import load_protocol
from autokd_edge.devices.device import Device
from autokd_edge.devices.fingerprint import fingerprint_over, read_fingerprint
from autokd_edge.devices.lease import Lease, default_lease_path
from autokd_edge.devices.leased import building_in_turn
from autokd_edge.devices.link import LocalLink
from autokd_edge.devices.pool import BoardPool
from autokd_edge.devices.pooled import pooled
from autokd_edge.devices.recordings import digest_of_recording, load_recording
from autokd_edge.devices.runtime import Runtime
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import InputError, TargetError
from autokd_edge.ports import Backend, Extra, Link, StudentFamily
from autokd_edge.search.goals import TakesTurns
from autokd_edge.students.families.mbconv import MBConvFamily
from autokd_edge.students.families.mcunet import mcunet_like
from autokd_edge.students.families.mobilenet import mobilenet_v2_half, mobilenet_v2_quarter, mobilenet_v3_small_half
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.resnet import resnet8
from autokd_edge.students.families.shufflenet import shufflenet_v2_half
from autokd_edge.students.families.union import UnionFamily

BACKEND_GROUP = "autokd_edge.backends"
_T = TypeVar("_T")
Members = Callable[[Point], int]  # ``StudentFamily.members``
PolicyMaker = Callable[[SearchSpace, SearchSpace, Target, Members], TakesTurns]


def _openvino(runtime: Callable[[], Runtime], place: Place) -> Backend:
    from autokd_edge.backends.openvino.board import OpenVINOBoard
    from autokd_edge.backends.openvino.builder import NAME, OpenVINOBuilder
    from autokd_edge.backends.openvino.quantize import NNCFQuantizer

    made = runtime()
    board = OpenVINOBoard(place.link, place.lease, place.folder, fingerprint=place.fingerprint, runtime=made)
    builder = building_in_turn(OpenVINOBuilder(place.link, runtime=made), place)
    quantizer = NNCFQuantizer(LocalLink(), runtime=made)
    return Backend(name=made.name, builder=builder, quantizer=quantizer, board=board, layer_timer=board, package=NAME)


def _onnxruntime(place: Place) -> Backend:
    from autokd_edge.backends.onnxruntime.board import ONNXRuntimeBoard
    from autokd_edge.backends.onnxruntime.builder import NAME, ONNXRuntimeBuilder
    from autokd_edge.backends.onnxruntime.quantize import ONNXRuntimeQuantizer

    board = ONNXRuntimeBoard(place.link, place.lease, place.folder, fingerprint=place.fingerprint)
    builder, quantizer = building_in_turn(ONNXRuntimeBuilder(place.link), place), ONNXRuntimeQuantizer(LocalLink())
    return Backend(name=NAME, builder=builder, quantizer=quantizer, board=board, layer_timer=board)


def _tensorrt(place: Place) -> Backend:
    from autokd_edge.backends.tensorrt.binding import Binding
    from autokd_edge.backends.tensorrt.board import TrtexecBoard
    from autokd_edge.backends.tensorrt.builder import NAME, TrtexecBuilder
    from autokd_edge.backends.tensorrt.logits import LogitsRunner
    from autokd_edge.backends.tensorrt.quantize import ExplicitQuantizer
    from autokd_edge.backends.tensorrt.trtexec import Trtexec

    trtexec = Trtexec(link=place.link)
    builder = TrtexecBuilder(trtexec)
    logits = LogitsRunner(trtexec, Binding(link=place.link))
    board = TrtexecBoard(trtexec, builder, place, logits)
    quantizer = ExplicitQuantizer(NAME, LocalLink())
    built = building_in_turn(builder, place)
    return Backend(name=NAME, builder=built, quantizer=quantizer, board=board, layer_timer=board, extras=logits.extras)


def _tensorrt_rtx(_place: Place) -> Backend:
    from autokd_edge.backends.tensorrt.quantize import ExplicitQuantizer
    from autokd_edge.backends.tensorrt_rtx.board import AbsentGPU, absent_gpu
    from autokd_edge.backends.tensorrt_rtx.builder import NAME, RTXBuilder

    quantizer = ExplicitQuantizer(NAME, LocalLink())
    return Backend(name=NAME, builder=RTXBuilder(LocalLink()), quantizer=quantizer, board=AbsentGPU(), unmeasured=absent_gpu)


def _tvm(place: Place) -> Backend:
    from autokd_edge.backends.tvm.board import TVMBoard
    from autokd_edge.backends.tvm.builder import NAME, TVMBuilder
    from autokd_edge.backends.tvm.known_tiles import KnownTiles, default_known_tiles
    from autokd_edge.backends.tvm.quantize import TVMQuantizer
    from autokd_edge.backends.tvm.tuner import TVMTuner

    builder, quantizer = TVMBuilder(), TVMQuantizer(LocalLink())
    board, tuner = TVMBoard(builder, place), TVMTuner(builder, place, KnownTiles(default_known_tiles()))

    def extras() -> tuple[Extra, ...]:
        builder.check_compiler(place.fingerprint().machine)
        return ()

    return Backend(
        name=NAME, builder=builder, quantizer=quantizer, board=board, layer_timer=board, library=builder, tuner=tuner, extras=extras
    )


def _edge_bo(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.edge_bo import EdgeBO
    from autokd_edge.search.policy import PhasedPolicy

    return PhasedPolicy(EdgeBO(architectures, distillations), target.variants, members=members)


def _front_bo(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.front_bo import FrontBO
    from autokd_edge.search.policy import PhasedPolicy

    return PhasedPolicy(FrontBO(architectures, distillations), target.variants, members=members)


def _random(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.policy import PhasedPolicy
    from autokd_edge.search.random_search import RandomChooser

    return PhasedPolicy(RandomChooser(architectures, distillations), target.variants, members=members)


def _evolution(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.evolution import EvolutionChooser
    from autokd_edge.search.policy import PhasedPolicy

    return PhasedPolicy(EvolutionChooser(architectures, distillations), target.variants, members=members)


def _random_ungated(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.random_search import RandomProposer
    from autokd_edge.search.ungated import UngatedPolicy

    return UngatedPolicy(RandomProposer(architectures, distillations), target.variants, members=members)


def _optuna(
    sampler: Literal["tpe", "gp"], architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members
) -> TakesTurns:
    from autokd_edge.search.optuna_search import OptunaProposer
    from autokd_edge.search.ungated import UngatedPolicy

    return UngatedPolicy(OptunaProposer(architectures, distillations, sampler), target.variants, members=members)


def _ax(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.ax_search import AxProposer
    from autokd_edge.search.ungated import UngatedPolicy

    return UngatedPolicy(AxProposer(architectures, distillations), target.variants, members=members)


def _bohb_paper(architectures: SearchSpace, distillations: SearchSpace, target: Target, members: Members) -> TakesTurns:
    from autokd_edge.search.bohb import BOHBProposer
    from autokd_edge.search.ungated import UngatedPolicy

    return UngatedPolicy(BOHBProposer(architectures, distillations), target.variants, members=members)


def _openvino_runtime() -> Runtime:
    from autokd_edge.backends.openvino.builder import OPENVINO

    return OPENVINO


def _openvino_gpu_runtime() -> Runtime:
    from autokd_edge.backends.openvino.builder import OPENVINO_GPU

    return OPENVINO_GPU


def _openvino_npu_runtime() -> Runtime:
    from autokd_edge.backends.openvino.builder import OPENVINO_NPU

    return OPENVINO_NPU


def _onnxruntime_runtime() -> Runtime:
    from autokd_edge.backends.onnxruntime.builder import ONNX_RUNTIME

    return ONNX_RUNTIME


_OPENVINO_RUNTIMES: Mapping[str, Callable[[], Runtime]] = {
    "openvino": _openvino_runtime,
    "openvino-gpu": _openvino_gpu_runtime,
    "openvino-npu": _openvino_npu_runtime,
}
RUNTIMES: Mapping[str, Callable[[], Runtime]] = {**_OPENVINO_RUNTIMES, "onnxruntime": _onnxruntime_runtime}
BACKENDS: Mapping[str, Callable[[Place], Backend]] = {
    **{name: partial(_openvino, runtime) for name, runtime in _OPENVINO_RUNTIMES.items()},
    "onnxruntime": _onnxruntime,
    "tvm": _tvm,
    "tensorrt": _tensorrt,
    "tensorrt_rtx": _tensorrt_rtx,
}
FAMILIES: Mapping[str, Callable[[], StudentFamily]] = {
    "nago": NagoFamily,
    "mbconv": MBConvFamily,
    "resnet8": resnet8,
    "mobilenetv2-0.25": mobilenet_v2_quarter,
    "mobilenetv2-0.5": mobilenet_v2_half,
    "mobilenetv3-small-0.5": mobilenet_v3_small_half,
    "shufflenetv2-0.5": shufflenet_v2_half,
    "mcunet-like": mcunet_like,
}
POLICIES: Mapping[str, PolicyMaker] = {
    "edge-bo": _edge_bo,
    "random": _random,
    "random-ungated": _random_ungated,
    "evolution": _evolution,
    "bohb-paper": _bohb_paper,
    "optuna-tpe": partial(_optuna, "tpe"),
    "optuna-gp": partial(_optuna, "gp"),
    "ax": _ax,
}
# What searches for a front of students; the others know of one accuracy alone.
FRONT_POLICIES: Mapping[str, PolicyMaker] = {"edge-bo": _front_bo, "random": _random}
_WITH_RUNGS = ("edge-bo", "random", "random-ungated", "evolution", "bohb-paper")
_WITH_WORKERS = ("edge-bo", "random", "evolution")


def family_named(name: str) -> StudentFamily:
    """Return a family of students, or the union of several, ``A,B``; raises InputError where there is no such family."""
    names = [part.strip() for part in name.split(",")]
    if len(set(names)) < len(names):
        raise InputError(f"families must be named once each; got '{name}'", hint=f"--family {','.join(dict.fromkeys(names))}")
    families = [_named(part, FAMILIES, "family", "--family")() for part in names]
    return families[0] if len(families) == 1 else UnionFamily(families)


def policy_named(name: str, *, rungs: int = 1, workers: int = 1, front: bool = False) -> PolicyMaker:
    """Return how a policy is made from the two spaces, the target and ``StudentFamily.members``; raises InputError."""
    found = _named(name, POLICIES, "policy", "--policy")
    if front and name not in FRONT_POLICIES:
        raise InputError(f"policies that search for a front are {', '.join(FRONT_POLICIES)}; got '{name}'", hint="--policy edge-bo")
    if front:
        found = FRONT_POLICIES[name]
    if rungs > 1 and name not in _WITH_RUNGS:
        raise InputError(f"policies that teach on rungs are {', '.join(_WITH_RUNGS)}; got '{name}' and {rungs} rungs", hint="--rungs 1")
    if workers > 1 and name not in _WITH_WORKERS:
        raise InputError(
            f"policies that choose while pupils are taught are {', '.join(_WITH_WORKERS)}; got '{name}' and {workers} workers",
            hint="--workers 1",
        )
    return found


def device_of(address: str | None) -> Device:
    """Return the device at an address, ``ssh://user@host:port``, or this machine; nothing is connected yet.

    One call for each device: what measures on it shares the connection.

    Raises:
        InputError: that is no address.
    """
    if address is None:
        return Device(link=LocalLink(), lease=Lease(default_lease_path()), fingerprint=read_fingerprint)
    link = SshLink(SshConnection(ssh_address(address)))
    return Device(link=link, lease=BoardLease(link), fingerprint=lambda: fingerprint_over(link))


def pool_of(addresses: Sequence[str]) -> Device:
    """Return the boards at several addresses as one device, or the one at a single address; none is this machine.

    Raises:
        InputError: one is no address, or named twice.
    """
    if len(addresses) < 2:
        return device_of(addresses[0] if addresses else None)
    devices = [device_of(address) for address in addresses]
    for device in devices:
        if [other.link.device for other in devices].count(device.link.device) > 1:
            raise InputError(
                f"the boards of a pool must be named once each; got '{device.link.device}' more than once",
                hint=" ".join(f"--device {address}" for address in dict.fromkeys(addresses)),
            )
    pool = BoardPool(devices)
    return Device(link=devices[0].link, lease=devices[0].lease, fingerprint=pool.fingerprint, pool=pool)


def predicted_device(target: Target, recording: str) -> Device:
    """Return what stands in for a device that is not here: recorded readings, "recorded" for the shipped ones, or a file.

    Raises:
        InputError: nothing was recorded on the target, or the file cannot be used.
    """
    found = load_recording(target, recording)
    here = device_of(None)
    return Device(link=here.link, lease=here.lease, fingerprint=lambda: found.fingerprint, recording=found)


def device_packages(target: Target) -> tuple[str, ...]:
    """Return the packages that a device must have for the target's backends, of those that Python drives."""
    names = dict.fromkeys(variant.backend for variant in target.variants)
    found = [runtime().on_device for name, runtime in RUNTIMES.items() if name in names]
    return tuple(dict.fromkeys(package for packages in found for package in packages))


def link_of(address: str | None) -> Link:
    """Return the way to a device; raises InputError."""
    return device_of(address).link


def backends_of(target: Target, folder: Path, device: Device | None = None) -> dict[str, Backend]:
    """Return the backends of a target's variants on a device, by default this machine; their own files go to ``folder``.

    Raises:
        TargetError: a variant names a backend that nobody provides.
    """
    others = {point.name: point for point in entry_points(group=BACKEND_GROUP) if point.name not in BACKENDS}
    there = device_of(None) if device is None else device
    if there.recording is not None:
        return _predicted(target, folder, there.recording)
    if there.pool is not None:
        each = [backends_of(target, folder / f"board-{number}", one) for number, one in enumerate(there.pool.devices)]
        return pooled(each, there.pool, target, load_protocol("screen")[0])
    found = {}
    for name in dict.fromkeys(variant.backend for variant in target.variants):
        if name not in BACKENDS and name not in others:
            near = difflib.get_close_matches(name, (*BACKENDS, *others), n=1) or list(BACKENDS)
            raise TargetError(
                f"backend of target '{target.name}' must be one of {', '.join((*BACKENDS, *others))}; got '{name}'",
                hint=f'backend = "{near[0]}" in the descriptor',
            )
        make = BACKENDS[name] if name in BACKENDS else others[name].load()
        found[name] = make(Place(link=there.link, lease=there.lease, folder=folder / name, fingerprint=there.fingerprint))
    return found


def _predicted(target: Target, folder: Path, recording: Recording) -> dict[str, Backend]:
    """Return backends that build nothing and predict; quantising and computing logits is done on this machine."""
    from autokd_edge.backends.predicted.board import COMPUTED_BY, GraphBuilder, PredictedBoard

    digest, here = digest_of_recording(recording), device_of(None)
    runner = _onnxruntime(Place(link=here.link, lease=here.lease, folder=folder / "onnxruntime"))
    toolchains = {one.variant.backend: one.toolchain for one in recording.variants}
    return {
        name: replace(
            backend,
            builder=GraphBuilder(toolchains.get(name, {}), digest),
            board=PredictedBoard(recording, digest, runner),
            layer_timer=None,
            library=None,
            tuner=None,
            computed_by=COMPUTED_BY,
        )
        for name, backend in backends_of(target, folder, here).items()
    }


def _named(name: str, table: Mapping[str, _T], what: str, option: str) -> _T:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1) or list(table)[:1]
        raise InputError(f"{what} must be one of {', '.join(table)}; got '{name}'", hint=f"{option} {near[0]}")
    return table[name]
