"""One search from its options to the bundle and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.api.deliveries import Delivery, deliveries, outcome_of
from autokd_edge.api.distilling import classroom_of, distilling, silence_for
from autokd_edge.api.fine_tuning import check_tunable
from autokd_edge.api.folder import RunFolder, has_bundle, manifest_in
from autokd_edge.api.goals import PlacedGoal, channel_multiple, check_relative, placed, screening, supporting
from autokd_edge.api.knowledge import recalled_from, spaces_digest, start_of
from autokd_edge.api.measurable import check_measurable, for_target
from autokd_edge.api.options import SearchOptions
from autokd_edge.api.reports import explained
from autokd_edge.api.shipping import ship
from autokd_edge.api.tuning import check_tuning
from autokd_edge.core.codec import encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.events import Opened, Shipped, Stop, StudyConfig
from autokd_edge.core.measure import Protocol
from autokd_edge.core.space import SearchSpace
from autokd_edge.core.student import Task
from autokd_edge.core.study import Study, advance
from autokd_edge.devices.clocks import clocks_held
from autokd_edge.devices.descriptors import load_protocol
from autokd_edge.errors import AbsentCompilerError, RuntimeMissingError
from autokd_edge.pipeline.evaluate import FINAL, SCREEN, Evaluator
from autokd_edge.pipeline.loop import StudyLoop, Watch, check_same
from autokd_edge.pipeline.stages import Stages
from autokd_edge.ports import Backend, Distiller
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.page import write_page
from autokd_edge.report.summary import summarise
from autokd_edge.search.goals import GoalsInTurn, TakesTurns
from autokd_edge.store.artifacts import FolderStore
from autokd_edge.store.journal import SQLJournal
from autokd_edge.teaching.classroom import Classroom
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.inputs import PreparedImages
from autokd_edge.teaching.samples import DataSource, TeachingData
from autokd_edge.teaching.teacher import Teacher, teacher_network
from autokd_edge.teaching.teachers import NONE, load_teacher
from autokd_edge.teaching.trainer import KDDistiller, check_loss, loss_space


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a search ended: what it came to for each goal, in their order."""

    study: Study
    ends: tuple[GoalEnd, ...]
    stop: Stop
    folder: RunFolder

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What a report tells of each goal."""
        return tuple(end.outcome for end in self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalEnd:
    """What a search came to for one goal; nothing is delivered where no engine keeps all limits."""

    outcome: Outcome
    delivered: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob:
    """A search that was read and checked, and has not written anything yet."""

    name: str
    config: StudyConfig
    folder: RunFolder
    goals: tuple[PlacedGoal, ...]
    source: DataSource
    data: TeachingData
    teacher: Teacher | None
    protocols: Mapping[str, Protocol]
    classroom: Classroom  # what the workers are told
    lock_clocks: bool = False
    tune: int | None = None

    @classmethod
    def of(cls, options: SearchOptions) -> SearchJob:
        """Read and check everything that the options name.

        Raises:
            InputError: an option, the target, the data set, the teacher, the store or the folder cannot be used.
            DeviceError: the device cannot be reached, or lacks a runtime.
        """
        options.check()
        asked = options.goals()
        wiring.family_named(options.family)
        pareto = options.traded()
        wiring.policy_named(options.policy, rungs=options.rungs, workers=options.workers, front=bool(pareto))
        goals = placed(asked, pareto)
        source = data_source(options.data, image_size=options.image_size, augment=options.augment)
        data = source.teaching()
        teacher = None if options.teacher == NONE else load_teacher(options.teacher, data)
        loss = options.loss or ("ls" if teacher is None else "kd")
        check_loss(loss, teacher)
        for one in asked:
            check_relative(one.limits, teacher)
        names = ", ".join(f"'{goal.target.name}'" for goal in goals)
        check_tunable(options.qat_steps, [v for goal in goals for v in goal.target.variants], of=f"target {names}")
        protocols = {name: supporting(load_protocol(name)[0], goals) for name in (SCREEN, FINAL)}
        config = _config(options, goals, data, teacher, loss=loss, protocols=protocols)
        # A short name is enough for people; the configuration itself is compared when a study goes on.
        name = options.study or f"{data.name}-{'-'.join(goal.target.name for goal in goals)}-{digest_of_json(encode(config))[:8]}"
        folder = RunFolder(Path(options.out) if options.out else Path("runs") / name, store=options.store)
        folder.check()
        job = cls(
            name=name,
            config=config,
            folder=folder,
            goals=goals,
            source=source,
            data=data,
            teacher=teacher,
            protocols=protocols,
            lock_clocks=options.lock_clocks,
            classroom=classroom_of(options, data, teacher, loss=loss, folder=folder),
            tune=options.tune,
        )
        job._check()
        source.warn_of_leaks(data)  # last: an error is one line, without a warning before it
        return job

    def _check(self) -> None:
        """Refuse before anything is written what would otherwise be met while running; raises InputError and DeviceError."""
        for goal in self.goals:
            if self.tune is not None:
                check_tuning(goal.target, goal.device, goal.target.variants)
            screening(goal.target)
            backends = self._backends(goal)
            check_measurable(goal.target, backends)
            for backend in backends.values() if goal.device.link.device is not None else ():
                with for_target(goal.target.name):
                    _check_toolchain(backend, needed=backend.name == screening(goal.target).backend)
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
        with self.folder.held(self.name), self._clocks(), self._evaluating() as evaluators:
            journal = SQLJournal(self.folder.journal_url)
            if self.teacher is not None and self.teacher.spec is not None:
                self.folder.write_teacher(self.teacher.spec)
            self.folder.write_task(evaluators[0].task)
            policy = GoalsInTurn([self._policy(evaluator) for evaluator in evaluators])
            loop = StudyLoop(name=self.name, journal=journal, evaluators=evaluators, policy=policy, watch=watch)
            study, stop = loop.run(self.config)
            bundles = self.folder.bundles(self.config)
            for number, (evaluator, bundle) in enumerate(zip(evaluators, bundles, strict=True)):
                study = self._shipped(study, number, evaluator, bundle, journal)
            ends = [self._end(study.of(number), bundle) for number, bundle in enumerate(bundles)]
            finish = Finish(study=study, ends=tuple(ends), stop=stop, folder=self.folder)
            write_page(self.folder.report, finish.outcomes)
            self.folder.write_summary(summarise(finish.outcomes))
        return finish

    def study(self, policy: Callable[[SearchSpace, SearchSpace], TakesTurns], watch: Watch) -> Study:
        """Run a study under another policy for each goal, made from the two spaces, until all stop; nothing is shipped or reported.

        Raises:
            InputError: the store or the folder cannot be used.
            StageError: the teacher could not be read on the target.
            DeviceError: the device, or the way to it, failed.
        """
        with self.folder.held(self.name), self._clocks(), self._evaluating() as evaluators:
            journal = SQLJournal(self.folder.journal_url)
            made = GoalsInTurn([policy(one.family.space(one.task), one.distiller.space) for one in evaluators])
            return StudyLoop(name=self.name, journal=journal, evaluators=evaluators, policy=made, watch=watch).run(self.config)[0]

    @contextmanager
    def _clocks(self) -> Iterator[None]:
        with ExitStack() as stack:
            for goal in {id(goal.device): goal for goal in self.goals}.values() if self.lock_clocks else ():
                stack.enter_context(clocks_held(goal.device, goal.target.power_modes))
            yield

    def _distiller(self) -> KDDistiller:
        return KDDistiller(self.data, self.teacher, seed=self.config.seed, cache=self.folder.work / "logits", loss=self.config.loss)

    @contextmanager
    def _evaluating(self) -> Iterator[tuple[Evaluator, ...]]:
        """Yield what carries out the actions for each goal; workers, where they teach, end with the context."""
        own = self._distiller()
        with distilling(own, self.config, self.classroom, self.folder) as distiller:
            yield self._evaluators(own, distiller)

    def _policy(self, evaluator: Evaluator) -> TakesTurns:
        front = any(goal.pareto for goal in self.config.goals)
        make, family = wiring.policy_named(self.config.policy, front=front), evaluator.family
        return make(family.space(evaluator.task), evaluator.distiller.space, evaluator.stages.target, family.members)

    def _shipped(self, study: Study, number: int, evaluator: Evaluator, bundle: Path, journal: SQLJournal) -> Study:
        """Write the bundles of a goal that are not there yet, of the engines that are to be shipped."""
        view = study.of(number)
        for one in deliveries(view, bundle):
            graded = one.graded
            known = next((s for s in reversed(view.shipments) if (s.pupil, s.variant) == (graded.pupil, graded.variant)), None)
            if known is not None and has_bundle(one.bundle, known.bundle) and self._tuned(one.bundle):
                continue
            _, digest = ship(view, graded, evaluator, name=self.name, data=self.data, folder=one.bundle, tune=self.tune)
            shipped = Shipped(pupil=graded.pupil, variant=graded.variant, bundle=digest, at_s=study.elapsed_s, goal=number)
            journal.append(self.name, shipped)
            study = advance(study, shipped)
        return study

    def _tuned(self, bundle: Path) -> bool:
        """Say whether a bundle was tuned as far as was asked for."""
        manifest = manifest_in(bundle)
        known = None if manifest is None else manifest.card.tuning
        return self.tune is None or (known is not None and known.most >= self.tune)

    def _end(self, view: Study, bundle: Path) -> GoalEnd:
        delivered = deliveries(view, bundle)
        return GoalEnd(outcome=outcome_of(self.name, view, self.folder, delivered, explained(view, self.folder)), delivered=delivered)

    def _backends(self, goal: PlacedGoal) -> dict[str, Backend]:
        folder = self.folder.work / "backends"
        return wiring.backends_of(goal.target, folder if len(self.goals) == 1 else folder / goal.target.name, goal.device)

    def evaluators(self) -> tuple[Evaluator, ...]:
        """Put together what carries out the actions for each goal, its files in the run's folder; this process teaches."""
        own = self._distiller()
        return self._evaluators(own, own)

    def _evaluators(self, own: KDDistiller, distiller: Distiller) -> tuple[Evaluator, ...]:
        """Return what carries out the actions where ``distiller`` teaches for all goals; it is this process that fine-tunes."""
        work = self.folder.work
        images, store = PreparedImages(self.source, self.data, work / "inputs"), FolderStore(self.folder.artifacts)
        task = _task(self.data, self.goals)
        fine_tuner = own.fine_tuner(self.config.qat_steps) if self.config.qat_steps else None
        teacher = None if self.teacher is None else teacher_network(self.teacher, self.data)
        family = wiring.family_named(self.config.family)
        return tuple(
            Evaluator(
                stages=Stages(target=goal.target, backends=self._backends(goal), images=images, store=store),
                family=family,
                task=task,
                distiller=distiller,
                teacher=teacher,
                teacher_digest=self.config.teacher_digest,
                data_digest=self.data.digest,
                protocols=self.protocols,
                screen_variant=screening(goal.target),
                seed=self.config.seed,
                lessons=work / "lessons",
                pool=goal.device.pool,
                silence=silence_for(goal, self.config, self.classroom),
                fine_tuner=fine_tuner,
            )
            for goal in self.goals
        )


