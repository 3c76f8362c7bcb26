"""What of a gallery is handed to the doctor: its templates, and a calibration of its own model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedder.errors import GalleryError, UsageError
from enroll.calibration import calibrate
from enroll.doctor.examine import examine
from enroll.gallery.doctor import examine_gallery
from enroll.gallery.threshold import CalibrationRecord
from enroll.store import Store, open_store
from enroll.templates import NewTemplate
from tests.conftest import TOY_STRANGERS
from tests.enroll.doctor.people import DIM, made_people
from tests.enroll.templates import MODEL, template


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Nine people of four photos, the first of which is gone: ids do not begin at 1."""
    vectors, labels = made_people(10, 4)
    with open_store(tmp_path / "gallery.db", create=True) as opened:
        opened.bind(MODEL, DIM)
        for label in range(10):
            photos = [
                NewTemplate(f"{row}.png", template(str(row)).digest, vectors[row])
                for row in np.flatnonzero(labels == label)
            ]
            opened.add(f"p{label}", photos)
        opened.remove("p0")
        yield opened


def keep(store: Store, fingerprint: str) -> CalibrationRecord:
    templates = store.templates()
    _, labels = np.unique(templates.identities, return_inverse=True)
    done = CalibrationRecord(calibrate(templates.vectors, labels, 0.05), None, fingerprint, "2026-01-01")
    assert store.set_calibration(done.to_text(), done.calibration.identities, done.calibration.templates)
    return done


def test_the_templates_are_examined(store: Store):
    vectors, labels = made_people(10, 4)
    found, direct = examine_gallery(store), examine(vectors[4:], labels[4:])
    assert found.templates.ids.tolist() == list(range(5, 41))
    assert found.templates.names == tuple(f"p{label}" for label in range(1, 10))
    assert found.forecast == direct.forecast and found.forecast is not None and not found.forecast.calibrated


def test_its_own_calibration_counts_and_says_when_it_is_in_doubt(store: Store):
    kept = keep(store, MODEL)
    forecast = examine_gallery(store).forecast
    assert forecast is not None
    assert (forecast.calibrated, forecast.threshold, forecast.warning) == (
        True,
        kept.calibration.distance,
        None,
    )
    store.remove("p3")
    forecast = examine_gallery(store).forecast
    assert forecast is not None
    assert (forecast.calibrated, forecast.threshold) == (True, kept.calibration.distance)
    assert forecast.warning == "1 of its 9 people gone; run `embed calibrate` again"


def test_another_models_calibration_does_not_count(store: Store):
    without = examine_gallery(store).forecast
    keep(store, "e" * 64)
    assert examine_gallery(store).forecast == without


def test_a_broken_calibration_is_an_error(store: Store):
    assert store.set_calibration("{}", 9, 36)
    with pytest.raises(GalleryError, match="its calibration cannot be read"):
        examine_gallery(store)


def test_a_gallery_of_no_one_is_refused(tmp_path: Path):
    with (
        open_store(tmp_path / "empty.db", create=True) as store,
        pytest.raises(UsageError, match=r"empty\.db: no one is enrolled"),
    ):
        examine_gallery(store)


def test_what_the_model_knows_is_used_to_say_what_to_expect(store: Store, monkeypatch: pytest.MonkeyPatch):
    there = {
        "other": SimpleNamespace(fingerprint="e" * 64, strangers=None),
        "ours": SimpleNamespace(fingerprint=MODEL, strangers=TOY_STRANGERS),
    }
    monkeypatch.setattr("enroll.gallery.doctor.find_manifest", there.get)
    vectors, labels = made_people(10, 4)
    known = examine(vectors[4:], labels[4:], strangers=TOY_STRANGERS).forecast
    assert examine_gallery(store, models=["missing", "other", "ours"]).forecast == known
    assert examine_gallery(store, models=["other"]).forecast == examine_gallery(store).forecast != known
    kept = keep(store, MODEL)
    forecast = examine_gallery(store, models=["ours"]).forecast
    assert forecast is not None and forecast.threshold == kept.calibration.threshold
