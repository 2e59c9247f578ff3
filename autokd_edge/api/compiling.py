"""Compile a network that did not come from a search: from a model file to the same kind of bundle."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autokd_edge import wiring
from autokd_edge.api.compile_options import AUTO, RUNTIME, STANDALONE, CompileOptions
from autokd_edge.api.fine_tuning import check_tunable, teacher_of, tuning_by
from autokd_edge.api.measurable import check_measurable, for_target
from autokd_edge.api.native import engine_name, files_beside, runtime_of
from autokd_edge.api.tuning import check_tuning
from autokd_edge.bundle.manifest import Accuracy, Card, Manifest, ModelInput, Network, Preprocessing, Reading
from autokd_edge.bundle.writer import BundleFiles, check_place, write_bundle
from autokd_edge.core.artifact import Artifact
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.limits import Limits
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.device import Device
from autokd_edge.devices.fingerprint import target_here
from autokd_edge.errors import DataError, InputError
from autokd_edge.pipeline.compile import Compiled, Job, Unusable, Watch, compiled_in_each, to_ship
from autokd_edge.pipeline.evaluate import FINAL
from autokd_edge.pipeline.network_file import GivenNetwork, read_network
from autokd_edge.pipeline.stages import Stages, needs_quantizing
from autokd_edge.ports import ImageSets, Split
from autokd_edge.store.artifacts import FolderStore

if TYPE_CHECKING:
    from autokd_edge.teaching.samples import DataSource, TeachingData
    from autokd_edge.teaching.teacher import Teacher

SELFTEST_SAMPLES = 16
SELFTEST_TOLERANCE = 1e-2  # as for students: another processor sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileEnd:
    """What came of each variant, and the bundle of the chosen one."""

    found: tuple[Compiled | Unusable, ...]
    shipped: Compiled
    manifest: Manifest
    bundle: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJob:
    """A compilation that was read and checked, and has not written anything yet; ``data`` is None without images."""

    options: CompileOptions
    device: Device
    target: Target
    network: GivenNetwork
    variants: tuple[Variant, ...]
    source: DataSource | None
    data: TeachingData | None
    teacher: Teacher | None = None  # of tuning

    @classmethod
    def of(cls, options: CompileOptions) -> CompileJob:
        """Read and check everything that the options name.

        Raises:
            InputError: an option, the model, the target, the data set or the folder cannot be used.
            DeviceError: the device cannot be asked what it is.
        """
        options.check()
        check_place(Path(options.out))
        written = load_target(options.target)[0]
        network = read_network(Path(options.model), opset_max=written.opset_max)
        source = None if options.data is None else _source(options.data)
        data = None if source is None else _fitting(source.teaching(), network, options)
        device = wiring.device_of(options.device)
        target = target_here(written, device.fingerprint())
        check_measurable(target, wiring.backends_of(target, Path(), device))
        variants = _variants(target, options)
        if options.tune is not None:
            check_tuning(target, device, variants)
        check_tunable(options.qat_steps, variants, of=f"target '{target.name}'")
        teacher = None if data is None or not options.qat_steps else teacher_of(network, data, options)
        return cls(
            options=options,
            device=device,
            target=target,
            network=network,
            variants=variants,
            source=source,
            data=data,
            teacher=teacher,
        )

    def run(self, watch: Watch) -> CompileEnd:
        """Compile in every variant asked for, and write the bundle of the best.

        Raises:
            InputError: no variant can be built, or the bundle cannot be written.
            StageError: the device gave no reading.
        """
        with tempfile.TemporaryDirectory() as work, for_target(self.target.name):
            stages = self._stages(Path(work))
            graph = self._graph(stages, Path(work))
            protocol, _ = load_protocol(FINAL)
            variants = _of_form(self.options.form, self.variants, stages)
            job = Job(
                graph=graph,
                variants=variants,
                protocol=protocol,
                graded=self.data is not None,
                max_drop=self.options.points(),
                tune=self.options.tune,
                fine_tuning=None if self.data is None else tuning_by(self.teacher, self.data, self.options.qat_steps, Path(work)),
            )
            found = compiled_in_each(stages, job, watch)
            shipped = to_ship(found, max_drop=job.max_drop)
            manifest = self._shipped(stages, graph, shipped, found, Path(work))
        return CompileEnd(found=found, shipped=shipped, manifest=manifest, bundle=Path(self.options.out))

    def _stages(self, work: Path) -> Stages:
        images: ImageSets = _NoImages()
        if self.source is not None and self.data is not None:
            from autokd_edge.teaching.inputs import PreparedImages

            images = PreparedImages(self.source, self.data, work / "inputs")
        backends = wiring.backends_of(self.target, work / "backends", self.device)
        return Stages(target=self.target, backends=backends, images=images, store=FolderStore(work / "store"))

    def _graph(self, stages: Stages, work: Path) -> Artifact:
        written = work / "model.onnx"
        written.write_bytes(self.network.model.SerializeToString(deterministic=True))
        return stages.store.put("graph", digest_of_bytes(written.read_bytes()), written)

    def _shipped(self, stages: Stages, graph: Artifact, shipped: Compiled, found: tuple[Compiled | Unusable, ...], work: Path) -> Manifest:
        inputs, logits = work / "selftest.npy", work / "logits.npy"
        np.save(inputs, self._samples(stages))
        np.save(logits, stages.logits(shipped.engine, shipped.variant, inputs))
        backend, card = stages.backends[shipped.variant.backend], self._card(stages, shipped, found)
        files = BundleFiles(
            engine=stages.store.path(shipped.engine),
            engine_name=engine_name(backend),
            float_graph=stages.store.path(graph if needs_quantizing(shipped.variant) else shipped.graph),
            quantized_graph=stages.store.path(shipped.graph) if needs_quantizing(shipped.variant) else None,
            selftest_inputs=inputs,
            selftest_logits=logits,
            more=files_beside(backend, stages.store.path(shipped.graph), card, work, module=self.options.form == RUNTIME),
        )
        return write_bundle(Path(self.options.out), files, card)

    def _samples(self, stages: Stages) -> npt.NDArray[np.float32]:
        """Return validation images (noise where there are none) for the self-test, (n, c, h, w)."""
        if self.data is None:
            return np.random.default_rng(0).standard_normal((SELFTEST_SAMPLES, *self.network.image), dtype=np.float32)
        images: npt.NDArray[np.float32] = np.load(stages.images.inputs("validation")[0], allow_pickle=False)
        return images[:SELFTEST_SAMPLES]

    def _card(self, stages: Stages, shipped: Compiled, found: tuple[Compiled | Unusable, ...]) -> Card:
        backend, measurement = stages.backends[shipped.variant.backend], shipped.measurement
        mean, std = self._normalisation()
        return Card(
            study=Path(self.options.model).stem,
            data="images of its own kind" if self.data is None else self.data.name,
            target=stages.target,
            variant=shipped.variant,
            runtime=runtime_of(backend, measurement),
            toolchain=dict(backend.builder.toolchain()),
            fingerprint=measurement.fingerprint,
            input=ModelInput(
                name=self.network.input,
                shape=(1, *self.network.image),
                dtype="float32",
                layout="NCHW",
                preprocessing=Preprocessing(formula="(pixel / 255 - mean) / std", mean=mean, std=std),
            ),
            labels=self._labels(),
            accuracies=() if self.data is None else self._accuracies(stages, shipped, found),
            measurements=tuple(Reading(what="engine", measurement=one.measurement) for one in found if isinstance(one, Compiled)),
            teacher=None,
            student=None,
            limits=Limits(latency=None, memory=None, max_drop=None, max_quant_drop=self.options.points()),
            slacks=(),
            selftest_tolerance=SELFTEST_TOLERANCE,
            quantized=shipped.quantized,
            tuning=shipped.tuning,
        )

    def _normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        given = self.options.normalisation(self.network.image[0])
        return given if self.data is None else (self.data.mean, self.data.std)

    def _labels(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.network.classes))) if self.data is None else self.data.classes

    def _accuracies(self, stages: Stages, shipped: Compiled, found: tuple[Compiled | Unusable, ...]) -> tuple[Accuracy, ...]:
        """State the accuracies of the shipped engine, and of the fp32 one where it was built."""
        machine = shipped.measurement.fingerprint.processor
        stated: list[Accuracy] = []
        in_float = next((one for one in found if isinstance(one, Compiled) and one.variant.precision == "fp32"), None)
        networks: list[tuple[Network, Compiled | None]] = [("network in fp32", in_float), ("engine", shipped)]
        for what, one in networks:
            if one is not None and one.accuracy is not None:
                by = f"{one.variant.backend} {one.variant.precision}"
                test = stages.accuracy(one.engine, one.variant, "test")
                stated.append(Accuracy(what=what, split="validation", percent=one.accuracy, computed_by=by, machine=machine))
                stated.append(Accuracy(what=what, split="test", percent=test, computed_by=by, machine=machine))
        return tuple(stated)


class _NoImages:
    """No images: what asks for some is a mistake of ours, because quantising without them was refused."""

    def inputs(self, split: Split) -> tuple[Path, npt.NDArray[np.int64]]:
        raise DataError(f"{split} images need a data set", hint="--data NAME")


def _source(name: str) -> DataSource:
    """Find a data set; raises DataError. Its module needs torch, which a network without images does not."""
    try:
        from autokd_edge.teaching.data import data_source
    except ModuleNotFoundError as error:
        raise InputError(f"a data set needs the package '{error.name}'", hint="pip install 'autokd-edge[search]'") from error
    return data_source(name)


def _fitting(data: TeachingData, network: GivenNetwork, options: CompileOptions) -> TeachingData:
    """Return the data set with the normalisation that was given; raises InputError where the model is not for such images."""
    if data.image != network.image or len(data.classes) != network.classes:
        raise InputError(
            f"the model must be for the images of '{data.name}', {data.image} and {len(data.classes)} classes; "
            f"'{options.model}' takes {network.image} and gives {network.classes}",
            hint="--data npz:FILE.npz of the network's own images, or leave --data out",
        )
    if options.mean is None and options.std is None:
        return data
    mean, std = options.normalisation(network.image[0])
    return replace(data, mean=mean, std=std)


def _variants(target: Target, options: CompileOptions) -> tuple[Variant, ...]:
    """Return the variants to build; raises InputError where the target has none of the precision, or it cannot be graded."""
    wanted = options.precision
    if wanted == AUTO and options.data is None:
        wanted = "fp32"  # without images nothing says what a lower precision costs
    chosen = tuple(v for v in target.variants if wanted in {AUTO, v.precision})
    if not chosen:
        known = ", ".join(dict.fromkeys(v.precision for v in target.variants))
        raise InputError(
            f"precision must be one of {AUTO}, {known} for target '{target.name}'; got '{wanted}'", hint="--precision auto --data NAME"
        )
    if options.data is None and any(map(needs_quantizing, chosen)):
        raise InputError(f"{options.precision} needs calibration images, and there is no data set", hint="--data fashion-mnist")
    return chosen


def _of_form(form: str, variants: tuple[Variant, ...], stages: Stages) -> tuple[Variant, ...]:
    """Return the variants whose engines have the form; raises InputError where none has it."""
    fitting = tuple(v for v in variants if form == STANDALONE or stages.backends[v.backend].library is not None)
    if not fitting:
        raise InputError(
            f"form '{form}' is of engines that are compiled to programs, as backend tvm does; target '{stages.target.name}' has "
            f"{', '.join(map(str, variants))}",
            hint=f"--form {STANDALONE}, or a target with a tvm variant",
        )
    return fitting
