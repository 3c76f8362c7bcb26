"""Choose the photos that a calibration searches for, and the people it compares them with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import UsageError
from enroll.distances import LeftOut
from enroll.near_people import find_near_people, left_out_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.moments import Moments
    from embedder.strangers import StrangerDistances
    from enroll.near_people import NearPeople

_MOST_SEARCHES = 5000  # more are drawn from at random: they would add nothing but time


@dataclass(frozen=True, eq=False)
class Probes:
    """Holds the vectors a gallery is searched for with: its own templates, then strangers.

    Attributes:
        vectors: (n + m, dim) float32 unit rows: n templates, then m photos of strangers.
        owners: (n + m,) int64 index of the person each shows: from 0 the enrolled people, then the strangers.
        people: number of enrolled people.
        labels: (n,) int64, as `owners`, of the templates alone.
    """

    vectors: NDArray[np.float32]
    owners: NDArray[np.int64]
    people: int
    labels: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.floating],
        labels: NDArray[np.generic],
        strangers: NDArray[np.floating] | None = None,
        stranger_labels: NDArray[np.generic] | None = None,
    ) -> Probes:
        """Number the people and the strangers, each from the sorted labels.

        Args:
            vectors: (n, dim) unit rows, the gallery's templates.
            labels: (n,) names or numbers of the people they show.
            strangers: (m, dim) unit rows of people who are not enrolled; None: none.
            stranger_labels: (m,) names or numbers of the people these show.

        Raises:
            UsageError: a vector is not finite.
        """
        people, owners = np.unique(labels, return_inverse=True)
        probes, enrolled = vectors, owners
        if strangers is not None and stranger_labels is not None and len(strangers):
            _, others = np.unique(stranger_labels, return_inverse=True)
            probes = np.concatenate([vectors, strangers])
            owners = np.concatenate([owners, others + len(people)])
        if not np.isfinite(probes).all():
            raise UsageError("calibrating: a vector is not finite; the model is broken, train it again")
        return cls(probes, owners.astype(np.int64), len(people), enrolled.astype(np.int64))

    def near_people(self, known: StrangerDistances | None) -> tuple[NearPeople, ...]:
        """Find the people who are too near to each other to be strangers.

        Args:
            known: strangers' distances by the model; None: nothing is known of them.
        """
        templates = self.vectors[: len(self.labels)]
        return find_near_people(self.vectors, self.owners, templates, self.labels, self.prior(known))

    def prior(self, known: StrangerDistances | None) -> Moments | None:
        """Return what the model knows of the distances in a gallery of this size, or None.

        Args:
            known: strangers' distances by the model; None: nothing is known of them.
        """
        if known is None:
            return None
        photos = np.bincount(self.labels)
        return known.prior(self.people, float(np.exp(np.log(photos).mean())))


@dataclass(frozen=True, eq=False)
class Searches:
    """Holds the photos and templates that a calibration compares, without those set aside.

    Attributes:
        probes: (m, dim) float32 unit rows that are searched for.
        owners: (m,) int64 index of the person each shows, as in `Probes`.
        templates: (n, dim) float32 unit rows that are searched.
        labels: (n,) int64 index of the person each of these shows.
        left_out: searches and people that are not compared.
    """

    probes: NDArray[np.float32]
    owners: NDArray[np.int64]
    templates: NDArray[np.float32]
    labels: NDArray[np.int64]
    left_out: LeftOut

    @classmethod
    def of(cls, everything: Probes, near: tuple[NearPeople, ...], seed: int = 0) -> Searches:
        """Leave out people who are too near to each other, and draw 5,000 searches if there are more.

        Args:
            everything: all templates and strangers.
            near: people who are too near to each other.
            seed: of the draw.
        """
        odd, apart = left_out_of(near, everything.owners)
        probes, owners = np.delete(everything.vectors, odd, axis=0), np.delete(everything.owners, odd)
        enrolled = len(everything.labels) - int((odd < len(everything.labels)).sum())
        templates, labels = probes[:enrolled], owners[:enrolled]
        if len(probes) > _MOST_SEARCHES:
            drawn = np.sort(np.random.default_rng(seed).permutation(len(probes))[:_MOST_SEARCHES])
            probes, owners = probes[drawn], owners[drawn]
        left_out = LeftOut.of(owners, int(labels.max()) + 1, apart)
        return cls(probes, owners, templates, labels, left_out)
