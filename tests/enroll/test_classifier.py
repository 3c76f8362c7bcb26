"""The classifier is one of scikit-learn's, and decides as a gallery does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from embedder.errors import UsageError
from enroll.calibration import calibrate
from enroll.classifier import OpenSetNeighborsClassifier as Classifier
from enroll.confidence import fit_confidence
from enroll.scoring.mean import Mean
from enroll.search import exact
from enroll.search.base import nearest_people, nearest_templates
from enroll.templates import Templates
from tests.conftest import TOY_STRANGERS
from tests.enroll.doctor.people import made_people

VECTORS, LABELS = made_people(12, 5, noise=0.15)
NAMES = np.array([f"p{label:02d}" for label in LABELS])
KNOWN = LABELS < 9
X, Y, STRANGERS = VECTORS[KNOWN], NAMES[KNOWN], VECTORS[~KNOWN]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads of scikit-learn that wait for each other on a busy machine take a tenth of a second a call."""
    with threadpool_limits(1):
        yield


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:.*column-vector y was passed")
@parametrize_with_checks([Classifier()])
def test_every_check_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_without_a_threshold_it_is_a_nearest_neighbour_classifier() -> None:
    rng = np.random.default_rng(0)
    points, kinds = rng.normal(size=(80, 3)) * 5, rng.integers(0, 4, 80)
    queries = rng.normal(size=(40, 3)) * 5
    ours, theirs = Classifier().fit(points, kinds), KNeighborsClassifier(1).fit(points, kinds)
    assert np.array_equal(ours.predict(queries), theirs.predict(queries))
    assert np.array_equal(ours.classes_, theirs.classes_) and ours.threshold_ == np.inf
    assert np.allclose(ours.predict_proba(queries).sum(axis=1), 1)
    assert np.array_equal(ours.predict_proba(queries).argmax(axis=1), ours.predict(queries))
    assert ours.score(queries, np.full(40, 1)) == theirs.score(queries, np.full(40, 1))


def test_calibrated_it_refuses_strangers_by_the_threshold_of_calibrate() -> None:
    fitted = Classifier(fpir=0.01).fit(X, Y)
    expected = calibrate(X, Y, 0.01)
    assert fitted.calibration_ == expected and fitted.threshold_ == expected.threshold < np.inf
    assert fitted.classes_.tolist() == [*np.unique(Y), "unknown"] and fitted.unknown_label_ == "unknown"
    assert fitted.people_.tolist() == np.unique(Y).tolist()
    assert set(fitted.predict(STRANGERS)) == {"unknown"}
    assert np.array_equal(fitted.predict(X), Y)
    everyone = np.concatenate([X, STRANGERS])
    assert fitted.score(everyone, NAMES) == 1.0  # for strangers, unknown is right
    assert fitted.score(everyone, NAMES, sample_weight=np.arange(len(NAMES)) == 3) == 1.0
    assert fitted.score(STRANGERS, np.full(len(STRANGERS), Y[0])) == 0.0


def test_strangers_that_are_given_count() -> None:
    fitted = Classifier().fit(X, Y)
    found = fitted.calibrate(0.02, STRANGERS, NAMES[~KNOWN])
    assert found == fitted.calibration_ == calibrate(X, Y, 0.02, STRANGERS, NAMES[~KNOWN])
    assert fitted.threshold_ == found.threshold and fitted.classes_[-1] == "unknown"
    assert fitted.calibrate().target_fpir == 0.01
    assert Classifier(fpir=0.05).fit(X, Y).calibrate().target_fpir == 0.05
    assert fitted.calibrate(known=TOY_STRANGERS) == calibrate(X, Y, 0.01, known=TOY_STRANGERS)


def test_decisions_give_the_reason_and_the_margin_is_kept() -> None:
    between = X[[0]] + X[[5]]
    between /= np.linalg.norm(between)
    gap = float(np.diff([one.distance for one in Classifier().fit(X, Y).decisions(between)[0].candidates])[0])
    for margin, answer, reason in ((gap, Y[0], "match"), (np.nextafter(gap, 1), "unknown", "ambiguous")):
        for threshold in (None, 1.2):
            fitted = Classifier(margin=margin, threshold=threshold).fit(X, Y)
            (decision,) = fitted.decisions(between)
            assert decision.reason == reason
            assert fitted.predict(between)[0] in (answer, Y[5] if reason == "match" else answer)
            scores = fitted.decision_function(between)
            assert fitted.classes_[scores.argmax(axis=1)] == fitted.predict(between)
    far = Classifier(threshold=0.1).fit(X, Y)
    assert {one.reason for one in far.decisions(STRANGERS)} == {"too_far"}


