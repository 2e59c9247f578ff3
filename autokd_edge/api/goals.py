"""The goals of a search as they were found: targets as their devices are, what is asked there, where the bundles go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autokd_edge import wiring
from autokd_edge.api.targets import AskedGoal
from autokd_edge.core.goal import Goal, Traded
from autokd_edge.core.limits import Limits
from autokd_edge.core.measure import Protocol, samples_needed
from autokd_edge.core.recording import Recording
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.variants import SCREENING_PRECISION
from autokd_edge.devices.descriptors import digest_of_target
from autokd_edge.devices.device import Device
from autokd_edge.devices.fingerprint import target_here
from autokd_edge.devices.recordings import digest_of_recording
from autokd_edge.errors import LimitError, TargetError
from autokd_edge.teaching.teacher import Teacher
from autokd_edge.teaching.teachers import NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedGoal:
    """A goal, its target as the device is, and the device."""

    goal: Goal
    target: Target
    device: Device


def placed(asked: Sequence[AskedGoal], pareto: tuple[Traded, ...] = ()) -> tuple[PlacedGoal, ...]:
    """Look at each device or pool of boards, one connection for each; raises InputError and DeviceError.

    ``pareto`` is what accuracy is traded for where a front is wanted.
    """
    devices = {one.addresses: wiring.pool_of(one.addresses) for one in asked if one.predict is None}
    return tuple(
        _placed(one, devices[one.addresses] if one.predict is None else wiring.predicted_device(one.target, one.predict), pareto)
        for one in asked
    )


def _placed(asked: AskedGoal, device: Device, pareto: tuple[Traded, ...]) -> PlacedGoal:
    machine = device.fingerprint()
    target = target_here(asked.target, machine)
    if asked.limits.instructions is not None and not (machine.counts_instructions and target.threads == 1):
        raise LimitError(
            f"instructions are counted on an emulated board alone, of one thread; '{device.link.device or 'this machine'}' counts none",
            hint="--max-latency 0.5x, or --device of a board of tools/emulated_board.py",
        )
    if pareto and machine.counts_instructions and target.threads == 1:
        raise LimitError(
            f"a front is of accuracy against latency, and an emulator's time ranks nothing; '{device.link.device}' is emulated",
            hint="leave --pareto out, or --device of a board",
        )
    if device.recording is not None:
        target = _recorded(target, device.recording)
    goal = Goal(
        target=target.name, target_digest=digest_of_target(target), limits=asked.limits, device=_named(asked, device), pareto=pareto
    )
    return PlacedGoal(goal=goal, target=target, device=device)


def _recorded(target: Target, recording: Recording) -> Target:
    """Return the target with the variants that readings were recorded in: no other can be predicted."""
    known = {one.variant for one in recording.variants}
    variants = tuple(variant for variant in target.variants if variant in known)
    if not variants:
        asked, found = (", ".join(map(str, of)) for of in (target.variants, sorted(known, key=str)))
        raise TargetError(
            f"readings must have been recorded in a variant of target '{target.name}', {asked}; these are of {found}",
            hint="record them anew: python tools/record_readings.py",
        )
    return replace(target, variants=variants)


def _named(asked: AskedGoal, device: Device) -> str | None:
    """Name what gives the readings: addresses, the digest of recorded readings, or None for this machine."""
    if device.recording is not None:
        return f"recording {digest_of_recording(device.recording)}"
    return ",".join(asked.addresses) or None


def channel_multiple(goals: Sequence[PlacedGoal]) -> int:
    """Return what channels must be a multiple of for the kernels of every target: all of them get the same networks."""
    return math.lcm(*(goal.target.channel_multiple for goal in goals))


def screening(target: Target) -> Variant:
    """Return the variant that students are read in first; raises TargetError where there is none."""
    found = next((v for v in target.variants if v.precision == SCREENING_PRECISION), None)
    if found is None:
        raise TargetError(
            f"target '{target.name}' must have a variant in {SCREENING_PRECISION} to screen students with; it has none",
            hint=f'add [[variants]] backend = "{target.variants[0].backend}", precision = "{SCREENING_PRECISION}" to the descriptor',
        )
    return found


def check_relative(limits: Limits, teacher: Teacher | None) -> None:
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


def supporting(protocol: Protocol, goals: Sequence[PlacedGoal]) -> Protocol:
    """Lengthen the blocks where the percentile of a limit needs more samples."""
    percents = [goal.goal.limits.latency.percent for goal in goals if goal.goal.limits.latency is not None]
    if not percents:
        return protocol
    needed = -(-max(map(samples_needed, percents)) // protocol.blocks)
    runs = max(protocol.block_runs, needed)
    # Where a block is cut to its number of samples, at least half of that number is left.
    return replace(protocol, block_runs=runs, block_samples=max(protocol.block_samples, 2 * runs))
