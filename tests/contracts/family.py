"""What every StudentFamily keeps; a test class inherits it and gives ``family`` (named as on the command line) and ``task``."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from autokd_edge.core.codec import encode
from autokd_edge.core.digest import digest_of_json
from autokd_edge.core.space import Point
from autokd_edge.core.student import Conv2d, StudentSpec
from autokd_edge.students.cost import cost_of
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.wiring import family_named

# Builds the members in the order given, each named by its place in the unit cube, and prints their digests.
_IN_ANOTHER_PROCESS = """
import json, sys
from autokd_edge.core.codec import decode, encode
from autokd_edge.core.digest import digest_of_json
from autokd_edge.core.student import Task
from autokd_edge.wiring import family_named
name, task, members = json.load(sys.stdin)
family, task = family_named(name), decode(Task, task)
space = family.space(task)
print(json.dumps([digest_of_json(encode(family.spec(space.at(unit), task, index))) for unit, index in members]))
"""


class FamilyContract:
    keeps_the_channel_multiple = True  # hand-designed networks keep their published widths

    def points(self, family, task, count=6) -> list[Point]:
        space, rng = family.space(task), np.random.default_rng(3)
        return [space.at(0.6 * rng.random(len(space))) for _ in range(count)]

    def test_equal_arguments_give_equal_specs(self, family, task):
        for point in self.points(family, task):
            assert family.spec(point, task, 1) == family_named(family.name).spec(replace(point), task, 1)

    def test_members_and_architectures_have_weights_of_their_own(self, family, task):
        points = dict.fromkeys(self.points(family, task))
        seeds = [family.spec(point, task, index).seed for point, index in product(points, range(3))]
        assert len(set(seeds)) == len(seeds)

    def test_a_spec_depends_neither_on_the_process_nor_on_what_was_built_before(self, family, task):
        space, rng = family.space(task), np.random.default_rng(4)
        members = [(list(0.6 * rng.random(len(space))), index) for index in range(4)]
        here = [digest_of_json(encode(family.spec(space.at(unit), task, index))) for unit, index in members]
        asked = json.dumps([family.name, encode(task), members[::-1]])
        for hash_seed in ("1", "2"):
            argv = [sys.executable, "-c", _IN_ANOTHER_PROCESS]
            env = {**os.environ, "PYTHONHASHSEED": hash_seed}
            done = subprocess.run(argv, input=asked, env=env, capture_output=True, text=True, check=True)
            assert json.loads(done.stdout)[::-1] == here

    def test_every_corner_and_the_middle_of_the_space_give_a_network_for_the_task(self, family, task):
        space = family.space(task)
        width = len(space)
        corners = [[0.0] * width, [1.0] * width, [0.5] * width]
        corners += [[1.0 * (i == j) for i in range(width)] for j in range(width)]
        for unit in corners:
            self.check(family.spec(space.at(unit), task, 0), task)

    def test_random_points_give_networks_that_can_be_lowered(self, family, task):
        for point in self.points(family, task, 4):
            spec = family.spec(point, task, 0)
            self.check(spec, task)
            assert onnx_from_spec(spec).graph.node

    def check(self, spec: StudentSpec, task) -> None:
        assert (spec.input, spec.classes) == (task.image, task.classes)
        cost = cost_of(spec)
        assert min(cost.parameters, cost.macs, cost.activation_bytes) > 0
        widths = [layer.op.out_channels for layer in spec.layers if isinstance(layer.op, Conv2d)]
        assert not self.keeps_the_channel_multiple or all(width % task.channel_multiple == 0 for width in widths)

    def test_a_point_stands_for_at_least_one_member(self, family, task):
        assert all(family.members(point) >= 1 for point in self.points(family, task))

    def test_a_point_of_another_space_is_refused(self, family, task):
        with pytest.raises((KeyError, ValueError)):
            family.spec(Point(values=(("unheard of", 1),)), task, 0)