@pytest.mark.parametrize(
    "options", [{}, {"threshold": 0.6}, {"margin": 0.3}, {"threshold": 0.9, "margin": 0.2}]
)
@pytest.mark.parametrize("more", [{}, {"n_neighbors": 3}, {"scorer": "mean"}, {"scorer": "margin"}])
def test_the_largest_decision_is_the_prediction(options: dict[str, float], more: dict[str, Any]) -> None:
    fitted = Classifier(**options, **more).fit(X, Y)
    queries = np.concatenate([X + 0.1, STRANGERS, X[:1] + X[5:6]])
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    values = fitted.decision_function(queries)
    assert values.shape == (len(queries), len(fitted.classes_))
    assert np.array_equal(fitted.classes_[values.argmax(axis=1)], fitted.predict(queries))
    assert np.isfinite(values).all()
    if "threshold" in options:
        best = [one.candidates[0].distance for one in fitted.decisions(queries)]
        people = values[:, : len(fitted.people_)]
        assert people.max(axis=1) == pytest.approx(options["threshold"] - np.array(best))


def test_the_probability_is_the_confidence_of_a_gallery() -> None:
    fitted = Classifier(threshold=0.7).fit(X, Y)
    curve = fit_confidence(X, Y)
    assert curve is not None
    probabilities = fitted.predict_proba(VECTORS)
    assert np.allclose(probabilities.sum(axis=1), 1)
    for row, decision in zip(probabilities, fitted.decisions(VECTORS), strict=True):
        first = int(decision.candidates[0].identity)
        assert row[first] == curve.probability(decision.candidates[0].distance, decision.second)
        assert row[-1] == 1 - row[first] and np.count_nonzero(row) <= 2
    shares = Classifier(threshold=0.7, scorer="mean").fit(X, Y)
    assert np.array_equal(
        shares.classes_[shares.predict_proba(VECTORS).argmax(axis=1)], shares.predict(VECTORS)
    )


@pytest.mark.parametrize("labels", [Y, LABELS[KNOWN], LABELS[KNOWN].astype(np.uint64), Y.astype(object)])
def test_partial_fit_equals_fit(labels: Any) -> None:
    order = np.random.default_rng(1).permutation(len(X))
    rows, of = X[order], labels[order]
    whole = Classifier(fpir=0.05).fit(rows, of)
    parts = Classifier(fpir=0.05).partial_fit(rows[:20], of[:20])
    assert hasattr(parts.partial_fit(rows[20:21], of[20:21]), "classes_")
    parts.partial_fit(rows[21:], of[21:])
    assert parts.threshold_ == whole.threshold_ and parts.calibration_ == whole.calibration_
    assert np.array_equal(parts.classes_, whole.classes_)
    assert np.array_equal(parts.predict(VECTORS), whole.predict(VECTORS))
    for one, other in zip(parts.kneighbors(VECTORS, 4), whole.kneighbors(VECTORS, 4), strict=True):
        assert np.array_equal(one, other)
    assert parts.unknown_label_ == ("unknown" if labels.dtype.kind in "UO" else -1)


def test_partial_fit_calibrates_again_with_the_strangers_given() -> None:
    fitted = Classifier().fit(X[:30], Y[:30])
    fitted.calibrate(0.05, STRANGERS, NAMES[~KNOWN])
    fitted.partial_fit(X[30:], Y[30:], classes=np.unique(NAMES))
    assert fitted.threshold_ == calibrate(X, Y, 0.05, STRANGERS, NAMES[~KNOWN]).threshold
    with pytest.raises(ValueError, match=r"y: expected labels of classes, got \['nobody'\]"):
        fitted.partial_fit(X[:1], ["nobody"], classes=np.unique(NAMES))
    fitted.fit(X, Y)
    assert fitted.threshold_ == np.inf and fitted.calibration_ is None


