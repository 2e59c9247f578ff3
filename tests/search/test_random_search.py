from search.fake_world import ARCHITECTURES, DISTILLATIONS, FakeWorld, config

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.space import SearchSpace
from autokd_edge.search.random_search import RandomChooser


def a_world(chooser, probes, latency_x=1.0):
    world = FakeWorld()
    world.open(config(latency_x=latency_x))
    world.do(Probe(members=chooser.probe(world.study, probes)))
    return world


def test_while_nothing_fits_there_is_nothing_to_teach():
    chooser = RandomChooser(ARCHITECTURES, DISTILLATIONS)
    assert chooser.teach(a_world(chooser, 8, latency_x=0.0001).study) is None


def test_members_that_were_never_taught_come_first():
    chooser = RandomChooser(ARCHITECTURES, DISTILLATIONS)
    world = a_world(chooser, 16)
    fits = sum(world.study.fits(probed) for probed in world.study.probes)
    assert fits > 1
    for _ in range(fits + 2):
        world.do(Teach(pupil=chooser.teach(world.study), steps=100, final=False))
    pupils = [taught.pupil for taught in world.study.teachings]
    assert len({pupil.member for pupil in pupils[:fits]}) == fits
    assert len(set(pupils)) == fits + 2


def test_without_distillation_parameters_every_member_is_taught_once():
    chooser = RandomChooser(ARCHITECTURES, SearchSpace(parameters=()))
    world = a_world(RandomChooser(ARCHITECTURES, DISTILLATIONS), 8)
    taught = 0
    while (pupil := chooser.teach(world.study)) is not None:
        world.broken_teaching = True  # the world's accuracy needs tau; a failed teaching is not repeated either
        world.do(Teach(pupil=pupil, steps=100, final=False))
        taught += 1
    assert taught == sum(world.study.fits(probed) for probed in world.study.probes) > 0
