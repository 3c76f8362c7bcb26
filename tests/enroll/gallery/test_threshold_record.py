"""What a calibration says and keeps, without a gallery."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from embedder.errors import GalleryError
from embedder.model_folder import Threshold
from enroll.calibration import Promise
from enroll.confidence import Curve
from enroll.gallery.threshold import Basis, Calibration, describe
from enroll.store.base import Changed

PROMISE = Promise(
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
CALIBRATION = Calibration(PROMISE, Curve(0.5, -2.0, 3.0), "f" * 64, "2026-11-28T10:20:30Z")
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
    assert CALIBRATION.outdated(changed) == (note + AGAIN if note else None)


DESCRIBED = (
    "names at most 2 % of strangers in this gallery of 10 people, 95 % sure, by a model of the distances "
    "(calibrated 2026-11-28); counted: 1 of 120 searches for 13 strangers named someone, which alone "
    "promises at most 32 %"
)


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        (Basis("gallery", 0.5, CALIBRATION), f"Threshold 0.500: {DESCRIBED}"),
        (
            Basis("given", 0.4, CALIBRATION),
            "Threshold 0.400, as given: no promise about strangers stands behind it",
        ),
        (
            Basis("model", 0.6, estimate=Threshold(0.6, 0.01, 20, 100, 7)),
            (
                "Threshold 0.600: a first estimate from 7 people, meant to name 1 % of strangers in a "
                "gallery of 20; `embed calibrate` makes it a promise for this gallery"
            ),
        ),
    ],
    ids=lambda value: value.source if isinstance(value, Basis) else "",
)
def test_the_threshold_in_words(basis: Basis, words: str) -> None:
    assert basis.in_words() == words
    assert describe(CALIBRATION) == DESCRIBED


@pytest.mark.parametrize(
    ("bound", "words"),
    [(1.0, "at most 100 %"), (0.994, "at most 99 %"), (0.316, "at most 32 %"), (0.00291, "at most 0.29 %")],
)
def test_what_counting_promises_has_two_digits(bound: float, words: str) -> None:
    assert describe(replace(CALIBRATION, promise=replace(PROMISE, counted_bound=bound))).endswith(words)


def test_the_threshold_for_programs() -> None:
    nothing = dict.fromkeys(("target_fpir", "confidence", "searches", "identities", "date", "warning"))
    calibrated = {"target_fpir": 0.02, "confidence": 0.95, "searches": 120, "identities": 10}
    assert Basis("gallery", 0.5, CALIBRATION, warning="grown").facts() == {
        "source": "gallery",
        "date": "2026-11-28T10:20:30Z",
        "warning": "grown",
        **calibrated,
    }
    assert Basis("given", 0.4, CALIBRATION).facts() == {"source": "given"} | nothing
    model = Basis("model", 0.6, estimate=Threshold(0.6, 0.01, 20, 100, 7))
    assert model.facts() == {"source": "model"} | nothing | {"target_fpir": 0.01}


@pytest.mark.parametrize("curve", [CALIBRATION.curve, None])
def test_a_record_reads_what_it_wrote(curve: Curve | None) -> None:
    record = replace(CALIBRATION, curve=curve)
    assert Calibration.from_text(record.to_text(), "g.db") == record


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("promise", "searches", 3.5, "searches: expected a number, got 3.5"),
        ("promise", "searches", True, "searches: expected a number, got True"),
        ("promise", "distance", False, "distance: expected a number, got False"),
        ("promise", "distance", "0.5", "distance: expected a number, got '0.5'"),
        ("curve", "near", float("inf"), "near: expected a finite number, got inf"),
        ("curve", "near", 10**400, "int too large"),
        ("promise", "surplus", 1, r"expected \['confidence', .*\], got \[.*'surplus'"),
    ],
)
def test_another_number_is_refused(part: str, name: str, value: Any, message: str) -> None:
    content = json.loads(CALIBRATION.to_text())
    content[part][name] = value
    with pytest.raises(GalleryError, match=rf"^g\.db: broken: its calibration cannot be read \({message}"):
        Calibration.from_text(json.dumps(content), "g.db")


def test_a_missing_number_is_refused() -> None:
    content = json.loads(CALIBRATION.to_text())
    del content["promise"]["searches"]
    with pytest.raises(GalleryError, match=r"expected \['confidence', .*'searches'.*\], got \['confidence'"):
        Calibration.from_text(json.dumps(content), "g.db")


def test_a_whole_number_may_stand_for_a_distance() -> None:
    content = json.loads(CALIBRATION.to_text())
    content["promise"]["distance"] = 1
    assert Calibration.from_text(json.dumps(content), "g.db").promise.distance == 1


def test_a_record_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(CALIBRATION, promise=replace(PROMISE, distance=float("nan"))).to_text()