@pytest.mark.parametrize("scorer", ["nearest", "mean"])
def test_inputs_of_every_kind_are_the_same(scorer: str) -> None:
    expected = Classifier(fpir=0.05, scorer=scorer).fit(X, Y)
    for made in (
        sparse.csr_matrix,
        sparse.csr_array,
        sparse.coo_matrix,
        np.asfortranarray,
        list,
        pd.DataFrame,
    ):
        kind = made(X.tolist() if made is list else X)
        found = Classifier(fpir=0.05, scorer=scorer).fit(kind, Y.tolist() if made is list else pd.Series(Y))
        queries = made(VECTORS.tolist() if made is list else VECTORS)
        assert found.threshold_ == pytest.approx(expected.threshold_, rel=1e-6)
        for asked in (queries, VECTORS):
            if made is pd.DataFrame and asked is VECTORS:
                continue
            assert np.array_equal(found.predict(asked), expected.predict(VECTORS))
            assert found.decision_function(asked) == pytest.approx(
                expected.decision_function(VECTORS), abs=1e-6
            )
    frame = Classifier().fit(pd.DataFrame(X, columns=[f"v{n}" for n in range(X.shape[1])]), Y)
    assert frame.feature_names_in_[1] == "v1" and frame.n_features_in_ == X.shape[1]
    with pytest.raises(ValueError, match="feature names"):
        frame.predict(pd.DataFrame(X, columns=[f"w{n}" for n in range(X.shape[1])]))
    added = Classifier().fit(sparse.csr_matrix(X[:20]), Y[:20]).partial_fit(X[20:], Y[20:])
    assert np.array_equal(added.predict(VECTORS), Classifier().fit(X, Y).predict(VECTORS))


