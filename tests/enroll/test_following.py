"""An Identifier that stays follows what others calibrate, enroll and erase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from embedder.errors import UsageError
from enroll.gallery.gallery import Gallery
from enroll.identify import Identifier
from tests.conftest import ToyExtractor, save_people


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_people(tmp_path / "people", 8, 4, side=16)


@pytest.fixture
def other(tmp_path: Path, toy: ToyExtractor, photos: Path) -> Iterator[Gallery]:
    """Whoever changes the gallery beside the one that is asked, as another process does."""
    with Gallery.open(tmp_path / "gallery.db", toy) as opened:
        for person in range(6):
            opened.enroll(f"p{person:02d}", sorted((photos / f"p{person:02d}").iterdir())[:3])
        yield opened


@pytest.fixture
def identifier(tmp_path: Path, toy: ToyExtractor, other: Gallery) -> Iterator[Identifier]:
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        yield Identifier(toy, gallery)


def used(identifier: Identifier, photos: Path) -> float:
    return identifier.identify(photos / "p07" / "0.png").faces[0].decision.threshold


def test_calibrating_enrolling_and_erasing_change_the_next_answer(
    identifier: Identifier,
    other: Gallery,
    toy: ToyExtractor,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("enroll.identify._LONG", 20)  # on a busy machine
    small = used(identifier, photos)
    assert identifier.basis.source == "model"
    other.enroll("p06", [photos / "p06" / "0.png"])
    large = used(identifier, photos)
    assert large == Identifier(toy, other).threshold < small
    other._store.remove("p06")
    assert used(identifier, photos) == small
    done = other.calibrate(0.05)
    assert used(identifier, photos) == done.calibration.distance != small
    assert (identifier.basis.source, identifier.basis.warning) == ("gallery", None)
    other._store.remove("p05")
    assert "1 of its 6 people gone" in str(identifier.basis.warning)


def test_a_given_threshold_stays_and_its_confidence_is_that_of_now(
    tmp_path: Path, toy: ToyExtractor, other: Gallery, photos: Path
) -> None:
    identifier = Identifier(toy, other, threshold=0.2)
    assert identifier.identify(photos / "p01" / "3.png").faces[0].confidence is None
    other.calibrate(0.05)
    face = identifier.identify(photos / "p01" / "3.png").faces[0]
    assert (face.decision.threshold, identifier.basis.source) == (0.2, "given")
    assert face.confidence is not None


def test_the_gallery_is_read_again_only_after_a_change(
    identifier: Identifier, other: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[None] = []
    again = identifier._read_basis
    monkeypatch.setattr(identifier, "_read_basis", lambda: read.append(None) or again())  # type: ignore[func-returns-value]
    for _ in range(3):
        used(identifier, photos)
    assert not read
    other.enroll("p06", [photos / "p06" / "0.png"])
    for _ in range(3):
        used(identifier, photos)
    assert len(read) == 1


def test_a_gallery_that_takes_long_to_read_takes_a_tenth_of_the_time(
    identifier: Identifier, other: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, took = identifier._read_basis, 0.12
    monkeypatch.setattr(identifier, "_read_basis", lambda: time.sleep(took) or again())  # type: ignore[func-returns-value]
    first = identifier.threshold
    other.enroll("p06", [photos / "p06" / "0.png"])
    begun = time.monotonic()
    second = identifier.threshold
    other.enroll("p07", [photos / "p07" / "1.png"])
    while identifier.threshold == second:
        assert time.monotonic() - begun < 60
        time.sleep(0.01)
    assert second != first
    assert time.monotonic() - begun > 9 * took


def test_no_thread_waits_for_the_one_that_reads(
    identifier: Identifier, other: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = Event(), Event()
    again = identifier._read_basis
    before = identifier.threshold

    def slowly() -> object:
        reading.set()
        go_on.wait(20)
        return again()

    monkeypatch.setattr(identifier, "_read_basis", slowly)
    other.enroll("p06", [photos / "p06" / "0.png"])
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: identifier.threshold)
        reading.wait(20)
        assert identifier.threshold == before
        go_on.set()
        assert slow.result(20) != before


def test_a_calibration_that_is_gone_is_said(
    tmp_path: Path, other: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model of which nothing is known."""
    bare = ToyExtractor(strangers=None)
    other._extractor = bare  # type: ignore[assignment]
    other.calibrate(0.05)
    identifier = Identifier(bare, other)  # type: ignore[arg-type]
    monkeypatch.setattr(other._store, "calibration", lambda: None)
    other.enroll("p06", [photos / "p06" / "0.png"])
    with pytest.raises(UsageError, match="run `embed calibrate`"):
        identifier.threshold  # noqa: B018
