import numpy as np
import pytest
from contracts.family import FamilyContract

from autokd_edge.core.student import Task
from autokd_edge.students.families.mbconv import MBConvFamily
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.resnet import resnet8
from autokd_edge.students.families.union import UnionFamily

TASK = Task(image=(1, 9, 13), classes=4, channel_multiple=8)


def nago_and_mbconv() -> UnionFamily:
    return UnionFamily([NagoFamily(), MBConvFamily()])


class TestUnion(FamilyContract):
    @pytest.fixture
    def family(self):
        return nago_and_mbconv()

    @pytest.fixture
    def task(self):
        return TASK


def test_a_member_is_the_very_network_that_its_family_alone_gives():
    union, rng = nago_and_mbconv(), np.random.default_rng(0)
    for name, family in (("nago", NagoFamily()), ("mbconv", MBConvFamily())):
        own = family.space(TASK).at((0.5 * rng.random(len(family.space(TASK)))).tolist())
        point = union.space(TASK).point({"family": name, **{f"{name}.{key}": value for key, value in own}})
        assert union.spec(point, TASK, 2) == family.spec(own, TASK, 2)
        assert union.members(point) == family.members(own)


def test_parameters_of_a_family_that_is_not_chosen_have_no_effect():
    space, rng = nago_and_mbconv().space(TASK), np.random.default_rng(1)
    for first, chosen in ((0.2, "nago"), (0.8, "mbconv")):
        point = space.at([first, *rng.random(len(space) - 1).tolist()])
        assert {key.partition(".")[0] for key, _ in point} == {"family", chosen}


def test_a_hand_designed_network_may_stand_beside_a_searched_family():
    union = UnionFamily([MBConvFamily(), resnet8()])
    point = union.space(TASK).point({"family": "resnet8"})
    assert union.spec(point, TASK, 0) == resnet8().spec(resnet8().space(TASK).point({}), TASK, 0)


@pytest.mark.parametrize("families", [[NagoFamily()], [NagoFamily(), NagoFamily()]])
def test_a_union_of_less_than_two_families_is_refused(families):
    with pytest.raises(ValueError, match="at least two different families"):
        UnionFamily(families)
