"""The fake world with several workers: teachings end in their own time, and every choice of the policy is written down."""

from dataclasses import dataclass, field, replace

from search.fake_world import FakeWorld

from autokd_edge.core.events import Action, Begun, Confirm, GradeEngine, Probe, Stop, Taught, Teach, Wait
from autokd_edge.core.study import fold
from autokd_edge.ports import Policy

TICK_S = 1e-3  # between two events that nothing lies between


@dataclass
class FakeWorkers(FakeWorld):
    """Does what the loop does: a batch is left when a teaching ended, and the policy is asked again."""

    choices: dict[int, Action] = field(default_factory=dict)  # number of events -> what the policy said then
    uneven: float = 0.5  # a pupil takes up to so much longer than another

    def run(self, policy: Policy, most: int = 2000) -> tuple[list[Action], Stop]:
        for _ in range(most):
            self._take_in()
            action = self.choices[len(self.events)] = policy.next(self.study)
            if isinstance(action, Stop):
                return list(self.choices.values())[:-1], action
            self._carry_out(action)
        raise AssertionError(f"the policy did not stop within {most} actions")

    def _carry_out(self, action: Action) -> None:
        match action:
            case Probe(members=members):
                for member in members:
                    self.do(replace(action, members=(member,)))
                    if self._take_in():
                        return
            case Teach():
                assert len(self.study.running) < self.study.config.workers
                facts = {name: getattr(action, name) for name in ("pupil", "steps", "final", "goal", "of_steps")}
                self.events.append(Begun(**facts, at_s=self._after(TICK_S)))
            case Wait():
                assert self.study.running, "waits for nothing"
                self._end(min(self.study.running, key=self._ends_s))
            case Confirm() | GradeEngine():
                assert not self.study.running, "a final reading would be disturbed"
                self.do(action)

    def _take_in(self) -> bool:
        ended = sorted((begun for begun in self.study.running if self._ends_s(begun) <= self.events[-1].at_s), key=self._ends_s)
        for begun in ended:
            self._end(begun)
        return bool(ended)

    def _end(self, begun: Begun) -> None:
        at_s = max(self._ends_s(begun), self._after(TICK_S))
        wanted = Teach(pupil=begun.pupil, steps=begun.steps, final=begun.final, goal=begun.goal, of_steps=begun.of_steps)
        self.events.append(replace(self._teach(wanted), at_s=at_s))

    def _ends_s(self, begun: Begun) -> float:
        whole = begun.of_steps or begun.steps
        before = [e.steps for e in self.events if isinstance(e, Taught) and e.pupil == begun.pupil and e.of_steps == whole]
        steps = begun.steps - max(before, default=0)
        slow = 1 + self.uneven * (round(begun.pupil.member.architecture.number("width")) % 100) / 100
        return begun.at_s + steps * self.step_s * slow


def chosen_again(world: FakeWorkers, policy: Policy) -> dict[int, Action]:
    """Ask another policy at every point at which the first was asked."""
    return {count: policy.next(fold(world.events[:count])) for count in world.choices}
