from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from embedder.errors import ForeignModelError, UsageError
from enroll.calibration import calibrate
from enroll.gallery.jsonl import from_lines, to_lines
from enroll.gallery.threshold import CalibrationRecord
from enroll.gallery.transfer import GallerySnapshot, PersonRecord, put_content, read_content
from enroll.store import Terms
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.enroll.doctor.people import DIM as MANY
from tests.enroll.doctor.people import made_people
from tests.enroll.gallery.contents import fresh, plain, same, small_content
from tests.enroll.templates import DIM, MODEL, template


def calibrated(path: Path) -> SqliteStore:
    """A gallery of eight people with its calibration."""
    vectors, labels = made_people(8, 3)
    store = fresh(path)
    store.bind(MODEL, MANY)
    for row, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        store.add(f"p{label}", [NewTemplate(f"{row}.png", template(f"{row}").digest, vector)])
    text = CalibrationRecord(calibrate(vectors, labels, 0.01), None, MODEL, "2026-01-01").to_text()
    assert store.set_calibration(text, 8, 24)
    return store


def test_a_calibration_comes_along(tmp_path: Path):
    with calibrated(tmp_path / "one.db") as store, fresh(tmp_path / "other.db") as other:
        content, changed = read_content(store)
        put_content(other, from_lines(to_lines(content), "file"))
        assert changed is None and content.calibration is not None
        assert other.calibration() == store.calibration()


def test_a_calibration_of_other_people_does_not(tmp_path: Path):
    """In the new gallery nothing would tell that people had come."""
    with calibrated(tmp_path / "one.db") as store:
        store.remove("p1")
        content, changed = read_content(store)
    assert content.calibration is None
    assert changed is not None and (changed.added, changed.removed) == (0, 1)


@pytest.mark.parametrize("whole", [True, False], ids=["in one transaction", "as in Milvus"])
def test_one_that_was_ended_in_the_middle_goes_on(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = small_content()
    with fresh(tmp_path / "g.db") as store:
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "add_strangers", lambda *_: 1 / 0)
            if not whole:
                patch.setattr(SqliteStore, "together", lambda _: nullcontext())
            with pytest.raises(ZeroDivisionError):
                put_content(store, content)
        assert store.model() == (None if whole else content.model)
        assert store.identities() == ([] if whole else [("Ada", 1), ("Zoë", 2)])
        put_content(store, content)
        assert same(read_content(store)[0], content)


@pytest.mark.parametrize(
    "other",
    [
        GallerySnapshot((MODEL, DIM), (PersonRecord("Eve", Terms(), (template("e.png"),)),)),
        GallerySnapshot((MODEL, DIM), (PersonRecord("Zoë", Terms(), (template("e.png"),)),)),
        GallerySnapshot((MODEL, DIM), (), (("Eve", template("e.png")),)),
    ],
)
def test_a_gallery_of_others_is_left_alone(tmp_path: Path, other: GallerySnapshot):
    with fresh(tmp_path / "g.db") as store:
        put_content(store, other)
        before = plain(read_content(store)[0])
        with pytest.raises(UsageError, match="expected a new gallery"):
            put_content(store, small_content())
        assert plain(read_content(store)[0]) == before


def test_a_gallery_of_another_model_is_left_alone(tmp_path: Path):
    with fresh(tmp_path / "g.db") as store:
        store.bind("0" * 64, DIM)
        with pytest.raises(ForeignModelError):
            put_content(store, small_content())
        assert store.identities() == []


def test_a_gallery_that_changes_all_the_time_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with fresh(tmp_path / "g.db") as store:
        put_content(store, small_content())
        numbers = iter(range(99))
        monkeypatch.setattr(SqliteStore, "changes", lambda _: (0, next(numbers)))
        with pytest.raises(UsageError, match="keep changing it"):
            read_content(store)
