"""A whole pipeline of fakes around a real artifact store: small students, a distiller and images without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from fakes.backend import FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS, FakeBoard, FakeBuilder, FakeQuantizer
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from autokd_edge.core.digest import Digest, digest_of_bytes
from autokd_edge.core.events import Confirmed, Event, Graded, Opened, Probed, Referenced, StudyConfig, Taught
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import Budget, LatencyLimit, Limits
from autokd_edge.core.pupil import Lesson, Member, Pupil, Screened
from autokd_edge.core.quantization import FineTuningRecipe
from autokd_edge.core.space import Integer, Point, Real, SearchSpace
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.study import Study, fold
from autokd_edge.core.tuning import Tuning
from autokd_edge.errors import BuildError, LoweringError, MeasureError, QuantizeError, TeachError
from autokd_edge.pipeline.evaluate import FINAL, SCREEN, Evaluator
from autokd_edge.pipeline.loop import StudyLoop, Watch
from autokd_edge.pipeline.stages import Stages
from autokd_edge.ports import Backend, TaughtNetwork, TeacherNetwork
from autokd_edge.search.goals import GoalsInTurn
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.store.artifacts import FolderStore
from autokd_edge.students.cost import cost_of
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.folding import initial_arrays
from autokd_edge.students.lower_onnx import onnx_from_spec

IMAGE, CLASSES = (1, 6, 6), 3
TASK = Task(image=IMAGE, classes=CLASSES, channel_multiple=1)
FP32, INT8 = FAKE_VARIANTS
TEACHER = resnet_spec(IMAGE, CLASSES, (24,), 2, stem=16, seed=1)
PROTOCOLS = {SCREEN: replace(FAKE_PROTOCOL, name="screen"), FINAL: replace(FAKE_PROTOCOL, name="final")}
NONE = digest_of_bytes(b"")
PLAN = Plan(pool=4, batch=2, finalists=1, most_probes=12)


class Killed(BaseException):
    """The process ends here, as by a signal: nothing may catch it."""


class FakeFamily:
    """Residual networks of one block; one width in ``unlowerable_one_in`` cannot be lowered."""

    name = "fake"

    def __init__(self, *, unlowerable_one_in: int = 0) -> None:
        self._unlowerable_one_in = unlowerable_one_in

    def space(self, task: Task) -> SearchSpace:  # noqa: ARG002  the port's signature
        return SearchSpace(parameters=(Integer(name="width", low=2, high=40), Integer(name="stem", low=2, high=9)))

    def members(self, architecture: Point) -> int:  # noqa: ARG002  the port's signature
        return 3

    def spec(self, architecture: Point, task: Task, index: int) -> StudentSpec:
        width, stem = architecture.integer("width"), architecture.integer("stem")
        if self._unlowerable_one_in and width % self._unlowerable_one_in == 0:
            raise LoweringError("the fake family has no such network")
        return resnet_spec(task.image, task.classes, (width,), 1, stem=stem, seed=1000 * width + 10 * stem + index)


class FakeDistiller:
    """Writes weights that follow from its arguments; larger networks learn more."""

    space = SearchSpace(parameters=(Real(name="tau", low=1.0, high=20.0, log=True), Real(name="alpha", low=0.0, high=1.0)))

    def __init__(self, *, failing: bool = False) -> None:
        self._failing = failing
        self.taught = 0

    def teach(self, spec: StudentSpec, distillation: Point, *, steps: int, seed: int, out: Path, until: int | None = None) -> TaughtNetwork:
        if self._failing:
            raise TeachError("the loss must be finite; it is nan at step 1")
        if until is not None:
            return self._paused(spec, until, steps, out)
        if not out.exists():
            self.taught += 1
            out.parent.mkdir(parents=True, exist_ok=True)
            shift = np.float32(0.01 * distillation.number("tau") + 0.001 * steps + seed)
            save_file({name: value + shift * name.endswith(".bias") for name, value in initial_arrays(spec).items()}, out)
        weights = sum(value.size for value in load_file(out).values())
        return TaughtNetwork(accuracy=min(99.0, 60 + 5 * math.log10(weights)), loss=1.0, seconds=0.25)

    def _paused(self, spec: StudentSpec, until: int, steps: int, out: Path) -> TaughtNetwork:
        rung = out.with_suffix(f".{until}")
        if not rung.exists():
            self.taught += 1
            out.parent.mkdir(parents=True, exist_ok=True)
            rung.touch()
        weights = sum(value.size for value in initial_arrays(spec).values())
        return TaughtNetwork(accuracy=min(99.0, 40 + 20 * until / steps + 5 * math.log10(weights)), loss=1.0, seconds=0.25)


class FakeFineTuner:
    """Takes away all but ``left`` of what the fake quantiser added to the weights of the float graph beside it."""

    def __init__(self, *, left: float = 0.0, failing: bool = False) -> None:
        self.original: Path | None = None
        self.tuned = 0
        self._left = left
        self._failing = failing

    def recipe(self, distillation: Point) -> FineTuningRecipe:
        return FineTuningRecipe(steps=40, loss="kd", distillation=distillation, seed=0, teacher=NONE, data=NONE)

    def tune(self, graph: Path, recipe: FineTuningRecipe, *, out: Path) -> None:  # noqa: ARG002  the port's signature
        if self._failing:
            raise TeachError("the loss of tuning must be finite; it is nan at step 1 of 40")
        if out.exists():
            return
        self.tuned += 1
        model = onnx.load(graph)
        if self.original is not None:
            before = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(self.original).graph.initializer}
            for tensor in model.graph.initializer:
                value = before[tensor.name] + self._left * (numpy_helper.to_array(tensor) - before[tensor.name])
                tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
        model.doc_string += ", tuned"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(model.SerializeToString(deterministic=True))


class FakeImages:
    """Noise with labels; the test set may be asked for only where ``test_allowed``."""

    def __init__(self, folder: Path, *, test_allowed: bool = False) -> None:
        self._folder = folder
        self._test_allowed = test_allowed
        self.asked: list[str] = []

    def inputs(self, split: str) -> tuple[Path, np.ndarray]:
        self.asked.append(split)
        if split == "test" and not self._test_allowed:
            raise AssertionError("the test set was asked for")
        path = self._folder / f"{split}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            np.save(path, np.random.default_rng(len(split)).standard_normal((20, *IMAGE), dtype=np.float32))
        return path, np.random.default_rng(len(split)).integers(0, CLASSES, 20)


@dataclass
class FakeLabelledImages:
    """Images labelled by the float network itself: every answer that quantising changes is an error."""

    path: Path
    labels: np.ndarray | None = None

    def inputs(self, split: str) -> tuple[Path, np.ndarray]:  # noqa: ARG002  the port's signature
        return self.path, self.labels


class CountingBuilder(FakeBuilder):
    """Counts its builds, and refuses every n-th; the first is the teacher's."""

    def __init__(self, *, refuses_every: int = 0) -> None:
        super().__init__()
        self._refuses_every = refuses_every
        self.built = 0

    def build(self, graph, *, variant, target, out) -> None:
        self.built += 1
        if self._refuses_every and self.built % self._refuses_every == 0:
            raise BuildError("the fake compiler refuses this graph")
        super().build(graph, variant=variant, target=target, out=out)


