from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embedder.errors import UsageError
from embedder.heads import HEADS
from embedder.training.data.batches import Sampler, default_sampling, say_few_photos

counts_of_photos = st.lists(st.integers(1, 9), min_size=2, max_size=9)


def people(counts: list[int], seed: int = 0) -> np.ndarray:
    """Labels of people with so many photos each, in no order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)


def shown(sampler: Sampler, epochs: range) -> np.ndarray:
    """Rows of some epochs, one after the other."""
    return np.concatenate([rows for number in epochs for rows in sampler.epoch(number)])


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(*rows) for rows in zip(a, b, strict=True))


@pytest.mark.parametrize("sampling", ["shuffled", "balanced", "people"])
@settings(max_examples=40)
@given(counts=counts_of_photos, batch_size=st.integers(8, 20), number=st.integers(0, 50))
def test_an_epoch_follows_from_its_number_alone(
    sampling: str, counts: list[int], batch_size: int, number: int
):
    labels = people(counts)
    going = Sampler(labels, batch_size, 3, sampling)
    for earlier in range(3):
        going.epoch(earlier)
    epoch = going.epoch(number)
    assert same(epoch, Sampler(labels, batch_size, 3, sampling).epoch(number))
    assert len(epoch) == len(going) == max(1, round(np.ceil((len(labels) - 1) / batch_size)))
    assert all(len(rows) <= batch_size for rows in epoch)


@pytest.mark.parametrize("sampling", ["shuffled", "balanced", "people"])
def test_epochs_and_seeds_differ(sampling: str):
    labels = people([6] * 8)
    sampler, other = (Sampler(labels, 16, seed, sampling) for seed in (0, 1))
    assert not same(sampler.epoch(0), sampler.epoch(1))
    assert not same(sampler.epoch(0), other.epoch(0))


def test_shuffled_is_every_photo_once():
    for counts, left_out in (([3, 4, 5], 0), ([3, 4, 6], 1)):
        rows = shown(Sampler(people(counts), 4, 0), range(1))
        assert len(set(rows)) == len(rows) == sum(counts) - left_out


@settings(max_examples=40)
@given(counts=counts_of_photos, batch_size=st.integers(2, 20), epochs=st.integers(1, 12))
@example(counts=[1, 4, 4], batch_size=4, epochs=8)  # nine photos: one is left out of each epoch
def test_balanced_shows_every_person_as_often(counts: list[int], batch_size: int, epochs: int):
    labels = people(counts)
    sampler = Sampler(labels, batch_size, 0, "balanced")
    check_equal_counts(labels, shown(sampler, range(epochs)))
    assert abs(len(shown(sampler, range(1))) - len(labels)) <= 1


def check_equal_counts(labels: np.ndarray, rows: np.ndarray, visit: int = 1) -> None:
    """Photos of a person within one of each other, people within one visit."""
    per_photo = np.bincount(rows, minlength=len(labels))
    per_person = np.bincount(labels, weights=per_photo)
    assert np.ptp(per_person) <= visit
    assert all(np.ptp(per_photo[labels == person]) <= 1 for person in range(labels.max() + 1))


@settings(max_examples=40)
@given(
    counts=counts_of_photos,
    batch_size=st.integers(4, 24),
    each=st.integers(2, 5),
    first=st.integers(0, 9),
    epochs=st.integers(1, 12),
)
@example(counts=[9] * 9, batch_size=10, each=2, first=0, epochs=3)  # batches that two rounds of people share
def test_batches_of_people(counts: list[int], batch_size: int, each: int, first: int, epochs: int):
    labels = people(counts)
    if batch_size < 2 * each:
        return
    sampler = Sampler(labels, batch_size, 0, "people", each)
    for number in range(first, first + epochs):
        for rows in sampler.epoch(number):
            persons, photos = np.unique(labels[rows], return_counts=True)
            assert len(persons) == min(batch_size // each, len(counts))
            assert set(photos) == {each}
            assert all(
                len(set(rows[labels[rows] == person])) == min(each, counts[person]) for person in persons
            )
    check_equal_counts(labels, shown(sampler, range(epochs)), each)


def test_each_round_groups_photos_anew():
    labels = people([8, 8])
    sampler = Sampler(labels, 4, 0, "people", 2)  # an epoch is one round
    rounds = [{frozenset(rows[labels[rows] == 0]) for rows in sampler.epoch(number)} for number in range(4)]
    assert all(len(pairs) == 4 for pairs in rounds)
    assert len({frozenset(pairs) for pairs in rounds}) > 2


def test_turns_and_company_change_from_round_to_round():
    labels = people([4] * 12)
    sampler = Sampler(labels, 8, 0, "people", 2)
    pairs = [
        tuple(sorted(rows[labels[rows] == person]))
        for number in range(40)
        for rows in sampler.epoch(number)
        for person in np.unique(labels[rows])
    ]
    assert len(set(pairs)) == 12 * 6  # every two photos of each person were together
    met = {
        frozenset(two)
        for number in range(40)
        for rows in sampler.epoch(number)
        for two in combinations(np.unique(labels[rows]), 2)
    }
    assert len(met) == 12 * 11 / 2


@pytest.mark.parametrize(
    ("batch_size", "each", "counts", "told"),
    [
        (
            7,
            4,
            [5, 5],
            r"--batch-size: expected at least 8, two people with --photos-per-person 4 each, got 7",
        ),
        (32, 4, [9], r"--sampling: people expected at least two people to learn from, got 1"),
    ],
)
def test_impossible_batches_are_refused(batch_size: int, each: int, counts: list[int], told: str):
    with pytest.raises(UsageError, match=told + r"; .*choose --sampling shuffled"):
        Sampler(people(counts), batch_size, 0, "people", each)
    assert len(Sampler(people(counts), batch_size, 0, "balanced", each).epoch(0)) > 0


def test_few_photos_are_said():
    labels = people([3, 1, 4, 9])
    assert say_few_photos(labels, 1) is None
    line = say_few_photos(labels, 4)
    assert line is not None
    assert line.startswith("2 of 4 people with fewer than 4 photos; these are shown again in the same batch")


def test_default_sampling_of_every_head():
    compared = {name for name in HEADS if default_sampling(name) == "people"}
    assert compared == {"triplet", "triplet-cosine", "quadruplet", "contrastive"}
    assert {default_sampling(name) for name in HEADS} == {"people", "shuffled"}
    assert default_sampling("triplet_head.py:build") == "shuffled"


@pytest.mark.parametrize("sampling", ["shuffled", "balanced", "people"])
def test_a_small_folder_is_gone_through_several_times_in_an_epoch(sampling: str):
    labels = np.repeat(np.arange(4, dtype=np.int32), 4)
    once, often = (Sampler(labels, 8, 0, sampling, 4, least) for least in (1, 7))
    assert len(once) == 2
    assert len(often) == (8 if sampling == "shuffled" else 7)  # whole passes
    for number in range(3):
        batches = often.epoch(number)
        assert len(batches) == len(often)
        shown = np.bincount(np.concatenate(batches), minlength=16)
        assert shown.min() >= 3
        assert shown.max() - shown.min() <= 1
    assert [b.tolist() for b in often.epoch(0)] != [b.tolist() for b in often.epoch(1)]
    assert len(Sampler(labels, 4, 0, sampling, 2, 3)) == 4  # more than asked for is as it was
