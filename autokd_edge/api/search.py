"""One search from its options to the bundle and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.api.folder import RunFolder
from autokd_edge.api.knowledge import recalled_from, start_of
from autokd_edge.api.options import SearchOptions
from autokd_edge.api.reports import explained
from autokd_edge.api.shipping import ship
from autokd_edge.bundle.manifest import Manifest
from autokd_edge.core.codec import encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.limits import Limits
from autokd_edge.core.measure import Protocol, samples_needed
from autokd_edge.core.space import SearchSpace
from autokd_edge.core.student import Task
from autokd_edge.core.study import Opened, Shipped, Stop, Study, StudyConfig
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import digest_of_target, load_protocol, load_target
from autokd_edge.devices.device import Device
from autokd_edge.devices.fingerprint import target_here
from autokd_edge.errors import LimitError, TargetError
from autokd_edge.pipeline.evaluate import FINAL, SCREEN, Evaluator
from autokd_edge.pipeline.loop import StudyLoop, Watch, check_same
from autokd_edge.pipeline.stages import Stages
from autokd_edge.ports import Backend, Policy
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.page import write_page
from autokd_edge.report.summary import summarise
from autokd_edge.search.verdicts import best_grade, closest
from autokd_edge.store.artifacts import FolderStore
from autokd_edge.store.journal import SQLJournal
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.inputs import PreparedImages
from autokd_edge.teaching.samples import DataSource, TeachingData
from autokd_edge.teaching.teacher import Teacher, teacher_network
from autokd_edge.teaching.teachers import NONE, load_teacher
from autokd_edge.teaching.trainer import KDDistiller, check_loss, loss_space

SCREENING_PRECISION = "fp32"  # every backend has it, and it needs no calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a search ended; ``manifest`` is None where no engine keeps all limits."""

    outcome: Outcome
    stop: Stop
    folder: RunFolder
    manifest: Manifest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob:
    """A search that was read and checked, and has not written anything yet."""

    name: str
    config: StudyConfig
    folder: RunFolder
    target: Target
    device: Device
    source: DataSource
    data: TeachingData
    teacher: Teacher | None
    protocols: Mapping[str, Protocol]

    @classmethod
    def of(cls, options: SearchOptions) -> SearchJob:
        """Read and check everything that the options name.

        Raises:
            InputError: an option, the target, the data set, the teacher, the store or the folder cannot be used.
            DeviceError: the device cannot be reached, or lacks a runtime.
        """
        options.check()
        limits, budget = options.limits(), options.budgeted()
        wiring.family_named(options.family)
        wiring.policy_named(options.policy)
        device = wiring.device_of(options.device)
        machine = device.fingerprint()
        target = target_here(load_target(options.target)[0], machine)
        if limits.instructions is not None and not (machine.counts_instructions and target.threads == 1):
            raise LimitError(
                f"instructions are counted on an emulated board alone, of one thread; '{device.link.device or 'this machine'}' counts none",
                hint="--max-latency 0.5x, or --device of a board of tools/emulated_board.py",
            )
        source = data_source(options.data, image_size=options.image_size, augment=options.augment)
        data = source.teaching()
        teacher = None if options.teacher == NONE else load_teacher(options.teacher, data)
        loss = options.loss or ("ls" if teacher is None else "kd")
        check_loss(loss, teacher)
        _check_relative(limits, teacher)
        protocols = {name: _supporting(load_protocol(name)[0], limits) for name in (SCREEN, FINAL)}
        task = _task(data, target)
        spaces = (wiring.family_named(options.family).space(task), loss_space(loss))
        earlier = None if options.warm_from is None else Path(options.warm_from)
        config = StudyConfig(
            target=target.name,
            target_digest=digest_of_target(target),
            data=data.name,
            data_digest=data.digest,
            teacher=NONE if teacher is None else teacher.name,
            teacher_digest=digest_of_json([NONE]) if teacher is None else teacher.digest,
            family=options.family,
            policy=options.policy,
            loss=loss,
            limits=limits,
            budget=budget,
            search_steps=options.search_steps,
            final_steps=options.final_steps_for(len(data.train)),
            final_members=options.final_members,
            seed=options.seed,
            device=options.device,
            protocols={name: Digest(digest_of_json(encode(protocol))) for name, protocol in protocols.items()},
            starts=tuple(start_of(text, spaces) for text in options.start),
            recalled=() if earlier is None else recalled_from(earlier, family=options.family, loss=loss, spaces=spaces),
        )
        # A short name is enough for people; the configuration itself is compared when a study goes on.
        name = options.study or f"{data.name}-{target.name}-{digest_of_json(encode(config))[:8]}"
        folder = RunFolder(Path(options.out) if options.out else Path("runs") / name, store=options.store)
        folder.check()
        job = cls(
            name=name,
            config=config,
            folder=folder,
            target=target,
            device=device,
            source=source,
            data=data,
            teacher=teacher,
            protocols=protocols,
        )
        job._check()
        source.warn_of_leaks(data)  # last: an error is one line, without a warning before it
        return job

    def _check(self) -> None:
        """Refuse before anything is written what would otherwise be met while running; raises InputError and DeviceError."""
        _screening(self.target)
        for backend in self._backends().values():
            if self.device.link.device is not None:
                backend.builder.toolchain()  # asks the device for its runtime
        opened = next(iter(SQLJournal(self.folder.journal_url).read(self.name)), None)
        if isinstance(opened, Opened):
            check_same(self.name, opened.config, self.config)

    def run(self, watch: Watch) -> Finish:
        """Run the search to its end, or go on with it; then write the bundle and the report.

        Raises:
            InputError: the store or the folder cannot be used.
            StageError: the teacher could not be read on the target.
            DeviceError: the device, or the way to it, failed; the same search goes on from there.
        """
        with self.folder.held(self.name):
            journal = SQLJournal(self.folder.journal_url)
            if self.teacher is not None and self.teacher.spec is not None:
                self.folder.write_teacher(self.teacher.spec)
            evaluator = self.evaluator()
            self.folder.write_task(evaluator.task)
            family = evaluator.family
            policy = wiring.policy_named(self.config.policy)(
                family.space(evaluator.task), evaluator.distiller.space, self.target, family.members
            )
            loop = StudyLoop(name=self.name, journal=journal, evaluator=evaluator, policy=policy, watch=watch)
            study, stop = loop.run(self.config)
            manifest, study = self._shipped(study, evaluator, journal)
            finish = self._finish(study, stop, evaluator, manifest)
            write_page(self.folder.report, finish.outcome)
            self.folder.write_summary(summarise(finish.outcome))
        return finish

    def study(self, policy: Callable[[SearchSpace, SearchSpace], Policy], watch: Watch) -> Study:
        """Run a study under another policy, made from the two spaces, until it stops; nothing is shipped or reported.

        Raises:
            InputError: the store or the folder cannot be used.
            StageError: the teacher could not be read on the target.
            DeviceError: the device, or the way to it, failed.
        """
        with self.folder.held(self.name):
            evaluator = self.evaluator()
            journal = SQLJournal(self.folder.journal_url)
            made = policy(evaluator.family.space(evaluator.task), evaluator.distiller.space)
            return StudyLoop(name=self.name, journal=journal, evaluator=evaluator, policy=made, watch=watch).run(self.config)[0]

    def _shipped(self, study: Study, evaluator: Evaluator, journal: SQLJournal) -> tuple[Manifest | None, Study]:
        graded = best_grade(study)
        if graded is None:
            return None, study
        if study.shipped is not None and self.folder.has_bundle(study.shipped.bundle):
            return self.folder.manifest(), study
        manifest, digest = ship(study, graded, evaluator, name=self.name, data=self.data, folder=self.folder.bundle)
        shipped = Shipped(pupil=graded.pupil, variant=graded.variant, bundle=digest, at_s=study.elapsed_s)
        journal.append(self.name, shipped)
        return manifest, replace(study, shipped=shipped)

    def _finish(self, study: Study, stop: Stop, evaluator: Evaluator, manifest: Manifest | None) -> Finish:
        best, nearest = best_grade(study), closest(study)
        outcome = Outcome(
            name=self.name,
            study=study,
            best=best,
            closest="" if best is not None or nearest is None else str(nearest),
            accuracies=() if manifest is None else manifest.card.accuracies,
            student=None if best is None else evaluator.spec(best.pupil.member),
            teacher=None if self.teacher is None else self.teacher.spec,
            explanation=explained(study, self.folder),
        )
        return Finish(outcome=outcome, stop=stop, folder=self.folder, manifest=manifest)

    def _backends(self) -> dict[str, Backend]:
        return wiring.backends_of(self.target, self.folder.work / "backends", self.device)

    def evaluator(self) -> Evaluator:
        """Put together what carries out the actions of this study; its files lie in the run's folder."""
        work = self.folder.work
        stages = Stages(
            target=self.target,
            backends=self._backends(),
            images=PreparedImages(self.source, self.data, work / "inputs"),
            store=FolderStore(self.folder.artifacts),
        )
        return Evaluator(
            stages=stages,
            family=wiring.family_named(self.config.family),
            task=_task(self.data, self.target),
            distiller=KDDistiller(self.data, self.teacher, seed=self.config.seed, cache=work / "logits", loss=self.config.loss),
            teacher=None if self.teacher is None else teacher_network(self.teacher, self.data),
            teacher_digest=self.config.teacher_digest,
            data_digest=self.data.digest,
            protocols=self.protocols,
            screen_variant=_screening(self.target),
            seed=self.config.seed,
            lessons=work / "lessons",
        )


