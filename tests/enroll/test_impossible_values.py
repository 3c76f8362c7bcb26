"""Values that cannot be are refused where they enter, and where a file is read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder.errors import EmbedError, GalleryError, UsageError
from enroll.calibration import Calibration, calibrate
from enroll.confidence import ConfidenceModel
from enroll.gallery.gallery import Gallery
from enroll.gallery.jsonl import from_lines, to_lines
from enroll.gallery.threshold import CalibrationRecord
from enroll.gallery.transfer import read_content
from enroll.identify import Identifier
from enroll.store import NewPerson, Terms, open_store
from enroll.store.limits import terms_problem
from tests.conftest import ToyExtractor, save_people
from tests.enroll.templates import open_store as made_store
from tests.enroll.templates import template

PROMISE = Calibration(0.9, 0.01, 0.95, 3, 40, 10, 0.3, 10, 40)
CALIBRATION = CalibrationRecord(
    PROMISE, ConfidenceModel(1.0, -2.0, 3.0), "f" * 64, "2026-11-28T20:44:31+00:00"
)
HUGE = int("9" * 400)


def altered(path: tuple[str, ...], value: Any) -> str:
    content = json.loads(CALIBRATION.to_text())
    inside = content
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "value", [0.0, -0.1, 1.0, 2.5, 1e-300, 1e300, float("nan"), float("inf"), True, "0.1"]
)
def test_a_share_of_strangers_that_no_threshold_has(value: Any) -> None:
    with pytest.raises(UsageError, match=r"fpir: expected a share from 1e-06 to 0\.999, got"):
        calibrate(np.eye(8, dtype=np.float32), np.arange(8), value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("promise", "distance"), 1e300),
        (("promise", "distance"), -0.1),
        (("promise", "distance"), float("nan")),
        (("promise", "target_fpir"), 1e-300),
        (("promise", "target_fpir"), 0),
        (("promise", "confidence"), 2.5),
        (("promise", "confidence"), 0.0),
        (("promise", "named"), -1),
        (("promise", "named"), 41),
        (("promise", "searches"), 2.5),
        (("promise", "strangers"), HUGE),
        (("promise", "counted_bound"), 1.5),
        (("promise", "identities"), 0),
        (("promise", "templates"), True),
        (("promise", "comparisons"), "9"),
        (("promise", "agreement"), 2),
        (("promise", "known_people"), None),
        (("promise",), [[[[]]]]),
        (("curve", "near"), float("inf")),
        (("curve", "apart"), 1e300),
        (("curve",), 7),
        (("fingerprint",), 7),
        (("fingerprint",), "x" * 10**6),
        (("fingerprint",), "\x1b[2J"),
        (("fingerprint",), "\udcff"),
        (("date",), "yesterday"),
        (("date",), "\x1b[2J"),
        (("date",), None),
    ],
    ids=repr,
)
def test_a_calibration_that_cannot_be_is_not_used(
    tmp_path: Path, toy: ToyExtractor, path: tuple[str, ...], value: Any
) -> None:
    assert CalibrationRecord.from_text(CALIBRATION.to_text(), "here") == CALIBRATION
    text = altered(path, value)
    with pytest.raises(GalleryError, match="here: broken: its calibration cannot be read") as refused:
        CalibrationRecord.from_text(text, "here")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("threshold", [-0.1, 2.5, 1e300, float("nan")])
def test_a_threshold_that_is_no_distance(tmp_path: Path, toy: ToyExtractor, threshold: float) -> None:
    photos = save_people(tmp_path / "people", 1, 1, side=16)
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        gallery.enroll("ada", sorted((photos / "p00").iterdir()))
        with pytest.raises(UsageError, match="expected a distance between unit vectors, 0 to 2"):
            Identifier(toy, gallery, threshold)


def test_no_one_is_enrolled_until_a_day_that_is_over(tmp_path: Path, toy: ToyExtractor, today: date) -> None:
    photos = sorted((save_people(tmp_path / "people", 1, 2, side=16) / "p00").iterdir())
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        yesterday = Terms(expires=today - timedelta(days=1))
        with pytest.raises(UsageError, match="expires: expected a day that is not over, got "):
            gallery.enroll("ada", photos, terms=yesterday)
        assert gallery.identities() == []
        gallery.enroll("ada", photos, terms=Terms(expires=today))
        gallery._store.set_terms("ada", yesterday)  # who withdraws a consent ends it
        assert gallery._store.expired(today) == ["ada"]


def test_a_consent_of_a_day_to_come_is_refused_by_every_way_in(
    tmp_path: Path, toy: ToyExtractor, today: date
) -> None:
    future = Terms("form 7", today + timedelta(days=2))
    said = "consent_date: expected a day that has come, got "
    assert terms_problem(replace(future, consent_date=today + timedelta(days=1))) is None  # time zones
    with made_store(tmp_path / "gallery.db") as store:
        with pytest.raises(UsageError, match=said):
            store.add("ada", [template("a")], future)
        with pytest.raises(UsageError, match=said):
            store.add_many([NewPerson("ada", [template("a")], future)])
        store.add("ada", [template("a")])
        with pytest.raises(UsageError, match=said):
            store.set_terms("ada", future)
        content, _ = read_content(store)
    (ada,) = content.people
    lines = list(to_lines(replace(content, people=(replace(ada, terms=future),))))
    with pytest.raises(GalleryError, match=f"line 2: not a gallery .*{said}"):
        from_lines(lines, "people")
    photos = sorted((save_people(tmp_path / "people", 1, 1, side=16) / "p00").iterdir())
    with Gallery.open(tmp_path / "other.db", toy) as gallery, pytest.raises(UsageError, match=said):
        gallery.enroll("ada", photos, terms=future)


def test_a_broken_calibration_is_said_by_whoever_reads_it(tmp_path: Path, toy: ToyExtractor) -> None:
    photos = save_people(tmp_path / "people", 1, 1, side=16)
    path = tmp_path / "gallery.db"
    with Gallery.open(path, toy) as gallery:
        gallery.enroll("ada", sorted((photos / "p00").iterdir()))
    with open_store(path) as store:
        assert store.set_calibration(altered(("promise", "confidence"), 2.5), 1, 1)
    with Gallery.open(path, toy) as gallery, pytest.raises(EmbedError, match="run `embed calibrate`"):
        Identifier(toy, gallery)
