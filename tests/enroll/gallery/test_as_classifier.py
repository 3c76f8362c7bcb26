"""A gallery as a classifier names whom the gallery names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.errors import UsageError
from enroll.gallery.gallery import Gallery
from enroll.gallery.threshold import FromModel, some_people
from enroll.identify import Identifier
from tests.conftest import TOY_STRANGERS, ToyExtractor, pattern, save_people


@pytest.fixture
def gallery(tmp_path: Path, toy: ToyExtractor):
    people = save_people(tmp_path / "people", 6, 4)
    with Gallery.open(tmp_path / "gallery.db", toy) as opened:
        for folder in sorted(people.iterdir()):
            opened.enroll(folder.name, sorted(folder.iterdir()))
        yield opened


QUERIES = [pattern(identity, 9) for identity in range(9)]


def test_it_names_whom_the_identifier_names(gallery: Gallery, toy: ToyExtractor) -> None:
    for calibrated in (False, True):
        if calibrated:
            gallery.calibrate(0.05)
        classifier = gallery.to_classifier()
        identifier = Identifier(toy, gallery)
        assert classifier.threshold_ == identifier.threshold
        vectors = toy.embed(QUERIES)
        answers = [answer.faces[0].decision for answer in identifier.identify_many(QUERIES)]
        assert classifier.predict(vectors).tolist() == [one.identity or "unknown" for one in answers]
        assert {"p00", "unknown"} <= set(classifier.predict(vectors))
        for own, theirs in zip(classifier.decisions(vectors), answers, strict=True):
            assert own.distance == theirs.distance and own.reason == theirs.reason
            assert own.second == theirs.second
        near = gallery.nearest_photos(vectors, 4)
        distances, rows = classifier.kneighbors(vectors, 4)
        assert distances.tolist() == [[one.distance for one in found] for found in near]
        assert (rows >= 0).all()


def test_the_confidence_is_the_same(gallery: Gallery, toy: ToyExtractor) -> None:
    gallery.calibrate(0.05)
    probabilities = gallery.to_classifier().predict_proba(toy.embed(QUERIES))
    answers = [answer.faces[0] for answer in Identifier(toy, gallery).identify_many(QUERIES)]
    people = probabilities[:, :-1].max(axis=1)
    assert people == pytest.approx([face.confidence for face in answers], rel=1e-12)


def test_without_a_calibration_the_threshold_is_the_models_or_none(
    gallery: Gallery, tmp_path: Path, toy: ToyExtractor
) -> None:
    people = gallery.identities()
    expected = FromModel.for_gallery(TOY_STRANGERS, people, gallery.templates_of(some_people(people)))
    assert expected.comparisons
    assert gallery.to_classifier().threshold_ == expected.distance == Identifier(toy, gallery).threshold
    blind = ToyExtractor("blind", strangers=None)
    with Gallery.open(tmp_path / "other.db", blind) as other:
        with pytest.raises(UsageError, match="no one is enrolled; nothing to fit a classifier on"):
            other.to_classifier()
        other.enroll("unknown", [tmp_path / "people" / "p00" / "0.png"])
        classifier = other.to_classifier()
        assert classifier.threshold_ == np.inf and classifier.classes_.tolist() == ["unknown"]


def test_a_person_may_be_called_unknown(gallery: Gallery, tmp_path: Path, toy: ToyExtractor) -> None:
    gallery.enroll("unknown", [save_people(tmp_path / "more", 8, 1) / "p07" / "0.png"])
    classifier = gallery.to_classifier()
    assert classifier.unknown_label_ == "(unknown)"
    assert classifier.predict(toy.embed([pattern(7, 9)])).tolist() == ["unknown"]


def test_who_has_expired_is_left_out(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "p00" in gallery.to_classifier().classes_
    monkeypatch.setattr(gallery._store, "expired", lambda day: ["p00"])
    assert "p00" not in gallery.to_classifier().classes_
