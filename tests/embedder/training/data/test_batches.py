from __future__ import annotations

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.training.data.augmentation import SHIFT, Augmented, augment
from embedder.training.data.batches import Batches, Sampler
from embedder.training.data.crop_store import Crops

CROPS = np.random.default_rng(0).integers(0, 256, (10, 20, 20, 3), dtype=np.uint8)
LABELS = np.arange(10, dtype=np.int32)


def batches_of(
    crops: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    sampling: str = "shuffled",
    photos_per_person: int = 4,
) -> Batches:
    sampler = Sampler(labels, batch_size, seed, sampling, photos_per_person)
    return Batches(Augmented(Crops.of(crops)), labels, lambda labels: labels, sampler, seed, first_epoch)


def make(batch_size: int = 4, seed: int = 0, first_epoch: int = 0) -> Batches:
    return batches_of(CROPS, LABELS, batch_size, seed, first_epoch)


def epoch(batches: Batches) -> list[tuple[np.ndarray, np.ndarray]]:
    read = [batches[i] for i in range(len(batches))]
    return [(inputs["image"], targets) for inputs, targets in read]


def test_an_epoch_is_every_photo_once():
    seen = np.concatenate([labels for _, labels in epoch(make())])
    assert sorted(seen) == list(LABELS)
    assert list(seen) != list(LABELS)


@pytest.mark.parametrize(("batch_size", "batches"), [(4, 3), (5, 2), (9, 1), (10, 1), (64, 1)])
def test_a_last_batch_of_one_photo_is_left_out(batch_size: int, batches: int):
    assert len(make(batch_size)) == batches
    assert all(len(labels) > 1 for _, labels in epoch(make(batch_size)))


def test_epochs_differ_and_a_later_start_gives_the_same_ones():
    batches = make()
    first = epoch(batches)
    batches.on_epoch_end()
    second = epoch(batches)
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    for (image, label), (again, label_again) in zip(second, epoch(make(first_epoch=1)), strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(label, label_again)


def test_order_of_reading_changes_nothing():
    a, b = make(), make()
    backwards = [b[i] for i in reversed(range(len(b)))][::-1]
    for (image, _), (inputs, _) in zip(epoch(a), backwards, strict=True):
        np.testing.assert_array_equal(image, inputs["image"])


def test_seed_matters():
    assert not np.array_equal(epoch(make(seed=0))[0][0], epoch(make(seed=1))[0][0])


def test_augmentation_only_mirrors_and_shifts():
    out = augment(CROPS, np.random.default_rng(3))
    most = int(np.ceil(SHIFT * 20))
    mirrored = 0
    for crop, made in zip(CROPS, out, strict=True):
        found = [
            (flip, dy, dx)
            for flip in (False, True)
            for dy in range(-most, most + 1)
            for dx in range(-most, most + 1)
            if np.array_equal(made, shifted(crop[:, ::-1] if flip else crop, dy, -dx if flip else dx))
        ]
        assert len(found) == 1
        mirrored += found[0][0]
    assert 0 < mirrored < len(CROPS)


@pytest.mark.parametrize("size", [50, 60])  # 5 % of them, rounded up: 3 pixels
def test_augmentation_shifts_by_every_step_either_way(size: int):
    crops = np.zeros((2000, size, size, 3), np.uint8)
    crops[:, 20 : size - 20, 20 : size - 20] = 255
    out = augment(crops, np.random.default_rng(3)).any(axis=3)
    for axis in (1, 2):
        first = out.any(axis=axis).argmax(axis=1)
        assert set((first - 20).tolist()) == {-3, -2, -1, 0, 1, 2, 3}


def shifted(crop: np.ndarray, dy: int, dx: int) -> np.ndarray:
    padded = np.pad(crop, ((2, 2), (2, 2), (0, 0)), mode="edge")
    return padded[2 + dy : 22 + dy, 2 + dx : 22 + dx]


def test_augmentation_differs_between_epochs():
    same = np.repeat(CROPS[:1], 10, axis=0)  # of one picture, so that only the draws can differ
    batches = batches_of(same, LABELS, 10, seed=0)
    first = batches[0][0]["image"]
    batches.on_epoch_end()
    assert not np.array_equal(first, batches[0][0]["image"])


def test_sampling_decides_who_is_in_a_batch():
    labels = np.repeat(np.arange(2, dtype=np.int32), 5)
    for first_epoch in (0, 3):
        batches = batches_of(CROPS, labels, 8, 1, first_epoch, "people", 2)
        expected = Sampler(labels, 8, 1, "people", 2)
        for number in (first_epoch, first_epoch + 1):
            read = [inputs["label"] for inputs, _ in (batches[i] for i in range(len(batches)))]
            np.testing.assert_array_equal(read, [labels[rows] for rows in expected.epoch(number)])
            np.testing.assert_array_equal(np.sort(read), [[0, 0, 1, 1]] * 2)
            batches.on_epoch_end()
    with pytest.raises(UsageError, match="--batch-size"):
        batches_of(CROPS, labels, 3, 1, sampling="people")


def test_a_photo_twice_in_a_batch_looks_different():
    labels = np.arange(2, dtype=np.int32)
    batches = batches_of(CROPS[:2], labels, 16, 0, sampling="people", photos_per_person=8)
    inputs, _ = batches[0]
    own = inputs["image"][inputs["label"] == 0]
    assert len(own) == 8
    assert len(np.unique(own, axis=0)) > 4
