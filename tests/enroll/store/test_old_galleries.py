"""Galleries made by the toolkit of before (see old/make.py) open and hold what they held."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from embedder.errors import GalleryError
from enroll.store import Person, Terms
from enroll.store.base import Changed
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.store.engines import KEY
from tests.enroll.templates import DIM, MODEL, template

OLD = Path(__file__).parent / "old"


@pytest.fixture(params=[1, 2])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD / f"format-{request.param}.db", tmp_path / "gallery.db"))


def held(path: Path) -> tuple[list[object], ...]:
    """What a gallery of an old format holds, read without our code."""
    with closing(sqlite3.connect(path)) as other:
        return (
            other.execute("SELECT name FROM identity ORDER BY name").fetchall(),
            other.execute(
                "SELECT template.id, name, vector FROM template JOIN identity ON identity.id = identity"
                " ORDER BY template.id"
            ).fetchall(),
        )


def test_old_gallery_gives_the_same_answers(old: Path) -> None:
    names, templates = held(old)
    assert len(templates) in (3, 4)
    for _ in range(2):
        with SqliteStore(old) as store:
            read = store.templates()
            assert read.ids.tolist() == [entry[0] for entry in templates]
            assert read.identities.tolist() == [entry[1] for entry in templates]
            assert read.vectors.tobytes() == b"".join(entry[2] for entry in templates)
            assert [name for name, _ in store.identities()] == sorted(name for (name,) in names)
            assert Person("Zoë", 2, Terms()) in store.people()
            assert store.stored("bob")[0].digest == template("b.png").digest
            assert store.owners([template("Fotos/Zoë 2.png").digest]) == ["Zoë"]
            assert store.model() == (MODEL, DIM)
            store.verify()


def test_strangers_and_calibration_of_an_old_gallery_are_kept(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD / "format-2.db", tmp_path / "gallery.db"))
    with SqliteStore(path) as store:
        assert store.calibration() == ('{"promise": "kept"}', Changed(0, 0, 4))
        assert store.owners([template("e2").digest]) == ["mallory"]
        strangers = store.strangers()
        assert strangers.identities.tolist() == ["eve"]  # her other photo is of someone enrolled
        np.testing.assert_array_equal(strangers.vectors, [template("e1").vector])
        assert store.remove_strangers() == 1


def test_ids_of_an_old_gallery_are_not_used_again(old: Path) -> None:
    with closing(sqlite3.connect(old)) as other:
        ((erased,),) = other.execute("SELECT seq FROM sqlite_sequence WHERE name = 'template'")
    with SqliteStore(old) as store:
        assert erased > store.templates().ids.max()  # of the person "gone"
        store.add("new", [template("n.png")])
        assert store.templates().ids.max() > erased


def test_nothing_of_the_old_tables_is_left(old: Path) -> None:
    with SqliteStore(old) as store:
        assert store._connection.row("PRAGMA freelist_count") == (0,)  # it was rewritten
        for name in ("Zoë", "bob"):
            store.remove(name)
    content = old.read_bytes()
    for photo in ("Fotos/Zoë 1.png", "b.png"):
        gone = template(photo)
        assert gone.digest not in content
        assert gone.vector.tobytes()[:16] not in content
        assert photo.encode() not in content
    assert "Zoë".encode() not in content


def test_old_gallery_can_be_encrypted(old: Path) -> None:
    with SqliteStore(old) as store:
        before = store.templates()
        store.encrypt(KEY)
    with SqliteStore(old, key=KEY) as store:
        assert store.templates().vectors.tobytes() == before.vectors.tobytes()
        assert store.templates().identities.tolist() == before.identities.tolist()
        store.verify()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE template SET vector = x'00' WHERE id = 1",
        "DELETE FROM model",
        "CREATE TRIGGER evil AFTER DELETE ON identity BEGIN DELETE FROM template; END",
    ],
)
def test_broken_old_gallery_is_refused_and_left_as_it_is(old: Path, change: str) -> None:
    with closing(sqlite3.connect(old)) as other, other:
        other.execute(change)
    before = old.read_bytes()
    with pytest.raises(GalleryError, match=r"gallery\.db: (broken|tampered)"):
        SqliteStore(old)
    assert old.read_bytes() == before


@pytest.fixture
def third(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD / "format-3.db", tmp_path / "gallery.db"))


def test_gallery_of_format_3_holds_what_it_held_and_takes_a_library(third: Path) -> None:
    for _ in range(2):
        with SqliteStore(third) as store:
            assert store.people() == [
                Person("Zoë", 2, Terms()),
                Person("bob", 1, Terms("file 7", date(2026, 1, 2), date(2999, 1, 1))),
            ]
            assert store.stored("bob")[0].digest == template("b.png").digest
            assert store.strangers().identities.tolist() == ["eve"]
            assert store.calibration() == ('{"promise": "kept"}', Changed(0, 0, 3))
            assert store.library().photos() == []
            store.verify()


def test_gallery_of_format_3_can_be_encrypted(third: Path) -> None:
    with SqliteStore(third) as store:
        store.encrypt(KEY)
    with SqliteStore(third, key=KEY) as store:
        assert [person.name for person in store.people()] == ["Zoë", "bob"]
        store.verify()


def test_gallery_of_format_4_holds_what_it_held_and_takes_films(tmp_path: Path) -> None:
    fourth = Path(shutil.copy(OLD / "format-4.db", tmp_path / "gallery.db"))
    seen = SeenPhoto(b"f" * 32, (PhotoFile("f.mp4", 9, 9),), 64, 48, None, None, MODEL, seconds=2.5)
    with SqliteStore(fourth) as store:
        both, broken = store.library().photos()
        assert [file.path for file in both.files] == ["Fotos/beide.jpg", "Fotos/kopie.jpg"]
        assert (both.there, both.taken, both.seconds, both.live) == (
            *("Fotos/beide.jpg", "2024-05-01T10:00:00", None, False),
        )
        assert broken.problem == "not a picture"
        one, other = store.library().faces()
        assert (one.box, one.seconds, one.intervals, other.expires) == ((1, 20, 60, 80), None, (), None)
        assert one.vector.tobytes() == template("f1").vector.tobytes()
        assert store.library().names() == {1: (1, "Zoë")}
        assert store.library().groups() == {2: 2}
        face = SeenFace(0, (1, 2, 3, 4), one.vector, {}, None, MODEL, 0, b"k" * 32, 1.5, ((0.0, 2.0),))
        store.library().write([(seen, [face])])
        store.verify()
    with SqliteStore(fourth) as store:
        film, (_, _, found) = store.library().photos()[-1], store.library().faces()
        assert (film.is_film, film.seconds, found.seconds, found.intervals) == (True, 2.5, 1.5, ((0.0, 2.0),))
    with closing(sqlite3.connect(fourth)) as other_program:
        assert other_program.execute("PRAGMA user_version").fetchone() == (5,)
