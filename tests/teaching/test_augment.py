import itertools

import numpy as np
import pytest
import torch

from autokd_edge.teaching.augment import DEFAULT_PRESETS, NO_AUGMENTATION, PRESETS, Augmenter, AugmentPlan, plan_of

COUNT, SHAPE = 40, (2, 6, 7)
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8))
ALL = torch.arange(COUNT)
PLANS = [
    AugmentPlan(shift=1, flip=True, cutout=0, variants=3),
    AugmentPlan(shift=2, flip=True, cutout=3, variants=5),
    AugmentPlan(shift=0, flip=False, cutout=0, variants=2, erase=0.7),
]


def augmenter(plan, *, seed=1, mean=(0.4, 0.5), std=(0.2, 0.3)) -> Augmenter:
    return Augmenter(plan, samples=COUNT, seed=seed, image=SHAPE, mean=mean, std=std)


def test_plain_images_are_normalised_by_channel():
    values = augmenter(PLANS[0]).plain(IMAGES)
    expected = (IMAGES.numpy() / 255 - np.array([0.4, 0.5]).reshape(2, 1, 1)) / np.array([0.2, 0.3]).reshape(2, 1, 1)
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-5)
    assert values.dtype == torch.float32


@pytest.mark.parametrize("plan", PLANS)
def test_an_image_is_varied_the_same_way_whatever_batch_it_is_in(plan):
    whole = augmenter(plan).varied(IMAGES, ALL, variant=1)
    other = augmenter(plan)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    for batch in order.split(7):
        assert torch.equal(other.varied(IMAGES[batch], batch, variant=1), whole[batch])


@pytest.mark.parametrize("plan", PLANS)
def test_variants_differ(plan):
    vary = augmenter(plan)
    variants = [vary.varied(IMAGES, ALL, variant) for variant in range(2 * plan.variants)]
    assert not any(torch.equal(*pair) for pair in itertools.combinations(variants, 2))


def test_the_order_in_which_variants_are_asked_for_does_not_matter():
    first, second = augmenter(PLANS[1]), augmenter(PLANS[1])
    forth = [first.varied(IMAGES, ALL, variant) for variant in (0, 1, 2)]
    back = [second.varied(IMAGES, ALL, variant) for variant in (2, 1, 0)]
    assert all(torch.equal(a, b) for a, b in zip(forth, back[::-1], strict=True))


def test_another_seed_varies_otherwise():
    assert not torch.equal(augmenter(PLANS[0], seed=1).varied(IMAGES, ALL, 0), augmenter(PLANS[0], seed=2).varied(IMAGES, ALL, 0))


def test_the_global_random_state_plays_no_part():
    torch.manual_seed(1)
    first = augmenter(PLANS[1]).varied(IMAGES, ALL, 0)
    torch.manual_seed(2)
    assert torch.equal(augmenter(PLANS[1]).varied(IMAGES, ALL, 0), first)


def test_without_augmentation_images_are_only_normalised():
    vary = augmenter(NO_AUGMENTATION)
    assert torch.equal(vary.varied(IMAGES, ALL, 3), vary.plain(IMAGES))


def test_every_varied_image_is_a_shift_with_repeated_borders_perhaps_mirrored():
    vary = augmenter(AugmentPlan(shift=1, flip=True, cutout=0, variants=2))
    seen = set()
    for image, varied in zip(vary.plain(IMAGES), vary.varied(IMAGES, ALL, 1), strict=True):
        matches = [move for move, moved in moves(image) if torch.equal(moved, varied)]
        assert matches
        seen.add(matches[0])
    assert len(seen) > 12  # of 18: all kinds of moves are drawn


def moves(image: torch.Tensor):
    padded = torch.nn.functional.pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    for mirrored in (False, True):
        for dy in (0, 1, 2):
            for dx in (0, 1, 2):
                moved = padded[:, dy : dy + SHAPE[1], dx : dx + SHAPE[2]]
                # mirrored first, then shifted: the window of a mirrored image
                yield (mirrored, dy, dx), moved.flip(2) if mirrored else moved


def test_cutout_sets_a_square_to_the_mean_and_leaves_the_rest():
    plan = AugmentPlan(shift=0, flip=False, cutout=3, variants=1)
    vary = augmenter(plan)
    for plain, varied in zip(vary.plain(IMAGES), vary.varied(IMAGES, ALL, 0), strict=True):
        changed = (plain != varied).any(dim=0)
        assert (varied[:, changed] == 0).all()
        rows, columns = changed.nonzero(as_tuple=True)
        assert len(rows) > 0
        assert rows.max() - rows.min() <= 2
        assert columns.max() - columns.min() <= 2


def test_erasing_sets_a_rectangle_of_some_images_to_the_mean_and_leaves_the_rest():
    vary = augmenter(AugmentPlan(shift=0, flip=False, cutout=0, variants=1, erase=0.5))
    erased = 0
    for plain, varied in zip(vary.plain(IMAGES), vary.varied(IMAGES, ALL, 0), strict=True):
        changed = (plain != varied).any(dim=0)
        assert (varied[:, changed] == 0).all()
        if changed.any():
            erased += 1
            rows, columns = changed.nonzero(as_tuple=True)
            assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)  # a full rectangle
            assert len(rows) <= 0.7 * SHAPE[1] * SHAPE[2]
    assert 10 < erased < 30  # of 40


class TestMixup:
    PLAN = AugmentPlan(shift=0, flip=False, cutout=0, variants=2, mixup=0.4)

    def test_partners_and_shares_depend_on_the_sample_the_variant_and_the_seed_alone(self):
        whole = augmenter(self.PLAN).partners(ALL, 1)
        some = torch.tensor([5, 30, 7])
        assert all(torch.equal(a[some], b) for a, b in zip(whole, augmenter(self.PLAN).partners(some, 1), strict=True))
        assert not torch.equal(whole[0], augmenter(self.PLAN).partners(ALL, 0)[0])
        assert not torch.equal(whole[1], augmenter(self.PLAN, seed=2).partners(ALL, 1)[1])

    def test_an_images_own_share_is_at_least_a_half(self):
        _, shares = augmenter(self.PLAN).partners(ALL, 0)
        assert (shares >= 0.5).all()
        assert (shares <= 1).all()
        assert 0.6 < shares.mean() < 0.99

    def test_without_mixup_there_are_no_partners(self):
        assert augmenter(PLANS[0]).partners(ALL, 0) is None


class TestPresets:
    @pytest.mark.parametrize("name", PRESETS)
    def test_each_preset_changes_images(self, name):
        plan = plan_of((name,), (3, 32, 32), 100)
        assert plan != NO_AUGMENTATION
        assert plan.variants == 4

    def test_sizes_go_with_the_image(self):
        assert [plan_of(("crop", "cutout"), (3, side, side), 100).shift for side in (8, 32, 64)] == [1, 4, 8]
        assert [plan_of(("crop", "cutout"), (3, side, side), 100).cutout for side in (8, 32, 64)] == [2, 8, 16]

    def test_many_samples_have_fewer_variants_because_each_costs_a_pass_of_the_teacher(self):
        assert plan_of(DEFAULT_PRESETS, (3, 32, 32), 50_000).variants == 2

    def test_a_plan_stays_as_it_is_and_no_preset_is_no_augmentation(self):
        assert plan_of(PLANS[1], (1, 8, 8), 10) == PLANS[1]
        assert plan_of((), (1, 8, 8), 10) == NO_AUGMENTATION
