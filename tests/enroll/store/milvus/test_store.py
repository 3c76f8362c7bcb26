"""What galleries in Milvus promise without transactions: on Milvus Lite, and slowly on a server."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from embedder import errors
from enroll.cli import app
from enroll.gallery.gallery import Gallery
from enroll.search.base import nearest_people, nearest_templates
from enroll.search.exact import ExactIndex
from enroll.store import NewPerson, Terms, gallery_exists
from enroll.store.milvus import connection as connection_module
from enroll.store.milvus import enrolling as enrolling_module
from enroll.store.milvus import erasing as erasing_module
from enroll.store.milvus import ledger as ledger_module
from enroll.store.milvus import templates as templates_module
from enroll.store.milvus.connection import MilvusConnection
from enroll.store.milvus.facts import event
from enroll.store.milvus.store import MilvusStore
from enroll.templates import NewTemplate
from tests.conftest import ToyExtractor, save_people
from tests.enroll.store.milvus_places import gallery, location, opened
from tests.enroll.templates import DIM, MODEL, template

__all__ = ["gallery", "location"]  # fixtures

AGREED = Terms("7/名", date(2026, 1, 1), date(2026, 2, 1))


def unit(rows: Any) -> np.ndarray:
    vectors = np.array(rows, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def placed(name: str, vectors: np.ndarray) -> NewPerson:
    photos = [template(f"{name} {place}") for place in range(len(vectors))]
    return NewPerson(
        name,
        [NewTemplate(one.photo, one.digest, vector) for one, vector in zip(photos, vectors, strict=True)],
    )


def leftovers(store: MilvusStore) -> list[object]:
    """Rows that no one sees: templates that do not count, and things to be done."""
    store.verify()
    at = store._connection.now()
    seen = {*store.templates().ids.tolist(), *store.strangers().ids.tolist()}
    rows = [row["id"] for row in store._templates.rows("id > 0", [], at)]
    return [*(set(rows) - seen), *store._ledger.rows("todo", at), *store._ledger.rows("gone", at)]


# Search


def test_same_answers_as_scikit_learn(gallery: MilvusStore) -> None:
    rng = np.random.default_rng(1)
    centers = unit(rng.normal(size=(120, DIM)))
    gallery.add_many([placed(f"p{n}", unit(c + rng.normal(0, 0.2, (3, DIM)))) for n, c in enumerate(centers)])
    gallery.add_strangers([("stranger", template("s"))])
    queries = unit(np.concatenate([centers + rng.normal(0, 0.3, (120, DIM)), centers]))
    exact = ExactIndex(gallery.templates())
    for people, some in ((1, queries), (3, queries), (200, queries[::60])):
        assert nearest_people(gallery.search_index(), some, people) == nearest_people(exact, some, people)
    assert nearest_templates(gallery.search_index(), queries, 5) == nearest_templates(exact, queries, 5)
    assert nearest_people(gallery.search_index(), queries[:1], 2) == nearest_people(exact, queries[:1], 2)


def test_same_answers_among_ties_and_beyond_what_milvus_finds_at_once(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates_module, "_MOST", 8)
    monkeypatch.setattr(templates_module, "_SPARE", 0)
    same = unit([[1.0] * DIM])
    crowd = unit(same + np.random.default_rng(2).normal(0, 0.01, (30, DIM)))
    gallery.add("crowd", placed("crowd", crowd).templates)
    for name in ("b", "a", "c"):
        gallery.add(name, placed(name, unit([np.arange(1, DIM + 1)])).templates)
    exact = ExactIndex(gallery.templates())
    assert nearest_people(gallery.search_index(), same, 3) == nearest_people(exact, same, 3)
    assert [one.identity for one in nearest_people(exact, same, 3)[0]] == ["crowd", "a", "b"]


def test_ties_are_by_name_where_milvus_stops_between_equals(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates_module, "_SPARE", 0)
    near, far = unit(np.eye(DIM)[:1]), unit(np.eye(DIM)[1:2])
    gallery.add_many([placed("me", near), *(placed(f"p{n:02d}", far) for n in reversed(range(40)))])
    found = nearest_people(gallery.search_index(), near, 3)[0]
    assert [one.identity for one in found] == ["me", "p00", "p01"]


def test_templates_that_do_not_count_hide_no_one(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates_module, "_SPARE", 0)
    gallery.add("ada", [template("a")])
    near = unit(template("a").vector + np.random.default_rng(3).normal(0, 0.01, (20, DIM)))
    gallery._templates.send(gallery._templates.made(7, 7, placed("x", near).templates))
    search_index = gallery.search_index()
    assert search_index.templates == 21
    for query in (near[0], template("b").vector):
        ((found,),) = nearest_people(search_index, query[None], 2)
        assert found.identity == "ada"
    assert gallery.identities() == [("ada", 1)]
    assert len(gallery.templates().ids) == 1
    assert gallery.owners([template("x 1").digest]) == [None]


@pytest.mark.slow
@pytest.mark.parametrize("index", ["hnsw", "ivf_flat"])
def test_other_indexes_find_nearly_all(location: str, index: str) -> None:
    if not location.startswith("milvus://"):
        pytest.skip("Milvus Lite has no options in its address")
    location += f"?index={index}"
    rng = np.random.default_rng(4)
    vectors = unit(rng.normal(size=(1500, DIM)))
    with opened(location, create=True) as store:
        store.bind(MODEL, DIM)
        store.add_many([placed(f"p{number}", vectors[number::300]) for number in range(300)])
        queries = unit(rng.normal(size=(100, DIM)))
        found = nearest_people(store.search_index(), queries, 1)
        expected = nearest_people(ExactIndex(store.templates()), queries, 1)
        assert np.mean([one == other for one, other in zip(found, expected, strict=True)]) >= 0.98
        assert store._templates.index() == index


@pytest.mark.slow
def test_another_index_than_there_is_is_refused(location: str) -> None:
    if not location.startswith("milvus://"):
        pytest.skip("Milvus Lite has no options in its address")
    with opened(location, create=True) as store:
        store.bind(MODEL, DIM)
    with pytest.raises(errors.GalleryError, match="this gallery has the index flat"):
        opened(f"{location}?index=hnsw")


def test_acknowledged_is_found_by_the_next_search_of_anyone(gallery: MilvusStore, location: str) -> None:
    with opened(location) as other:
        for number in range(4):
            name = f"p{number}"
            gallery.add(name, [template(name)])
            ((found, *_),) = nearest_people(other.search_index(), template(name).vector[None], 1)
            assert (found.identity, found.distance) == (name, 0.0)
            other.remove(name)
            assert nearest_people(gallery.search_index(), template(name).vector[None], 1) == [[]]


# Whole or not at all


class Lost(errors.GalleryError):
    """The n-th request of a client, and all after it, get no answer."""


def cut(store: MilvusStore, after: int, arrives: bool, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """End a client at its request number `after`; `arrives` says whether the server still does that one."""
    ask, asked = store._connection._asked, [0]

    def asking(*arguments: Any, **options: Any) -> Any:
        asked[0] += 1
        if asked[0] > after:
            if asked[0] == after + 1 and arrives:
                ask(*arguments, **options)
            raise Lost("cut off")
        return ask(*arguments, **options)

    monkeypatch.setattr(store._connection, "_asked", asking)
    return lambda: asked[0] > after


CHANGES: dict[str, Callable[[MilvusStore], object]] = {
    "enroll": lambda store: store.add("cleo", [template("c1"), template("c2")], AGREED),
    "enroll a stranger": lambda store: store.add("eve", [template("c1"), template("m1")]),
    "add": lambda store: store.add("ada", [template("a1"), template("a3"), template("a4")], AGREED),
    "enroll many": lambda store: store.add_many(
        [NewPerson(n, [template(n)], AGREED) for n in ("x", "y", "ada")]
    ),
    "remove": lambda store: store.remove("ada"),
    "rename": lambda store: store.rename("bob", "Bob"),
    "terms": lambda store: store.set_terms("ada", AGREED),
    "drop": lambda store: store.drop(store.templates().ids.tolist()),
    "purge": lambda store: store.purge(date(2026, 11, 23)),
    "strangers": lambda store: store.add_strangers([("s", template("s1")), ("eve", template("e3"))]),
    "remove strangers": lambda store: store.remove_strangers(),
    "calibrate": lambda store: store.set_calibration("found " * 9, 2, 4),
}


def state(store: MilvusStore) -> dict[str, object]:
    kept = store.calibration()
    templates, strangers = store.templates(), store.strangers()
    return {
        "people": store.people(),
        "templates": sorted(zip(templates.identities, map(bytes, templates.vectors), strict=True)),
        "strangers": sorted(zip(strangers.identities, map(bytes, strangers.vectors), strict=True)),
        "calibration": kept and kept[0],
        "found": [
            one.identity for one in nearest_people(store.search_index(), template("c1").vector[None], 9)[0]
        ],
    }


def filled(store: MilvusStore) -> None:
    store.add("ada", [template("a1"), template("a2")])
    store.add("bob", [template("b1"), template("b2")], Terms(expires=date(2020, 1, 1)))
    store.add_strangers([("eve", template("e1")), ("eve", template("e2")), ("mallory", template("m1"))])


SWEPT = [(change, arrives) for change in CHANGES for arrives in (False, True)]
QUICK = (("enroll many", True),)


@pytest.mark.parametrize(
    ("change", "arrives"),
    [pytest.param(*one, marks=[] if one in QUICK else [pytest.mark.slow]) for one in SWEPT],
)
def test_client_that_ends_at_any_request_leaves_all_or_nothing(
    change: str, arrives: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing_module, "_OLD", -1.0)
    monkeypatch.setattr(erasing_module, "LEASE", 0.01)
    monkeypatch.setattr(erasing_module, "_POLL", 0.005)
    monkeypatch.setattr(ledger_module, "_PIECE", 40)
    ended, requests, seen = True, 0, []
    while ended:
        place = f"milvus:{tmp_path}/{requests}.db"
        with opened(place, create=True) as store:
            store.bind(MODEL, DIM)
            filled(store)
            before = state(store)
            with opened(place) as client:
                has_ended = cut(client, requests, arrives, monkeypatch)
                try:
                    CHANGES[change](client)
                    acknowledged = True
                except Lost:
                    acknowledged = False
                ended = has_ended()
            now = state(store)
            store._eraser.tidy()
            assert leftovers(store) == []
            tidied = state(store)
            seen.append((acknowledged, before, now, tidied))
        requests += 1
    after = seen[-1][3]
    assert seen[-1][0]
    assert after != before
    for acknowledged, before, now, tidied in seen:
        # A stranger who is enrolled may be one for the moment until the next client has tidied up.
        assert tidied in (before, after)
        assert now in (before, after) or dict(now, strangers=tidied["strangers"]) == tidied == after
        assert not acknowledged or tidied == after


@pytest.mark.slow
def test_server_that_fails_while_enrolling_leaves_nothing_and_the_client_goes_on(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gallery._ledger, "named", lambda *_: {}["no answer"])
        with pytest.raises(KeyError):
            gallery.add("ada", [template("a")])
    with monkeypatch.context() as patch:
        patch.setattr(gallery._enroller, "_commit", lambda *_: {}["no answer"])
        with pytest.raises(KeyError):
            gallery.add("ada", [template("a")])
    gallery._eraser.undo(gallery._ledger.rows("todo", gallery._connection.now())[0]["op"])
    assert leftovers(gallery) == []
    assert gallery.add("ada", [template("a")]) == 1


@pytest.mark.slow
def test_request_that_was_sent_twice_counts_once(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = gallery._connection.insert

    def twice(*arguments: Any) -> list[int]:
        insert(*arguments)
        return insert(*arguments)

    monkeypatch.setattr(gallery._connection, "insert", twice)
    gallery.add("ada", [template("a1"), template("a2")], AGREED)
    gallery.add("ada", [template("a3")])
    gallery.rename("ada", "Ada")
    gallery.drop([gallery.stored("Ada")[0].id])
    assert gallery.identities() == [("Ada", 2)]
    assert [event.action for event in gallery.events()] == ["enroll", "enroll", "rename", "drop"]
    assert len(gallery.templates().ids) == 2
    monkeypatch.undo()
    monkeypatch.setattr(erasing_module, "_OLD", -1.0)
    gallery._eraser.tidy()
    assert leftovers(gallery) == []


# Several clients


def test_one_photo_under_two_names_at_once_is_one_persons(
    gallery: MilvusStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have sent their templates before either looks: the worst case."""
    meet = threading.Barrier(2)
    send = enrolling_module.Enroller._send

    def meeting(*arguments: Any) -> None:
        send(*arguments)
        if not meet.broken:
            try:
                meet.wait(3)
            except threading.BrokenBarrierError:
                return
            meet.abort()

    monkeypatch.setattr(enrolling_module.Enroller, "_send", meeting)
    with opened(location) as other, ThreadPoolExecutor(2) as pool:
        tries = [
            pool.submit(store.add, name, [template("shared"), template(name)])
            for store, name in ((gallery, "ada"), (other, "bob"))
        ]
        problems = [one.exception() for one in tries]
    assert sorted(type(problem) for problem in problems if problem) == [errors.PhotoConflictError]
    ((winner, photos),) = gallery.identities()
    assert (winner, photos) == ("ada" if problems[0] is None else "bob", 2)
    assert gallery.owners([template("shared").digest]) == [winner]
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_many_clients_lose_nothing(gallery: MilvusStore, location: str) -> None:
    def enroll(worker: int) -> list[str]:
        with opened(location) as store:
            won = []
            for step in range(3):
                store.add("everyone", [template(f"{worker} {step}")])
                try:
                    store.add(
                        f"p{worker} {step}", [template(f"shared {step}"), template(f"own {worker} {step}")]
                    )
                    won.append(f"p{worker} {step}")
                except errors.PhotoConflictError:
                    pass
            return won

    with ThreadPoolExecutor(3) as pool:
        won = sorted(name for names in pool.map(enroll, range(3)) for name in names)
    assert len(won) == 3
    assert gallery.identities() == [("everyone", 9), *((name, 2) for name in won)]
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_new_person_whom_two_clients_enroll_at_once_is_one_person(
    gallery: MilvusStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet = threading.Barrier(2)
    commit = enrolling_module.Enroller._commit

    def meeting(*arguments: Any) -> None:
        meet.wait(20)
        commit(*arguments)

    with opened(location) as other, ThreadPoolExecutor(2) as pool, monkeypatch.context() as patch:
        patch.setattr(enrolling_module.Enroller, "_commit", meeting)
        stores = ((gallery, "a1"), (other, "a2"))
        assert [*pool.map(lambda one: one[0].add("ada", [template(one[1])]), stores)] == [1, 1]
    assert gallery.identities() == [("ada", 2)]
    assert {one.photo for one in gallery.stored("ada")} == {"a1", "a2"}
    gallery.set_terms("ada", AGREED)
    gallery.rename("ada", "Ada")
    assert gallery.add("Ada", [template("a3")]) == 1
    assert [(one.name, one.templates, one.terms) for one in gallery.people()] == [("Ada", 3, AGREED)]
    assert gallery.remove("Ada") == 3
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_photos_of_a_client_that_was_killed_are_free_after_a_while(
    gallery: MilvusStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing_module, "LEASE", 0.5)
    with opened(location) as killed:
        begun = killed._enroller._begun(
            [NewPerson("bob", [template("shared")])], False, killed._connection.now()
        )
        killed._enroller._send(begun)
    started = time.monotonic()
    assert gallery.add("ada", [template("shared")]) == 1
    assert time.monotonic() - started >= 0.5
    assert gallery.identities() == [("ada", 1)]
    assert leftovers(gallery) == []


def test_client_that_was_silent_for_too_long_does_not_go_on(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolling_module, "LEASE", 0.0)
    with pytest.raises(errors.GalleryError, match="took too long; try again"):
        gallery.add("ada", [template("a")])
    assert gallery.identities() == []
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_remove_waits_for_who_is_enrolling_the_same_person(
    gallery: MilvusStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add("ada", [template("a1")])
    commit, sent, removed = enrolling_module.Enroller._commit, threading.Event(), threading.Event()

    def late(*arguments: Any) -> None:
        sent.set()
        removed.wait(0.5)
        commit(*arguments)

    monkeypatch.setattr(enrolling_module.Enroller, "_commit", late)
    with opened(location) as other, ThreadPoolExecutor(1) as pool:
        adding = pool.submit(other.add, "ada", [template("a2")])
        sent.wait()
        gallery.remove("ada")
        assert adding.done()
        removed.set()
        assert adding.result() == 1
    assert gallery.identities() == []
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_rename_to_a_name_that_was_taken_meanwhile_is_taken_back(
    gallery: MilvusStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add("ada", [template("a")])
    write = gallery._write_name
    with opened(location) as other:

        def later(name: str, people: Any) -> None:
            if name == "bob":
                other.add("bob", [template("b")])
            write(name, people)

        monkeypatch.setattr(gallery, "_write_name", later)
        with pytest.raises(errors.UsageError, match="'bob' is already enrolled"):
            gallery.rename("ada", "bob")
        assert other.identities() == [("ada", 1), ("bob", 1)]
        assert other.owners([template("a").digest]) == ["ada"]


def test_gallery_is_of_the_model_that_was_first(location: str) -> None:
    with opened(location, create=True) as one, opened(location) as other:
        assert one.model() is other.model() is None
        other.bind("e" * 64, DIM)
        with pytest.raises(errors.ForeignModelError):
            one.bind(MODEL, DIM)
        one.bind("e" * 64, DIM)
        assert one.model() == ("e" * 64, DIM)


def test_ids_that_come_late_begin_another_generation(gallery: MilvusStore) -> None:
    gallery.add("ada", [template("a")])
    gallery.add("bob", [template("b")])
    generation, last = gallery.changes()
    assert gallery.changes() == (generation, last)
    gallery._ledger.write([event("enroll", 5, 5, 1, [last - 1])])  # from another proxy
    later = gallery.changes()
    assert later[0] != generation
    assert gallery.changes() == later


# What may be in it


@pytest.mark.parametrize(
    "name", ['" or id > 0 or "', "a\\", "{x}", "%", "O'Neil", "Zoë 名\u200d👩", "x" * 199, "a  b", "gone"]
)
def test_any_name_and_path(gallery: MilvusStore, name: str) -> None:
    gallery.add("ada", [template("a")])
    gallery.add(name, [template(f'"{name}\\"\n.png')], Terms(name))
    assert [one.photo for one in gallery.stored(name)] == [f'"{name}\\"\n.png']
    gallery.rename(name, f"{name}!")
    assert gallery.owners([template(f'"{name}\\"\n.png').digest]) == [f"{name}!"]
    gallery.add_strangers([(name, template("s"))])
    assert gallery.stored_strangers()[0][0] == name
    assert gallery.remove(f"{name}!") == 1
    assert gallery.identities() == [("ada", 1)]


def test_all_is_read_though_milvus_gives_some_at_a_time(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add_many([placed(f"p{number}", unit(np.eye(DIM)[:3])) for number in range(7)])
    everything = state(gallery), gallery.people()
    monkeypatch.setattr(connection_module, "_PAGE", 4)
    monkeypatch.setattr(connection_module, "_IN", 2)
    assert (state(gallery), gallery.people()) == everything
    assert gallery.drop(gallery.templates().ids.tolist()) == 21
    assert leftovers(gallery) == []


def test_a_gallery_keeps_its_model(gallery: MilvusStore) -> None:
    gallery.add("ada", [template("a")])
    with pytest.raises(errors.UsageError, match="of one model forever; give --to NEW"):
        gallery.remake(("e" * 64, DIM), [("ada", template("a"))], gallery.changes())
    assert gallery.model() == (MODEL, DIM)


def test_more_people_than_count_at_once_are_checked_before_anyone_is_enrolled(
    gallery: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolling_module, "_TOGETHER", 4)
    gallery.add("ada", [template("a")])
    people = [NewPerson(f"p{number}", [template(f"{number} {at}") for at in "xyz"]) for number in range(7)]
    for last in (NewPerson("late", [template("a")]), NewPerson("late", [template("0 x")])):
        with pytest.raises(errors.PhotoConflictError):
            gallery.add_many([*people, last])
        assert gallery.identities() == [("ada", 1)]
    assert gallery.add_many([*people, NewPerson("p0", [template("0 x"), template("0 w")])]) == [3] * 7 + [1]
    assert gallery.identities()[1:] == [("p0", 4), *((f"p{number}", 3) for number in range(1, 7))]
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_broken_gallery_is_told(gallery: MilvusStore) -> None:
    gallery.add("ada", [template("a1"), template("a2")])
    (first, _) = gallery.stored("ada")
    gallery._templates.delete([first.id])
    with pytest.raises(errors.GalleryError, match="'ada' should have 2 templates and has 1"):
        gallery.verify()
    (person,) = gallery._ledger.people(gallery._connection.now()).values()
    (op,) = person.ops
    made = gallery._templates.made
    gallery._templates.send(made(person.id, op, [template("a2")]))
    with pytest.raises(errors.GalleryError, match="the photo a2 is there twice"):
        gallery.verify()
    long = replace(template("a1"), vector=2 * template("a1").vector)
    gallery._templates.send(made(person.id, op, [long]))
    with pytest.raises(errors.GalleryError, match="not of unit length"):
        gallery.templates()


def test_digest_and_vector_are_checked_before_anything_is_sent(gallery: MilvusStore) -> None:
    good = template("a")
    with pytest.raises(errors.UsageError, match="b: digest: expected 32 bytes"):
        gallery.add("ada", [good, NewTemplate("b", b"short", good.vector)])
    with pytest.raises(errors.PhotoConflictError, match="already enrolled as 'ada'"):
        gallery.add_many([NewPerson("ada", [good]), NewPerson("bob", [good])])
    assert gallery.identities() == []
    assert leftovers(gallery) == []


@pytest.mark.slow
def test_gallery_of_people_and_photos(location: str, tmp_path: Path, toy: ToyExtractor) -> None:
    """Through `Gallery`, as the commands use it."""
    people = save_people(tmp_path / "people", 4, 3)
    photos = {folder.name: sorted(folder.iterdir()) for folder in sorted(people.iterdir())}
    with Gallery.open(location, toy) as opened_gallery:
        for name, own in photos.items():
            assert opened_gallery.enroll(name, own[:2]).added == 2
        assert opened_gallery.enroll("p00", photos["p00"][:2]).already == 2
        assert len(opened_gallery.enroll("p01", photos["p00"][:1]).rejected) == 1
    with Gallery.open(location, toy, create=False) as again:
        assert again.identities() == [(name, 2) for name in photos]
        crops = [toy.crops(connection_image(own[2]))[0].pixels for own in photos.values()]
        found = again.nearest_people(toy.embed(crops), 2)
        assert [one[0].identity for one in found] == [*photos]
        assert [Path(one[0].path).parent.name for one in again.nearest_photos(toy.embed(crops), 1)] == [
            *photos
        ]


def connection_image(path: Path) -> np.ndarray:
    from embedder import load_image

    return load_image(path)


def test_commands_take_an_address(gallery: MilvusStore, location: str) -> None:
    gallery.add("Zoë", [template("a"), template("b")])
    for arguments, said in (
        (["list"], "Zoë (2 photos)"),
        (["rename", "Zoë", "Ada"], "renamed Zoë to Ada"),
        (["remove", "Ada"], "removed Ada (2 photos)"),
        (["list"], ""),
    ):
        done = CliRunner().invoke(app, ["gallery", *arguments, "--gallery", location])
        assert (done.exit_code, done.output.strip()) == (0, said)


# What is not there, or not ours


def test_missing_gallery_is_not_made_by_reading(location: str, tmp_path: Path) -> None:
    assert not gallery_exists(location)
    with pytest.raises(errors.GalleryError, match="no gallery here; make one with `embed enroll"):
        opened(location)
    assert list(tmp_path.iterdir()) == []
    opened(location, create=True).close()
    assert gallery_exists(location)


def test_other_things_in_the_place_of_milvus_lite(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_bytes(b"SQLite format 3\0")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "folder.db" / "photo.png").touch()
    for name, problem in (("file", "got a file"), ("folder", "got another one"), ("no/x", "does not exist")):
        for create in (True, False):
            with pytest.raises(errors.GalleryError, match=f"no gallery here|{problem}"):
                opened(f"milvus:{tmp_path}/{name}.db", create)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.db", "folder.db", "photo.png"]


def test_milvus_lite_that_another_program_has_open(tmp_path: Path) -> None:
    place = f"milvus:{tmp_path}/people.db"
    opened(place, create=True).close()
    with (tmp_path / "people.db" / "LOCK").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(errors.GalleryError, match="one program at a time"):
            opened(place)
    opened(place).close()


@pytest.mark.slow
def test_another_programs_collections_are_left_alone(location: str) -> None:
    with opened(location, create=True) as store:
        name = store._connection.address.name
        schema = store._connection._client.create_schema()
        schema.add_field("id", store._connection._types.INT64, is_primary=True)
        schema.add_field("v", store._connection._types.FLOAT_VECTOR, dim=2)
        store._connection._client.create_collection(f"{name}_templates", schema=schema)
        for use in (store.model, lambda: store.bind(MODEL, DIM)):
            with pytest.raises(errors.GalleryError, match="another program's collection"):
                use()


def test_closing_twice_is_nothing(location: str) -> None:
    store = opened(location, create=True)
    store.close()
    store.close()


def test_server_that_is_away_is_told_soon_and_quietly(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(
            errors.GalleryError, match=r"milvus://127\.0\.0\.1:1/people: the server does not answer"
        ):
            opened("milvus://127.0.0.1:1/people")
    assert time.monotonic() - started < 2 * 8
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_error_of_milvus_is_one_of_ours_and_quiet(
    gallery: MilvusStore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    connection: MilvusConnection = gallery._connection
    with pytest.raises(errors.GalleryError, match="the gallery cannot be used"):
        list(connection.rows(gallery._ledger.collection, "no such thing", [], connection.now()))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
