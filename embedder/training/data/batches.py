"""Choose the photos of each batch (`Sampler`), and give the batches to Keras (`Batches`).

Order and views of an epoch follow from the seed and the number of the epoch alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.training.data.augmentation import Views

Rows = NDArray[np.intp]

_COMPARING = ("triplet", "triplet-cosine", "quadruplet", "contrastive")
_UNEVEN = 10  # times the median number of photos: beyond, most of a shuffled epoch shows one person
_SHUFFLED, _ROTATION, _ARRANGED = 3, 5, 6  # streams of random numbers, beside those of augmentation


def default_sampling(head: str, degrade: str = "none") -> str:
    """Name the sampling of a head if none is asked for.

    Args:
        head: as in `embedder.heads.HEADS`; those that compare photos need several of a person in a batch.
        degrade: the option; several views of a person, good and degraded, belong in a batch.
    """
    return "people" if head in _COMPARING or degrade != "none" else "shuffled"


def say_uneven_photos(labels: NDArray[np.int32]) -> str | None:
    """Say that one person has many times the photos of others, who then are to be balanced, or None.

    Args:
        labels: (n,) class numbers from 0.
    """
    counts = np.bincount(labels)
    most, half = int(counts.max()), int(np.median(counts))
    if most <= _UNEVEN * half:
        return None
    return (
        f"One person has {count(most, 'photo')}, half of all at most {half}: everyone is shown equally often"
    )


def say_few_photos(labels: NDArray[np.int32], photos_per_person: int) -> str | None:
    """Say how many people have fewer photos than a batch of the sampling `people` takes, or None if none.

    Args:
        labels: (n,) class numbers from 0.
        photos_per_person: K.
    """
    counts = np.bincount(labels)
    few = int((counts < photos_per_person).sum())
    if not few:
        return None
    return (
        f"{few} of {count(len(counts), 'person')} with fewer than {count(photos_per_person, 'photo')}; these "
        "are shown again in the same batch, in another view"
    )


class Sampler:
    """The batches of each epoch.

    An epoch has as many batches under each sampling, so that epochs and schedules mean the same:

    - `shuffled`: every photo once, in a new order. The last batch may be smaller; one photo is left out.
    - `balanced`: every person as often, one more or less, however many photos there are of each.
    - `people`: P · K photos in each batch, K of each of P = batch_size // K people, or of all if there are
      fewer (Hermans, Beyer and Leibe 2017). Every person comes as often, one more or less.

    Under the last two a person's photos take turns, from epoch to epoch, so that at any time each was shown
    as often as any other of that person, one more or less; the turns are shuffled again in each round.
    Someone with fewer than K photos is shown with all of them and again with the first ones.

    Args:
        labels: (n,) class numbers from 0, each at least once.
        batch_size: photos per batch at most.
        seed: of all draws.
        sampling: one of the three words.
        photos_per_person: K.
        least: batches of an epoch at least; `shuffled` goes through the photos several times for that.

    Raises:
        UsageError: under `people`, no two people fit into a batch, or there are no two.
    """

    def __init__(
        self,
        labels: NDArray[np.int32],
        batch_size: int,
        seed: int,
        sampling: str = "shuffled",
        photos_per_person: int = 4,
        least: int = 1,
    ) -> None:
        self._seed, self._sampling = seed, sampling
        self._photos = np.argsort(labels, kind="stable")  # by person
        self._counts = np.bincount(labels)
        self._starts = np.cumsum(self._counts) - self._counts
        people = len(self._counts)
        whole, rest = divmod(len(labels), batch_size)
        once = max(1, whole + (rest > 1))
        self._passes = 1 if sampling != "shuffled" else -(-least // once)
        self._batches = max(least, once) if sampling != "shuffled" else once
        self._size = batch_size
        # A visit is of one person; so many have to be of different people, and bring so many photos each.
        self._together, self._each = 1, 1
        self._visits = (
            self._batches * batch_size if least > 1 else min(len(labels), self._batches * batch_size)
        )
        if sampling == "people":
            _check_fits(batch_size, photos_per_person, people)
            self._together, self._each = min(batch_size // photos_per_person, people), photos_per_person
            self._size = self._together * self._each
            self._visits = self._batches * self._together

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._batches * self._passes

    def epoch(self, number: int) -> list[Rows]:
        """Give the batches of an epoch.

        Args:
            number: of the epoch, from 0.

        Returns:
            For each batch the rows of its photos, (at most batch_size,).
        """
        if self._sampling == "shuffled":
            passes = range(number * self._passes, (number + 1) * self._passes)
            return [batch for each in passes for batch in self._batches_of(self._shuffle(each))]
        return self._batches_of(self._take_turns(*self._order_people(number)))

    def _shuffle(self, number: int) -> Rows:
        return np.random.default_rng([self._seed, _SHUFFLED, number]).permutation(len(self._photos))

    def _batches_of(self, rows: Rows) -> list[Rows]:
        starts = range(0, len(rows), self._size)
        return [rows[start : start + self._size] for start in starts][: self._batches]

    def _order_people(self, number: int) -> tuple[Rows, Rows]:
        """Give the people of an epoch in order, and the how many-th visit of theirs each of these is, from 0.

        Visits go round through all people, so how many someone had before an epoch is known without counting.
        """
        people = len(self._counts)
        place = np.random.default_rng([self._seed, _ROTATION]).permutation(people)
        before, after = (-((place - epoch * self._visits) // people) for epoch in (number, number + 1))
        often = after - before

        rng = np.random.default_rng([self._seed, _ARRANGED, number])
        once_more = rng.permutation(np.flatnonzero(often > often.min()))
        rounds = rng.permuted(np.tile(np.arange(people), (often.min(), 1)), axis=1)
        last, so_far = once_more, len(once_more)
        for order in rounds:
            if begun := so_far % self._together:  # who is in the batch already must wait for the next one
                late = np.isin(order, last[-begun:])
                order[:] = np.concatenate([order[~late], order[late]])
            last, so_far = order, so_far + people
        ordered = np.concatenate([once_more, rounds.ravel()])

        visits = np.empty_like(ordered)
        visits[np.argsort(ordered, kind="stable")] = _count_up(often) + np.repeat(before, often)
        return ordered, visits

    def _take_turns(self, people: Rows, visits: Rows) -> Rows:
        """Give K rows for each visit: those whose turn it is.

        A round ends when all photos of a person were shown equally often and a visit ends too; so no visit
        meets two rounds, and none of at least K photos comes twice in a visit.
        """
        counts = self._counts[people]
        rounds, visits = np.divmod(visits, np.lcm(counts, self._each) // self._each)
        most = int(rounds.max()) + 1
        pairs, which = np.unique(people * most + rounds, return_inverse=True)
        person, round_ = np.divmod(pairs, most)

        sizes = self._counts[person]
        photos = self._photos[np.repeat(self._starts[person], sizes) + _count_up(sizes)]
        shuffled = np.repeat(np.arange(len(pairs)), sizes) + _random(
            self._seed, photos, np.repeat(round_, sizes)
        )
        photos = photos[np.argsort(shuffled)]

        turns = (visits[:, None] * self._each + np.arange(self._each)) % counts[:, None]
        rows: Rows = photos[(np.cumsum(sizes) - sizes)[which][:, None] + turns].ravel()
        return rows


def _count_up(counts: Rows) -> Rows:
    """Give 0, 1, ... up to each count, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _random(seed: int, *numbers: Rows) -> NDArray[np.float64]:
    """Draw from [0, 1) for each row of numbers, whatever was drawn before.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number
    Generators"), once a number.
    """
    bits = np.full(len(numbers[0]), seed, np.uint64)
    for number in numbers:
        bits = (bits ^ number.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
    return (bits >> np.uint64(11)) / 2.0**53


def _check_fits(batch_size: int, photos_per_person: int, people: int) -> None:
    least = 2 * photos_per_person
    if batch_size < least:
        raise UsageError(
            f"--batch-size: expected at least {least}, two people with --photos-per-person "
            f"{photos_per_person} each, got {batch_size}; raise it, lower --photos-per-person, or choose "
            "--sampling shuffled"
        )
    if people < 2:
        raise UsageError(
            f"--sampling: people expected at least two people to learn from, got {people}; add more, or "
            "choose --sampling shuffled"
        )


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One pass over the photos in a new order, each in a new view.

    Whatever was drawn before, epoch k is the same epoch k, so that a resumed run sees what an unbroken one
    would have seen.

    Args:
        views: of n photos.
        labels: (n,) int32 class numbers from 0.
        targets: labels -> what the head's outputs are compared with.
        sampler: says which photos make up a batch.
        seed: of what is drawn in the views.
        first_epoch: number of the first epoch, from 0.
    """

    def __init__(
        self,
        views: Views,
        labels: NDArray[np.int32],
        targets: Callable[[NDArray[np.int32]], Any],
        sampler: Sampler,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._views, self._labels, self._targets = views, labels, targets
        self._sampler, self._seed, self._epoch = sampler, seed, first_epoch
        self._rows = self._sampler.epoch(first_epoch)

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._sampler)

    def __getitem__(self, index: int) -> tuple[dict[str, NDArray[Any]], Any]:
        """Give batch `index` of the epoch: the inputs by name, and the targets."""
        rows = self._rows[index]
        rng = np.random.default_rng([self._seed, 2, self._epoch, index])
        labels = self._labels[rows]
        return {**self._views(rows, rng), "label": labels}, self._targets(labels)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._epoch += 1
        self._rows = self._sampler.epoch(self._epoch)
