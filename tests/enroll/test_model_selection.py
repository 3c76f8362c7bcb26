"""Splits and scores for the model selection of scikit-learn are those of the evaluation."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from embedder.errors import UsageError
from enroll.classifier import OpenSetNeighborsClassifier as Classifier
from enroll.config import EvaluationConfig
from enroll.evaluation.protocol import evaluate
from enroll.model_selection import OpenSetSplit, tpir_scorer
from tests.enroll.doctor.people import made_people

VECTORS, LABELS = made_people(12, 6, noise=0.33)
NAMES = np.array([f"p{label:02d}" for label in LABELS])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def test_splits_are_those_of_the_evaluation() -> None:
    evaluation = evaluate(VECTORS, NAMES, EvaluationConfig(splits=4, known=0.4, enrolled=2, seed=9))
    cv = OpenSetSplit(4, known=0.4, enrolled=2, random_state=9)
    assert cv.get_n_splits() == 4 and "n_splits=4" in repr(cv)
    found = list(cv.split(VECTORS, NAMES))
    for (train, test), split in zip(found, evaluation.splits, strict=True):
        assert train.tolist() == sorted(split.enrolled)
        assert test.tolist() == sorted([*split.mated, *split.non_mated])
        assert sorted([*train, *test]) == list(range(len(NAMES)))
        strangers = set(NAMES) - set(NAMES[train])
        assert len(strangers) == 7 and strangers <= set(NAMES[test])


def test_the_random_state_decides() -> None:
    def drawn(state: Any) -> list[list[int]]:
        return [train.tolist() for train, _ in OpenSetSplit(3, random_state=state).split(VECTORS, NAMES)]

    assert drawn(0) == drawn(0) == drawn(np.int64(0)) != drawn(1)
    assert drawn(np.random.RandomState(5)) == drawn(np.random.RandomState(5)) != drawn(0)
    np.random.seed(3)
    assert drawn(None) != drawn(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_splits": 0}, "splits"), ({"known": 1.5}, "known"), ({"enrolled": 0}, "enrolled")],
)
def test_splits_that_cannot_be_drawn_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next(OpenSetSplit(**options).split(VECTORS, NAMES))


def test_too_few_people_are_refused() -> None:
    with pytest.raises(UsageError, match="evaluating needs at least 3 people"):
        next(OpenSetSplit().split(VECTORS[:12], NAMES[:12]))


@pytest.mark.parametrize("fpir", [0.04, 0.1, 1.0])
@pytest.mark.parametrize("classifier", [Classifier(), Classifier(threshold=0.3), Classifier(fpir=0.5)])
def test_the_score_is_the_tpir_of_the_evaluation(fpir: float, classifier: Classifier) -> None:
    expected = evaluate(VECTORS, NAMES, EvaluationConfig(splits=6, replicates=20)).tpir(fpir)
    pipe = make_pipeline(Normalizer(), classifier)
    for estimator in (classifier, pipe):
        scores = cross_val_score(
            estimator, VECTORS, NAMES, scoring=tpir_scorer(fpir), cv=OpenSetSplit(6), error_score="raise"
        )
        assert scores.mean() == pytest.approx(expected.value, abs=1e-12)
    assert 0 < scores.mean() < 1 or fpir == 1.0


def test_a_grid_is_searched_and_the_best_kept() -> None:
    pipe = make_pipeline(Normalizer(), Classifier(fpir=0.05))
    search = GridSearchCV(
        pipe,
        {"opensetneighborsclassifier__scorer": ["nearest", "mean", "margin"]},
        scoring=tpir_scorer(fpir=0.05),
        cv=OpenSetSplit(5),
        error_score="raise",
        n_jobs=2,
    )
    search.fit(VECTORS, NAMES)
    for scorer, mean in zip(
        ("nearest", "mean", "margin"), search.cv_results_["mean_test_score"], strict=True
    ):
        config = EvaluationConfig(splits=5, replicates=20)
        expected = evaluate(VECTORS, NAMES, config, scorer=scorer).tpir(0.05).value
        assert mean == pytest.approx(expected, abs=1e-12)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.best_estimator_[-1].threshold_ < np.inf
    some = np.isin(LABELS, range(9))
    search.fit(VECTORS[some], NAMES[some])
    assert 0 <= tpir_scorer(0.2)(search, VECTORS, NAMES) <= 1  # a search is taken for its best


def test_an_ambiguous_answer_names_no_one_at_any_threshold() -> None:
    train, test = next(OpenSetSplit(1).split(VECTORS, NAMES))
    fitted = Classifier(margin=3.0).fit(VECTORS[train], NAMES[train])
    for fpir in (0.5, 1.0):
        assert tpir_scorer(fpir)(fitted, VECTORS[test], NAMES[test]) == 0


@pytest.mark.parametrize(
    "other", [SVC(), LogisticRegression(), KNeighborsClassifier(3), make_pipeline(Normalizer(), SVC())]
)
def test_other_classifiers_are_scored_by_their_own_scores(other: Any) -> None:
    train, test = next(OpenSetSplit(1).split(VECTORS, NAMES))
    two = np.isin(NAMES[train], np.unique(NAMES[train])[:2])
    for rows in (train, train[two]):  # of two classes, a single score
        fitted = other.fit(VECTORS[rows], NAMES[rows])
        score = tpir_scorer(0.1)(fitted, VECTORS[test], NAMES[test])
        known = np.isin(NAMES[test], NAMES[rows])
        accuracy = fitted.score(VECTORS[test][known], NAMES[test][known])
        assert 0 < score <= accuracy
        assert tpir_scorer(1.0)(fitted, VECTORS[test], NAMES[test]) == accuracy


def test_what_cannot_be_scored_is_refused() -> None:
    fitted = Classifier().fit(VECTORS[:30], NAMES[:30])
    with pytest.raises(ValueError, match="expected some rows of strangers, got none; split with cv=OpenSet"):
        tpir_scorer()(fitted, VECTORS[:30], NAMES[:30])
    with pytest.raises(ValueError, match="expected some rows of people who are enrolled, got none"):
        tpir_scorer()(fitted, VECTORS[30:], NAMES[30:])
    for fpir in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="fpir: expected a share of strangers, 0 to 1"):
            tpir_scorer(fpir)

    class Bare:
        classes_ = np.unique(NAMES[:30])

    with pytest.raises(ValueError, match="expected an estimator with decision_function or predict_proba"):
        tpir_scorer()(Bare(), VECTORS, NAMES)


def test_scorers_travel() -> None:
    scorer = pickle.loads(pickle.dumps(tpir_scorer(0.05)))
    assert (scorer.fpir, repr(scorer)) == (0.05, "tpir_scorer(fpir=0.05)")
    found = cross_validate(Classifier(), VECTORS, NAMES, scoring={"tpir": scorer}, cv=OpenSetSplit(2))
    assert found["test_tpir"].shape == (2,)
