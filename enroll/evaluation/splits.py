"""Divide labelled photos into people to enroll and strangers, and search for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import first_refused, squared_distances
from enroll.confidence import FARTHEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.config import EvaluationConfig
    from enroll.evaluation.samples import EmbeddedSamples
    from enroll.scoring.base import Scorer


_PAIRS_AT_ONCE = 4_000_000  # distances in memory: 32 MB


@dataclass(frozen=True, eq=False)
class Drawn:
    """The photos of one split.

    Attributes:
        known: identities that are enrolled, rising.
        enrolled: rows to enroll, by identity.
        mated: the other rows of these identities.
        non_mated: all rows of the others, who are strangers.
    """

    known: NDArray[np.int64]
    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    non_mated: NDArray[np.int64]


def draw_splits(labels: NDArray[np.int64], config: EvaluationConfig) -> Iterator[Drawn]:
    """Draw the splits of a protocol; the same labels and configuration give the same ones.

    Args:
        labels: (n,) identities of the photos, numbered from 0.
        config: number of splits, shares and seed.

    Raises:
        UsageError: fewer than three people, or than two with two photos.
    """
    counts = np.bincount(labels)
    candidates = np.flatnonzero(counts >= 2)
    people = int(np.count_nonzero(counts))  # who has no photo can be no stranger either
    if people < 3 or len(candidates) < 2:
        raise UsageError(
            "evaluating needs at least 3 people, 2 of them with 2 photos or more: some are enrolled, another "
            f"photo of theirs is searched for, and the rest are strangers; got {count(people, 'person')}, "
            f"{len(candidates)} of them with 2 photos"
        )
    number = min(len(candidates), people - 1, max(1, round(config.known * people)))
    for split in range(config.splits):
        rng = np.random.default_rng([config.seed, 0, split])
        known = np.sort(rng.permutation(candidates)[:number])
        enrolled, mated = [], []
        for identity in known:
            rows = rng.permutation(np.flatnonzero(labels == identity))
            some = min(len(rows) - 1, len(rows) // 2 if config.enrolled is None else config.enrolled)
            enrolled.append(rows[:some])
            mated.append(rows[some:])
        strangers = np.flatnonzero(~np.isin(labels, known))
        yield Drawn(known, np.concatenate(enrolled), np.concatenate(mated), strangers)


@dataclass(frozen=True, eq=False)
class SearchSplit:
    """The searches of one split.

    Attributes:
        known: identities that are enrolled.
        enrolled: rows that were drawn to be enrolled, also those that could not be.
        mated, non_mated: (n,) rows that were searched for.
        rank: (mated,) rank of the right person, ties counting against it; infinite if not found.
        distance, other_distance: (mated,), (non_mated,) distance of the nearest template.
        second, other_second: of the nearest template of any other person; 2 in a gallery of one.
        nearest, other_nearest: the row of the nearest template, -1 if there is none.
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

    def limit(self, fpir: float) -> float:
        """Distance of the first stranger that must not pass; a search passes when it is nearer."""
        return first_refused(self.other_distance, fpir)


def search_split(samples: EmbeddedSamples, drawn: Drawn, scorer: Scorer | None = None) -> SearchSplit:
    """Search for the photos of a split among its enrolled ones.

    Args:
        samples: the photos.
        drawn: rows of `samples`.
        scorer: gives the scores that stand for distances; None: distances of the nearest templates.
    """
    gallery = drawn.enrolled[samples.enrollable[drawn.enrolled]]  # sorted by identity, as `known` is
    search = _search if scorer is None else partial(_search_by_scorer, scorer)
    of_known, of_strangers = (search(samples, probes, gallery) for probes in (drawn.mated, drawn.non_mated))
    return SearchSplit(
        known=drawn.known,
        enrolled=drawn.enrolled,
        mated=drawn.mated,
        rank=of_known.rank,
        distance=of_known.distance,
        second=of_known.second,
        nearest=of_known.nearest,
        non_mated=drawn.non_mated,
        other_distance=of_strangers.distance,
        other_second=of_strangers.second,
        other_nearest=of_strangers.nearest,
    )


@dataclass(frozen=True, eq=False)
class _Found:
    rank: NDArray[np.float64]
    distance: NDArray[np.float64]
    second: NDArray[np.float64]
    nearest: NDArray[np.int64]


def _search(samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]) -> _Found:
    """Search for each probe in the enrolled rows; one without a face finds nothing."""
    rank, distance, second = (np.full(len(probes), np.inf) for _ in range(3))
    nearest = np.full(len(probes), -1, np.int64)
    found = np.flatnonzero(samples.found[probes])
    people, starts = np.unique(samples.labels[gallery], return_index=True)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(gallery)))
    for start in range(0, len(found) if len(gallery) else 0, step):
        rows = found[start : start + step]
        squared = squared_distances(samples.vectors[probes[rows]], samples.vectors[gallery])
        by_person = np.minimum.reduceat(squared, starts, axis=1)
        own = people[None] == samples.labels[probes[rows], None]
        of_own = np.where(own, by_person, np.inf).min(axis=1)
        others = np.where(own, np.inf, by_person)
        rank[rows] = np.where(np.isfinite(of_own), 1 + (others <= of_own[:, None]).sum(axis=1), np.inf)
        first = squared.argmin(axis=1)
        distance[rows], nearest[rows] = np.sqrt(squared[np.arange(len(rows)), first]), gallery[first]
        second[rows] = np.sqrt(np.partition(by_person, 1, axis=1)[:, 1]) if len(people) > 1 else FARTHEST
    return _Found(rank, distance, second, nearest)


def _search_by_scorer(
    scorer: Scorer, samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]
) -> _Found:
    """Do as `_search`, by the scores of a scorer; the nearest row is that of the first person."""
    rank, distance, second = (np.full(len(probes), np.inf) for _ in range(3))
    nearest = np.full(len(probes), -1, np.int64)
    found = np.flatnonzero(samples.found[probes])
    if not len(gallery) or not len(found):
        return _Found(rank, distance, second, nearest)
    fitted = scorer.fit(samples.vectors[gallery], samples.labels[gallery])
    for row in found.tolist():
        probe = samples.vectors[probes[[row]]]
        scores = fitted.scores(probe)[0]
        own = scores[fitted.people == samples.labels[probes[row]]]
        rank[row] = (scores <= own[0]).sum() if len(own) else np.inf
        first = int(scores.argmin())
        distance[row] = scores[first]
        second[row] = np.partition(scores, 1)[1] if len(scores) > 1 else FARTHEST
        theirs = gallery[samples.labels[gallery] == fitted.people[first]]
        nearest[row] = theirs[squared_distances(probe, samples.vectors[theirs])[0].argmin()]
    return _Found(rank, distance, second, nearest)
