"""What the claims' benchmark does to networks: search, teach, build, measure, grade, with the product's own parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autokd_edge import wiring
from autokd_edge.api.goals import screening
from autokd_edge.api.options import SearchOptions
from autokd_edge.api.search import SearchJob
from autokd_edge.core.codec import decode, encode
from autokd_edge.core.limits import Budget, LatencyLimit, Limits
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Grade, Lesson, Member, Pupil
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.study import Study
from autokd_edge.pipeline.evaluate import FINAL, SCREEN, Evaluator
from autokd_edge.pipeline.loop import StudyLoop
from autokd_edge.pipeline.ship import shipment
from autokd_edge.search.candidates import GUESS
from autokd_edge.search.chooser import Chooser
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.verdicts import best_grade
from autokd_edge.store.journal import SQLJournal
from autokd_edge.students.cost import cost_of

LOSSES = ("ce", "kd", "dkd", "dist", "at", "sp", "crd")
EQUAL = 1.05  # latency of a found student over the hand-designed one's, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done: enough to see that the benchmark runs, or enough to say something."""

    data: str
    designed: tuple[str, ...]
    compared: str  # the hand-designed student whose latency the search by labels alone is held to
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    family: str
    pool: int
    teachings: int
    search_steps: int
    full_steps: int
    strategy: str
    precisions: tuple[str, ...] = ("fp32", "int8")
    protocol: str = FINAL  # of what is read at the end

    def described(self) -> dict[str, Any]:
        """Return the settings as JSON gives them back; the final protocol is not named, as in ledgers that knew no other."""
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in settings.items() if (key, value) != ("protocol", FINAL)}


_ALL = ("resnet8", "mobilenetv2-0.25", "mobilenetv2-0.5", "mobilenetv3-small-0.5", "shufflenetv2-0.5", "mcunet-like")
SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        data="digits",
        designed=("resnet8",),
        compared="resnet8",
        losses=("ce", "kd", "dkd", "at"),
        seeds=(0,),
        family="mbconv",
        pool=2,
        teachings=1,
        search_steps=10,
        full_steps=40,
        strategy="random",
        precisions=("fp32",),
        protocol=SCREEN,  # a minute's work has no time for more
    ),
    "short": Scale(
        data="fashion-mnist",
        designed=("resnet8",),
        compared="resnet8",
        losses=("ce", "kd"),
        seeds=(0, 1),
        family="nago,mbconv",
        pool=12,
        teachings=3,
        search_steps=80,
        full_steps=400,
        strategy="edge-bo",
    ),
    "hours": Scale(  # two cores have it in an evening or two; students are taught for three epochs and stay below their best
        data="fashion-mnist",
        designed=_ALL,
        compared="resnet8",
        losses=LOSSES,
        seeds=(0, 1, 2),
        family="nago,mbconv",
        pool=32,
        teachings=8,
        search_steps=200,
        full_steps=1_200,
        strategy="edge-bo",
    ),
    "fashion-mnist": Scale(
        data="fashion-mnist",
        designed=_ALL,
        compared="resnet8",
        losses=LOSSES,
        seeds=(0, 1, 2),
        family="nago,mbconv",
        pool=48,
        teachings=20,
        search_steps=400,
        full_steps=12_000,
        strategy="edge-bo",
    ),
}


