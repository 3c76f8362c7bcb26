"""Split and score labelled vectors as open-set identification, for scikit-learn's model selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import column_or_1d

from embedder.metrics import OpenSetScores
from enroll.classifier import OpenSetNeighborsClassifier
from enroll.config import EvaluationConfig
from enroll.evaluation.splits import draw_splits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray


class OpenSetSplit(BaseCrossValidator):  # type: ignore[misc]
    """Splits photos as `enroll.evaluate` does: some people are enrolled, all others are strangers.

    Each split trains on some photos of people drawn at random, and tests on their other photos and on all
    photos of everyone else.

    Args:
        n_splits: number of splits, at least 1.
        known: share of the people that is enrolled, 0 to 1.
        enrolled: number of photos of each that are trained on; None: half of them.
        random_state: an integer gives the same splits as `enroll.EvaluationConfig(seed=...)`; a RandomState
            or None, others.

    Raises:
        UsageError: a parameter out of its range, fewer than 3 people, or fewer than 2 with 2 photos.

    Example:
        >>> train, test = next(OpenSetSplit(5).split(np.zeros((12, 2)), np.repeat(list("abcd"), 3)))
        >>> len(train), len(test)
        (2, 10)
    """

    def __init__(
        self,
        n_splits: int = 20,
        known: float = 0.5,
        enrolled: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.n_splits = n_splits
        self.known = known
        self.enrolled = enrolled
        self.random_state = random_state

    def split(
        self, X: Any, y: ArrayLike, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield rows to train and to test on.

        Args:
            X: (n, ...), ignored.
            y: (n,) people.
            groups: ignored.

        Yields:
            Two int64 arrays of rising rows of `y`; no row is in both.
        """
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        config = EvaluationConfig(self.n_splits, self.known, self.enrolled, int(seed))
        _, labels = np.unique(column_or_1d(y), return_inverse=True)
        for drawn in draw_splits(labels.astype(np.int64), config):
            yield np.sort(drawn.enrolled), np.sort(np.concatenate([drawn.mated, drawn.non_mated]))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits; all arguments are ignored."""
        return self.n_splits


class TpirScorer:
    """Scores a fitted estimator by TPIR at an FPIR; made by `tpir_scorer`.

    Attributes:
        fpir: share of the searches for strangers that may be named, 0 to 1.
    """

    def __init__(self, fpir: float) -> None:
        self.fpir = fpir

    def __call__(self, estimator: Any, X: Any, y: ArrayLike) -> float:
        """Return the share of searches for enrolled people that name the right one.

        Args:
            estimator: a fitted classifier, pipeline or search; of the last two, their final or best
                estimator.
            X: (n, features), or what the estimator takes.
            y: (n,) people; those whom the estimator does not know are strangers.

        Raises:
            ValueError: everyone or no one is known, or the estimator gives no scores.
        """
        right = column_or_1d(y)
        names, scores = _nearest(estimator, X)
        mated = np.isin(right, _people(estimator))
        if mated.all() or not mated.any():
            kind = "strangers" if mated.all() else "people who are enrolled"
            raise ValueError(f"y: expected some rows of {kind}, got none; split with cv=OpenSetSplit()")
        hits = (names[mated] == right[mated]) & np.isfinite(scores[mated])
        searches = OpenSetScores(hits, scores[mated], scores[~mated])
        return searches.tpir(self.fpir)

    def __repr__(self) -> str:
        return f"tpir_scorer(fpir={self.fpir})"


def tpir_scorer(fpir: float = 0.01) -> TpirScorer:
    """Make a scorer for `cross_val_score` and `GridSearchCV`: TPIR at an FPIR.

    TPIR, the true positive identification rate, is the share of searches for enrolled people that name the
    right one; FPIR the share of searches for strangers that name anyone (see `enroll.evaluate`). The
    threshold is set on the strangers of each test, whatever threshold the estimator has, so that estimators
    are compared at one error rate. With fewer than 1 / `fpir` strangers none may be named.

    Args:
        fpir: share of the searches for strangers that may be named, 0 to 1.

    Returns:
        A scorer, called with (estimator, X, y).

    Raises:
        ValueError: `fpir` is not from 0 to 1.

    Example:
        >>> from sklearn.model_selection import cross_val_score
        >>> rng = np.random.default_rng(0)
        >>> names = np.repeat([f"person {number}" for number in range(12)], 6)
        >>> photos = np.repeat(rng.normal(size=(12, 16)), 6, axis=0) + 0.3 * rng.normal(size=(72, 16))
        >>> photos /= np.linalg.norm(photos, axis=1, keepdims=True)
        >>> classifier = OpenSetNeighborsClassifier()
        >>> cross_val_score(classifier, photos, names, scoring=tpir_scorer(0.05), cv=OpenSetSplit(3)).tolist()
        [1.0, 1.0, 1.0]
    """
    if not 0 <= fpir <= 1:
        raise ValueError(f"fpir: expected a share of strangers, 0 to 1, got {fpir!r}")
    return TpirScorer(fpir)


def _unwrapped(estimator: Any) -> Any:
    """Return the estimator that decides: the last of a pipeline, the best of a search."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def _people(estimator: Any) -> NDArray[Any]:
    last = _unwrapped(estimator)
    people: NDArray[Any] = last.people_ if isinstance(last, OpenSetNeighborsClassifier) else last.classes_
    return people


def _nearest(estimator: Any, X: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Find the nearest person of each row and their score.

    A smaller score is nearer; it is infinite if the answer is ambiguous.
    """
    while not isinstance(estimator, OpenSetNeighborsClassifier):
        if isinstance(estimator, Pipeline):
            X, estimator = estimator[:-1].transform(X) if len(estimator) > 1 else X, estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return _by_scores(estimator, X)
    decisions = estimator.decisions(X)
    places = [int(one.candidates[0].identity) for one in decisions]
    scores = [np.inf if one.reason == "ambiguous" else one.candidates[0].distance for one in decisions]
    return estimator.people_[places], np.array(scores)


def _by_scores(estimator: Any, X: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Find the same from the scores of another classifier."""
    if hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(X))
    elif hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(X))
    else:
        raise ValueError(f"expected an estimator with decision_function or predict_proba, got {estimator}")
    if scores.ndim == 1:
        scores = np.column_stack([-scores, scores])
    return estimator.classes_[scores.argmax(axis=1)], -scores.max(axis=1)
