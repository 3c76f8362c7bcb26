"""Searching stays in step with the gallery, whoever changes it, and costs what the change costs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from embedder.errors import ForeignModelError, UsageError
from enroll.gallery.following import LiveIndex
from enroll.search import exact
from enroll.search.approximate import index_path
from enroll.search.base import nearest_people
from enroll.store.keys import Key
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.enroll.templates import DIM, MODEL, open_store, template

INDEXES = pytest.mark.parametrize("index", ["exact", "approximate"])


def enroll(store: SqliteStore, *names: str) -> None:
    for name in names:
        store.add(name, [template(f"{name}.jpg")])


def who_is(following: LiveIndex, name: str) -> str | None:
    """Whose the template of someone's photo is, if it is there."""
    search_index = following.search_index()
    found = nearest_people(search_index, template(f"{name}.jpg").vector[None], 1)[0]
    return found[0].identity if found and found[0].distance == 0 else None


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Templates of every index that was made."""
    made: list[int] = []

    make = exact.ExactIndex.__init__

    def noted(self, templates):
        made.append(len(templates.ids))
        make(self, templates)

    monkeypatch.setattr(exact.ExactIndex, "__init__", noted)
    return made


@INDEXES
def test_what_others_enroll_is_added_to_the_index(
    path: Path, store: SqliteStore, index: str, built: list[int]
) -> None:
    enroll(store, "zoe")
    following = LiveIndex(store, (MODEL, DIM), index)
    assert who_is(following, "ada") is None
    enroll(store, "ada")
    assert who_is(following, "ada") == "ada"
    with open_store(path) as other:
        enroll(other, "bob", "cleo")
    assert [who_is(following, name) for name in ("ada", "bob", "cleo", "dan")] == ["ada", "bob", "cleo", None]
    assert built == [1]


@INDEXES
def test_a_gallery_that_was_new_when_it_was_opened(path: Path, index: str) -> None:
    with SqliteStore(path, create=True) as store:
        following = LiveIndex(store, (MODEL, DIM), index)
        assert following.search_index().templates == 0
        with open_store(path) as other:  # binds it to a model
            enroll(other, "ada")
        assert who_is(following, "ada") == "ada"


@INDEXES
def test_who_is_erased_or_renamed_by_others_is_not_found_any_more(
    path: Path, store: SqliteStore, index: str
) -> None:
    enroll(store, *"abcdefghijklmnop")
    following = LiveIndex(store, (MODEL, DIM), index)
    assert who_is(following, "a") == "a"
    with open_store(path) as other:
        other.remove("a")
        assert (who_is(following, "a"), who_is(following, "b")) == (None, "b")
        other.rename("b", "bo")
        assert who_is(following, "b") == "bo"
        other.drop([int(other.templates().ids[-1])])
        assert (who_is(following, "p"), who_is(following, "o")) == (None, "o")
        enroll(other, "a")
        assert who_is(following, "a") == "a"


def test_enrolling_reads_and_copies_only_what_is_new(store: SqliteStore, monkeypatch) -> None:
    """Operations are counted, not time: of 600 templates, adding one more reads one."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    many = [NewTemplate(str(row), row.to_bytes(32, "big"), vector) for row, vector in enumerate(vectors)]
    store.add("crowd", many)
    following = LiveIndex(store, (MODEL, DIM))
    who_is(following, "ada")
    read: list[int] = []
    templates = store.templates

    def counted(after: int = 0):
        found = templates(after)
        read.append(len(found.ids))
        return found

    monkeypatch.setattr(store, "templates", counted)
    for name in ("ada", "bob"):
        enroll(store, name)
        who_is(following, name)
        who_is(following, "crowd")
    assert read == [1, 1]
    assert following.search_index().pool.moved == 2


def test_no_index_of_that_name(store: SqliteStore) -> None:
    with pytest.raises(UsageError, match="expected one of exact, approximate"):
        LiveIndex(store, (MODEL, DIM), "quick")


