"""What a calibration says and keeps, without a gallery."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedder.errors import GalleryError
from enroll.calibration import Calibration
from enroll.confidence import ConfidenceModel
from enroll.gallery.threshold import (
    CalibrationRecord,
    FromModel,
    ThresholdSource,
    contradiction,
    describe,
    some_people,
)
from enroll.store.base import Changed
from enroll.templates import Templates
from tests.conftest import TOY_STRANGERS

PROMISE = Calibration(
    distance=0.5,
    target_fpir=0.02,
    confidence=0.95,
    named=1,
    searches=120,
    strangers=13,
    counted_bound=0.31648,
    identities=10,
    templates=40,
)
FROM_MODEL = FromModel(0.6, 0.01, 20, replace(TOY_STRANGERS, people=7, sets=2))
CALIBRATION = CalibrationRecord(PROMISE, ConfidenceModel(0.5, -2.0, 3.0), "f" * 64, "2026-11-28T10:20:30Z")
AGAIN = "; run `embed calibrate` again"


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        (Changed(added=0, removed=0, templates=40), None),
        (Changed(added=1, removed=0, templates=44), None),  # a tenth more of both
        (Changed(added=2, removed=0, templates=42), "2 people more than the 10 it was made for"),
        (Changed(added=0, removed=1, templates=36), "1 of its 10 people gone"),
        (
            Changed(added=2, removed=3, templates=60),
            "2 people more than the 10 it was made for, 3 of its 10 people gone",
        ),
        (Changed(added=0, removed=0, templates=45), "45 photos instead of 40"),
    ],
)
def test_what_puts_the_promise_in_doubt(changed: Changed, note: str | None) -> None:
    assert CALIBRATION.stale_reason(changed) == (note + AGAIN if note else None)


DESCRIBED = (
    "names at most 2 % of strangers in this gallery of 10 people, 95 % sure, by a model of the distances "
    "(calibrated 2026-11-28); counted: 1 of 120 searches for 13 strangers named someone, which alone "
    "shows at most 32 %"
)


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        (ThresholdSource("gallery", 0.5, CALIBRATION), f"Threshold 0.500: {DESCRIBED}"),
        (
            ThresholdSource("given", 0.4, CALIBRATION),
            "Threshold 0.400, as given: nothing is known of how many strangers it names",
        ),
        (
            ThresholdSource("model", 0.6, estimate=FROM_MODEL),
            (
                "Threshold 0.600: names at most 1 % of strangers in a gallery of 20 people, 95 % sure, from "
                "what is known of this network's distances between strangers (7 people in 2 sets); `embed "
                "calibrate` adds the gallery's own comparisons"
            ),
        ),
    ],
    ids=lambda value: value.source if isinstance(value, ThresholdSource) else "",
)
def test_the_threshold_in_words(basis: ThresholdSource, words: str) -> None:
    assert basis.describe() == words
    assert describe(CALIBRATION) == DESCRIBED


@pytest.mark.parametrize(
    ("bound", "words"),
    [(1.0, "at most 100 %"), (0.994, "at most 99 %"), (0.316, "at most 32 %"), (0.00291, "at most 0.29 %")],
)
def test_what_counting_promises_has_two_digits(bound: float, words: str) -> None:
    assert describe(replace(CALIBRATION, calibration=replace(PROMISE, counted_bound=bound))).endswith(words)


def test_the_threshold_for_programs() -> None:
    names = ("target_fpir", "confidence", "searches", "identities", "date", "warning")
    nothing = dict.fromkeys((*names, "known_people", "known_sets", "comparisons", "set_aside"))
    calibrated = {"target_fpir": 0.02, "confidence": 0.95, "searches": 120, "identities": 10}
    assert ThresholdSource("gallery", 0.5, CALIBRATION, warning="grown").to_dict() == {
        "source": "gallery",
        "date": "2026-11-28T10:20:30Z",
        "warning": "grown",
        "known_people": 0,
        "known_sets": 0,
        "comparisons": 0,
        "set_aside": 0,
        **calibrated,
    }
    assert ThresholdSource("given", 0.4, CALIBRATION).to_dict() == {"source": "given"} | nothing
    model = ThresholdSource("model", 0.6, estimate=FROM_MODEL)
    assert model.to_dict() == nothing | {
        "source": "model",
        "target_fpir": 0.01,
        "confidence": 0.95,
        "searches": 0,
        "identities": 20,
        "known_people": 7,
        "known_sets": 2,
        "comparisons": 0,
    }


@pytest.mark.parametrize("curve", [CALIBRATION.curve, None])
def test_a_record_reads_what_it_wrote(curve: ConfidenceModel | None) -> None:
    record = replace(CALIBRATION, curve=curve)
    assert CalibrationRecord.from_text(record.to_text(), "g.db") == record


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("promise", "searches", 3.5, "searches: expected a whole number, got 3.5"),
        ("promise", "searches", True, "searches: expected a whole number, got True"),
        ("promise", "distance", False, "distance: expected a number, got False"),
        ("promise", "distance", "0.5", "distance: expected a number, got '0.5'"),
        ("curve", "near", float("inf"), "near: expected .*, got inf"),
        ("curve", "near", 10**400, "near: expected .*, got 1000"),
        ("promise", "surplus", 1, r"expected \['agreement', .*\], got \[.*'surplus'"),
    ],
)
def test_another_number_is_refused(part: str, name: str, value: Any, message: str) -> None:
    content = json.loads(CALIBRATION.to_text())
    content[part][name] = value
    with pytest.raises(GalleryError, match=rf"^g\.db: broken: its calibration .*{message}"):
        CalibrationRecord.from_text(json.dumps(content), "g.db")


def test_a_missing_number_is_refused() -> None:
    content = json.loads(CALIBRATION.to_text())
    del content["promise"]["searches"]
    with pytest.raises(GalleryError, match=r"expected \['agreement', .*'searches'.*\], got \['agreement'"):
        CalibrationRecord.from_text(json.dumps(content), "g.db")


def test_a_record_from_before_is_read() -> None:
    content = json.loads(CALIBRATION.to_text())
    for name in ("comparisons", "set_aside", "known_people", "known_sets", "agreement"):
        del content["promise"][name]
    assert CalibrationRecord.from_text(json.dumps(content), "g.db") == CALIBRATION


def test_a_whole_number_may_stand_for_a_distance() -> None:
    content = json.loads(CALIBRATION.to_text())
    content["promise"]["distance"] = 1
    assert CalibrationRecord.from_text(json.dumps(content), "g.db").calibration.distance == 1


def test_a_record_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"distance: expected .*, got nan"):
        replace(CALIBRATION, calibration=replace(PROMISE, distance=float("nan"))).to_text()


WITH_PRIOR = replace(PROMISE, comparisons=360, known_people=77, known_sets=4)


@pytest.mark.parametrize(
    ("promise", "words"),
    [
        (PROMISE, "by a model of the distances (cal"),
        (WITH_PRIOR, "strangers (77 people in 4 sets) and 360 comparisons of this gallery (cal"),
        (replace(WITH_PRIOR, known_sets=1), "strangers (77 people) and 360"),
        (
            replace(WITH_PRIOR, comparisons=0),
            "in 4 sets) without any comparison of this gallery (",
        ),
        (replace(WITH_PRIOR, comparisons=0, searches=0, named=0), "; nothing to count"),
    ],
)
def test_evidence_in_words(promise: Calibration, words: str) -> None:
    assert words in describe(replace(CALIBRATION, calibration=promise))


def test_contradiction_in_words() -> None:
    assert contradiction(replace(PROMISE, agreement=0.01)) is None
    said = contradiction(replace(PROMISE, agreement=0.00321))
    assert said is not None and "as unlike as 0.3 % of galleries" in said


@pytest.mark.parametrize(("photos", "chosen"), [(9, "abcdefghi"), (8, "acegi"), (4, "adg"), (1, "aei")])
def test_whose_photos_a_first_threshold_compares(photos: int, chosen: str) -> None:
    assert some_people([(name, 1) for name in "abcdefghi"], photos) == set(chosen)
    assert (some_people([], photos), some_people([("a", 900)], photos)) == (set(), {"a"})


def test_threshold_of_a_gallery_from_the_model_alone() -> None:
    found = FromModel.for_gallery(TOY_STRANGERS, [("ada", 1), ("bob", 4)])
    assert (found.identities, found.target_fpir) == (2, 0.01)
    assert found.distance == pytest.approx(TOY_STRANGERS.threshold(0.01, 2, 2))
    same = Templates(np.arange(6), np.array(list("aabbcc"), object), np.eye(8, dtype=np.float32)[[0] * 6])
    stuck = FromModel.for_gallery(TOY_STRANGERS, [("a", 2), ("b", 2), ("c", 2)], same)
    assert stuck.distance == TOY_STRANGERS.threshold(0.01, 3, 2)
    assert "as unlike as 0 % of galleries" in (contradiction(stuck) or "")
    empty = FromModel.for_gallery(TOY_STRANGERS, [])
    assert (empty.identities, empty.distance) == (0, TOY_STRANGERS.threshold(0.01, 1))
