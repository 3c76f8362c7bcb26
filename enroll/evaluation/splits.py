"""Divide labelled photos into people to enroll and strangers, and search for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import first_refused
from enroll.evaluation.searches import search_by_scorer, search_many, search_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.config import EvaluationConfig
    from enroll.evaluation.samples import EmbeddedSamples
    from enroll.scoring.base import Scorer


@dataclass(frozen=True, eq=False)
class Drawn:
    """Holds the photos of one split.

    Attributes:
        known: identities that are enrolled, rising.
        enrolled: (e,) int64 rows to enroll, by identity.
        mated: (m,) int64, the other rows of these identities.
        non_mated: (k,) int64, all rows of the other identities, who are strangers.
    """

    known: NDArray[np.int64]
    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    non_mated: NDArray[np.int64]

    def searched(self, limit: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows to search for: all, or `limit` of each kind, drawn at random.

        Args:
            limit: largest number of mated, and of non-mated, rows.
            rng: draws them, each row with the same probability.

        Returns:
            Mated and non-mated rows, both int64.
        """
        mated, non_mated = (
            rows if len(rows) <= limit else rows[np.sort(rng.permutation(len(rows))[:limit])]
            for rows in (self.mated, self.non_mated)
        )
        return mated, non_mated


def draw_splits(labels: NDArray[np.int64], config: EvaluationConfig) -> Iterator[Drawn]:
    """Draw the splits of an evaluation.

    The same labels and configuration give the same splits.

    Args:
        labels: (n,) int64 identities of the photos, from 0.
        config: number of splits, shares and seed.

    Raises:
        UsageError: fewer than three people, or than two with two photos.
    """
    counts = np.bincount(labels)
    candidates = np.flatnonzero(counts >= 2)
    people = int(np.count_nonzero(counts))  # people without a photo are no strangers either
    if people < 3 or len(candidates) < 2:
        raise UsageError(
            "evaluating needs at least 3 people, 2 of them with 2 photos or more: some are enrolled, another "
            f"photo of theirs is searched for, and the rest are strangers; got {count(people, 'person')}, "
            f"{len(candidates)} of them with 2 photos"
        )
    number = min(len(candidates), people - 1, max(1, round(config.known * people)))
    of = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])  # rows of each
    for split in range(config.splits):
        rng = np.random.default_rng([config.seed, 0, split])
        known = np.sort(rng.permutation(candidates)[:number])
        enrolled, mated = [], []
        for identity in known:
            rows = rng.permutation(of[identity])
            some = min(len(rows) - 1, len(rows) // 2 if config.enrolled is None else config.enrolled)
            enrolled.append(rows[:some])
            mated.append(rows[some:])
        strangers = np.flatnonzero(~np.isin(labels, known))
        yield Drawn(known, np.concatenate(enrolled), np.concatenate(mated), strangers)


@dataclass(frozen=True, eq=False)
class SearchSplit:
    """Holds the searches of one split and their results.

    Attributes:
        known: identities that are enrolled.
        enrolled: rows that were drawn to be enrolled, also those that are not enrollable.
        mated, non_mated: (m,), (k,) int64 rows that were searched for.
        mated_total, non_mated_total: number of rows these were drawn from.
        rank: (m,) rank of the right person, ties counting against it; infinite if not found.
        distance, other_distance: (m,), (k,) float64 distance of the nearest template.
        second, other_second: of the nearest template of any other person; 2 in a gallery of one.
        nearest, other_nearest: row of the nearest template, -1 if there is none.
    """

    known: NDArray[np.int64]
    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    rank: NDArray[np.float64]
    distance: NDArray[np.float64]
    second: NDArray[np.float64]
    nearest: NDArray[np.int64]
    non_mated: NDArray[np.int64]
    other_distance: NDArray[np.float64]
    other_second: NDArray[np.float64]
    other_nearest: NDArray[np.int64]
    mated_total: int
    non_mated_total: int

    def limit(self, fpir: float) -> float:
        """Return the least distance that is not within the threshold for an FPIR.

        A search names someone when its nearest template is nearer than this.
        """
        return first_refused(self.other_distance, fpir)


def search_split(
    samples: EmbeddedSamples,
    drawn: Drawn,
    scorer: Scorer | None = None,
    searched: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> SearchSplit:
    """Search for the photos of a split among its enrolled ones.

    Args:
        samples: the photos.
        drawn: rows of `samples`.
        scorer: its scores are used as distances; None: distances of the nearest templates.
        searched: the mated and the non-mated rows to search for, from `Drawn.searched`; None: all.
    """
    gallery = drawn.enrolled[samples.enrollable[drawn.enrolled]]  # sorted by identity, as `known` is
    mated, non_mated = searched or (drawn.mated, drawn.non_mated)
    every = len(mated) == len(drawn.mated) and len(non_mated) == len(drawn.non_mated)
    search = search_rows if every else search_many
    if scorer is not None:
        search = partial(search_by_scorer, scorer)
    of_known, of_strangers = (search(samples, probes, gallery) for probes in (mated, non_mated))
    return SearchSplit(
        known=drawn.known,
        enrolled=drawn.enrolled,
        mated=mated,
        rank=of_known.rank,
        distance=of_known.distance,
        second=of_known.second,
        nearest=of_known.nearest,
        non_mated=non_mated,
        other_distance=of_strangers.distance,
        other_second=of_strangers.second,
        other_nearest=of_strangers.nearest,
        mated_total=len(drawn.mated),
        non_mated_total=len(drawn.non_mated),
    )
