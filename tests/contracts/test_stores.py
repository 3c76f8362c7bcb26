"""What every engine does; see `enroll.store.contract.Store`. A new engine is a line in `engines.ENGINES`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from embedder import errors
from enroll.store import NewPerson, Person, Store, Terms, check_model
from enroll.store.actor import acting
from enroll.store.base import Changed
from enroll.templates import NewTemplate
from tests.enroll.store.engines import ENGINES, SLOW, Engine
from tests.enroll.templates import DIM, MODEL, template

FULL = Terms("Aktenzeichen 7/名", date(2026, 1, 31), date(2027, 12, 31))
DAY = timedelta(days=1)


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ENGINES]
)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return ENGINES[request.param](tmp_path)


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    with engine() as opened:
        opened.bind(MODEL, DIM)
        yield opened


def actions(store: Store) -> list[tuple[str, int]]:
    return [(event.action, event.count) for event in store.events()]


def test_new_gallery_is_empty(engine: Engine) -> None:
    with engine() as store:
        assert store.model() is None
        assert store.identities() == store.people() == store.events() == store.stored_strangers() == []
        assert len(store.templates().ids) == len(store.strangers().ids) == 0
        assert store.calibration() is None
        store.verify()


def test_what_was_added_is_read_back(store: Store, engine: Engine) -> None:
    photos = [template("Fotos/Zoë 1.png"), template("Fotos/Zoë 2.png")]
    assert store.add("Zoë", photos) == 2
    assert store.add("bob", [template("b.png")]) == 1
    with engine() as again:
        read = again.templates()
        assert list(read.identities) == ["Zoë", "Zoë", "bob"]
        assert read.ids.tolist() == sorted(set(read.ids.tolist()))
        np.testing.assert_array_equal(read.vectors[:2], [photo.vector for photo in photos])
        assert (read.ids.dtype, read.vectors.dtype) == (np.int64, np.float32)
        assert again.identities() == [("Zoë", 2), ("bob", 1)]
        assert again.model() == (MODEL, DIM)
        assert again.owners([photos[0].digest]) == ["Zoë"]
        assert again.owners([template("c.png").digest]) == [None]
        again.verify()


def test_who_changes_a_gallery_is_logged_and_what_they_add_is_there(store: Store) -> None:
    store.add("ada", [template("e")])
    with acting("the key of the door"):
        store.set_terms("ada", FULL)
        assert store.add_strangers([("stranger", template("s"))]) == 1
        others = [NewPerson("bob", [template("c")]), NewPerson("eva", [template("d")])]
        assert store.add_many(others) == [1, 1]
        store.rename("bob", "Bob")
        store.remove("eva")
        assert store.add("ada", [template("a"), template("b")]) == 2
    assert store.identities() == [("Bob", 1), ("ada", 3)]
    assert len(store.strangers().ids) == 1
    assert store.changes()[1] == store.templates().ids[-1]
    logged = [action for action, _ in actions(store)]
    assert logged[0] == "enroll"
    assert len(logged) >= 7
    assert all(action.endswith(" by the key of the door") for action in logged[1:]), logged
    store.verify()


def test_everything_about_one_person_is_read_back(store: Store) -> None:
    photos = [template("a 1.png"), template("名 2.png")]
    store.add("ada", photos, FULL)
    store.add("bob", [template("b.png")])
    assert store.people() == [Person("ada", 2, FULL), Person("bob", 1, Terms())]
    stored = store.stored("ada")
    assert [entry.id for entry in stored] == store.templates().ids[:2].tolist()
    for entry, photo in zip(stored, photos, strict=True):
        assert (entry.photo, entry.digest) == (photo.photo, photo.digest)
        np.testing.assert_array_equal(entry.vector, photo.vector)
    assert store.photos([entry.id for entry in stored][::-1]) == ["名 2.png", "a 1.png"]


def test_terms_are_replaced_only_if_given(store: Store) -> None:
    store.add("ada", [template("1")], FULL)
    store.add("ada", [template("2")])
    assert store.people() == [Person("ada", 2, FULL)]
    later = Terms(expires=date(2030, 1, 1))
    assert store.add("ada", [template("2")], later) == 0
    assert store.people() == [Person("ada", 2, later)]
    store.set_terms("ada", Terms("Nr. 8"))
    assert store.people() == [Person("ada", 2, Terms("Nr. 8"))]
    store.verify()


def test_same_terms_again_change_nothing(store: Store) -> None:
    store.add("ada", [template("1")], FULL)
    before = store.changes(), actions(store)
    assert store.add("ada", [template("1")], FULL) == 0
    assert (store.changes(), actions(store)) == before
    store.add("ada", [template("2")], FULL)
    assert actions(store) == [("enroll", 1), ("enroll", 1)]
    store.add("ada", [template("3")], Terms("Nr. 8"))
    assert actions(store)[2:] == [("terms", 0), ("enroll", 1)]


def test_every_change_of_another_is_noticed_within_a_second(store: Store, engine: Engine) -> None:
    """And nothing else is: whoever asks at every answer reads the gallery again only then."""
    changes: list[Callable[[Store], object]] = [
        lambda other: other.add("ada", [template("1"), template("2")]),
        lambda other: other.set_terms("ada", FULL),
        lambda other: other.set_calibration("found", 1, 2),
        lambda other: other.set_calibration("found", 1, 2),
        lambda other: other.rename("ada", "eva"),
        lambda other: other.drop([int(other.templates().ids[0])]),
        lambda other: other.add_strangers([("bob", template("3"))]),
        lambda other: other.remove_strangers(),
        lambda other: other.remove("eva"),
    ]
    with engine() as other:
        for change in changes:
            before = store.revision()
            assert store.revision() == before
            change(other)
            until = time.monotonic() + 1
            while (now := store.revision()) == before and time.monotonic() < until:
                time.sleep(0.1)
            assert now != before


def test_same_photo_again_changes_nothing(store: Store) -> None:
    store.add("ada", [template("a.png")])
    before = store.changes(), actions(store)
    assert store.add("ada", [template("a.png")]) == 0
    assert (store.changes(), actions(store)) == before
    assert store.add("ada", [template("a.png"), template("b.png"), template("b.png")]) == 1
    assert store.identities() == [("ada", 2)]


def test_conflict_leaves_nothing_behind(store: Store) -> None:
    store.add("ada", [template("a.png")])
    before = store.changes(), actions(store)
    with pytest.raises(errors.PhotoConflictError, match=r"a\.png: already enrolled as 'ada'") as caught:
        store.add("bob", [template("b.png"), template("a.png")])
    assert caught.value.digest == template("a.png").digest
    assert (store.changes(), actions(store)) == before
    assert store.identities() == [("ada", 1)]
    assert store.add("bob", [template("b.png")]) == 1


def test_owners_are_in_the_order_of_the_photos(store: Store) -> None:
    photos = [template(str(number)) for number in range(7)]
    store.add("ada", photos[:3])
    store.add("bob", photos[3:5])
    store.add_strangers([("eve", photos[5])])
    shuffled = [6, 4, 0, 5, 3, 0, 1]
    owners = store.owners([photos[at].digest for at in shuffled])
    assert owners == [None, "bob", "ada", None, "bob", "ada", "ada"]
    assert store.owners([]) == []


def test_several_people_are_added_as_one_after_the_other(store: Store, engine: Engine) -> None:
    store.add("ada", [template("a1")], FULL)
    store.add("bob", [template("b1")])
    store.add_strangers([("eve", template("e1")), ("mallory", template("m1")), ("mallory", template("m2"))])
    added = store.add_many(
        [
            NewPerson("cleo", [template("c1"), template("c2"), template("c1")], FULL),
            NewPerson("ada", [template("a1"), template("a2")]),
            NewPerson("eve", [template("e2")]),
            NewPerson("bob", [template("b1")], FULL),
            NewPerson("dora", [template("m1")]),
            NewPerson("ada", [template("a2"), template("a3"), template("a1")]),
        ]
    )
    assert added == [2, 1, 1, 0, 1, 1]
    assert store.add_many([]) == []
    with engine() as again:
        assert again.people() == [
            Person("ada", 3, FULL),
            Person("bob", 1, FULL),
            Person("cleo", 2, FULL),
            Person("dora", 1, Terms()),
            Person("eve", 1, Terms()),
        ]
        assert [name for name, _ in again.stored_strangers()] == ["mallory"]
        assert [entry.photo for entry in again.stored("ada")] == ["a1", "a2", "a3"]
        for entry in again.stored("cleo"):
            np.testing.assert_array_equal(entry.vector, template(entry.photo).vector)
        assert sum(count for action, count in actions(again) if action == "enroll") == 8
        again.verify()


@pytest.mark.parametrize(
    "last",
    [
        NewPerson("cleo", [template("c"), template("a.png")]),
        NewPerson("cleo", [template("x")]),
        NewPerson("cleo", []),
        NewPerson("cleo", [replace(template("c"), vector=2 * template("c").vector)]),
    ],
    ids=["enrolled under another name", "given under two names", "no photos", "no unit vector"],
)
def test_of_several_people_all_are_added_or_none(store: Store, last: NewPerson) -> None:
    store.add("ada", [template("a.png")])
    before = store.changes(), actions(store)
    with pytest.raises((errors.PhotoConflictError, ValueError)):
        store.add_many([NewPerson("bob", [template("x"), template("y")]), last])
    assert (store.changes(), actions(store)) == before
    assert store.identities() == [("ada", 1)]
    assert store.add_many([NewPerson("bob", [template("x")]), NewPerson("cleo", [template("c")])]) == [1, 1]
    store.verify()


@pytest.mark.parametrize(
    "vector", [np.zeros(DIM), np.full(DIM, np.nan), np.eye(DIM + 1)[0], 2 * np.eye(DIM)[0]]
)
def test_vector_that_is_no_unit_vector_of_the_model_is_refused(store: Store, vector: np.ndarray) -> None:
    wrong = NewTemplate("a", template("a").digest, vector.astype(np.float32))
    with pytest.raises(ValueError, match=f"expected unit vectors of {DIM} numbers"):
        store.add("ada", [wrong])
    assert store.identities() == []


def test_remove_takes_only_that_person(store: Store) -> None:
    for name in ("ada", "bob", "cleo"):
        store.add(name, [template(f"{name} {number}") for number in range(3)])
    assert store.remove("bob") == 3
    assert store.identities() == [("ada", 3), ("cleo", 3)]
    assert set(store.templates().identities) == {"ada", "cleo"}
    assert store.owners([template("bob 1").digest]) == [None]
    assert store.add("dora", [template("bob 1")]) == 1
    store.verify()


def test_single_templates_are_dropped_and_no_one_is_left_without(store: Store) -> None:
    store.add("ada", [template(f"a{number}") for number in range(3)])
    store.add("bob", [template("b")])
    first, *_, last = store.templates().ids.tolist()
    assert store.drop([first, last, last, last + 1000]) == 2
    assert store.identities() == [("ada", 2)]
    assert store.photos([first, last]) == ["", ""]
    assert store.drop([first]) == store.drop([]) == 0
    with pytest.raises(errors.UnknownIdentityError):
        store.stored("bob")
    store.verify()


def test_ids_are_never_used_again(store: Store, engine: Engine) -> None:
    store.add("ada", [template("a.png")])
    store.add("bob", [template("b.png")])
    highest = store.templates().ids.max()
    store.remove("bob")
    with engine() as again:
        again.add("cleo", [template("b.png")])
        assert again.templates().ids.tolist()[1] > highest


def test_rename(store: Store) -> None:
    store.add("ada", [template("a.png")], FULL)
    store.add("bob", [template("b.png")])
    store.rename("ada", "Ada Lovelace")
    assert store.people() == [Person("Ada Lovelace", 1, FULL), Person("bob", 1, Terms())]
    assert store.owners([template("a.png").digest]) == ["Ada Lovelace"]
    with pytest.raises(errors.UsageError, match="'bob' is already enrolled"):
        store.rename("Ada Lovelace", "bob")
    assert store.identities() == [("Ada Lovelace", 1), ("bob", 1)]
    store.verify()


@pytest.mark.parametrize(
    "use",
    [
        lambda store, name: store.remove(name),
        lambda store, name: store.rename(name, "cleo"),
        lambda store, name: store.set_terms(name, FULL),
        lambda store, name: store.stored(name),
    ],
    ids=["remove", "rename", "terms", "stored"],
)
def test_unknown_name_gets_a_hint(store: Store, use: Callable[[Store, str], object]) -> None:
    store.add("Ada", [template("a.png")])
    store.add_strangers([("bob", template("b.png"))])
    with pytest.raises(errors.UnknownIdentityError, match=r"no one is called 'ada'.*did you mean 'Ada'"):
        use(store, "ada")
    with pytest.raises(errors.UnknownIdentityError, match="embed gallery list"):
        use(store, "bob")  # a stranger is not enrolled


@pytest.mark.parametrize(("fingerprint", "dim"), [("e" * 64, DIM), (MODEL, DIM + 1)])
def test_other_model_is_refused(store: Store, fingerprint: str, dim: int) -> None:
    with pytest.raises(errors.ForeignModelError, match="another model"):
        store.bind(fingerprint, dim)
    with pytest.raises(errors.ForeignModelError, match="another model"):
        check_model(store, fingerprint, dim)
    assert store.model() == (MODEL, DIM)


def test_expired_people_are_known_and_purged(store: Store) -> None:
    today = date(2026, 11, 23)
    for name, last in (("gone", today - DAY), ("today", today), ("later", today + DAY), ("ever", None)):
        store.add(name, [template(name)], Terms(expires=last))
    store.add("früher", [template("f 1"), template("f 2")], Terms(expires=date.min))
    assert store.expired(today) == ["früher", "gone"]
    assert store.expired(date.min) == []
    assert store.expired(date.max) == ["früher", "gone", "later", "today"]
    assert store.purge(today) == ["früher", "gone"]
    assert store.purge(today) == store.expired(today) == []
    assert store.identities() == [("ever", 1), ("later", 1), ("today", 1)]
    store.set_terms("ever", Terms(expires=today - DAY))
    assert store.expired(today) == ["ever"]
    store.verify()


def test_audit_log_says_what_was_done_and_to_no_name(store: Store, engine: Engine) -> None:
    store.add("ada", [template("a"), template("b")], Terms(expires=date.min))
    store.add("bob", [template("c"), template("d")])
    store.set_terms("bob", FULL)
    store.rename("bob", "cleo")
    store.drop(store.templates().ids[-1:].tolist())
    store.add_strangers([("eve", template("e"))])
    store.remove_strangers()
    store.purge(date(2026, 1, 1))
    store.remove("cleo")
    with engine() as again:
        events = again.events()
    assert [(event.action, event.count) for event in events] == [
        ("enroll", 2),
        ("enroll", 2),
        ("terms", 0),
        ("rename", 0),
        ("drop", 1),
        ("strangers", 1),
        ("remove strangers", 1),
        ("purge", 2),
        ("remove", 1),
    ]
    ada, bob, *rest = [event.subject for event in events]
    assert rest == [bob, bob, bob, None, None, ada, bob]
    assert None not in (ada, bob)
    assert ada != bob
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", event.at) for event in events)


def test_changes_say_whether_templates_were_only_added(store: Store) -> None:
    store.add("ada", [template("a1"), template("a2")])
    generation, last = store.changes()
    assert store.changes() == (generation, last)
    store.add("ada", [template("a3")])
    store.add("bob", [template("b")], FULL)
    grown, now = store.changes()
    assert grown == generation
    assert now == store.templates().ids[-1] > last
    new = store.templates(after=last)
    assert new.identities.tolist() == ["ada", "bob"]
    np.testing.assert_array_equal(new.vectors, [template("a3").vector, template("b").vector])
    assert len(store.templates(after=now).ids) == 0
    seen = {generation}
    for change in (
        lambda: store.rename("bob", "cleo"),
        lambda: store.set_terms("cleo", Terms()),
        lambda: store.drop([store.templates().ids[0]]),
        lambda: store.remove("cleo"),
    ):
        change()
        assert store.changes()[0] not in seen
        seen.add(store.changes()[0])
    assert store.changes()[1] >= now


def test_two_stores_see_each_others_changes(store: Store, engine: Engine) -> None:
    with engine() as other:
        for change, expected in (
            (lambda: other.add("ada", [template("a")]), [("ada", 1)]),
            (lambda: other.rename("ada", "bob"), [("bob", 1)]),
            (lambda: other.remove("bob"), []),
        ):
            before = store.changes()
            change()
            assert store.changes() == other.changes() != before
            assert store.identities() == other.identities() == expected


def test_strangers_are_apart_from_templates(store: Store, engine: Engine) -> None:
    store.add("ada", [template("a1"), template("a2")])
    people = [
        ("eve", template("e1")),
        ("eve", template("e2")),
        ("ada", template("a3")),
        ("bob", template("a1")),
    ]
    assert store.add_strangers(people) == 2  # ada is enrolled, and so is the photo a1
    assert store.add_strangers(people) == 0
    assert store.identities() == [("ada", 2)]
    assert store.owners([template("e1").digest]) == [None]
    assert len(store.templates().ids) == 2
    with engine() as again:
        kept = again.strangers()
        assert kept.identities.tolist() == ["eve", "eve"]
        np.testing.assert_array_equal(kept.vectors[0], template("e1").vector)
        stored = again.stored_strangers()
        assert [(name, entry.photo, entry.digest) for name, entry in stored] == [
            ("eve", photo, template(photo).digest) for photo in ("e1", "e2")
        ]
        again.verify()
    store.add("eve", [template("e1")])
    assert len(store.strangers().ids) == 0
    store.add_strangers([("mallory", template("m")), ("mallory", template("n"))])
    store.add("bob", [template("m")])  # whoever is enrolled with a photo was no stranger on it
    assert len(store.strangers().ids) == 1
    store.rename("bob", "mallory")
    assert len(store.strangers().ids) == 0
    store.add_strangers([("trudy", template("t"))])
    assert store.remove_strangers() == 1
    assert store.remove_strangers() == 0
    store.verify()


def test_calibration_is_kept_with_what_changed_since(store: Store, engine: Engine) -> None:
    for name in ("ada", "bob", "cleo"):
        store.add(name, [template(f"{name} 1"), template(f"{name} 2")])
    store.add_strangers([("eve", template("e"))])
    assert not store.set_calibration("found", 3, 5)
    assert store.calibration() is None
    assert store.set_calibration("found before", 3, 6)
    assert store.set_calibration("found", 3, 6)
    store.remove("cleo")
    store.add("dora", [template("d")])
    store.add("emil", [template("f")])
    with engine() as again:
        assert again.calibration() == ("found", Changed(added=2, removed=1, templates=6))


def test_two_people_who_are_one_are_joined(store: Store, engine: Engine) -> None:
    store.add("ada", [template("a.png"), template("b.png")])
    store.add("Ada", [template("c.png")], FULL)
    store.add("bob", [template("d.png")])
    before = store.changes()
    assert store.merge_people("Ada", "ada") == 2
    assert store.changes()[0] != before[0]  # whoever searches reads it again
    with engine() as again:
        assert again.people() == [Person("Ada", 3, FULL), Person("bob", 1, Terms())]
        assert {entry.photo for entry in again.stored("Ada")} == {"a.png", "b.png", "c.png"}
        assert sorted(again.templates().identities) == ["Ada", "Ada", "Ada", "bob"]
        assert again.owners([template("a.png").digest]) == ["Ada"]
        with pytest.raises(errors.UnknownIdentityError):
            again.stored("ada")
        assert ("merge people", 2) in actions(again)
        again.verify()
        assert again.remove("Ada") == 3
        assert again.identities() == [("bob", 1)]


def test_joined_people_keep_the_terms_of_the_first_and_the_earlier_last_day(store: Store) -> None:
    early, late = Terms(None, None, date(2030, 1, 1)), Terms("file 9", date(2026, 2, 2), date(2031, 1, 1))
    store.add("a", [template("a.png")], FULL)
    store.add("b", [template("b.png")], replace(late, expires=date(2026, 12, 31)))
    store.merge_people("a", "b")
    assert store.people()[0].terms == replace(FULL, expires=date(2026, 12, 31))
    store.add("c", [template("c.png")], early)
    store.add("d", [template("d.png")], late)
    store.merge_people("c", "d")
    assert store.people()[1].terms == replace(late, expires=date(2030, 1, 1))


def test_joining_refuses_what_is_not_there_and_one_name_twice(store: Store) -> None:
    store.add("ada", [template("a.png")])
    for kept, other in (("ada", "eve"), ("eve", "ada")):
        with pytest.raises(errors.UnknownIdentityError):
            store.merge_people(kept, other)
    with pytest.raises(errors.UsageError, match="two names"):
        store.merge_people("ada", "ada")
    assert store.identities() == [("ada", 1)]
