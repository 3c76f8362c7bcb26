from __future__ import annotations

import dataclasses
import hashlib
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.errors import ForeignModelError, UsageError
from enroll.gallery.gallery import Gallery
from enroll.gallery.photos import CHANGED, MISSING
from enroll.gallery.reembed import reembed, replace_all
from enroll.gallery.transfer import GallerySnapshot, read_content
from enroll.search.approximate import ApproximateIndex, index_path, save_index
from enroll.store import Key, Store, Terms, open_store
from enroll.store.sqlite.store import SqliteStore
from enroll.store.sqlite.writer import Writer
from enroll.templates import NewTemplate
from tests.conftest import ToyExtractor, pattern
from tests.enroll.gallery.contents import plain

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


def content_of(path: Path) -> GallerySnapshot:
    with open_store(path) as store:
        return read_content(store)[0]


def test_everyone_is_there_with_the_other_models_vectors(gallery: Path):
    before = content_of(gallery)
    NEW.embedded.clear()
    remade = reembed(before, NEW)  # type: ignore[arg-type]
    assert (remade.lost, remade.gone) == ((), ())
    assert remade.content.model == (NEW.fingerprint, NEW.dim)
    assert sum(NEW.embedded) == 31
    # The toy models differ in name only, so the vectors are known.
    assert plain(GallerySnapshot(before.model, remade.content.people, remade.content.strangers)) == plain(
        before
    )


def test_photos_that_were_moved_are_found_by_what_is_in_them(gallery: Path, people: Path, tmp_path: Path):
    moved = tmp_path / "moved é" / "deep"
    shutil.move(people / "p03", moved / "x")
    (moved / "note.txt").write_text("no picture")
    assert {lost.person for lost in reembed(content_of(gallery), NEW).lost} == {"p03"}  # type: ignore[arg-type]
    remade = reembed(content_of(gallery), NEW, tmp_path / "moved é")  # type: ignore[arg-type]
    assert remade.lost == ()
    (photos,) = (person.templates for person in remade.content.people if person.name == "p03")
    assert {Path(photo.photo) for photo in photos} == set((moved / "x").iterdir())


def test_what_is_lost_is_listed(gallery: Path, people: Path):
    (people / "p00" / "1.png").unlink()
    (people / "p00" / "2.png").write_bytes((people / "p01" / "2.png").read_bytes())
    shutil.rmtree(people / "p04")
    remade = reembed(content_of(gallery), NEW)  # type: ignore[arg-type]
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
    remade = reembed(content_of(gallery), blind)  # type: ignore[arg-type]
    assert len(remade.lost) == 31 and "no face" in remade.lost[0].reason
    assert len(remade.gone) == 6


def test_the_folder_must_be_there(gallery: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="expected a folder of photos"):
        reembed(content_of(gallery), NEW, tmp_path / "nowhere")  # type: ignore[arg-type]


def mirrored(template: NewTemplate) -> NewTemplate:
    """The toy models differ in name only."""
    return dataclasses.replace(template, vector=-template.vector)


def replace(store: Store, *without: str) -> GallerySnapshot:
    since = store.changes()
    made = reembed(read_content(store)[0], NEW).content  # type: ignore[arg-type]
    people = [
        dataclasses.replace(person, templates=tuple(map(mirrored, person.templates)))
        for person in made.people
        if person.name not in without
    ]
    made = dataclasses.replace(made, people=tuple(people))
    replace_all(store, made, since)
    return made


def test_the_gallery_is_replaced(gallery: Path):
    with open_store(gallery) as store:
        last = store.changes()[1]
        old = [entry.vector.tobytes() for name in ("p00", "p01") for entry in store.stored(name)]
        templates = store.templates()
        save_index(index_path(gallery), ApproximateIndex(templates).graph(), [templates])
        made = replace(store, "p01")
        assert {entry.id for entry in store.stored("p00")}.isdisjoint(range(last + 1))
        assert [(event.action, event.count) for event in store.events()[-2:]] == [
            ("remove", 5),
            ("re-embed", 26),
        ]
        store.verify()
    assert not index_path(gallery).exists()
    assert plain(content_of(gallery)) == plain(made)
    assert not any(vector in gallery.read_bytes() for vector in old)
    with Gallery.open(gallery, NEW) as opened:  # type: ignore[arg-type]
        assert opened.calibration() is None
        assert [name for name, _ in opened.identities()] == ["p00", "p02", "p03", "p04", "p05"]


def test_an_encrypted_gallery_is_replaced(gallery: Path):
    key = Key(bytes(32), "a test's key")
    with SqliteStore(gallery) as store:
        store.encrypt(key)
    with open_store(gallery, key=key) as store:
        made = replace(store)
        store.verify()
        assert plain(read_content(store)[0]) == plain(made)


def test_a_failure_leaves_the_old_one(gallery: Path, monkeypatch: pytest.MonkeyPatch):
    before = plain(content_of(gallery))
    monkeypatch.setattr(Writer, "log", lambda *_: 1 / 0)  # the last that is done
    with open_store(gallery) as store, pytest.raises(ZeroDivisionError):
        replace(store)
    assert plain(content_of(gallery)) == before


def test_who_was_enrolled_meanwhile_is_not_lost(gallery: Path, toy: ToyExtractor, tmp_path: Path):
    with open_store(gallery) as store:
        since = store.changes()
        made = reembed(read_content(store)[0], NEW).content  # type: ignore[arg-type]
        Image.fromarray(pattern(50, 0)).save(tmp_path / "late.png")
        with Gallery.open(gallery, toy) as other:  # type: ignore[arg-type]
            other.enroll("late", [tmp_path / "late.png"])
        with pytest.raises(UsageError, match="someone changed it meanwhile"):
            replace_all(store, made, since)
        assert ("late", 1) in store.identities()


def test_whoever_goes_on_with_the_old_model_is_refused(gallery: Path, toy: ToyExtractor):
    with Gallery.open(gallery, toy) as opened, open_store(gallery) as bound:  # type: ignore[arg-type]
        bound.bind(toy.fingerprint, toy.dim)
        query = toy.embed([pattern(0, 0)])
        assert opened.nearest_people(query, 1)
        with open_store(gallery) as store:
            replace(store)
        photo = NewTemplate("late", bytes(32), query[0])
        for use in (
            lambda: opened.nearest_people(query, 1),
            lambda: bound.add("late", [photo]),
            lambda: bound.add_strangers([("late", photo)]),
        ):
            with pytest.raises(ForeignModelError, match="another model"):
                use()


def test_vectors_are_the_new_models_own(gallery: Path, monkeypatch: pytest.MonkeyPatch):
    other = ToyExtractor("mirrored")
    monkeypatch.setattr(other, "embed", lambda crops: -ToyExtractor.embed(other, crops))
    before, remade = content_of(gallery), reembed(content_of(gallery), other)  # type: ignore[arg-type]
    for old, new in zip(before.people, remade.content.people, strict=True):
        for one, again in zip(old.templates, new.templates, strict=True):
            assert np.array_equal(again.vector, -one.vector)
