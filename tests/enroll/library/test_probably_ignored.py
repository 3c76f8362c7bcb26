"""People in the background: ignored once, they do not come up again; nothing of it is final."""

from __future__ import annotations

from pathlib import Path

import pytest

from enroll.library.people import Library
from enroll.library.review import IGNORE, UNKNOWN
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import THRESHOLD, GridExtractor, save, scan


@pytest.fixture
def library(gallery: SqliteStore, photos: Path, extractor: GridExtractor) -> Library:
    """A library in which Bob was ignored, and was photographed again later."""
    scan(gallery, photos, extractor)
    library = Library(gallery)
    library.group(THRESHOLD)
    library.mark(IGNORE, faces_of(library, 2))
    save_later(photos)
    scan(gallery, photos, extractor)
    library.read()
    return library


def save_later(photos: Path) -> None:
    save(photos / "later0.png", {(0, 0): (2, 20), (1, 0): (1, 20)})
    save(photos / "later1.png", {(0, 0): (2, 21)})


def faces_of(library: Library, identity: int) -> list[int]:
    """Give the faces of Ada, 1, or Bob, 2."""
    of_ada = {"both.jpg": (0, 0), "later0.png": (24, 0)}
    found = []
    for number, face in library.faces.items():
        name = library.path(face).name
        is_ada = name.startswith("ada") or of_ada.get(name) == face.box[:2]
        is_bob = not is_ada and name.startswith(("bob", "both", "later"))
        if (identity == 1 and is_ada) or (identity == 2 and is_bob):
            found.append(number)
    return found


def new_of(library: Library) -> list[int]:
    return [face for face in faces_of(library, 2) if library.reviewed.state(face) != "ignored"]


def test_they_are_left_out_and_named_with_whom_they_are_like(library: Library) -> None:
    library.group(THRESHOLD)
    new, likely = new_of(library), library.probably_ignored()
    assert sorted(likely) == sorted(new)
    assert len(new) == 2
    assert {*likely.values()} <= library.reviewed.ignored
    assert not {*new} & {face for group in library.groups() for face in group.faces}
    assert {library.state(face) for face in new} == {"probably-ignored"}
    assert {face.number for face in library.unknown()} >= {*new}  # they wait, and may be suggested
    again = Library(library.store)  # as after a restart, and after another grouping
    assert again.probably_ignored() == likely
    again.group(THRESHOLD)
    assert again.probably_ignored() == likely
    again.group(THRESHOLD, again=True)
    assert again.probably_ignored() == likely
    library.store.verify()


def test_undo_of_the_ignore_brings_them_back(library: Library) -> None:
    library.group(THRESHOLD)
    new = new_of(library)
    assert library.undo() == "ignore 4 faces"
    assert library.probably_ignored() == {}
    (group,) = [group for group in library.groups() if new[0] in group.faces]
    assert {*group.faces} == {*faces_of(library, 2)}  # one group, without grouping anything
    library.group(THRESHOLD)
    assert {*group.faces} in [{*one.faces} for one in library.groups()]


def test_whoever_is_taken_back_stays_so(library: Library) -> None:
    library.group(THRESHOLD)
    one, other = new_of(library)
    library.mark(UNKNOWN, [one])
    assert {*library.probably_ignored()} == {other}
    library.group(THRESHOLD)
    assert one not in library.probably_ignored()
    assert {one, other} in [{*group.faces} for group in library.groups()]  # who is like them comes along
    library.undo()
    library.group(THRESHOLD, again=True)
    assert {*library.probably_ignored()} == {one, other}
    library.mark(IGNORE, [one, other])
    assert library.probably_ignored() == {}
    assert {*new_of(library)} == set()


def test_whoever_is_taken_back_at_once_by_undo_is_left_out_again(library: Library) -> None:
    library.group(THRESHOLD)
    before = library.probably_ignored()
    library.mark(UNKNOWN, new_of(library))
    library.undo()
    assert library.probably_ignored() == before


def test_whoever_is_near_someone_enrolled_is_not_left_out(library: Library) -> None:
    one, other = new_of(library)
    library.confirm("Bob", [one])
    library.group(THRESHOLD)
    assert library.probably_ignored() == {}
    library.group(THRESHOLD, naming=0.01)  # no name is given at this distance
    assert {*library.probably_ignored()} == {other}
    library.reject("Bob", [other])
    library.group(THRESHOLD)
    assert {*library.probably_ignored()} == {other}


def test_groups_that_are_shown_stay_shown(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    library.group(THRESHOLD)
    bob = faces_of(library, 2)
    library.mark(IGNORE, bob[:2])  # what is left of the group was seen, and is no new group
    library.group(THRESHOLD)
    assert {*bob[2:]} in [{*group.faces} for group in library.groups()]
    assert library.probably_ignored() == {}


def test_faces_that_were_parted_are_not_left_out(library: Library) -> None:
    one, other = new_of(library)
    library.part([one], [min(library.reviewed.ignored)])
    library.group(THRESHOLD)
    assert library.probably_ignored() == {}
    library.undo()
    library.group(THRESHOLD, again=True)
    assert {*library.probably_ignored()} == {one, other}


def test_who_joins_others_is_in_their_group_until_undo(library: Library) -> None:
    library.group(THRESHOLD)
    one, other = new_of(library)
    ada = faces_of(library, 1)[0]
    library.join([one, ada])
    assert one in next(group.faces for group in library.groups() if ada in group.faces)
    assert {*library.probably_ignored()} == {other}
    library.undo()
    assert {*library.probably_ignored()} == {one, other}


def test_erased_strangers_leave_no_one_out(library: Library) -> None:
    library.group(THRESHOLD)
    with library.rows._erasing():
        library.rows._rows.erase_faces(library.reviewed.ignored)
    library.read()
    assert library.probably_ignored() == {}
    library.group(THRESHOLD)
    assert {*new_of(library)} in [{*group.faces} for group in library.groups()]
    library.store.verify()