def _task(data: TeachingData, target: Target) -> Task:
    return Task(image=data.image, classes=len(data.classes), channel_multiple=target.channel_multiple)


def _screening(target: Target) -> Variant:
    found = next((v for v in target.variants if v.precision == SCREENING_PRECISION), None)
    if found is None:
        raise TargetError(f"target '{target.name}' must have a variant in {SCREENING_PRECISION} to screen students with; it has none")
    return found


def _check_relative(limits: Limits, teacher: Teacher | None) -> None:
    """Refuse limits that are relative to a reading that there will not be; raises LimitError."""
    relative = [
        option
        for option, asked in (
            ("--max-latency 3ms", limits.latency is not None and limits.latency.times_teacher is not None),
            ("--max-memory 20MB", limits.memory is not None and limits.memory.times_teacher is not None),
        )
        if asked
    ]
    if relative and teacher is None:
        raise LimitError(f"a limit relative to the teacher needs a teacher; got --teacher {NONE}", hint=relative[0])
    if relative and teacher is not None and teacher.write_graph is None:
        raise LimitError(
            f"a limit relative to the teacher needs its reading on the target; '{teacher.name}' cannot be written as ONNX", hint=relative[0]
        )
    if limits.max_drop is not None and teacher is None:
        raise LimitError(f"an accuracy drop needs a teacher to be below; got --teacher {NONE}", hint="leave --max-drop out")


def _supporting(protocol: Protocol, limits: Limits) -> Protocol:
    """Lengthen the blocks where the limit's percentile needs more samples."""
    if limits.latency is None:
        return protocol
    needed = -(-samples_needed(limits.latency.percent) // protocol.blocks)
    runs = max(protocol.block_runs, needed)
    # Where a block is cut to its number of samples, at least half of that number is left.
    return replace(protocol, block_runs=runs, block_samples=max(protocol.block_samples, 2 * runs))
