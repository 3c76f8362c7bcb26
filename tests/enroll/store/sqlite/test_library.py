"""The library in a gallery's file: written, read, erased without a trace, plain and encrypted."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from embedder.errors import GalleryError
from enroll.store.keys import Key
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.store.engines import KEY
from tests.enroll.store.traces import traces
from tests.enroll.templates import DIM, MODEL, template

SOON = date(2026, 3, 1)
PATH_OF = {"Rom": b"Rom nach", "Bern": b"Bern nac"}


def photo(name: str) -> SeenPhoto:
    made = template(name)
    return SeenPhoto(
        made.digest,
        (PhotoFile(f"{name} nach der Reise.jpg", 10, 20),),
        64,
        48,
        "2020-01-02T03:04:05",
        None,
        "m",
    )


def face(name: str, expires: date | None = SOON, number: int = 0) -> SeenFace:
    made = template(name)
    return SeenFace(0, (1, 2, 30, 40), made.vector, {"size": 30.0}, expires, "m", number, made.digest)


Opened = Callable[[], SqliteStore]


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    key: Key | None = request.param
    with SqliteStore(tmp_path / "gallery.db", create=True, key=key) as store:
        store.bind(MODEL, DIM)
        store.add("Ada", [template("ada")])
        store.library().write(new=[(photo("Rom"), [face("f1"), face("f2")]), (photo("Bern"), [face("f3")])])
    yield lambda: SqliteStore(tmp_path / "gallery.db", key=key)


def test_what_was_written_is_read_again(opened: Opened) -> None:
    with opened() as store:
        library = store.library()
        rom, bern = library.photos()
        assert (rom.number, rom.digest, rom.files) == (1, photo("Rom").digest, photo("Rom").files)
        assert (rom.width, rom.height, rom.taken, rom.there) == (64, 48, rom.taken, "Rom nach der Reise.jpg")
        faces = library.faces()
        assert [one.photo for one in faces] == [rom.number, rom.number, bern.number]
        assert [one.number for one in faces] == [1, 2, 3]
        np.testing.assert_array_equal(faces[1].vector, template("f2").vector)
        assert (faces[0].box, faces[0].quality, faces[0].expires) == ((1, 2, 30, 40), {"size": 30.0}, SOON)
        assert library.forgotten(rom.digest)
        assert not library.forgotten(template("never").digest)
        store.verify()


def test_a_scan_erases_no_face_that_was_decided_about_meanwhile(opened: Opened) -> None:
    with opened() as store:
        library = store.library()
        library.decide({"do": "confirm", "faces": [1], "person": 1})
        library.decide({"do": "apart", "faces": [], "others": [2]})
        library.write(gone=[1, 2, 3])
        assert [one.number for one in library.faces()] == [1, 2]
        store.verify()


def test_the_same_photo_is_kept_once(opened: Opened) -> None:
    with opened() as store:
        store.library().write(new=[(photo("Rom"), [face("other")])])
        assert len(store.library().photos()) == 2
        assert len(store.library().faces()) == 3


def test_decisions_are_kept_and_name_faces(opened: Opened) -> None:
    with opened() as store:
        library = store.library()
        ada = library.person("Ada")
        assert ada is not None
        assert library.person("Bob") is None
        library.decide({"do": "confirm", "faces": [1, 3], "person": 1})
        library.set_names({1: ada, 3: ada})
        library.decide({"do": "unknown", "faces": [3]})
        library.set_names({3: None})
    with opened() as store:
        library = store.library()
        assert library.names() == {1: (ada, "Ada")}
        assert [step.content["do"] for step in library.steps()] == ["confirm", "unknown"]
        store.rename("Ada", "Ada L")
        assert library.names() == {1: (ada, "Ada L")}
        store.verify()


@pytest.mark.parametrize("way", ["remove", "drop", "purge"])
def test_removing_a_person_erases_their_faces(opened: Opened, tmp_path: Path, way: str) -> None:
    from enroll.store import Terms

    with opened() as store:
        library = store.library()
        library.decide({"do": "confirm", "faces": [3], "person": 1})
        library.set_names({3: library.person("Ada")})
        secret = [template("f3").vector.tobytes(), PATH_OF["Bern"]]
        assert bool(traces(tmp_path, secret)) is not store.encrypted
        if way == "remove":
            store.remove("Ada")
        elif way == "drop":
            store.drop([entry.id for entry in store.stored("Ada")])
        else:
            store.set_terms("Ada", Terms(expires=SOON))
            assert store.purge(date(2026, 3, 2)) == ["Ada"]
        assert [one.number for one in library.faces()] == [1, 2]
        assert library.names() == {}
        assert [one.files[0].path for one in library.photos()] == ["Rom nach der Reise.jpg"]
        assert library.forgotten(photo("Bern").digest)  # so the next scan does not find her again
        store.verify()
    assert traces(tmp_path, secret) == []


def test_strangers_expire_and_leave_no_trace(opened: Opened, tmp_path: Path) -> None:
    with opened() as store:
        library = store.library()
        library.decide({"do": "confirm", "faces": [1], "person": 1})
        library.set_names({1: library.person("Ada")})
        assert library.expired(SOON) == 0
        assert library.purge(SOON) == 0
        assert library.expired(date(2026, 3, 2)) == 2
        assert library.purge(date(2026, 3, 2)) == 2
        assert [one.number for one in library.faces()] == [1]  # she has a name: her own terms hold
        store.verify()
    gone = [template("f2").vector.tobytes(), template("f3").vector.tobytes(), PATH_OF["Bern"]]
    assert traces(tmp_path, gone) == []
    with opened() as store:
        assert not store.encrypted or traces(tmp_path, [b"Rom nach der Reise.jpg"]) == []


def test_an_old_backup_cannot_be_read_where_it_was_erased(tmp_path: Path) -> None:
    path, backup = tmp_path / "gallery.db", tmp_path / "backup.db"
    with SqliteStore(path, create=True, key=KEY) as store:
        store.bind(MODEL, DIM)
        store.library().write(new=[(photo("Rom"), [face("f1"), face("f2", None)])])
        shutil.copy(path, backup)
        store.library().write(new=[(photo("Oslo"), [face("f5"), face("f6", None)])])
        assert store.library().purge(date(2026, 3, 2)) == 2
    shutil.copy(backup, path)
    with SqliteStore(path, key=KEY) as store:
        with pytest.raises(GalleryError, match="drop-unreadable"):
            store.library().faces()
        store.forget_keyless()
        assert [one.number for one in store.library().faces()] == [2]
        store.library().write(new=[(photo("Bern"), [face("f3")])])  # no number is given twice
        with SqliteStore(path, key=KEY) as other:
            other.library().write(new=[(photo("Wien"), [face("f4")])])
        store.library().write(new=[(photo("Linz"), [face("f7")])])
        assert [one.number for one in store.library().faces()] == [2, 5, 6, 7]
        store.verify()


def test_merging_people_moves_faces_and_can_be_undone_later(opened: Opened) -> None:
    with opened() as store:
        store.add("A. Lovelace", [template("second")])
        library = store.library()
        other = library.person("A. Lovelace")
        library.decide({"do": "confirm", "faces": [2], "person": 1})
        library.set_names({2: other})
        store.merge_people("Ada", "A. Lovelace")
        assert library.names() == {2: (library.person("Ada"), "Ada")}
        step = library.steps()[-1]
        assert step.content["name"] == "A. Lovelace"
        assert step.content["digests"] == [template("second").digest.hex()]
        store.remove("Ada")
        assert [one.content["do"] for one in library.steps()] == ["confirm"]  # the name is gone with her
        store.verify()


def test_a_plain_library_can_be_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    with SqliteStore(path, create=True) as store:
        store.bind(MODEL, DIM)
        store.add("Ada", [template("ada")])
        store.library().write(new=[(photo("Rom"), [face("f1"), face("f2")])])
        store.library().decide({"do": "ignore", "faces": [1]})
        store.encrypt(KEY)
    with SqliteStore(path, key=KEY) as store:
        library = store.library()
        assert [one.number for one in library.faces()] == [1, 2]
        assert library.forgotten(photo("Rom").digest)
        assert library.steps()[0].content == {"do": "ignore", "faces": [1]}
        library.write(new=[(photo("Bern"), [face("f3")])])
        store.verify()
    assert traces(tmp_path, [b"Rom nach der Reise.jpg", template("f1").vector.tobytes()]) == []


def test_a_group_may_be_the_ignored_face_that_one_is_like(opened: Opened) -> None:
    with opened() as store:
        library = store.library()
        library.set_groups({1: 1, 2: -1})
        assert library.groups() == {1: 1, 2: -1}
        library.move_groups({1: -2, 2: 2})
        store.verify()
    with opened() as store:
        assert store.library().groups() == {1: -2, 2: 2}
        store.library().move_groups({1: 0})
        with pytest.raises(GalleryError, match="'grouped' cannot be read: a number: expected 1 to"):
            store.library().groups()


def test_everything_can_be_erased(opened: Opened, tmp_path: Path) -> None:
    with opened() as store:
        library = store.library()
        library.set_groups({1: 1, 2: 1, 99: 5})
        assert library.groups() == {1: 1, 2: 1}
        assert library.erase_all() == (2, 3)
        assert (library.photos(), library.faces(), library.groups()) == ([], [], {})
        assert not library.forgotten(photo("Rom").digest)
        store.verify()
    assert traces(tmp_path, [b"Rom nach der Reise.jpg", template("f1").vector.tobytes()]) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE face SET body = x'00' WHERE id = 1",
        "UPDATE photo SET number = 7 WHERE id = 1",
        "DELETE FROM photo WHERE id = 1",
        "INSERT INTO named VALUES (77, 1, 0)",
    ],
)
def test_a_changed_library_is_noticed(opened: Opened, tmp_path: Path, change: str) -> None:
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as other, other:
        other.execute(change)
    with opened() as store, pytest.raises(GalleryError, match="broken"):
        store.verify()


def test_a_face_is_written_again_by_another_model(opened: Opened) -> None:
    with opened() as store:
        library = store.library()
        again = SeenFace(1, (5, 6, 7, 8), np.eye(4, dtype=np.float32)[0], {}, None, "n", 1, bytes(32))
        library.write(faces=[again], gone=[2])
        kept, other = library.faces()
        assert (kept.number, kept.model, kept.box, other.number) == (1, "n", (5, 6, 7, 8), 3)
        store.verify()


def test_a_film_is_read_again(opened: Opened) -> None:
    film = replace(photo("Film"), seconds=2.5, live=True)
    seen = replace(face("f9"), seconds=1.5, intervals=((0.0, 0.5), (1.5, 2.0)))
    with opened() as store:
        store.library().write(new=[(film, [seen])])
    with opened() as store:
        rom, _, read = store.library().photos()
        assert (read.is_film, read.seconds, read.live) == (True, 2.5, True)
        assert (rom.is_film, rom.live) == (False, False)
        found = store.library().faces()[-1]
        assert (found.seconds, found.intervals) == (seen.seconds, seen.intervals)


@pytest.mark.parametrize(
    "times", [{"seconds": -1.0}, {"seconds": float("nan")}, {"seconds": 1.0, "intervals": ((0, "x"),)}]
)
def test_impossible_times_are_refused(opened: Opened, times: dict[str, object]) -> None:
    with opened() as store:
        store.library().write(new=[(photo("Film"), [replace(face("f9"), **times)])])  # type: ignore[arg-type]
        with pytest.raises(GalleryError, match="a row of 'face' cannot be read"):
            store.library().faces()
        film = replace(photo("Other"), seconds=float("inf"))
        store.library().write(new=[(film, [])])
        with pytest.raises(GalleryError, match="a row of 'photo' cannot be read"):
            store.library().photos()
