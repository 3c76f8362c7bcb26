"""Estimate the probability that a name is right, from searches with a known answer.

Every enrolled photo is searched for twice: among all others, and among those of other people only. In the
first search the person is enrolled, in the second they are a stranger. A logistic curve (Platt 2000,
"Probabilities for SV Machines") over the logarithms of the distance to the nearest person, and of how much
farther the second one is, gives the share of right answers. Both kinds of search have the same total weight,
so the probability is that for a face that is as likely an enrolled person's as a stranger's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.ranges import check_numbers
from embedder.metrics import squared_distances
from enroll.templates import checked_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_NO_DISTANCE = 1e-3  # two copies of one photo; the logarithm of their distance would be infinite
_MOST_TEMPLATES = 3000  # of people drawn at random; more would add nothing but time
FARTHEST = 2.0  # between unit vectors; the second person of a gallery with one
_COEFFICIENT = (-1e6, 1e6)  # beyond, it is a step in any case: logits are cut at 500
_WEIGHT_DECAY = 0.01  # of the standardized slopes; without it, a gallery without mistakes has none


@dataclass(frozen=True)
class ConfidenceModel:
    """Holds a logistic model of the probability that the nearest person is the right one.

    Logit = intercept + near · ln(distance) + apart · ln(second distance / distance).

    Attributes:
        intercept: constant of the logit.
        near: slope of the logarithm of the distance to the nearest person.
        apart: slope of the logarithm of the ratio of the second person's distance to it.
    """

    intercept: float
    near: float
    apart: float

    def __post_init__(self) -> None:
        """Check that each coefficient is in its range.

        Raises:
            ValueError: one is out of its range.
        """
        check_numbers(self, dict.fromkeys(("intercept", "near", "apart"), _COEFFICIENT), "curve")

    def probability(self, distance: float, second: float | None) -> float:
        """Return the probability that the nearest person is the right one, 0 to 1.

        Args:
            distance: of the nearest template.
            second: distance of the nearest template of any other person, or None if there is none.
        """
        pair = np.array([distance]), np.array([FARTHEST if second is None else second])
        return float(self.probabilities(*pair)[0])

    def probabilities(
        self, distance: NDArray[np.float64], second: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the probability for many searches; see `probability`.

        Args:
            distance: (n,) float64, of the nearest template.
            second: (n,) float64, of the nearest template of any other person; 2 if there is none.

        Returns:
            (n,) float64, 0 to 1.
        """
        near, apart = _features(distance, second)
        logits = np.clip(self.intercept + self.near * near + self.apart * apart, -500, 500)
        return np.asarray(1 / (1 + np.exp(-logits)))


@dataclass(frozen=True, eq=False)
class LabeledSearches:
    """Holds searches whose right answer is known.

    Attributes:
        distance, second: (n,) float64 distance of the nearest person and of the second.
        right: (n,) bool; the nearest person is the right one.
        mated: (n,) bool; the right one is enrolled.
    """

    distance: NDArray[np.float64]
    second: NDArray[np.float64]
    right: NDArray[np.bool_]
    mated: NDArray[np.bool_]


