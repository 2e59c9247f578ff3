import pytest
import torch
from teaching.small import CLASSES, small_source

from autokd_edge.teaching.augment import AugmentPlan
from autokd_edge.teaching.batches import BATCH, TrainingBatches
from autokd_edge.teaching.data import data_source

MIXED = AugmentPlan(shift=0, flip=False, cutout=0, variants=2, mixup=0.4)


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_its_own():
    batches = TrainingBatches(data_source("digits").teaching(), seed=5)
    per_epoch = 1137 // BATCH
    epochs = []
    for epoch in range(2):
        found = [batches.place(epoch * per_epoch + step) for step in range(per_epoch)]
        assert {number for number, _ in found} == {epoch}
        epochs.append(torch.cat([index for _, index in found]))
        assert len(set(epochs[-1].tolist())) == per_epoch * BATCH
    assert not torch.equal(*epochs)
    again = TrainingBatches(data_source("digits").teaching(), seed=5)
    assert torch.equal(again.place(per_epoch)[1], epochs[1][:BATCH])


def test_a_batch_is_its_samples_varied_with_their_own_labels():
    data = small_source().teaching()
    batches = TrainingBatches(data, seed=5)
    batch = batches.at(2)
    raw = torch.from_numpy(data.train.images)[batch.index]
    assert torch.equal(batch.images, batches.augment.varied(raw, batch.index, batch.variant))
    assert torch.equal(batch.labels, torch.from_numpy(data.train.labels)[batch.index])


@pytest.mark.parametrize("variants", [None, 5])
def test_images_repeat_after_as_many_epochs_as_the_lesson_says_or_the_plan(variants):
    data = small_source().teaching()
    batches, raw = TrainingBatches(data, seed=5), torch.from_numpy(data.train.images)
    an_epoch, repeats = len(data.train) // BATCH, variants or data.augmentation.variants
    for epoch in range(2 * repeats):
        batch = batches.at(epoch * an_epoch, variants)
        assert batch.variant == epoch % repeats
        assert torch.equal(batch.images, batches.augment.varied(raw[batch.index], batch.index, epoch % repeats))


def test_mixed_images_and_labels_are_those_of_two_samples_in_the_drawn_shares():
    data = small_source(plan=MIXED).teaching()
    batches = TrainingBatches(data, seed=5)
    batch = batches.at(0)
    other, share = batches.augment.partners(batch.index, 0)
    plain = batches.augment.plain(torch.from_numpy(data.train.images))
    for place in range(len(batch.index)):
        one, two, part = batch.index[place], other[place], share[place]
        assert torch.allclose(batch.images[place], part * plain[one] + (1 - part) * plain[two], atol=1e-5)
        expected = torch.zeros(len(CLASSES))
        expected[data.train.labels[one]] += part
        expected[data.train.labels[two]] += 1 - part
        assert torch.allclose(batch.labels[place], expected, atol=1e-6)
