"""Review: what each decision means, that it can be undone also after a restart, and what stays refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.errors import UnknownIdentityError, UsageError
from enroll.library.find import sightings, similar, suggestions
from enroll.library.people import Library
from enroll.library.review import IGNORE, IMPORTED, NOT_A_FACE, UNKNOWN
from enroll.store import Terms
from enroll.store.keys import Key
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import THRESHOLD, GridExtractor, save, scan
from tests.enroll.store.engines import KEY


@pytest.fixture
def library(
    request: pytest.FixtureRequest, tmp_path: Path, photos: Path, extractor: GridExtractor
) -> Library:
    key: Key | None = getattr(request, "param", None)
    store = SqliteStore(tmp_path / "people.db", create=True, key=key)
    request.addfinalizer(store.close)
    save(photos / "poor.png", {(0, 0): (-1, 11)})
    scan(store, photos, extractor)
    return Library(store)


def at(library: Library, *names: str, box: tuple[int, int] | None = None) -> list[int]:
    """Give the faces in photos, or of those the one at a place."""
    return [
        number
        for name in names
        for number, face in library.faces.items()
        if library.path(face).name == name and box in (None, face.box[:2])
    ]


ADA = ("ada0.jpg", "ada1.jpg", "ada2.jpg")


def names(library: Library) -> dict[str, int]:
    return dict(library.store.identities())


def test_a_group_is_confirmed_at_once(library: Library) -> None:
    groups = library.group(THRESHOLD)
    assert [len(group.faces) for group in groups][:2] in ([5, 4], [4, 4])
    ada = next(group for group in groups if at(library, "ada0.jpg")[0] in group.faces)
    assert library.confirm("Ada", ada.faces) == 4
    assert names(library) == {"Ada": 4}  # the poor face is hers, but no one is recognized by it
    assert {library.names[face] for face in ada.faces} == {"Ada"}
    assert all(ada.id != group.id for group in library.groups())
    library.store.verify()


def test_faces_of_someone_get_a_new_name(library: Library) -> None:
    first, second = (at(library, name)[0] for name in ADA[:2])
    library.confirm("Bob", [first, second])
    assert library.confirm("Mia", [first]) == 1
    assert names(library) == {"Bob": 1, "Mia": 1}
    assert library.confirm("Eva", [second]) == 1  # the last one of his
    assert names(library) == {"Eva": 1, "Mia": 1}
    assert library.names == {first: "Mia", second: "Eva"}
    library.undo()
    library.undo()
    library.undo()
    assert (names(library), library.names) == ({}, {})
    library.store.verify()


def test_a_name_is_suggested_with_the_reason(library: Library) -> None:
    library.confirm("Ada", at(library, *ADA[:2]))
    found = suggestions(library, THRESHOLD)
    assert set(found) >= {*at(library, "ada2.jpg"), *at(library, "both.jpg", box=(0, 0))}
    one = found[at(library, "ada2.jpg")[0]]
    assert one.name == "Ada"
    assert 0 < one.distance < one.threshold == THRESHOLD
    (nearest,) = library.store.photos([one.template])
    assert nearest.partition("#")[0].endswith(ADA[:2])
    assert not set(found) & set(at(library, "bob0.png", "stranger.jpg"))


def test_what_was_refused_is_never_suggested_again(
    library: Library, photos: Path, extractor: GridExtractor
) -> None:
    (face,) = at(library, "ada2.jpg")
    library.confirm("Ada", at(library, *ADA[:2]))
    library.reject("Ada", [face])
    assert face not in suggestions(library, THRESHOLD)
    scan(library.store, photos, extractor, again=True)  # type: ignore[arg-type]
    assert face not in suggestions(Library(library.store), THRESHOLD)
    library.store.add("Augusta", [template_at(library, "both.jpg", (0, 0))])
    library.merge("Augusta", "Ada")  # whoever Ada becomes, this is not she
    assert face not in suggestions(library, THRESHOLD)
    library.undo()
    assert face not in {n for n, one in suggestions(library, THRESHOLD).items() if one.name == "Ada"}


def template_at(library: Library, name: str, box: tuple[int, int]) -> object:
    from enroll.templates import NewTemplate

    (number,) = at(library, name, box=box)
    return NewTemplate("elsewhere.jpg", bytes(32), library.faces[number].vector)


def test_a_refused_face_is_not_suggested_by_another_model(
    library: Library, photos: Path, extractor: GridExtractor
) -> None:
    (face,) = at(library, "ada2.jpg")
    library.confirm("Ada", at(library, *ADA[:2]))
    library.reject("Ada", [face])
    other = GridExtractor("other")
    templates = [("Ada", template) for template in library.store.stored("Ada")]
    assert library.store.remake((other.fingerprint, other.dim), templates, library.store.changes())  # type: ignore[arg-type]
    scan(library.store, photos, other)  # type: ignore[arg-type]
    again = Library(library.store)
    found = suggestions(again, THRESHOLD)
    assert face in again.faces
    assert face not in found
    assert at(again, "both.jpg", box=(0, 0))[0] in found


@pytest.mark.parametrize("action", [IGNORE, NOT_A_FACE])
def test_ignored_faces_leave_groups_and_suggestions(library: Library, action: str) -> None:
    (face,) = at(library, "ada2.jpg")
    library.confirm("Ada", at(library, *ADA[:2]))
    library.mark(action, [face])
    assert library.reviewed.state(face) == ("ignored" if action == IGNORE else "not-a-face")
    assert face not in suggestions(library, THRESHOLD)
    assert all(face not in group.faces for group in library.group(THRESHOLD))
    library.mark(UNKNOWN, [face])
    assert face in suggestions(library, THRESHOLD)


@pytest.mark.parametrize("library", [None, KEY], indirect=True, ids=["plain", "encrypted"])
def test_every_step_can_be_undone_after_a_restart(library: Library) -> None:
    def state() -> object:
        now = Library(library.store)
        templates = {name: len(library.store.stored(name)) for name in names(library)}
        reviewed, people = now.reviewed, now.people()
        refused = {face: {people[one] for one in whom} for face, whom in reviewed.refused.items()}
        return now.names, reviewed.ignored, reviewed.objects, refused, reviewed.apart, templates

    bob = at(library, "bob0.png", "bob1.png")
    steps = [
        lambda: library.confirm("Ada", at(library, *ADA)),
        lambda: library.confirm("Bob", bob, Terms("file 3")),
        lambda: library.reject("Bob", at(library, "ada0.jpg")),
        lambda: library.mark(IGNORE, at(library, "stranger.jpg")),
        lambda: library.mark(NOT_A_FACE, at(library, "both.jpg", box=(0, 0))),
        lambda: library.confirm("Ada", bob[:1]),  # a mistake
        lambda: library.join(at(library, "bob2.png", "both.jpg")),
        lambda: library.part(at(library, "bob2.png"), at(library, "both.jpg")),
        lambda: library.merge("Ada", "Bob"),
        lambda: library.mark(UNKNOWN, at(library, "ada0.jpg", "bob1.png")),
    ]
    seen = []
    for step in steps:
        seen.append(state())
        step()
        library.store.verify()
    for before in reversed(seen):
        again = Library(library.store)  # as after a restart
        assert again.undo()
        assert state() == before
        library.store.verify()
    assert Library(library.store).undo() is None
    assert names(library) == {}


def test_undoing_a_merge_gives_both_people_back(library: Library) -> None:
    library.confirm("Ada", at(library, *ADA))
    library.confirm("Bob", at(library, "bob0.png"), Terms("file 3"))
    library.store.merge_people("Ada", "Bob")  # as `embed gallery merge-people` does
    library.read()
    assert names(library) == {"Ada": 4}
    assert library.names[at(library, "bob0.png")[0]] == "Ada"
    said = library.undo()
    assert said == "merge Bob into Ada"
    assert names(library) == {"Ada": 3, "Bob": 1}
    assert library.names[at(library, "bob0.png")[0]] == "Bob"
    assert {person.name: person.terms for person in library.store.people()}["Bob"] == Terms("file 3")
    assert library.undo() == "confirm 1 face as Bob"
    assert names(library) == {"Ada": 3}


def test_someone_of_whom_only_poor_faces_are_left_stays(library: Library) -> None:
    (poor,) = at(library, "poor.png")
    assert library.confirm("Ada", [poor]) == 1  # there is no better one
    library.undo()
    library.confirm("Ada", at(library, "ada0.jpg"))
    assert library.confirm("Ada", [poor]) == 0
    library.mark(UNKNOWN, at(library, "ada0.jpg"))
    assert names(library) == {"Ada": 1}
    assert library.names == {poor: "Ada"}
    library.store.verify()


def test_a_split_group_stays_split(library: Library) -> None:
    library.group(THRESHOLD)
    library.part(at(library, "ada0.jpg"), at(library, "ada1.jpg", "ada2.jpg"))
    for again in (False, True):
        groups = {face: group.id for group in library.group(THRESHOLD, again) for face in group.faces}
        (one,), (two,), (three,) = (at(library, name) for name in ADA)
        assert groups[one] != groups[two] == groups[three]


def test_joined_groups_are_one(library: Library) -> None:
    library.group(THRESHOLD)
    library.join([*at(library, "ada0.jpg"), *at(library, "stranger.jpg")])
    groups = {face: group.id for group in library.group(THRESHOLD) for face in group.faces}
    assert groups[at(library, "ada0.jpg")[0]] == groups[at(library, "stranger.jpg")[0]]


def test_groups_keep_their_ids_when_photos_come(
    library: Library, photos: Path, extractor: GridExtractor
) -> None:
    before = {group.id: set(group.faces) for group in library.group(THRESHOLD)}
    save(photos / "later.png", {(0, 0): (1, 20), (1, 0): (9, 0)})
    scan(library.store, photos, extractor)  # type: ignore[arg-type]
    library.read()
    after = {group.id: set(group.faces) for group in library.group(THRESHOLD)}
    assert all(faces <= after[number] for number, faces in before.items())
    (ada,) = at(library, "ada0.jpg")
    (new,) = at(library, "later.png", box=(0, 0))
    assert next(faces for faces in after.values() if ada in faces) >= {new}


def test_odd_faces_come_first(library: Library) -> None:
    library.confirm("Eve", at(library, "stranger.jpg"))
    library.undo()
    library.join([*at(library, *ADA), *at(library, "stranger.jpg")])
    group = next(g for g in library.group(THRESHOLD) if at(library, "stranger.jpg")[0] in g.faces)
    assert group.faces[0] == at(library, "stranger.jpg")[0]


def test_one_photo_has_a_person_once(library: Library, photos: Path, extractor: GridExtractor) -> None:
    save(photos / "twice.png", {(0, 0): (1, 30), (1, 0): (1, 31)})
    scan(library.store, photos, extractor)  # type: ignore[arg-type]
    library.read()
    library.confirm("Ada", at(library, *ADA))
    assert len(set(at(library, "twice.png")) & set(suggestions(library, THRESHOLD))) == 1
    library.confirm("Ada", at(library, "twice.png", box=(0, 0)))
    assert not set(at(library, "twice.png")) & set(suggestions(library, THRESHOLD))


def test_everyone_is_found_by_date(library: Library) -> None:
    library.confirm("Ada", at(library, *ADA[:2]))
    found = sightings(library, THRESHOLD, name="Ada")
    assert {one.photo.name for one in found} >= {*ADA, "both.jpg"}
    assert {one.photo.name for one in found if one.state == "confirmed"} == set(ADA[:2])
    assert [one.date for one in found] == sorted(one.date for one in found)
    assert {one.photo.name for one in sightings(library, None, name="Ada")} == set(ADA[:2])
    vector = library.faces[at(library, "bob0.png")[0]].vector
    assert {one.photo.name for one in similar(library, vector, THRESHOLD)} == {
        *("bob0.png", "bob1.png", "bob2.png", "both.jpg")
    }


def test_whoever_is_removed_takes_their_faces_along(library: Library) -> None:
    library.confirm("Ada", at(library, *ADA))
    library.store.remove("Ada")
    library.read()
    assert not at(library, *ADA)
    assert library.undo() is not None
    assert names(library) == {}
    library.store.verify()


def test_a_photo_that_was_enrolled_whole_is_not_enrolled_twice(library: Library) -> None:
    vectors = library.faces[at(library, "ada0.jpg")[0]]
    assert library.confirm("Ada", [vectors.number]) == 1
    assert library.confirm("Ada", [vectors.number]) == 0
    assert names(library) == {"Ada": 1}


def test_what_is_not_there_is_refused(library: Library) -> None:
    with pytest.raises(UsageError, match="f999: no such face"):
        library.confirm("Ada", [999])
    with pytest.raises(UnknownIdentityError, match="no one is enrolled"):
        library.reject("Nobody", at(library, "ada0.jpg"))
    with pytest.raises(UsageError, match="cannot be shown"):
        library.confirm("A\x00", at(library, "ada0.jpg"))
    with pytest.raises(UsageError, match="expected faces"):
        library.confirm("Ada", [])
    assert library.reviewed.open == []


def test_a_face_that_another_process_has_erased_is_not_confirmed(library: Library) -> None:
    face, other = at(library, "ada0.jpg", "ada1.jpg")
    Library(library.store).rows.write(gone=[face])
    with pytest.raises(UsageError, match=f"f{face}: no such face"):
        library.confirm("Ada", [face])
    assert names(library) == {}
    assert library.confirm("Ada", [other]) == 1


def test_the_source_of_a_name_is_kept(library: Library) -> None:
    (face,) = at(library, "ada0.jpg")
    library.confirm("Ada", [face], source=IMPORTED)
    assert Library(library.store).reviewed.sources == {face: IMPORTED}
    assert np.isfinite(library.faces[face].vector).all()


def test_photos_that_are_gone_are_not_found(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    both = {n for n, face in library.faces.items() if library.path(face).name == "both.jpg"}
    library.confirm("Ada", [min(both)])
    assert [one.photo.name for one in sightings(library, None)] == ["both.jpg"]
    (photos / "both.jpg").unlink()
    scan(gallery, photos, extractor)
    library.read()
    assert sightings(library, None) == []


def test_who_has_expired_is_not_suggested(
    gallery: SqliteStore, photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    library.confirm("Ada", [next(n for n, f in library.faces.items() if library.path(f).name == "ada0.jpg")])
    assert {one.name for one in suggestions(library, THRESHOLD).values()} == {"Ada"}
    monkeypatch.setattr(gallery, "expired", lambda today: ["Ada"])
    assert suggestions(library, THRESHOLD) == {}


def test_what_is_no_face_is_like_no_one(gallery: SqliteStore, photos: Path, extractor: GridExtractor) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    number, face = next((n, f) for n, f in library.faces.items() if library.path(f).name == "stranger.jpg")
    assert [one.face for one in similar(library, face.vector, 0.1)] == [number]
    library.mark(NOT_A_FACE, [number])
    assert similar(library, face.vector, 0.1) == []
