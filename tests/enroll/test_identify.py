from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder._internal.runtime import workers
from embedder.errors import ImageError, UsageError
from enroll.config import IdentifyConfig
from enroll.decision import Candidate
from enroll.gallery.gallery import Gallery
from enroll.gallery.threshold import FromModel
from enroll.identify import Identifier, PhotoResult
from enroll.report.answers import to_json
from tests.conftest import TOY_STRANGERS, ToyExtractor, pattern, save_people


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """People at the toy's own size: a photo and its crop are the same pixels."""
    return save_people(tmp_path / "people", 8, 3, side=16)


@pytest.fixture
def gallery(tmp_path: Path, toy: ToyExtractor, photos: Path) -> Iterator[Gallery]:
    """Six people with two photos each; their third photos and two more people are probes."""
    with Gallery.open(tmp_path / "gallery.db", toy) as opened:
        for person in range(6):
            folder = photos / f"p{person:02d}"
            opened.enroll(folder.name, [folder / "0.png", folder / "1.png"])
        yield opened


@pytest.fixture
def identifier(toy: ToyExtractor, gallery: Gallery) -> Identifier:
    return Identifier(toy, gallery)


def named(answers: list[PhotoResult]) -> list[str | None]:
    return [face.decision.identity for answer in answers for face in answer.faces]


def test_people_are_named_and_strangers_are_unknown(identifier: Identifier, photos: Path) -> None:
    answers = list(identifier.identify_many([photos / f"p{person:02d}" / "2.png" for person in range(8)]))
    assert named(answers) == ["p00", "p01", "p02", "p03", "p04", "p05", None, None]
    assert [answer.faces[0].decision.reason for answer in answers[5:]] == ["match", "too_far", "too_far"]


def test_whole_answer(identifier: Identifier, photos: Path) -> None:
    photo = photos / "p02" / "0.png"
    answer = identifier.identify(photo)
    (face,) = answer.faces
    assert (answer.photo, answer.error) == (str(photo), None)
    assert (face.box, face.points, face.quality) == (None, None, None)
    assert (face.decision.identity, face.decision.distance, face.decision.threshold) == (
        "p02",
        0.0,
        identifier.threshold,
    )
    assert face.decision.candidates[0] == Candidate("p02", 0.0)
    assert len({candidate.identity for candidate in face.decision.candidates}) == 5


def test_one_photo_and_many_give_the_same_answer(identifier: Identifier, photos: Path) -> None:
    paths = sorted(photos.glob("*/*.png"))
    alone = [to_json(identifier.identify(path)) for path in paths]
    assert alone == list(map(to_json, identifier.identify_many(paths)))