def _config(
    options: SearchOptions,
    goals: tuple[PlacedGoal, ...],
    data: TeachingData,
    teacher: Teacher | None,
    *,
    loss: str,
    protocols: Mapping[str, Protocol],
) -> StudyConfig:
    """Return what a study is known by; raises InputError where a guess or an earlier study is not of its spaces."""
    spaces = (wiring.family_named(options.family).space(_task(data, goals)), loss_space(loss))
    earlier = None if options.warm_from is None else Path(options.warm_from)
    return StudyConfig(
        goals=tuple(goal.goal for goal in goals),
        data=data.name,
        data_digest=data.digest,
        teacher=NONE if teacher is None else teacher.name,
        teacher_digest=digest_of_json([NONE]) if teacher is None else teacher.digest,
        family=options.family,
        policy=options.policy,
        loss=loss,
        budget=options.budgeted(),
        search_steps=options.steps_of_search(),
        rungs=options.rungs,
        eta=options.eta,
        final_steps=options.final_steps_for(len(data.train)),
        final_members=options.final_members,
        seed=options.seed,
        qat_steps=options.qat_steps,
        spaces_digest=spaces_digest(spaces),
        protocols={name: Digest(digest_of_json(encode(protocol))) for name, protocol in protocols.items()},
        starts=tuple(start_of(text, spaces) for text in options.start),
        workers=options.workers,
        recalled=() if earlier is None else recalled_from(earlier, family=options.family, loss=loss, spaces=spaces),
    )


def _check_toolchain(backend: Backend, *, needed: bool) -> None:
    """Ask a device for a backend's runtime; a compiler that is not here leaves the variants of a backend out, unless it is needed."""
    try:
        backend.builder.toolchain()
    except AbsentCompilerError as error:
        if needed:
            raise RuntimeMissingError(error.args[0], hint=error.hint) from error


def _task(data: TeachingData, goals: tuple[PlacedGoal, ...]) -> Task:
    return Task(image=data.image, classes=len(data.classes), channel_multiple=channel_multiple(goals))
