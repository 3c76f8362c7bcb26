"""A scan finds every face once, and looks the second time only at what is new or changed."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from embedder.errors import FolderError
from enroll.library import scan as scanning
from enroll.library import scan_photos
from enroll.library.people import Library
from enroll.library.review import NOT_A_FACE
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import GridExtractor, picture, save, scan


def test_finds_every_face_once(gallery: SqliteStore, photos: Path, extractor: GridExtractor) -> None:
    (photos / "notes.txt").write_bytes(b"text")
    (photos / "ada0.jpg.xmp").write_bytes(b"<x/>")
    done = scan(gallery, photos, extractor)
    assert (done.photos, done.looked, done.faces, done.rejected) == (9, 9, 9, [])
    assert dict(done.others) == {"files of other kinds": 1, "sidecars": 1}
    library = Library(gallery)
    boxes = {library.path(face).name: face.box for face in library.faces.values()}
    assert boxes["ada1.jpg"] == (0, 0, 24, 24)
    assert boxes["bob2.png"] == (24, 24, 24, 24)
    again = scan(gallery, photos, extractor)
    assert (again.looked, again.unchanged, again.faces, extractor.looked) == (0, 9, 0, 9)
    gallery.verify()


def test_a_changed_photo_is_looked_at_again(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    save(photos / "stranger.jpg", {(1, 0): (3, 0), (2, 0): (4, 0)})
    done = scan(gallery, photos, extractor)
    assert (done.looked, done.unchanged, done.faces) == (1, 8, 2)


def test_a_moved_photo_is_recognized_by_its_content(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    (face,) = [f.number for f in library.faces.values() if library.path(f).name == "stranger.jpg"]
    (photos / "stranger.jpg").rename(photos / "deep" / "renamed.jpg")
    shutil.copy(photos / "ada0.jpg", photos / "copy.jpg")
    done = scan(gallery, photos, extractor)
    assert (done.looked, done.moved, done.faces, done.gone) == (0, 2, 0, 0)
    library.read()
    assert library.path(library.faces[face]).name == "renamed.jpg"
    assert sorted(len(photo.files) for photo in library.photos.values()) == [1] * 8 + [2]


def test_copies_in_one_scan_are_one_photo(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    shutil.copy(photos / "both.jpg", photos / "zwilling.jpg")
    done = scan(gallery, photos, extractor)
    assert (done.photos, done.faces, len(gallery.library().photos())) == (10, 9, 9)


def test_photos_that_are_gone_keep_what_is_known(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, tmp_path: Path
) -> None:
    scan(gallery, photos, extractor)
    (photos / "both.jpg").unlink()
    assert scan(gallery, photos, extractor).gone == 1
    library = Library(gallery)
    assert len(library.faces) == 9
    assert len(library.unknown()) == 7
    photos.rename(tmp_path / "unplugged")
    with pytest.raises(FolderError, match="is its disk connected"):
        scan(gallery, photos, extractor)
    assert len(Library(gallery).unknown()) == 7  # a disk that is away is no reason to think that all is gone


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "broken.jpg").write_bytes((photos / "ada0.jpg").read_bytes()[:300])
    (photos / "text.jpg").write_bytes(b"no picture")
    (photos / "empty_file.png").write_bytes(b"")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "loop.jpg").symlink_to(photos / "loop.jpg")
    (photos / "out").symlink_to("/etc")
    read = scan_photos.read_image_file

    def vanishing(path: Path) -> bytes:
        if path.name == "ada2.jpg":
            path.unlink()
        return read(path)

    monkeypatch.setattr(scan_photos, "read_image_file", vanishing)
    before = {path: path.read_bytes() for path in photos.rglob("*.jpg") if path.is_file()}
    done = scan(gallery, photos, extractor)
    reasons = {entry.path.name: entry.reason for entry in done.rejected}
    assert set(reasons) == {
        *("broken.jpg", "text.jpg", "empty_file.png", "pipe.jpg", "loop.jpg", "out", "ada2.jpg")
    }
    assert "not a picture" in reasons["text.jpg"]
    assert "No such file" in reasons["ada2.jpg"]
    assert done.faces == 8
    assert all(path.read_bytes() == data for path, data in before.items() if path.name != "ada2.jpg")
    monkeypatch.undo()
    assert {entry.path.name for entry in scan(gallery, photos, extractor).rejected} == set(reasons) - {
        "ada2.jpg"
    }


def test_a_missing_package_is_asked_for_again(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pillow_heif

    heif = pillow_heif.from_pillow(Image.open(photos / "ada0.jpg"))
    heif.save(photos / "phone.heic", quality=95)
    with monkeypatch.context() as without:
        without.setattr("embedder.images.kinds.find_spec", lambda name: None)
        (entry,) = scan(gallery, photos, extractor).rejected
        assert entry.path.name == "phone.heic"
        assert "a package is missing; install it: pip install" in entry.reason
    assert scan(gallery, photos, extractor).faces == 1


def test_a_scan_that_was_ended_goes_on_where_it_was(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "BLOCK", 2)
    crops = extractor.crops

    def ended(image: object) -> object:
        if extractor.looked >= 5:
            raise KeyboardInterrupt
        return crops(image)  # type: ignore[arg-type]

    monkeypatch.setattr(extractor, "crops", ended)
    monkeypatch.setattr("embedder._internal.runtime.workers", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        scan(gallery, photos, extractor)
    there = len(gallery.library().photos())
    assert 2 <= there <= 5
    monkeypatch.setattr(extractor, "crops", crops)
    assert scan(gallery, photos, extractor).looked == 9 - there
    assert len(gallery.library().faces()) == 9


def test_faces_of_strangers_expire(gallery: SqliteStore, photos: Path, extractor: GridExtractor) -> None:
    scan(gallery, photos, extractor, keep_unknown=90, today=date(2026, 1, 1))
    library = Library(gallery, today=date(2026, 4, 1))
    assert len(library.faces) == 9
    library.confirm("Ada", [number for number, face in library.faces.items() if face.box == (0, 0, 24, 24)])
    late = Library(gallery, today=date(2026, 4, 2))
    assert len(late.faces) == 4  # what is past its day is not used, purged or not
    assert gallery.library().purge(date(2026, 4, 2)) == 5
    done = scan(gallery, photos, extractor)
    assert (done.forgotten, done.faces, done.looked) == (4, 0, 0)  # they are not found again
    gallery.verify()


def test_another_model_keeps_what_was_decided(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    numbers = dict(library.faces)
    first, second = sorted(numbers)[:2]
    library.mark(NOT_A_FACE, [first])
    other = GridExtractor("other")
    assert gallery.remake((other.fingerprint, other.dim), [], gallery.changes())
    done = scan(gallery, photos, other)
    assert (done.looked, done.faces) == (9, 0)
    again = Library(gallery)
    assert {n: f.box for n, f in again.faces.items()} == {n: f.box for n, f in numbers.items()}
    assert again.reviewed.state(first) == "not-a-face"
    assert again.reviewed.state(second) == "unseen"
    assert {face.model for face in again.faces.values()} == {other.fingerprint}


def test_new_metadata_makes_no_new_photo(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    (face,) = [n for n, f in library.faces.items() if library.path(f).name == "stranger.jpg"]
    library.mark(NOT_A_FACE, [face])
    key = library.faces[face].key
    data = (photos / "stranger.jpg").read_bytes()
    (photos / "stranger.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x06note" + data[2:])
    done = scan(gallery, photos, extractor)
    assert (done.looked, done.faces) == (1, 0)
    library.read()
    assert library.reviewed.state(face) == "not-a-face"
    assert len(library.faces) == 9
    assert library.faces[face].key == key  # by which it is found among templates


def test_again_keeps_faces_and_adds_what_was_missed(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as blind:
        blind.setattr(extractor, "crops", lambda image: GridExtractor.crops(extractor, image)[:1])
        assert scan(gallery, photos, extractor).faces == 8
    before = set(Library(gallery).faces)
    assert scan(gallery, photos, extractor, again=True).faces == 1
    assert before < set(Library(gallery).faces)


def test_again_takes_away_what_is_not_found_unless_someone_decided_about_it(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    one, other = sorted(library.faces)[:2]
    library.mark(NOT_A_FACE, [one])
    library.confirm("Ada", [other])
    monkeypatch.setattr(extractor, "crops", lambda image: [])
    scan(gallery, photos, extractor, again=True)
    assert {face.number for face in gallery.library().faces()} == {one, other}


def test_what_lies_in_a_folder_that_cannot_be_read_is_not_gone(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(gallery, photos, extractor)
    scandir = os.scandir

    def closed(folder: Path) -> object:
        if Path(folder).name == "deep":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("enroll.library.files.os.scandir", closed)
    (photos / "deep" / "bob0.png").rename(photos.parent / "bob0.png")  # as what may not be seen looks
    done = scan(gallery, photos, extractor)
    assert [entry.path.name for entry in done.rejected] == ["deep"]
    assert done.gone == 0


def test_another_picture_of_the_same_face_is_another_photo(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    before = {face.number for face in gallery.library().faces()}
    wider = Image.fromarray(picture({(1, 0): (3, 0)}, columns=4))
    wider.save(photos / "stranger.jpg", quality=95, subsampling=0)
    assert scan(gallery, photos, extractor).faces == 1
    assert before < {face.number for face in gallery.library().faces()}