class FailingQuantizer(FakeQuantizer):
    def quantize(self, graph, samples, *, variant, target, out, keep=()):  # noqa: ARG002  the port's signature
        raise QuantizeError("the fake quantiser refuses this graph")


class FlakyBoard(FakeBoard):
    """Reads the teacher; after that measuring or inferring fails, as it is told."""

    def __init__(self, *, measures: bool = True, infers: bool = True) -> None:
        super().__init__()
        self._measures, self._infers = measures, infers
        self.measured = 0
        self.teacher: str | None = None

    def measure(self, engine, *, variant, target, protocol):
        self.measured += 1
        if not self._measures and self._not_teacher(engine):
            raise MeasureError("the fake device does not answer", retryable=True)
        return super().measure(engine, variant=variant, target=target, protocol=protocol)

    def infer(self, engine, inputs, *, variant, target, out) -> None:
        if not self._infers and self._not_teacher(engine):
            raise MeasureError("the fake engine does not run")
        super().infer(engine, inputs, variant=variant, target=target, out=out)

    def _not_teacher(self, engine) -> bool:
        self.teacher = self.teacher or engine.name  # the first engine that a study runs
        return engine.name != self.teacher


class OptimisticBoard(FlakyBoard):
    """Reads students in a quarter of the time by the screening protocol, as one that was lucky; ``teacher`` is its engine's name."""

    def __init__(self, teacher: str | None = None) -> None:
        super().__init__()
        self.teacher = teacher

    def measure(self, engine, *, variant, target, protocol):
        reading = super().measure(engine, variant=variant, target=target, protocol=protocol)
        if protocol.name != SCREEN or not self._not_teacher(engine):
            return reading
        return replace(reading, blocks_ns=tuple(tuple(max(1, ns // 4) for ns in block) for block in reading.blocks_ns))


class FakeTuner:
    """Notes its choice in the graph, whose engine is faster by what it is told; ``weight`` bytes make it slower to the fake board."""

    def __init__(self, *, tuned_ns: float = 800.0, weight: int = 0) -> None:
        self._tuned_ns = tuned_ns
        self._weight = weight
        self.tuned = 0

    def tune(self, graph, *, variant, target, most, out) -> Tuning:  # noqa: ARG002  the port's signature
        self.tuned += 1
        tuning = Tuning(
            most=most,
            workloads=2,
            known=0,
            candidates=2 * most,
            failed={},
            changed=1,
            seconds=1.0,
            untuned_ns=1000.0,
            tuned_ns=self._tuned_ns,
        )
        model = onnx.load(graph)
        if tuning.kept:
            model.metadata_props.append(onnx.StringStringEntryProto(key="tuned", value="x" * self._weight))
        out.write_bytes(model.SerializeToString(deterministic=True))
        return tuning


class FakeJournal:
    """A list of events for each study; dies before or after writing event number ``dies_at``."""

    def __init__(self, events: list[Event] | None = None, *, dies_at: int = -1, after: bool = False) -> None:
        self.events = [] if events is None else events
        self._dies_at, self._after = dies_at, after

    def read(self, study: str) -> Iterable[Event]:  # noqa: ARG002  one study
        return iter(tuple(self.events))

    def append(self, study: str, event: Event) -> None:  # noqa: ARG002  one study
        if len(self.events) == self._dies_at and not self._after:
            raise Killed
        self.events.append(event)
        if len(self.events) == self._dies_at + 1 and self._after:
            raise Killed


def write_teacher(out: Path) -> None:
    """Write the teacher's graph."""
    out.write_bytes(onnx_from_spec(TEACHER, initial_arrays(TEACHER)).SerializeToString())


def answer(images: np.ndarray) -> np.ndarray:
    """Answer the first class for every image."""
    return np.eye(CLASSES, dtype=np.float32)[np.zeros(len(images), int)]


@dataclass(kw_only=True)
class World:
    """One process's view of a study: everything is new but the folder."""

    folder: Path
    family: FakeFamily = field(default_factory=FakeFamily)
    distiller: FakeDistiller = field(default_factory=FakeDistiller)
    builder: CountingBuilder = field(default_factory=CountingBuilder)
    quantizer: FakeQuantizer = field(default_factory=FakeQuantizer)
    board: FlakyBoard = field(default_factory=FlakyBoard)
    test_allowed: bool = False
    tuner: FakeTuner | None = None
    fine_tuner: FakeFineTuner | None = None

    def __post_init__(self) -> None:
        self.images = FakeImages(self.folder / "inputs", test_allowed=self.test_allowed)
        backend = Backend(name="fake", builder=self.builder, quantizer=self.quantizer, board=self.board, tuner=self.tuner)
        store = FolderStore(self.folder / "artifacts")
        self.stages = Stages(target=FAKE_TARGET, backends={"fake": backend}, images=self.images, store=store)
        self.evaluator = self.evaluator_of(self.stages)

    def evaluator_of(self, stages: Stages) -> Evaluator:
        """Make what carries out actions by these stages; all else is shared."""
        return Evaluator(
            stages=stages,
            family=self.family,
            task=TASK,
            distiller=self.distiller,
            teacher=TeacherNetwork(digest=NONE, cost=cost_of(TEACHER), write_graph=write_teacher, answer=answer, run_by="fake"),
            teacher_digest=NONE,
            data_digest=NONE,
            protocols=PROTOCOLS,
            screen_variant=FP32,
            seed=0,
            lessons=self.folder / "lessons",
            fine_tuner=self.fine_tuner,
        )

    def policy(self) -> PhasedPolicy:
        return PhasedPolicy(RandomChooser(self.family.space(TASK), self.distiller.space), FAKE_VARIANTS, PLAN)

    def loop(self, journal: FakeJournal, *, watch: Watch = lambda _study, _action: None) -> StudyLoop:
        return StudyLoop(name="study", journal=journal, evaluators=(self.evaluator,), policy=self.policy(), watch=watch)

    def loop_of_two(self, journal: FakeJournal) -> StudyLoop:
        """A search for two targets, the same board under two names."""
        second = replace(self.stages, target=replace(FAKE_TARGET, name="second-board"))
        policy = GoalsInTurn([self.policy(), self.policy()], PLAN)
        evaluators = (self.evaluator, self.evaluator_of(second))
        return StudyLoop(name="study", journal=journal, evaluators=evaluators, policy=policy, watch=lambda _study, _action: None)


def config(*, teachings: int = 2, times_teacher: float = 0.9) -> StudyConfig:
    """Make the configuration of a study in which most students fit."""
    limits = Limits(latency=LatencyLimit(percent=50.0, bound_ns=None, times_teacher=times_teacher), memory=None, max_drop=None)
    return StudyConfig(
        goals=(Goal(target="fake-board", target_digest=NONE, limits=limits),),
        data="fake",
        data_digest=NONE,
        teacher="fake",
        teacher_digest=NONE,
        family="fake",
        policy="fake",
        budget=Budget(seconds=None, teachings=teachings),
        search_steps=10,
        final_steps=30,
        final_members=2,
        seed=0,
        protocols={name: Digest(NONE) for name in PROTOCOLS},
    )


def config_of_two() -> StudyConfig:
    """Make the configuration of a study for two targets, the second with a wider limit."""
    first, second = config(), config(times_teacher=1.2)
    return replace(first, goals=(*first.goals, replace(second.goals[0], target="second-board")))


def begun(world: World, *, times_teacher: float = 0.9) -> Study:
    """Read the teacher: a study in which nothing was probed yet."""
    read = world.evaluator.reference()
    referenced = Referenced(accuracy=read.accuracy, cost=read.cost, measurements=read.measurements, at_s=0.0)
    return fold((Opened(config=config(times_teacher=times_teacher), at_s=0.0), referenced))


def timeless(events: Iterable[Event]) -> list[Event]:
    """Take the clock out of events, to compare them."""
    found = []
    for event in events:
        bare = replace(event, at_s=0.0)
        if isinstance(bare, Taught) and isinstance(bare.outcome, Lesson):
            bare = replace(bare, outcome=replace(bare.outcome, seconds=0.0))
        found.append(bare)
    return found


def pupil(width: int = 8, index: int = 0) -> Pupil:
    """Make a pupil of the fake family."""
    architecture = FakeFamily().space(TASK).point({"width": width, "stem": 4})
    return Pupil(member=Member(architecture=architecture, index=index), distillation=FakeDistiller.space.at([0.5, 0.5]))


def outcomes(study: Study) -> list[object]:
    """Return what became of everything that was tried."""
    tried: tuple[Probed | Confirmed | Taught | Graded, ...] = (*study.probes, *study.confirmations, *study.teachings, *study.grades)
    unread = [u.failure for p in study.probes if isinstance(p.outcome, Screened) for u in p.outcome.unread]
    return [*(event.outcome for event in tried), *unread]
