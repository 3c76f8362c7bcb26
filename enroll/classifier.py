"""Classify vectors as people or unknown, as an estimator of scikit-learn.

The classifier decides by the same functions as a gallery does (`enroll.search.base`, `enroll.decision`,
`enroll.calibration`), and searches by `sklearn.neighbors.NearestNeighbors`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from enroll.calibration import calibrate
from enroll.classifier_options import check_options, find_unknown_label
from enroll.confidence import fit_confidence
from enroll.decision import Decision, decide
from enroll.score_calibration import calibrate_scores
from enroll.scored_people import ScoredPeople
from enroll.scoring import get_scorer
from enroll.scoring.base import Scorer
from enroll.scoring.nearest import KNearest, Nearest
from enroll.search.base import nearest_templates
from enroll.templates import are_unit, checked_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from embedder.strangers import StrangerDistances
    from enroll.calibration import Calibration
    from enroll.confidence import ConfidenceModel

_NUMBERS_AT_ONCE = 2**22  # of dense queries, 32 MB
_TYPES = (np.float64, np.float32)


class OpenSetNeighborsClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies by the nearest templates of each class, or answers unknown.

    Without `fpir` and `threshold` every row gets a class, as from `KNeighborsClassifier`. With one of them, a
    row that is farther than `threshold_` from every class is answered with `unknown_label_`, which is then
    the last of `classes_`.

    Args:
        n_neighbors: number of rows of a class whose mean distance is its score, all if it has fewer; 1: the
            nearest. It is also the default of `kneighbors`. Scorers other than `nearest` and `k-nearest`
            ignore it.
        scorer: how a class is compared with a query: `nearest`, or another name or object of `enroll.scoring`
            (docs/scoring.md), which needs rows of length 1.
        fpir: limit of the share of strangers that are named, above 0 and below 1; `fit` calibrates for it,
            which needs rows of length 1 (`sklearn.preprocessing.Normalizer`).
        threshold: largest score at which a class is named; cannot be given together with `fpir`.
        margin: the second class must be at least this much farther, or the answer is unknown.
        unknown_label: the label for unknown; `auto`: "unknown" if classes are texts, -1 if they are numbers.
        n_jobs: number of processors to search with, as for `sklearn.neighbors.NearestNeighbors`.

    Attributes:
        classes_: (classes,) sorted labels of `y`; `unknown_label_` behind them if that can be an answer.
        people_: (people,) sorted labels of `y`: `classes_` without unknown.
        threshold_: largest score at which a class is named; infinite if every row gets a class.
        calibration_: the evidence for `threshold_`, or None.
        n_features_in_, feature_names_in_: as of every estimator.

    Raises:
        ValueError: parameters or arrays that cannot be used, with what was expected.
        UsageError: too few classes to calibrate with.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people = np.repeat(rng.normal(size=(8, 16)), 5, axis=0)
        >>> photos = people + 0.1 * rng.normal(size=people.shape)
        >>> photos /= np.linalg.norm(photos, axis=1, keepdims=True)
        >>> classifier = OpenSetNeighborsClassifier(fpir=0.01).fit(photos, np.repeat(list("abcdefgh"), 5))
        >>> stranger = rng.normal(size=(1, 16))
        >>> stranger /= np.linalg.norm(stranger)
        >>> classifier.predict(np.vstack([photos[:1], stranger])).tolist()
        ['a', 'unknown']
    """

    def __init__(
        self,
        n_neighbors: int = 1,
        *,
        scorer: str | Scorer = "nearest",
        fpir: float | None = None,
        threshold: float | None = None,
        margin: float = 0.0,
        unknown_label: Any = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.scorer = scorer
        self.fpir = fpir
        self.threshold = threshold
        self.margin = margin
        self.unknown_label = unknown_label
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: ArrayLike) -> OpenSetNeighborsClassifier:
        """Store the templates, and calibrate if `fpir` is given.

        Args:
            X: (n, features) float32 or float64 array, CSR matrix, data frame or list, finite.
            y: (n,) labels.

        Returns:
            Itself.

        Raises:
            ValueError: parameters or arrays that cannot be used.
            UsageError: too few classes to calibrate with.
        """
        check_options(self.get_params(deep=False))
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=_TYPES)
        _check_classes(y)
        self._calibrated_with: dict[str, Any] | None = None if self.fpir is None else {"fpir": self.fpir}
        return self._keep(X, np.asarray(y))

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None
    ) -> OpenSetNeighborsClassifier:
        """Add templates, of known or new classes, as one `fit` on all rows would.

        A calibration is made again. Every call copies all rows, so give many rows at a time.

        Args:
            X: (n, features), as for `fit`.
            y: (n,) labels.
            classes: accepted for code that calls any estimator of scikit-learn; labels need not be announced
                before their first row, and those without a row are never an answer.

        Returns:
            Itself.

        Raises:
            ValueError: a label is not among `classes`.
        """
        first = not hasattr(self, "_rows")
        if classes is not None and not np.isin(y, classes).all():
            unknown = np.setdiff1d(y, classes)[:3].tolist()
            raise ValueError(f"y: expected labels of classes, got {unknown}")
        if first:
            return self.fit(X, y)
        check_options(self.get_params(deep=False))
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=_TYPES, reset=False)
        _check_classes(y)
        if sparse.issparse(self._rows) or sparse.issparse(X):
            X = sparse.vstack([sparse.csr_matrix(self._rows), sparse.csr_matrix(X)], format="csr")
        else:
            X = np.concatenate([self._rows, X])
        return self._keep(X, np.concatenate([self.people_[self._labels], y]))

    def calibrate(
        self,
        fpir: float | None = None,
        strangers: Any = None,
        stranger_labels: ArrayLike | None = None,
        known: StrangerDistances | None = None,
    ) -> Calibration:
        """Calibrate: set `threshold_` so that at most a given share of strangers is named.

        See `enroll.calibrate`.

        Args:
            fpir: the share; None: the parameter of that name, or 0.01.
            strangers: (m, features) unit rows of people who are not enrolled.
            stranger_labels: (m,) people these show; None: each row shows another person.
            known: distances between strangers by the model (`manifest.strangers`).

        Returns:
            The threshold and its evidence, as in `calibration_`.

        Raises:
            UsageError: too few people.
            ValueError: rows that are not of length 1.
        """
        check_is_fitted(self)
        share = 0.01 if self.fpir is None else self.fpir
        given: dict[str, Any] = {"fpir": share if fpir is None else fpir, "known": known}
        if strangers is not None:
            rows, whose = checked_rows(check_array(_dense(strangers), dtype=_TYPES), stranger_labels)
            given |= {"strangers": rows, "stranger_labels": whose}
        self._calibrated_with = given
        self._set_threshold()
        assert self.calibration_ is not None
        return self.calibration_

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of each row, or `unknown_label_`.

        Args:
            X: (n, features).

        Returns:
            (n,) labels of `classes_`.
        """
        places = [-1 if one.identity is None else int(one.identity) for one in self.decisions(X)]
        return np.asarray(self.classes_[places])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class.

        With the scorer `nearest` and right and wrong answers to learn from, the nearest class has the
        probability that it is the right one, if as many queries are of enrolled people as of strangers, and
        unknown has the rest (`enroll.confidence`). Otherwise the values are shares: the softmax of
        `decision_function`.

        Args:
            X: (n, features).

        Returns:
            (n, classes) float64 rows that sum to 1, in the order of `classes_`.
        """
        check_is_fitted(self)
        if self._curve is None:
            scores = self.decision_function(X)
            if scores.ndim == 1:
                scores = np.column_stack([np.zeros(len(scores)), scores])
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        decisions = self.decisions(X)
        probabilities = np.zeros((len(decisions), len(self.classes_)))
        for row, one in enumerate(decisions):
            right = self._curve.probability(one.candidates[0].distance, one.second)
            probabilities[row, int(one.candidates[0].identity)] = right
            probabilities[row, -1] = 1 - right
        return probabilities

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Score each class by how far it is within the threshold.

        The value is `threshold_` - score, or - score without a threshold.

        Args:
            X: (n, features).

        Returns:
            (n, classes) float64. The column of unknown is 0, or where the second class is within the margin,
            above that of the first. Without unknown and with two classes (n,), how much nearer the second one
            is.
        """
        check_is_fitted(self)
        rows = self._checked(X)
        parts = [self._search.scores(_dense(rows[some])) for some in self._parts(rows)]
        offset = self.threshold_ if np.isfinite(self.threshold_) else 0.0
        values = offset - np.concatenate([scores for _, scores in parts])
        if len(self.classes_) == len(self.people_):
            return values[:, 1] - values[:, 0] if len(self.people_) == 2 else values
        near = [candidates for part, _ in parts for candidates in part]
        every, first = np.arange(len(values)), np.array([int(one[0].identity) for one in near])
        behind = values.argmax(axis=1) != first  # the subtraction rounded the first two to one number
        values[every[behind], first[behind]] = np.nextafter(values[behind].max(axis=1), np.inf)
        gap = np.array([one[1].distance - one[0].distance if len(one) > 1 else np.inf for one in near])
        top = values[every, first]
        unknown = np.zeros(len(values)) if np.isfinite(self.threshold_) else top - 1
        best = np.maximum(unknown, top)
        above = np.maximum(best + self.margin - gap, np.nextafter(best, np.inf))
        return np.column_stack([values, np.where(gap < self.margin, above, unknown)])

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]] | NDArray[np.int64]:
        """Find the nearest templates of each row, ordered by distance, then class, then row.

        Args:
            X: (n, features); None: the templates themselves, each compared with all others.
            n_neighbors: number of templates; None: the parameter of that name.
            return_distance: whether to return distances, too.

        Returns:
            (n, n_neighbors) float64 distances, and (n, n_neighbors) int64 rows of the templates.

        Raises:
            ValueError: there are fewer templates.
        """
        check_is_fitted(self)
        wanted = self.n_neighbors if n_neighbors is None else n_neighbors
        there = len(self._labels) - (X is None)
        if not 1 <= wanted <= there:
            raise ValueError(f"n_neighbors: expected 1 to {there}, the number of templates, got {wanted}")
        rows = self._rows if X is None else self._checked(X)
        distances, places = np.empty((rows.shape[0], wanted)), np.empty((rows.shape[0], wanted), np.int64)
        for some in self._parts(rows):
            found = nearest_templates(self._search.search_index, _dense(rows[some]), wanted + (X is None))
            for row, near in zip(range(some.start, some.stop), found, strict=True):
                others = [one for one in near if X is not None or one.template != row][:wanted]
                distances[row] = [one.distance for one in others]
                places[row] = [one.template for one in others]
        return (distances, places) if return_distance else places

    def score(self, X: Any, y: ArrayLike, sample_weight: Any = None) -> float:
        """Return the share of right answers; for a stranger, unknown is right.

        Args:
            X: (n, features).
            y: (n,) labels, of `classes_` or of strangers.
            sample_weight: (n,) weight of each row; None: all weigh the same.
        """
        answers, right = self.predict(X), column_or_1d(y)
        enrolled = np.isin(right, self.people_)
        hits = np.where(enrolled, answers == right, ~np.isin(answers, self.people_))
        return float(np.average(hits, weights=sample_weight))

    def decisions(self, X: Any) -> list[Decision]:
        """Decide on each row, with the reason and the two nearest people.

        Args:
            X: (n, features).

        Returns:
            (n) decisions as of `enroll.decide`; an identity is an index into `classes_`, as text.
        """
        check_is_fitted(self)
        rows = self._checked(X)
        return [
            decide(candidates, self.threshold_, self.margin)
            for some in self._parts(rows)
            for candidates in self._search.nearest(_dense(rows[some]), 2)
        ]

    def __sklearn_tags__(self) -> Any:
        """State that sparse rows are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _scorer(self) -> Scorer | None:
        """Return the scorer of people; None: the distance of the nearest template."""
        if self.scorer in ("nearest", "k-nearest"):
            return KNearest(int(self.n_neighbors)) if self.n_neighbors > 1 else None
        scorer = get_scorer(self.scorer) if isinstance(self.scorer, str) else self.scorer
        return None if scorer == Nearest() else scorer

    def _keep(self, X: Any, y: NDArray[Any]) -> OpenSetNeighborsClassifier:
        self.people_, self._labels = np.unique(y, return_inverse=True)
        self._rows = X
        self._search = ScoredPeople(X, self._labels, self._scorer(), self.n_jobs)
        self._set_threshold()
        return self

    def _set_threshold(self) -> None:
        """Set the attributes that decide when the answer is unknown."""
        self.calibration_: Calibration | None = None
        self.threshold_ = np.inf if self.threshold is None else float(self.threshold)
        if self._calibrated_with is not None:
            self.calibration_ = self._calibration(**self._calibrated_with)
            self.threshold_ = self.calibration_.threshold
        self.classes_ = self.people_
        if np.isfinite(self.threshold_) or self.margin > 0:
            self.unknown_label_ = find_unknown_label(self.people_, self.unknown_label)
            self.classes_ = np.append(self.people_, np.array([self.unknown_label_]))
        self._curve = self._confidence() if np.isfinite(self.threshold_) else None

    def _calibration(
        self,
        fpir: float,
        strangers: NDArray[np.floating] | None = None,
        stranger_labels: NDArray[Any] | None = None,
        known: StrangerDistances | None = None,
    ) -> Calibration:
        rows, scorer = _dense(self._rows), self._scorer()
        if scorer is None:
            return calibrate(rows, self._labels, fpir, strangers, stranger_labels, known=known)
        return calibrate_scores(scorer, rows, self._labels, fpir, strangers, stranger_labels)

    def _confidence(self) -> ConfidenceModel | None:
        """Fit the probability that the nearest class is right; only distances can be used for it."""
        rows = _dense(self._rows)
        if self._scorer() is not None or not are_unit(rows):
            return None
        return fit_confidence(rows, self._labels)

    def _checked(self, X: Any) -> Any:
        return validate_data(self, X, accept_sparse="csr", dtype=_TYPES, reset=False)

    def _parts(self, rows: Any) -> Iterator[slice]:
        step = max(1, _NUMBERS_AT_ONCE // rows.shape[1])
        for start in range(0, rows.shape[0], step):
            yield slice(start, min(start + step, rows.shape[0]))


def _check_classes(y: Any) -> None:
    """Check that labels are classes, without scikit-learn's warning that most have one row."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        check_classification_targets(y)


def _dense(rows: Any) -> Any:
    return rows.toarray() if sparse.issparse(rows) else rows
