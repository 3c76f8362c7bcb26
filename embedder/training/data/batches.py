"""Sample the photos of each batch (`Sampler`), and draw the batches for Keras (`Batches`).

Order and views of an epoch depend on the seed and the number of the epoch alone.
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
_UNEVEN = 10  # largest ratio of a person's photos to the median for shuffled batches
_SHUFFLED, _ROTATION, _ARRANGED = 3, 5, 6  # numbers of random streams, apart from those of augmentation


def default_sampling(head: str, degrade: str = "none") -> str:
    """Return the default sampling of a head.

    Args:
        head: name of the head; those that compare photos need several of a person in a batch.
        degrade: option `degrade`; with it a batch has degraded and clean views of each person.
    """
    return "people" if head in _COMPARING or degrade != "none" else "shuffled"


def say_uneven_photos(labels: NDArray[np.int32]) -> str | None:
    """Return a note that a person has far more photos than others; None if no one has.

    Args:
        labels: (n,) int32 labels from 0.
    """
    counts = np.bincount(labels)
    most, half = int(counts.max()), int(np.median(counts))
    if most <= _UNEVEN * half:
        return None
    return (
        f"One person has {count(most, 'photo')}, half of all at most {half}: everyone is shown equally often"
    )


def say_few_photos(labels: NDArray[np.int32], photos_per_person: int) -> str | None:
    """Return a note on people with fewer photos than a batch takes of each; None if none has.

    Args:
        labels: (n,) int32 labels from 0.
        photos_per_person: number of photos of a person in a batch of the sampling `people`.
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
    """Samples the batches of each epoch.

    An epoch has the same number of batches with every sampling, so that epochs and schedules are comparable:

    - `shuffled`: every photo once, in a new order. The last batch may be smaller; one photo is left out.
    - `balanced`: every person equally often, whatever the number of photos; numbers differ by 1 at most.
    - `people`: P · K photos in each batch, K of each of P = batch_size // K people, or of all if there are
      fewer (Hermans, Beyer and Leibe 2017, "In Defense of the Triplet Loss for Person Re-Identification").
      Every person equally often; numbers differ by 1 at most.

    With the last two the photos of a person are used in turn, from epoch to epoch, so that at any time their
    numbers of uses differ by 1 at most; their order is shuffled again in each round. Of a person with fewer
    than K photos, all are used, and the first ones again.

    Args:
        labels: (n,) int32 labels from 0, each at least once.
        batch_size: largest number of photos in a batch.
        seed: seed of the random numbers.
        sampling: `shuffled`, `balanced` or `people`.
        photos_per_person: K.
        least: least number of batches of an epoch; `shuffled` goes through the photos several times for that.

    Raises:
        UsageError: with `people`, a batch has no room for two people, or there are less than two.
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
        # A visit adds `_each` photos of a person to a batch; `_together` successive visits are of different
        # people.
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
        """Return the number of batches per epoch."""
        return self._batches * self._passes

    def epoch(self, number: int) -> list[Rows]:
        """Give the batches of an epoch.

        Args:
            number: number of the epoch, from 0.

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
        """Return the people of an epoch in order, and the number of each one's visit, from 0.

        Visits go through all people in turn, so that a person's number of visits before an epoch follows
        from the number of the epoch.
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
            if begun := so_far % self._together:  # people of the unfinished batch come in the next one
                late = np.isin(order, last[-begun:])
                order[:] = np.concatenate([order[~late], order[late]])
            last, so_far = order, so_far + people
        ordered = np.concatenate([once_more, rounds.ravel()])

        visits = np.empty_like(ordered)
        visits[np.argsort(ordered, kind="stable")] = _count_up(often) + np.repeat(before, often)
        return ordered, visits

    def _take_turns(self, people: Rows, visits: Rows) -> Rows:
        """Return K rows for each visit, the next photos of the person.

        A round ends with a visit after which all photos of a person were used equally often; so no visit is
        in two rounds, and with at least K photos none is used twice in a visit.
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
    """Concatenate the ranges 0, 1, ..., count - 1 of all counts."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _random(seed: int, *numbers: Rows) -> NDArray[np.float64]:
    """Compute a random number from [0, 1) for each row, from the seed and the row's numbers.

    By the finalizer of SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number
    Generators"), applied once for each number.
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
    """Gives the batches of an epoch to Keras, with new views in each epoch.

    An epoch depends on the seed and its number alone, so that a resumed run has the same batches as one that
    was not interrupted.

    Args:
        views: function that draws the inputs of n photos.
        labels: (n,) int32 labels from 0.
        targets: function of labels (batch,) that returns the targets of the head's outputs.
        sampler: sampler of the batches.
        seed: seed of the views.
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
        """Return the number of batches per epoch."""
        return len(self._sampler)

    def __getitem__(self, index: int) -> tuple[dict[str, NDArray[Any]], Any]:
        """Return batch `index` of the epoch: the inputs by name, and the targets."""
        rows = self._rows[index]
        rng = np.random.default_rng([self._seed, 2, self._epoch, index])
        labels = self._labels[rows]
        return {**self._views(rows, rng), "label": labels}, self._targets(labels)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._epoch += 1
        self._rows = self._sampler.epoch(self._epoch)