class Lab:
    """One machine, one data set, one teacher; everything made lies below ``work``."""

    def __init__(self, scale: Scale, work: Path) -> None:
        self._scale = scale
        self._work = work
        options = SearchOptions(
            data=scale.data,
            teacher=f"example:{scale.data}",
            family=scale.family,
            budget=str(scale.teachings),
            search_steps=scale.search_steps,
            final_steps=scale.full_steps,
            final_members=1,
            study="claims",
            out=str(work / "lab"),
        )
        job = SearchJob.of(options)
        (goal,) = job.goals
        # One backend for all, found and designed: what is compared is networks.
        backend = screening(goal.target).backend
        self._variants = tuple(v for v in goal.target.variants if v.precision in scale.precisions and v.backend == backend)
        self._job = replace(job, goals=(replace(goal, target=replace(goal.target, variants=self._variants)),))
        work.joinpath("lab").mkdir(parents=True, exist_ok=True)
        self._evaluators: dict[str, Evaluator] = {}
        self._evaluator = self._taught_by("kd")

    def latency_of(self, designed: str) -> dict[str, Any]:
        """Read a hand-designed student, untrained, by the final protocol."""
        evaluator = replace(self._evaluator, family=wiring.family_named(designed))
        spec = evaluator.spec(_only(0))
        engine = evaluator.stages.engine(evaluator.stages.untrained_graph(spec, evaluator.screen_variant), evaluator.screen_variant)
        reading = evaluator.stages.measurement(engine, evaluator.screen_variant, evaluator.protocols[FINAL])
        return {"median_ns": reading.median_ns, "origin": reading.origin, "parameters": cost_of(spec).parameters}

    def _taught_by(self, loss: str) -> Evaluator:
        """Return what teaches by a loss; the same data, teacher and artifacts for all."""
        if loss not in self._evaluators:
            (evaluator,) = replace(self._job, config=replace(self._job.config, loss=loss)).evaluators()
            protocols = {**evaluator.protocols, FINAL: evaluator.protocols[self._scale.protocol]}
            self._evaluators[loss] = replace(evaluator, protocols=protocols)
        return self._evaluators[loss]

    def search(self, name: str, bound_ns: float, loss: str) -> dict[str, Any]:
        """Search for a student that is as fast; say which pupil was found, and its engines beside the teacher."""
        evaluator = self._taught_by(loss)
        limits = Limits(
            latency=LatencyLimit(percent=50.0, bound_ns=round(bound_ns * EQUAL), times_teacher=None), memory=None, max_drop=None
        )
        goals = tuple(replace(goal, limits=limits) for goal in self._job.config.goals)
        config = replace(self._job.config, goals=goals, loss=loss, budget=Budget(seconds=None, teachings=self._scale.teachings))
        journal = SQLJournal(self._job.folder.journal_url)
        loop = StudyLoop(
            name=name, journal=journal, evaluators=(evaluator,), policy=self._policy(evaluator), watch=lambda _study, _action: None
        )
        study, stop = loop.run(config)
        best = best_grade(study)
        if best is None:
            return {"pupil": None, "reason": stop.reason}
        counts = {"probed": len(study.probes), "fitting": sum(study.fits(p) for p in study.probes), "taught": len(study.teachings)}
        return {"pupil": encode(best.pupil), **counts, **self._shown(study, evaluator, best.pupil)}

    def teach_designed(self, designed: str, loss: str, seed: int) -> dict[str, Any]:
        """Teach a hand-designed student in full by one loss; the seed draws its first weights and its dropout."""
        evaluator = replace(self._taught_by(loss), family=wiring.family_named(designed), seed=seed)
        return self._taught(evaluator, Pupil(member=_only(seed), distillation=_usual(evaluator.distiller.space)))

    def teach_found(self, pupil: dict[str, Any], seed: int) -> dict[str, Any]:
        """Teach a found student in full by plain KD with the same distillation point as hand-designed ones.

        The seed draws the first weights of a family whose points are one network, and dropout; a member of
        another family is itself its wiring, so its first weights stay.
        """
        found = decode(Pupil, pupil)
        evaluator = replace(self._evaluator, seed=seed)
        alone = evaluator.family.members(found.member.architecture) == 1
        member = replace(found.member, index=seed) if alone else found.member
        return self._taught(evaluator, Pupil(member=member, distillation=_usual(evaluator.distiller.space)))

    def _taught(self, evaluator: Evaluator, pupil: Pupil) -> dict[str, Any]:
        """Teach and grade as an fp32 engine on the test set; a failure is said in words."""
        lesson = evaluator.teach(pupil, self._scale.full_steps)
        if not isinstance(lesson, Lesson):
            return {"failed": f"{lesson.error}: {lesson.message}"}
        stages, variant = evaluator.stages, evaluator.screen_variant
        engine = stages.engine(evaluator.float_graph(pupil, self._scale.full_steps), variant)
        reading = stages.measurement(engine, variant, evaluator.protocols[FINAL])
        return {
            "test_percent": stages.accuracy(engine, variant, "test"),
            "validation_percent": lesson.accuracy,
            "median_ns": reading.median_ns,
            "origin": reading.origin,
            "variant": str(variant),
            "parameters": cost_of(evaluator.spec(pupil.member)).parameters,
            "seconds": lesson.seconds,
        }

    def _policy(self, evaluator: Evaluator) -> PhasedPolicy:
        spaces = evaluator.family.space(evaluator.task), evaluator.distiller.space
        chooser: Chooser = EdgeBO(*spaces) if self._scale.strategy == "edge-bo" else RandomChooser(*spaces)
        plan = Plan(pool=self._scale.pool, batch=min(8, self._scale.pool))
        return PhasedPolicy(chooser, self._variants, plan, members=evaluator.family.members)

    def _shown(self, study: Study, evaluator: Evaluator, pupil: Pupil) -> dict[str, Any]:
        """Describe the found student's graded engines and the teacher, with their accuracies on the test set."""
        if study.reference is None or study.reference.cost is None:
            raise ValueError("the teacher is measured before any student; this study has no reading of it")
        engines, teacher = [], 0.0
        for graded in study.grades:
            if graded.pupil != pupil or not isinstance(graded.outcome, Grade):
                continue
            goods = shipment(study, graded, evaluator)
            teacher = teacher if goods.teacher is None else goods.teacher.test
            facts = {
                "variant": str(graded.variant),
                "test_percent": goods.student_engine.test,
                "validation_percent": graded.outcome.accuracy,
            }
            engines.append({**facts, **_read(graded.outcome.measurement), "parameters": cost_of(evaluator.spec(pupil.member)).parameters})
        reading = next(m for m in study.reference.measurements if m.protocol == self._scale.protocol)
        known = {"test_percent": teacher, **_read(reading), "parameters": study.reference.cost.parameters}
        return {"engines": engines, "teacher": known}


def _read(reading: Measurement) -> dict[str, Any]:
    return {"median_ns": reading.median_ns, "memory_bytes": reading.memory.engine_bytes, "origin": reading.origin}


def _usual(space: SearchSpace) -> Point:
    """Return the point that a search tries first: the usual tau and alpha, the middle of everything else's range."""
    middle = dict(space.at([0.5] * len(space)))
    return space.point({name: GUESS.get(name, value) for name, value in middle.items()})


def _only(index: int) -> Member:
    """Return the member of a family without parameters."""
    return Member(architecture=Point(values=()), index=index)