def tied() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Many copies of few rows, so that nearly every neighbour is tied with one of another person."""
    rng = np.random.default_rng(7)
    base = VECTORS[rng.integers(0, 8, 300)]
    return base, np.array([f"p{label:02d}" for label in rng.integers(0, 30, 300)])


@pytest.mark.parametrize("data", [(X, Y), tied()], ids=["distinct", "tied"])
def test_neighbours_order_and_distances_are_those_of_the_search_in_numpy(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, names = data
    fitted = Classifier(n_neighbors=1).fit(rows, names)
    queries = np.concatenate([VECTORS, rows[::7]])
    templates = Templates(np.arange(len(rows)), names.astype(object), rows)
    monkeypatch.setattr(exact, "_fitted", lambda *_: pytest.fail("scikit-learn is not for few"))
    search_index = exact.ExactIndex(templates)
    distances, places = fitted.kneighbors(queries, 20)
    for row, near in enumerate(nearest_templates(search_index, queries, 20)):
        assert places[row].tolist() == [one.template for one in near]
        assert distances[row].tolist() == [one.distance for one in near]  # to the last bit
    for decision, near in zip(
        fitted.decisions(queries), nearest_people(search_index, queries, 2), strict=True
    ):
        assert [str(fitted.people_[int(one.identity)]) for one in decision.candidates] == [
            one.identity for one in near
        ]
        assert [one.distance for one in decision.candidates] == [one.distance for one in near]
    alone = [fitted.predict(queries[[row]])[0] for row in range(len(queries))]
    assert alone == fitted.predict(queries).tolist()  # no batch changes an answer


def test_templates_are_no_neighbours_of_themselves() -> None:
    rows, names = tied()
    fitted = Classifier().fit(rows, names)
    distances, places = fitted.kneighbors(n_neighbors=5)
    assert not (places == np.arange(len(rows))[:, None]).any()
    _, all_places = fitted.kneighbors(rows, 6)
    for row, own in enumerate(places):
        assert own.tolist() == [place for place in all_places[row] if place != row][:5]
    assert np.array_equal(fitted.kneighbors(n_neighbors=5, return_distance=False), places)
    assert (np.diff(distances, axis=1) >= 0).all()
    with pytest.raises(ValueError, match="n_neighbors: expected 1 to 299, the number of templates, got 300"):
        fitted.kneighbors(n_neighbors=300)


def test_more_neighbours_are_the_mean_of_the_nearest_of_each_class() -> None:
    rng = np.random.default_rng(2)
    points, kinds = rng.normal(size=(40, 3)) * 4, np.arange(40) % 3  # of any length
    fitted = Classifier(n_neighbors=3).fit(points, kinds)
    queries = rng.normal(size=(9, 3)) * 4
    every = np.linalg.norm(queries[:, None] - points, axis=2)
    expected = np.array([np.sort(every[:, kinds == kind])[:, :3].mean(axis=1) for kind in range(3)]).T
    assert fitted.decision_function(queries) == pytest.approx(-expected)
    assert np.array_equal(fitted.predict(queries), expected.argmin(axis=1))
    assert fitted.kneighbors(queries)[0].shape == (9, 3)
    same = Classifier(n_neighbors=3, scorer="k-nearest").fit(points, kinds)
    assert np.array_equal(same.decision_function(queries), fitted.decision_function(queries))


def test_it_goes_through_pipelines_clones_and_files(tmp_path: Any) -> None:
    pipe = make_pipeline(Normalizer(), Classifier(fpir=0.05)).fit(3 * X, Y)
    expected = Classifier(fpir=0.05).fit(X, Y).predict(VECTORS)
    assert np.array_equal(pipe.predict(5 * VECTORS), expected)
    for estimator in (Classifier(fpir=0.05), Classifier(threshold=1.0, scorer=Mean(), margin=0.1)):
        copy = clone(estimator)
        assert repr(copy) == repr(estimator) and not hasattr(copy, "classes_")
        fitted = estimator.fit(X, Y)
        joblib.dump(fitted, tmp_path / "classifier.joblib")
        for again in (joblib.load(tmp_path / "classifier.joblib"), pickle.loads(pickle.dumps(fitted))):
            assert np.array_equal(again.decision_function(VECTORS), fitted.decision_function(VECTORS))
    assert np.array_equal(
        Classifier(n_jobs=2).fit(X, Y).predict(VECTORS), Classifier().fit(X, Y).predict(VECTORS)
    )
    Classifier().set_params(fpir=0.01, scorer="mean").fit(X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors: expected a whole number from 1, got 0"),
        ({"n_neighbors": True}, "n_neighbors: expected a whole number from 1, got True"),
        ({"n_neighbors": 1.5}, "n_neighbors: expected a whole number"),
        ({"fpir": 0.0}, "fpir: expected a share of strangers above 0 and below 1, got 0.0"),
        ({"fpir": 1}, "fpir: expected a share"),
        ({"fpir": "1 %"}, "fpir: expected a share"),
        ({"fpir": 0.1, "threshold": 0.5}, "expected one of them"),
        ({"threshold": float("nan")}, "threshold: expected a number, got nan"),
        ({"threshold": "far"}, "threshold: expected a number, got 'far'"),
        ({"margin": -0.1}, "margin: expected a finite number from 0, got -0.1"),
        ({"margin": float("inf")}, "margin: expected a finite number"),
        ({"scorer": "median"}, "expected a scorer of nearest, .*, got 'median'"),
        ({"scorer": 3}, "scorer: expected a name or a scorer of enroll.scoring, got 3"),
        ({"scorer": "cohort"}, "needs photos of people who are not in the gallery"),
        ({"threshold": 1, "unknown_label": "p01"}, "unknown_label: 'p01' is also a class of y"),
        ({"threshold": 1, "unknown_label": 7}, "expected a label of the kind of .*'p00'.*, got 7"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(**options).fit(X, Y)


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(ValueError, match="expected rows of length 1"):
        Classifier(fpir=0.01).fit(2 * X, Y)
    with pytest.raises(UsageError, match="calibrating needs at least 4 people"):
        Classifier(fpir=0.01).fit(X[:10], Y[:10])
    with pytest.raises(ValueError, match="row 0 is not a finite vector of length 1"):
        Classifier(scorer="mean").fit(2 * X, Y)
    with pytest.raises(ValueError, match="expected a label beside False and True"):
        Classifier(threshold=1).fit(X, LABELS[KNOWN] > 3)
    assert Classifier(threshold=1, unknown_label="nobody").fit(X, Y).predict(-X[:1]).tolist() == ["nobody"]
    assert Classifier(threshold=1).fit(X, LABELS[KNOWN].astype(float)).unknown_label_ == -1.0


def test_rounding_puts_no_one_before_the_nearest() -> None:
    rng = np.random.default_rng(4)  # far from the origin, where products of matrices round by much
    rows = 1e3 + rng.normal(size=(6, 20))[np.arange(60) % 6] + rng.normal(size=(60, 20)) * 1e-6
    for labels in (np.arange(60), np.arange(60) % 2):
        for options in ({}, {"threshold": 0.5}):
            fitted = Classifier(**options).fit(rows, labels)
            values = fitted.decision_function(rows)
            first = (values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)
            assert np.array_equal(fitted.classes_[first], fitted.predict(rows))
            assert np.array_equal(fitted.predict(rows), labels)
    between = np.array([[np.nextafter(0.5, 0), 0.0]])  # nearer to b, by less than 1 - distance can tell
    fitted = Classifier(threshold=1.0).fit([[0.0, 0.0], [1.0, 0.0]], ["b", "a"])
    assert fitted.predict(between) == fitted.classes_[fitted.decision_function(between).argmax()] == "b"
