"""Contact sheets as they are drawn."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder import contact_sheet as contact_sheet_module
from embedder._internal import fonts
from embedder.contact_sheet import (
    PER_LINE,
    SIDE,
    Tile,
    check_preview,
    contact_sheet,
    refused_tiles,
    save_preview,
)
from embedder.errors import UsageError
from embedder.folders import Rejected

ORANGE, INK = (240, 160, 0), (0, 0, 0)
LEFT, STEP = 200, SIDE + 10  # where crops begin, and the way from one to the next


@pytest.fixture(autouse=True)
def _only_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "FOLDERS", ())


def crop(shade: int) -> np.ndarray:
    return np.full((8, 8, 3), shade, np.uint8)


def pixels(*tiles: Tile) -> np.ndarray:
    return np.asarray(contact_sheet(tiles))


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((image == colour).all(axis=2).sum())


def test_crops_stand_in_a_row_and_wrap() -> None:
    sheet = pixels(*(Tile("ada", crop(10 + n), f"{n}.jpg") for n in range(PER_LINE + 2)))
    tops = [int(np.flatnonzero((sheet[:, LEFT + 50] == 10 + n).all(axis=1))[0]) for n in (0, PER_LINE)]
    assert tops[0] == 10
    assert tops[1] >= tops[0] + SIDE + 20
    for n in range(PER_LINE + 2):
        top, left = tops[n // PER_LINE], LEFT + n % PER_LINE * STEP
        assert (sheet[top : top + SIDE, left : left + SIDE] == 10 + n).all()
        assert sheet[top : top + SIDE, left + SIDE : left + SIDE + 10].min() == 255
        caption = sheet[top + SIDE : top + SIDE + 22, left : left + SIDE]
        assert caption.min() < 140
        assert sheet[top : top + SIDE + 22, left + SIDE : left + SIDE + 9].min() == 255  # fits below its crop


def test_the_name_stands_at_the_left_of_each_person() -> None:
    sheet = pixels(Tile("ada", crop(9)), Tile("bob", crop(9)), Tile("ada", crop(9)))
    tops = np.flatnonzero((sheet[:, LEFT + 50] == 9).all(axis=1))
    tops = tops[np.diff(tops, prepend=-9) > 1]
    assert len(tops) == 2
    assert (sheet[tops[0], LEFT + STEP] == 9).all()
    names = [sheet[top : top + 24, :LEFT] for top in tops]
    assert all(name.min() < 60 for name in names)
    assert not np.array_equal(*names)


@pytest.mark.parametrize("with_crop", [True, False])
def test_a_problem_is_marked_and_its_reason_written(with_crop: bool) -> None:
    plain = Tile("ada", crop(99), "1.jpg")
    bad = Tile("ada", crop(99) if with_crop else None, "1.jpg", "2 faces")
    without, marked = pixels(plain), pixels(plain, bad)
    assert count(without, ORANGE) == 0
    frame = marked[10 : 10 + SIDE, LEFT + STEP : LEFT + STEP + SIDE]
    for edge in (frame[0], frame[-1], frame[:, 0], frame[:, -1]):
        assert (edge == ORANGE).all()
    assert count(frame[:25, :25], INK) > 10
    below = marked[10 + SIDE + 22 :, LEFT + STEP : LEFT + STEP + SIDE]
    assert below.min() < 60
    assert marked[10 + SIDE + 22 : -2, LEFT : LEFT + SIDE].min() == 255
    assert bool((frame == 99).all(axis=2).any()) is with_crop
    assert count(marked[:, LEFT : LEFT + SIDE], ORANGE) == 0


def test_a_photo_without_a_crop_is_an_empty_tile() -> None:
    sheet = pixels(Tile("ada", None, "1.jpg", "no face found"))
    assert count(sheet, (235, 235, 235)) > 5000


def test_long_reasons_captions_and_names_stay_in_their_place() -> None:
    long = "refused: " + "too small " * 20
    short = pixels(Tile("ada", crop(9), "1.jpg", "a " * 60))
    sheet = pixels(Tile("Maximiliane " * 16, crop(9), "x" * 300 + ".jpg", long), Tile("b", crop(9)))
    assert sheet.shape[1] == short.shape[1]
    row = sheet[: short.shape[0] - 2]
    assert row[:, LEFT - 10 : LEFT].min() >= 215  # nothing but the rule
    assert row[:, LEFT + SIDE : LEFT + SIDE + 9].min() >= 215
    assert short.shape[0] < 250


def test_a_sheet_of_a_thousand_people_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(
        contact_sheet_module, "write", lambda image, line, *place: drawn.append(line.parts[0][0])
    )
    tiles = (Tile(f"p{n // 10}", None, "1.jpg", "bad" if n == 9990 else None) for n in range(10_000))
    sheet = contact_sheet(tiles)
    assert sheet.height <= 16_000
    assert drawn[0] == "p999"
    assert drawn[-1] == "not shown: 900 more people with 9,000 photos, 0 of them with a problem"
    assert "10 photos" in drawn
    assert "1 with a problem" in drawn


def test_the_row_says_how_many_photos_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(
        contact_sheet_module, "write", lambda image, line, *place: drawn.extend(p[0] for p in line.parts)
    )
    contact_sheet([Tile("ada", crop(9), problem="x")] * 1 + [Tile("bob", crop(9))] * 1100)
    assert drawn[:3] == ["ada", "1 photo", "1 with a problem"]
    assert {"bob", "1,100 photos", "110 not shown"} <= set(drawn)


def test_no_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(
        contact_sheet_module, "write", lambda image, line, *place: drawn.extend(p[0] for p in line.parts)
    )
    contact_sheet([])
    assert drawn == ["no photos"]
    monkeypatch.undo()
    sheet = pixels()
    assert sheet.min() < 60
    assert sheet.shape[0] < 60


@pytest.mark.parametrize("name", ["李明", "محمد", "a\nb\x1b[2J\udce9", "😀", ""])
def test_any_name_and_caption(name: str) -> None:
    sheet = pixels(Tile(name, crop(9), name, name))
    assert count(sheet, (9, 9, 9)) > 7000


# --- the file


def test_a_preview_is_a_png_and_replaces_the_old_one_if_it_may(tmp_path: Path) -> None:
    path = tmp_path / "Vorschau 李.PNG"
    path.write_bytes(b"old")
    with pytest.raises(UsageError, match="already there"):
        save_preview(path, [])
    assert path.read_bytes() == b"old"
    save_preview(path, iter([Tile("ada", crop(9))]), force=True)
    with Image.open(path) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), pixels(Tile("ada", crop(9))))
    save_preview(str(path), [], force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "reason"), [("a.jpg", r"ends in \.png"), ("no/a.png", "no folder|there is no")]
)
def test_a_place_that_cannot_be_used_is_refused_before_the_work(
    tmp_path: Path, name: str, reason: str
) -> None:
    def tiles() -> Iterator[Tile]:
        raise AssertionError("a tile was taken")
        yield

    with pytest.raises(UsageError, match=reason):
        save_preview(tmp_path / name, tiles())
    with pytest.raises(UsageError, match=reason):
        check_preview(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []
    check_preview(tmp_path / "a.png")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("embedder._internal.outputs.write_atomic", full)
    with pytest.raises(UsageError, match=r"a\.png: cannot be written: .*No space"):
        save_preview(tmp_path / "a.png", [])


def test_what_is_refused_stands_with_its_person(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Zoë")
    entries = [tmp_path / decomposed / "broken.jpg", tmp_path / "ada" / "sub", tmp_path / "stray.jpg"]
    tiles = refused_tiles([Rejected(path, "broken; try again") for path in entries], tmp_path)
    assert [tile.identity for tile in tiles] == ["Zoë", "ada", "stray.jpg"]
    assert [tile.caption for tile in tiles] == ["broken.jpg", "sub", "stray.jpg"]
    assert all((tile.crop, tile.problem) == (None, "broken") for tile in tiles)