@INDEXES
def test_an_engine_with_a_search_of_its_own_is_asked(store: SqliteStore, monkeypatch, index: str) -> None:
    own = exact.ExactIndex(store.templates())
    monkeypatch.setattr(store, "search_index", lambda: own)
    following = LiveIndex(store, (MODEL, DIM), index)
    if index == "exact":
        assert following.search_index() is own
    else:
        with pytest.raises(UsageError, match="index of its own"):
            following.search_index()


def test_bound_to_another_model_meanwhile(path: Path) -> None:
    with SqliteStore(path, create=True) as store:
        following = LiveIndex(store, ("another", DIM))
        open_store(path).close()
        with pytest.raises(ForeignModelError):
            following.search_index()


def linked(store: SqliteStore) -> int:
    """Templates that a new process links, rather than taking their links from the file."""
    return LiveIndex(store, (MODEL, DIM), "approximate").search_index().built


def test_the_graph_is_kept_beside_the_gallery(path: Path, store: SqliteStore) -> None:
    names = [f"p{number:02d}" for number in range(40)]
    enroll(store, *names)
    assert linked(store) == 40
    assert index_path(path).exists()
    assert linked(store) == 0
    enroll(store, "one more")
    assert (linked(store), linked(store)) == (1, 1)  # too little to write the file again
    enroll(store, "a", "b", "c")
    assert (linked(store), linked(store)) == (4, 0)


@pytest.mark.parametrize("erase", ["remove", "drop", "purge"])
def test_erasing_anyone_erases_the_file_which_a_living_index_writes_again(
    path: Path, store: SqliteStore, erase: str
) -> None:
    from datetime import date

    from enroll.store import Terms

    names = [f"p{number:02d}" for number in range(40)]
    enroll(store, *names)
    store.set_terms("p07", Terms(expires=date(2020, 1, 1)))
    following = LiveIndex(store, (MODEL, DIM), "approximate")
    following.search_index()
    assert index_path(path).exists()
    {
        "remove": lambda: store.remove("p07"),
        "drop": lambda: store.drop([8]),
        "purge": lambda: store.purge(date(2020, 1, 2)),
    }[erase]()
    assert not index_path(path).exists()
    assert who_is(following, "p07") is None
    assert following.search_index().built == 0
    assert index_path(path).exists()
    assert linked(store) == 0


def test_erasing_while_the_file_is_written_takes_it_away(path: Path, store: SqliteStore, monkeypatch) -> None:
    from enroll.gallery import following as module

    enroll(store, *"abcdef")
    save = module.save_index

    def slow(*arguments):
        store.remove("a")
        save(*arguments)

    monkeypatch.setattr(module, "save_index", slow)
    LiveIndex(store, (MODEL, DIM), "approximate").search_index()
    assert not index_path(path).exists()


def test_a_broken_file_is_said_and_made_anew(
    path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    enroll(store, *"abcdef")
    assert linked(store) == 6
    index_path(path).write_bytes(index_path(path).read_bytes()[:-1] + b"?")
    with caplog.at_level(logging.WARNING):
        assert linked(store) == 6
    assert "gallery.db.index: not used" in caplog.text
    assert linked(store) == 0


def test_a_file_of_someones_own_is_never_replaced_or_erased(
    path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    index_path(path).write_text("my own index of these photos")
    enroll(store, *"abcdef")
    with caplog.at_level(logging.WARNING):
        assert linked(store) == 6
    assert (
        "gallery.db.index: not written, the index will be rebuilt: what is there is no index" in caplog.text
    )
    store.remove("a")
    assert index_path(path).read_text() == "my own index of these photos"


def test_a_place_that_cannot_be_written_is_said(
    path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    enroll(store, *"abcdef")
    index_path(path).mkdir()
    with caplog.at_level(logging.WARNING):
        assert linked(store) == 6
    assert "gallery.db.index: not written" in caplog.text


def test_nothing_is_kept_of_an_encrypted_gallery(path: Path) -> None:
    with SqliteStore(path, create=True, key=Key(b"k" * 32, "test")) as store:
        store.bind(MODEL, DIM)
        enroll(store, *"abcdef")
        assert linked(store) == 6
        assert not index_path(path).exists()
