from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedder.errors import ForeignModelError
from enroll.gallery.transfer import (
    GallerySnapshot,
    PersonRecord,
    SameName,
    SharedName,
    SharedPhoto,
    merge,
    plan_merge,
    put_content,
    read_content,
)
from enroll.store import Terms
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.enroll.gallery.contents import fresh, plain, small_content
from tests.enroll.templates import DIM, MODEL, template


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SqliteStore]:
    """Ada, Zoë, and Bob as a stranger."""
    with fresh(tmp_path / "here.db") as store:
        put_content(store, small_content())
        yield store


def other(*people: PersonRecord, strangers: tuple[tuple[str, NewTemplate], ...] = ()) -> GallerySnapshot:
    return GallerySnapshot((MODEL, DIM), people, strangers)


def person(name: str, *photos: str, terms: Terms | None = None) -> PersonRecord:
    return PersonRecord(name, terms or Terms(), tuple(map(template, photos)))


def people(store: SqliteStore) -> dict[str, set[str]]:
    return {name: {entry.photo for entry in store.stored(name)} for name, _ in store.identities()}


def test_people_and_strangers_are_added(here: SqliteStore):
    more = other(person("Eve", "e.png", terms=Terms("file 9")), strangers=(("Mallory", template("m.png")),))
    plan = plan_merge(here, more)
    assert not plan.refused("refuse") and not plan.names and not plan.photos
    assert merge(here, more, plan) == 1
    assert people(here) == {"Ada": {"a 1.png"}, "Eve": {"e.png"}, "Zoë": {"z1.png", "z2.png"}}
    assert [entry.terms for entry in here.people() if entry.name == "Eve"] == [Terms("file 9")]
    assert set(here.strangers().identities) == {"Bob", "Mallory"}


def test_merging_twice_changes_nothing(here: SqliteStore):
    same = small_content()
    before, changes = plain(read_content(here)[0]), here.changes()
    plan = plan_merge(here, same)
    assert not plan.refused("refuse")
    assert merge(here, same, plan) == 0
    assert (plain(read_content(here)[0]), here.changes()) == (before, changes)


@pytest.mark.parametrize(
    ("same_name", "photos"),
    [("join", {"a 1.png", "a 2.png", "a 3.png"}), ("skip", {"a 1.png"})],
)
def test_a_name_in_both(here: SqliteStore, same_name: SameName, photos: set[str]):
    more = other(person("Ada", "a 1.png", "a 2.png", "a 3.png"), person("Eve", "e.png"))
    before = plain(read_content(here)[0])
    refused = plan_merge(here, more)
    assert refused.names == (SharedName("Ada", 1, 3, 1, terms_differ=False),)
    assert refused.refused("refuse")
    assert plain(read_content(here)[0]) == before

    plan = plan_merge(here, more, same_name)
    assert not plan.refused(same_name)
    assert plan.skipped == (("Ada",) if same_name == "skip" else ())
    assert merge(here, more, plan) == len(photos)  # Eve's one, and those of Ada that are new
    assert people(here)["Ada"] == photos
    assert people(here)["Eve"] == {"e.png"}


@pytest.mark.parametrize("same_name", ["refuse", "join", "skip"])
def test_a_photo_of_two_people_is_always_refused(here: SqliteStore, same_name: SameName):
    plan = plan_merge(here, other(person("Eve", "e.png", "z1.png")), same_name)
    assert plan.photos == (SharedPhoto("z1.png", "Zoë", "Eve"),)
    assert plan.refused(same_name)


def test_photos_of_people_who_are_left_out_do_not_matter(here: SqliteStore):
    plan = plan_merge(here, other(person("Ada", "z1.png")), "skip")
    assert plan.names and not plan.photos and not plan.refused("skip")


def test_terms_of_here_stay(here: SqliteStore):
    mine, theirs = here.people()[0].terms, Terms("file 9")
    more = other(person("Ada", "a 2.png", terms=theirs), person("Zoë", "z3.png", terms=theirs))
    plan = plan_merge(here, more, "join")
    assert [entry.terms_differ for entry in plan.names] == [True, False]
    merge(here, more, plan)
    assert [entry.terms for entry in here.people()] == [mine, theirs]


def test_a_stranger_may_be_enrolled_there(here: SqliteStore):
    more = other(person("Bob", "b.png"))
    merge(here, more, plan_merge(here, more))
    assert "Bob" in people(here) and not len(here.strangers().ids)


def test_another_model_is_refused(here: SqliteStore):
    with pytest.raises(ForeignModelError):
        plan_merge(here, GallerySnapshot(("0" * 64, DIM), ()))


def test_an_empty_gallery_may_be_merged_and_merged_into(here: SqliteStore, tmp_path: Path):
    nothing = GallerySnapshot(None, ())
    assert merge(here, nothing, plan_merge(here, nothing)) == 0
    with fresh(tmp_path / "new.db") as new:
        content, _ = read_content(here)
        merge(new, content, plan_merge(new, content))
        assert plain(read_content(new)[0]) == plain(content)