def leave_one_out_searches(vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> LabeledSearches:
    """Search for every template among the others, with its person enrolled and without.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) integers, the people they show, at least two.
    """
    if len(labels) > _MOST_TEMPLATES:
        people, first = np.unique(labels, return_inverse=True)
        place = np.random.default_rng(0).permutation(len(people))[first]
        drawn = np.argsort(place, kind="stable")[:_MOST_TEMPLATES]
        vectors, labels = vectors[drawn], labels[drawn]
    order = np.argsort(labels, kind="stable")
    vectors, labels = vectors[order], labels[order]
    people, starts = np.unique(labels, return_index=True)
    squared = squared_distances(vectors, vectors)
    np.fill_diagonal(squared, np.inf)
    nearest = np.sqrt(np.minimum.reduceat(squared, starts, axis=1))
    own = people[None] == labels[:, None]
    strangers = _two_smallest(np.where(own, np.inf, nearest))
    if len(people) < 3:
        strangers = np.column_stack([strangers[:, 0], np.full(len(strangers), FARTHEST)])
    there = np.isfinite(nearest[own])
    first_two = _two_smallest(nearest[there])
    return LabeledSearches(
        distance=np.concatenate([first_two[:, 0], strangers[:, 0]]),
        second=np.concatenate([first_two[:, 1], strangers[:, 1]]),
        right=np.concatenate(
            [own[there][np.arange(there.sum()), nearest[there].argmin(1)], np.zeros(len(own), bool)]
        ),
        mated=np.concatenate([np.ones(there.sum(), bool), np.zeros(len(own), bool)]),
    )


def fit_confidence(vectors: ArrayLike, labels: ArrayLike) -> ConfidenceModel | None:
    """Fit the probability that the nearest person is right, from photos of known people.

    Args:
        vectors: (n, dim) float unit rows.
        labels: (n,) names or numbers of the people they show.

    Returns:
        The fitted model; None if there are not both right and wrong answers to learn from.

    Raises:
        ValueError: arrays of other shapes, or rows that are not of length 1.
        UsageError: a vector is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> photos = np.repeat(rng.normal(size=(8, 16)), 5, axis=0) + 0.1 * rng.normal(size=(40, 16))
        >>> photos /= np.linalg.norm(photos, axis=1, keepdims=True)
        >>> confidence = fit_confidence(photos, np.repeat(list("abcdefgh"), 5))
        >>> confidence.probability(0.1, 1.2) > 0.9 > 0.5 > confidence.probability(1.1, 1.2)
        True
    """
    rows, of = checked_rows(vectors, labels)
    people, numbers = np.unique(of, return_inverse=True)
    return fit_confidence_model(leave_one_out_searches(rows, numbers)) if len(people) > 1 else None


def fit_confidence_model(known: LabeledSearches) -> ConfidenceModel | None:
    """Fit the model to searches; None if not both right and wrong answers are among them."""
    if not known.right.any() or known.right.all():
        return None
    from scipy.optimize import minimize

    features = np.column_stack(_features(known.distance, known.second))
    middle, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    scaled = (features - middle) / spread
    weights = np.where(known.mated, 0.5 / max(known.mated.sum(), 1), 0.5 / max((~known.mated).sum(), 1))
    weights *= len(weights)
    right, wrong = known.right.sum(), (~known.right).sum()
    # Platt's targets are below 1: even if all answers were right, the next one is not certain.
    targets = np.where(known.right, (right + 1) / (right + 2), 1 / (wrong + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = parameters[0] + scaled @ parameters[1:]
        pull = weights * (1 / (1 + np.exp(np.clip(-logits, -500, 500))) - targets)
        decay = np.append(0.0, parameters[1:])
        value = weights @ (np.logaddexp(0, logits) - targets * logits) + _WEIGHT_DECAY / 2 * decay @ decay
        return float(value), np.append(pull.sum(), pull @ scaled) + _WEIGHT_DECAY * decay

    intercept, *slopes = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B").x
    slopes = np.array(slopes) / spread
    return ConfidenceModel(float(intercept - slopes @ middle), float(slopes[0]), float(slopes[1]))


@dataclass(frozen=True)
class Reliability:
    """Holds how often answers of some confidence were right.

    Attributes:
        confidence: mean confidence of the answers in each bin that has any, rising.
        accuracy: share of right answers in each bin.
        count: sum of the weights of the answers in each bin.
        error: expected calibration error (Naeini, Cooper and Hauskrecht 2015, "Obtaining Well Calibrated
            Probabilities Using Bayesian Binning"): mean of |confidence - accuracy|, weighted by `count`.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[float, ...]
    error: float


def reliability(
    probabilities: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.float64], bins: int = 10
) -> Reliability:
    """Compare confidence with accuracy in bins of equal width.

    Args:
        probabilities: (n,) float64 confidence of each answer, 0 to 1.
        right: (n,) bool, whether it was right.
        weights: (n,) float64 weight of each answer.
        bins: number of bins.
    """
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = np.bincount(index, weights, bins)
    used = np.flatnonzero(total)
    mean = np.bincount(index, weights * probabilities, bins)[used] / total[used]
    share = np.bincount(index, weights * right, bins)[used] / total[used]
    error = float(total[used] @ np.abs(mean - share) / total.sum())
    return Reliability(tuple(mean.tolist()), tuple(share.tolist()), tuple(total[used].tolist()), error)


def _two_smallest(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two smallest values of each row.

    Args:
        distances: (n, people), two people or more.

    Returns:
        (n, 2), rising.
    """
    return np.partition(distances, 1, axis=1)[:, :2]


def _features(
    distance: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    near = np.log(np.maximum(distance, _NO_DISTANCE))
    return near, np.log(np.maximum(second, _NO_DISTANCE)) - near