def test_one_photo_is_answered_by_the_network_that_is_loaded(
    identifier: Identifier, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by another one in a thread of its own, which has a share of the cores."""

    def threads(*_: object) -> None:
        raise AssertionError

    photo = next(photos.glob("*/*.png"))
    monkeypatch.setattr("enroll.identify.map_in_order", threads)
    assert len(list(identifier.identify_many([photo]))) == 1
    with pytest.raises(AssertionError):
        list(identifier.identify_many([photo, photo]))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_batch_size_changes_no_answer(
    identifier: Identifier, toy: ToyExtractor, gallery: Gallery, photos: Path, batch_size: int
) -> None:
    paths = [*sorted(photos.glob("*/*.png")), photos / "missing.png"]
    toy.embedded.clear()
    other = Identifier(toy, gallery, config=IdentifyConfig(batch_size=batch_size))
    answers = list(other.identify_many(paths))
    assert max(toy.embedded) == min(batch_size, math.ceil(25 / workers()))
    assert list(map(to_json, answers)) == list(map(to_json, identifier.identify_many(paths)))
    assert [answer.photo for answer in answers] == [str(path) for path in paths]


def test_photo_of_any_size_finds_itself(identifier: Identifier, gallery: Gallery, photos: Path) -> None:
    photo = photos / "large.png"
    Image.fromarray(np.kron(pattern(9, 0, 64), np.ones((2, 3, 1), np.uint8))).save(photo)
    gallery.enroll("large", [photo])
    (answer,) = identifier.identify_many([photo])
    assert answer.faces[0].decision.candidates[0] == Candidate("large", 0.0)


def test_unreadable_photo_gets_an_error_and_the_others_go_on(identifier: Identifier, photos: Path) -> None:
    text = photos / "notes.txt"
    text.write_text("no picture")
    good = photos / "p00" / "2.png"
    answers = list(identifier.identify_many([text, good, photos / "missing.png"]))
    assert named(answers) == ["p00"]
    assert [(answer.error is None, len(answer.faces)) for answer in answers] == [
        (False, 0),
        (True, 1),
        (False, 0),
    ]
    assert "not a picture" in str(answers[0].error)
    assert str(text) not in str(answers[0].error)  # the answer names the photo already
    with pytest.raises(ImageError, match=r"notes\.txt"):
        identifier.identify(text)


def test_only_unreadable_photos(identifier: Identifier, photos: Path) -> None:
    assert [answer.error is None for answer in identifier.identify_many([photos, photos])] == [False, False]
    assert list(identifier.identify_many([])) == []


def test_photos_are_taken_as_they_come(identifier: Identifier, toy: ToyExtractor, gallery: Gallery) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "missing.png"

    answers = Identifier(toy, gallery, config=IdentifyConfig(batch_size=3)).identify_many(endless())
    assert [next(answers).photo for _ in range(7)] == ["missing.png"] * 7


def test_empty_gallery(tmp_path: Path, toy: ToyExtractor, photos: Path) -> None:
    with Gallery.open(tmp_path / "empty.db", toy) as empty:
        (face,) = Identifier(toy, empty).identify(photos / "p00" / "0.png").faces
    assert (face.decision.identity, face.decision.reason) == (None, "empty_gallery")
    assert (face.decision.distance, face.decision.candidates) == (None, ())


def test_person_enrolled_later_is_found(identifier: Identifier, gallery: Gallery, photos: Path) -> None:
    probe = photos / "p06" / "2.png"
    assert named([identifier.identify(probe)]) == [None]
    gallery.enroll("p06", [photos / "p06" / "0.png"])
    assert named([identifier.identify(probe)]) == ["p06"]


def test_threshold_comes_from_the_model_unless_given(gallery: Gallery, photos: Path) -> None:
    people = gallery.identities()
    some = gallery.templates_of({name for name, _ in people})
    assert some is not None
    expected = FromModel.for_gallery(TOY_STRANGERS, people, some)
    assert Identifier(ToyExtractor(), gallery).threshold == expected.distance
    assert Identifier(ToyExtractor(strangers=None), gallery, threshold=0.2).threshold == 0.2
    strict = Identifier(ToyExtractor(), gallery, threshold=0.0)
    assert strict.threshold == 0.0
    assert named([strict.identify(photos / "p00" / photo) for photo in ("0.png", "2.png")]) == ["p00", None]
    with pytest.raises(UsageError, match="--threshold"):
        Identifier(ToyExtractor(strangers=None), gallery)


@pytest.mark.parametrize("threshold", [-0.1, 2.1, math.inf, math.nan])
def test_threshold_that_is_no_distance_is_refused(
    toy: ToyExtractor, gallery: Gallery, threshold: float
) -> None:
    with pytest.raises(UsageError, match="0 to 2"):
        Identifier(toy, gallery, threshold)


@pytest.mark.parametrize("candidates", [1, 2, 5])
def test_number_of_candidates_listed_changes_no_answer(
    toy: ToyExtractor, gallery: Gallery, photos: Path, candidates: int
) -> None:
    config = IdentifyConfig(candidates=candidates, margin=2.0)
    (face,) = Identifier(toy, gallery, config=config).identify(photos / "p00" / "0.png").faces
    assert (face.decision.identity, face.decision.reason) == (None, "ambiguous")


def test_identifying_writes_nothing(identifier: Identifier, tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "gallery.db"
    os.utime(path, ns=(10**18, 10**18))
    before = path.read_bytes()
    list(identifier.identify_many(sorted(photos.glob("*/*.png"))))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, 10**18)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["gallery.db", "people"]
