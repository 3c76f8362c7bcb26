"""Calibrate scores that are no distances, by counting.

`enroll.calibration` models distances between photos of two people; the scores of a scorer such as the mean or
a normalized one have another distribution. So each enrolled person is searched for among the others, as
a stranger, and the threshold is the largest one that counting allows. That takes many people: of n, none of
whom is named, FPIR is below about 3 / n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import upper_bound
from enroll.calibration import Calibration, empirical_threshold
from enroll.decision import is_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.scoring.base import Scorer

_MOST_PEOPLE = 200  # searched for; each takes a fit of the scorer without them


@dataclass(frozen=True)
class ScoreCalibration(Calibration):
    """Holds a threshold on scores.

    `distance` is a score, of any sign, infinite to name everyone.
    """

    def __post_init__(self) -> None:
        """Check the confidence and the threshold, whose ranges differ from those of distances.

        Raises:
            ValueError: the confidence is not from 0 to 1, or the threshold is not a number.
        """
        if not 0 <= self.confidence <= 1 or math.isnan(self.distance):
            raise ValueError(f"expected a score and a confidence, got {self.distance}, {self.confidence}")


def calibrate_scores(
    scorer: Scorer,
    vectors: NDArray[np.floating],
    labels: NDArray[np.int64],
    fpir: float,
    strangers: NDArray[np.floating] | None = None,
    stranger_labels: NDArray[np.generic] | None = None,
    seed: int = 0,
) -> ScoreCalibration:
    """Calibrate a scorer: find the largest threshold that keeps the FPIR at or below a limit.

    Args:
        scorer: the scorer.
        vectors: (n, dim) float unit rows.
        labels: (n,) int64 people, from 0 without a gap.
        fpir: limit of the share of strangers that are named.
        strangers: (m, dim) float unit rows of people who are not enrolled.
        stranger_labels: (m,) people these show.
        seed: of the random draw of people, if there are more than 200.

    Returns:
        The threshold; its `confidence` is that of counting people alone, and may be low.

    Raises:
        UsageError: no one to search for.
        ValueError: the scorer needs more people.
    """
    people = int(labels.max()) + 1
    drawn = np.sort(np.random.default_rng(seed).permutation(people)[:_MOST_PEOPLE])
    scores, owners = [], []
    for person in drawn.tolist() if people > 1 else []:
        own = labels == person
        fitted = scorer.fit(vectors[~own], labels[~own])
        scores.append(fitted.scores(vectors[own]).min(axis=1))
        owners.append(np.full(int(own.sum()), person))
    if strangers is not None and stranger_labels is not None and len(strangers):
        _, others = np.unique(stranger_labels, return_inverse=True)
        scores.append(scorer.fit(vectors, labels).scores(strangers).min(axis=1))
        owners.append(others + people)
    if not scores:
        raise UsageError(
            f"calibrating needs at least 2 people, or strangers; got {count(people, 'person')}: give more"
        )
    nearest, whose = np.concatenate(scores), np.concatenate(owners)
    limit = empirical_threshold(nearest, fpir)
    named = is_within(nearest, limit)
    everyone, some = len(np.unique(whose)), len(np.unique(whose[named]))
    return ScoreCalibration(
        distance=limit,
        target_fpir=fpir,
        confidence=_confidence(some, everyone, fpir),
        named=int(named.sum()),
        searches=len(nearest),
        strangers=everyone,
        counted_bound=upper_bound(some, everyone),
        identities=people,
        templates=len(vectors),
    )


def _confidence(named: int, people: int, fpir: float) -> float:
    """Return the probability that the FPIR is at most `fpir`, after counting people.

    It is the one-sided bound of Clopper and Pearson 1934, "The Use of Confidence or Fiducial Limits
    Illustrated in the Case of the Binomial".

    Args:
        named: number of people with a search that names anyone.
        people: number of people searched for.
        fpir: the limit.
    """
    from scipy.stats import beta

    return float(beta.cdf(fpir, named + 1, people - named)) if named < people else 0.0
