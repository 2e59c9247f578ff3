"""What every policy must keep: a pure function of the study that repeats nothing and teaches only what fits."""

from search.fake_world import FP32, INT8, FakeWorld, config

from autokd_edge.core.events import GradeEngine, Probe, Probed, Taught, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.study import fold
from autokd_edge.ports import Policy


class PolicyContract:
    """Subclass it in the test of a policy and make ``policy`` return a new instance."""

    def policy(self) -> Policy:
        raise NotImplementedError

    def test_the_same_study_gives_the_same_action_also_to_a_new_instance(self):
        world = opened()
        policy = self.policy()
        for _ in range(8):
            study = world.study
            action = policy.next(study)
            assert policy.next(study) == action
            assert self.policy().next(fold(list(world.events))) == action
            world.do(action)

    def test_a_search_cut_off_again_and_again_equals_an_uninterrupted_one(self):
        whole, broken = opened(), opened()
        whole.run(self.policy())
        while len(broken.events) < len(whole.events):
            action = self.policy().next(broken.study)
            if isinstance(action, Probe):  # the process dies in the middle of every batch
                action = Probe(members=action.members[: max(1, len(action.members) // 2)])
            broken.do(action)
        assert broken.events == whole.events

    def test_another_seed_gives_another_search(self):
        policy = self.policy()
        assert policy.next(opened(seed=1).study) != policy.next(opened(seed=2).study)

    def test_no_member_is_probed_twice_and_no_pupil_taught_twice_in_the_search(self):
        world = opened()
        actions, _ = world.run(self.policy())
        probed = [member for action in actions if isinstance(action, Probe) for member in action.members]
        taught = [action.pupil for action in actions if isinstance(action, Teach) and not action.final]
        assert len(set(probed)) == len(probed)
        assert len(set(taught)) == len(taught)

    def test_only_members_that_were_measured_to_fit_are_taught(self):
        world = opened()
        world.run(self.policy())
        study = world.study
        fits = set()
        for event in world.events:
            if isinstance(event, Probed) and study.fits(event):
                fits.add(event.member)
            if isinstance(event, Taught):
                assert event.pupil.member in fits

    def test_a_search_ends_with_longer_teachings_of_one_familys_fitting_members_graded_in_every_variant(self):
        world = opened()
        actions, stop = world.run(self.policy())
        finals = [action for action in actions if isinstance(action, Teach) and action.final]
        graded = [action for action in actions if isinstance(action, GradeEngine)]
        family = {probed.member for probed in world.study.probes if probed.member.architecture == finals[0].pupil.member.architecture}
        fitting = {probed.member for probed in world.study.probes if probed.member in family and world.study.fits(probed)}
        assert len(family) == 8
        assert {action.pupil.member for action in finals} == fitting
        assert {action.steps for action in finals} == {400}
        assert [(action.pupil, action.variant) for action in graded] == [(f.pupil, v) for f in finals for v in (FP32, INT8)]
        assert "keeps all limits" in stop.reason

    def test_a_study_where_nothing_can_be_measured_ends_and_says_so(self):
        world = opened(broken_probe=True)
        _, stop = world.run(self.policy())
        assert "no candidate could be measured" in stop.reason
        assert "BuildError" in stop.reason

    def test_a_study_where_nothing_can_be_taught_ends_and_says_so(self):
        world = opened(broken_teaching=True)
        _, stop = world.run(self.policy())
        assert "no candidate could be taught" in stop.reason
        assert "the loss is not finite" in stop.reason


def opened(seed: int = 0, **world: bool) -> FakeWorld:
    """Begin a short study."""
    fake = FakeWorld(**world)
    fake.open(config(budget=Budget(seconds=None, teachings=5), latency_x=0.6, seed=seed))
    return fake
