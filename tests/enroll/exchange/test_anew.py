from __future__ import annotations

import hashlib
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.errors import GalleryError, UsageError
from enroll.exchange import replacing
from enroll.exchange.anew import embed_anew
from enroll.exchange.content import Content, read_content
from enroll.exchange.replacing import replace_content
from enroll.gallery import Gallery
from enroll.photo_files import CHANGED, MISSING
from enroll.search.index_file import index_path
from enroll.store import Key, NewTemplate, Terms, open_store
from enroll.store.sqlite import SqliteStore
from tests.conftest import ToyExtractor, pattern
from tests.enroll.exchange.contents import plain

NEW = ToyExtractor("new")


@pytest.fixture
def gallery(tmp_path: Path, people: Path, toy: ToyExtractor) -> Path:
    """Six people with five photos each, one of them with terms, and a stranger."""
    path = tmp_path / "gallery.db"
    with Gallery.open(path, toy) as opened:  # type: ignore[arg-type]
        for folder in sorted(people.iterdir()):
            opened.enroll(folder.name, sorted(folder.iterdir()))
    Image.fromarray(pattern(77, 0)).save(tmp_path / "stranger.png")
    with open_store(path) as store:
        store.set_terms("p02", Terms("file 7", date(2026, 1, 2)))
        digest = hashlib.sha256((tmp_path / "stranger.png").read_bytes()).digest()
        vector = toy.embed([pattern(77, 0)])[0]
        store.add_strangers([("Bob", NewTemplate(str(tmp_path / "stranger.png"), digest, vector))])
    return path


def content_of(path: Path) -> Content:
    with open_store(path) as store:
        return read_content(store)[0]


def test_everyone_is_there_with_the_other_models_vectors(gallery: Path):
    before = content_of(gallery)
    remade = embed_anew(before, NEW)  # type: ignore[arg-type]
    assert (remade.lost, remade.gone) == ((), ())
    assert remade.content.model == (NEW.fingerprint, NEW.dim)
    assert sum(NEW.embedded[-3:]) == 31
    # The toy models differ in name only, so the vectors are known.
    assert plain(Content(before.model, remade.content.people, remade.content.strangers)) == plain(before)


def test_photos_that_were_moved_are_found_by_what_is_in_them(gallery: Path, people: Path, tmp_path: Path):
    moved = tmp_path / "moved é" / "deep"
    shutil.move(people / "p03", moved / "x")
    (moved / "note.txt").write_text("no picture")
    assert {lost.person for lost in embed_anew(content_of(gallery), NEW).lost} == {"p03"}  # type: ignore[arg-type]
    remade = embed_anew(content_of(gallery), NEW, tmp_path / "moved é")  # type: ignore[arg-type]
    assert remade.lost == ()
    (photos,) = (person.templates for person in remade.content.people if person.name == "p03")
    assert {Path(photo.photo) for photo in photos} == set((moved / "x").iterdir())


def test_what_is_lost_is_listed(gallery: Path, people: Path):
    (people / "p00" / "1.png").unlink()
    (people / "p00" / "2.png").write_bytes((people / "p01" / "2.png").read_bytes())
    shutil.rmtree(people / "p04")
    remade = embed_anew(content_of(gallery), NEW)  # type: ignore[arg-type]
    assert [(lost.person, Path(lost.photo).name, lost.reason) for lost in remade.lost] == [
        ("p00", "1.png", MISSING),
        ("p00", "2.png", CHANGED),
        *(("p04", f"{number}.png", MISSING) for number in range(5)),
    ]
    assert remade.gone == ("p04",)
    assert [len(person.templates) for person in remade.content.people] == [3, 5, 5, 5, 5]


def test_a_face_that_the_new_model_does_not_find_is_lost(gallery: Path, monkeypatch: pytest.MonkeyPatch):
    blind = ToyExtractor("blind")
    monkeypatch.setattr(blind, "crops", lambda image: [])
    remade = embed_anew(content_of(gallery), blind)  # type: ignore[arg-type]
    assert len(remade.lost) == 31 and "no face" in remade.lost[0].reason
    assert len(remade.gone) == 6


def test_the_folder_must_be_there(gallery: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="expected a folder of photos"):
        embed_anew(content_of(gallery), NEW, tmp_path / "nowhere")  # type: ignore[arg-type]


def replace(gallery: Path) -> Content:
    with open_store(gallery) as store:
        since = store.changes()
        made = embed_anew(read_content(store)[0], NEW).content  # type: ignore[arg-type]
        replace_content(store, made, since)
    return made


def leftovers(gallery: Path) -> list[str]:
    return [path.name for path in gallery.parent.iterdir() if path.name.startswith(".embed")]


def test_the_gallery_is_replaced(gallery: Path):
    gallery.chmod(0o600)
    index_path(gallery).write_bytes(b"who resembles whom")
    made = replace(gallery)
    assert gallery.stat().st_mode & 0o777 == 0o600
    assert not index_path(gallery).exists()
    assert plain(content_of(gallery)) == plain(made)
    assert not leftovers(gallery)
    with Gallery.open(gallery, NEW) as opened:  # type: ignore[arg-type]
        assert opened.calibration() is None
        assert len(opened.identities()) == 6


def test_a_failure_leaves_the_old_one(gallery: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    before = gallery.read_bytes()
    monkeypatch.setattr(replacing, "write_whole", full)
    with pytest.raises(GalleryError, match="cannot be written: No space left"):
        replace(gallery)
    assert gallery.read_bytes() == before and not leftovers(gallery)


def test_who_was_enrolled_meanwhile_is_not_lost(gallery: Path, toy: ToyExtractor, tmp_path: Path):
    with open_store(gallery) as store:
        since = store.changes()
        made = embed_anew(read_content(store)[0], NEW).content  # type: ignore[arg-type]
        Image.fromarray(pattern(50, 0)).save(tmp_path / "late.png")
        with Gallery.open(gallery, toy) as other:  # type: ignore[arg-type]
            other.enroll("late", [tmp_path / "late.png"])
        with pytest.raises(UsageError, match="someone changed it meanwhile"):
            replace_content(store, made, since)
        assert ("late", 1) in store.identities() and not leftovers(gallery)


def test_a_gallery_of_several_files_is_not_replaced(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key = Key(bytes(32), "a test's key")
    path = tmp_path / "locked" / "gallery.db"
    path.parent.mkdir()
    monkeypatch.setattr(replacing, "open_store", lambda place, create: SqliteStore(place, create, key))
    with SqliteStore(path, create=True, key=key) as store:
        with pytest.raises(UsageError, match="more than one file"):
            replace_content(store, embed_anew(content_of(gallery), NEW).content, store.changes())  # type: ignore[arg-type]
        assert store.identities() == [] and not leftovers(path)


def test_vectors_are_the_new_models_own(gallery: Path, monkeypatch: pytest.MonkeyPatch):
    other = ToyExtractor("mirrored")
    monkeypatch.setattr(other, "embed", lambda chips: -ToyExtractor.embed(other, chips))
    before, remade = content_of(gallery), embed_anew(content_of(gallery), other)  # type: ignore[arg-type]
    for old, new in zip(before.people, remade.content.people, strict=True):
        for one, again in zip(old.templates, new.templates, strict=True):
            assert np.array_equal(again.vector, -one.vector)
