"""Where photos lie: stored so that they are found again."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enroll.gallery.places import (
    box_of,
    face_digest,
    home_of,
    moment_of,
    photo_file,
    rebased,
    stored_path,
    with_box,
)
from enroll.gallery.transfer import GallerySnapshot, PersonRecord
from enroll.store import Terms, open_store
from enroll.templates import NewTemplate

posix = pytest.mark.skipif(os.name == "nt", reason="bytes in file names are POSIX")


@posix
@given(st.binary(min_size=1, max_size=30).filter(lambda raw: b"\0" not in raw))
def test_any_file_name_is_stored_and_found_again(raw: bytes) -> None:
    path = Path(os.fsdecode(b"/" + raw))
    text = stored_path(path, None)
    assert os.fsencode(photo_file(text, None)) == os.fsencode(path)
    assert text.encode()


@posix
def test_characters_that_stand_for_bytes_are_not_taken_for_them() -> None:
    byte, letter = Path(os.fsdecode(b"/\xe9")), Path("/\U0010ffe9")
    assert stored_path(byte, None) == "/\U0010ffe9"
    assert stored_path(letter, None) != stored_path(byte, None)
    assert os.fsencode(photo_file(stored_path(letter, None), None)) == os.fsencode(letter)


def test_relative_paths_start_from_the_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "people" / "ada").mkdir(parents=True)
    photo = tmp_path / "people" / "ada" / "1.png"
    photo.touch()
    text = str(Path("people", "ada", "1.png"))
    for place, given_as in (
        (tmp_path, text),
        (tmp_path / "people", "ada/1.png"),
        (photo.parent, "../ada/1.png"),
    ):
        monkeypatch.chdir(place)
        assert stored_path(Path(given_as), tmp_path) == text
        assert photo_file(text, tmp_path) == photo
    assert stored_path(Path("1.png"), tmp_path / "elsewhere") == str(photo)
    assert stored_path(Path("1.png"), None) == str(photo)
    assert stored_path(photo, tmp_path) == str(photo)


def test_a_path_of_before_starts_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.png").touch()
    monkeypatch.chdir(tmp_path)
    assert photo_file("1.png", tmp_path / "elsewhere") == Path("1.png")
    assert photo_file("2.png", tmp_path / "elsewhere") == tmp_path / "elsewhere" / "2.png"


@pytest.mark.skipif(sys.platform != "linux", reason="links in paths")
def test_dots_behind_a_link_are_not_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "inner")
    monkeypatch.chdir(tmp_path)
    assert stored_path(Path("near/link/../1.png"), tmp_path) == "near/link/../1.png"
    assert stored_path(Path("near/../1.png"), tmp_path) == "1.png"


def test_paths_are_rebased_when_people_go_to_another_gallery(tmp_path: Path) -> None:
    vector = np.eye(1, 8, dtype=np.float32)[0]
    photos = [NewTemplate(photo, bytes(32), vector) for photo in ("a/1.png", "/x/2.png", "")]
    content = GallerySnapshot(("f", 8), (PersonRecord("ada", Terms(), tuple(photos)),), (("eve", photos[0]),))
    moved = rebased(content, tmp_path / "old", tmp_path)
    assert [entry.photo for entry in moved.people[0].templates] == ["old/a/1.png", "/x/2.png", ""]
    assert moved.strangers[0][1].photo == "old/a/1.png"
    moved = rebased(content, tmp_path / "old", None)
    assert moved.people[0].templates[0].photo == str(tmp_path / "old" / "a" / "1.png")
    assert rebased(content, tmp_path, tmp_path) is content
    seen = [replace(photos[0], photo=f"a/1.mp4#{part}xywh=1,2,3,4") for part in ("t=0.500&", "")]
    content = replace(content, people=(PersonRecord("ada", Terms(), tuple(seen)),), strangers=())
    moved = rebased(content, tmp_path / "old", tmp_path)
    assert [entry.photo for entry in moved.people[0].templates] == [f"old/{entry.photo}" for entry in seen]


def test_a_text_names_a_frame_of_a_film() -> None:
    text = with_box("party.mp4", (1, 2, 3, 4), 3725.5)
    assert text == "party.mp4#t=3725.500&xywh=1,2,3,4"
    assert (box_of(text), moment_of(text)) == ((1, 2, 3, 4), 3725.5)
    assert photo_file(text, None) == Path("party.mp4")
    assert moment_of(with_box("party.jpg", (1, 2, 3, 4))) is None
    assert face_digest(b"f", (1, 2, 3, 4), 1.0) != face_digest(b"f", (1, 2, 3, 4), 2.0)


def test_the_home_of_a_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("gallery.db", create=True) as store:
        assert home_of(store) == tmp_path
