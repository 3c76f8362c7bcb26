"""The photo library over HTTP: what waits, decisions, undo, who may do what, and photos that are gone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from enroll.library.find import suggestions
from enroll.library.people import Library
from enroll.library.suggesting import Asked, FollowedTemplates, Suggester
from enroll.serve.keys import KeyFile
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.conftest import extractor, photos  # noqa: F401
from tests.enroll.library.made import THRESHOLD, GridExtractor, save, scan
from tests.enroll.serve.conftest import client_of
from tests.enroll.serve.test_api import problem

LIBRARY = "/api/v1/library"


@pytest.fixture
def folder(tmp_path: Path, photos: Path, extractor: GridExtractor) -> Path:  # noqa: F811
    """A gallery of a library that was scanned and grouped."""
    with SqliteStore(tmp_path / "gallery.db", create=True) as store:
        scan(store, photos, extractor)
        Library(store).group(THRESHOLD)
    return tmp_path


@pytest.fixture
def scanned(folder: Path) -> Iterator[TestClient]:
    with client_of(folder, GridExtractor()) as client:
        yield client


def decide(client: TestClient, do: str, **given: Any) -> dict[str, Any]:
    answered = client.post(f"{LIBRARY}/decisions", json={"do": do, **given})
    assert answered.status_code == 201, answered.text
    done: dict[str, Any] = answered.json()
    assert done["library"] == client.get(LIBRARY).json()
    return done


def groups_of(client: TestClient, **asked: Any) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = client.get(f"{LIBRARY}/groups", params=asked).json()["groups"]
    return groups


def faces_in(client: TestClient, *names: str) -> list[int]:
    faces = client.get(f"{LIBRARY}/faces").json()["faces"]
    return [face["face"] for name in names for face in faces if face["photo"] == name]


def group_with(client: TestClient, photo: str) -> dict[str, Any]:
    return next(
        group for group in groups_of(client, least=1) if photo in [face["photo"] for face in group["faces"]]
    )


def test_a_library_is_reviewed(scanned: TestClient) -> None:
    state = scanned.get(LIBRARY).json()
    assert (state["photos"], state["faces"], state["unknown"], state["ungrouped"]) == (9, 9, 9, 0)
    groups = groups_of(scanned)
    assert [group["size"] for group in groups] == [4, 4]
    assert scanned.get(f"{LIBRARY}/groups").json()["alone"] == 1
    assert scanned.get(f"{LIBRARY}/groups/{groups[0]['id']}").json() == groups[0]
    ada = group_with(scanned, "ada0.jpg")
    left_out = faces_in(scanned, "ada2.jpg")
    done = decide(scanned, "confirm", groups=[ada["id"]], left_out=left_out, name="Ada")
    assert (done["what"], done["added"]) == ("confirm 3 faces as Ada", 3)
    assert (done["library"]["unknown"], done["library"]["confirmed"]) == (6, 3)
    (suggested,) = scanned.get(f"{LIBRARY}/suggestions").json()["people"]
    assert (suggested["name"], suggested["ids"]) == ("Ada", left_out)
    why = suggested["faces"][0]["suggestion"]
    assert why["distance"] < why["threshold"]
    assert why["nearest"]["photo"] in ("ada0.jpg", "ada1.jpg", "both.jpg")
    assert scanned.get(f"{LIBRARY}/faces/{left_out[0]}").json()["suggestion"] == why
    decide(scanned, "reject", faces=left_out, name="Ada")
    assert scanned.get(f"{LIBRARY}/suggestions").json()["people"] == []
    assert scanned.get(f"{LIBRARY}/faces/{left_out[0]}").json()["refused"] == ["Ada"]
    found = scanned.get(f"{LIBRARY}/people/Ada/photos").json()
    assert {one["photo"] for one in found["photos"]} == {"ada0.jpg", "ada1.jpg", "both.jpg"}
    assert [one["date"] for one in found["photos"]] == sorted(one["date"] for one in found["photos"])
    (stranger,) = faces_in(scanned, "stranger.jpg")
    decide(scanned, "ignore", faces=[stranger])
    ignored = scanned.get(f"{LIBRARY}/faces", params={"state": "ignored"}).json()["faces"]
    assert [face["face"] for face in ignored] == [stranger]
    assert decide(scanned, "not-a-face", faces=[stranger])["library"]["not_faces"] == 1
    assert decide(scanned, "unknown", faces=[stranger])["library"]["not_faces"] == 0


def test_groups_are_joined_and_parted_at_once(scanned: TestClient) -> None:
    bob, (stranger,) = group_with(scanned, "bob0.png"), faces_in(scanned, "stranger.jpg")
    alone = group_with(scanned, "stranger.jpg")
    decide(scanned, "merge", groups=[bob["id"], alone["id"]])
    joined = group_with(scanned, "bob0.png")
    assert (joined["id"], joined["size"]) == (bob["id"], 5)
    assert joined["faces"][0]["face"] == stranger  # the odd one first
    decide(scanned, "split", faces=[stranger])
    assert group_with(scanned, "bob0.png")["size"] == 4
    both = [group["id"] for group in groups_of(scanned)]
    answered = scanned.post(f"{LIBRARY}/decisions", json={"do": "merge", "groups": both})
    assert "are in one photo" in problem(answered, 409, "conflict")["detail"]
    whole = scanned.post(
        f"{LIBRARY}/decisions", json={"do": "split", "faces": [f["face"] for f in bob["faces"]]}
    )
    assert "some, not all" in problem(whole, 400, "bad-request")["detail"]


def test_every_step_is_undone_also_after_a_restart(folder: Path) -> None:
    def seen(client: TestClient) -> Any:
        groups = sorted((group["id"], group["size"]) for group in groups_of(client, least=1))
        faces = client.get(f"{LIBRARY}/faces").json()["faces"]
        people = [(one["name"], one["photos"]) for one in client.get("/api/v1/people").json()["people"]]
        said = client.get(f"{LIBRARY}/suggestions").json()["people"]
        return groups, faces, people, [(one["name"], one["ids"]) for one in said]

    before = []
    with client_of(folder, GridExtractor()) as client:
        bob = group_with(client, "bob0.png")
        alone = group_with(client, "stranger.jpg")
        ada = faces_in(client, "ada0.jpg", "ada1.jpg")
        for do, given in (
            ("merge", {"groups": [alone["id"], bob["id"]]}),
            ("split", {"faces": [bob["faces"][0]["face"]]}),
            ("confirm", {"faces": ada, "name": "Ada"}),
            ("reject", {"faces": faces_in(client, "ada2.jpg"), "name": "Ada"}),
            ("ignore", {"faces": faces_in(client, "stranger.jpg")}),
            ("not-a-face", {"faces": [bob["faces"][1]["face"]]}),
            ("confirm", {"faces": [bob["faces"][2]["face"]], "name": "Bob"}),
            ("unknown", {"faces": ada[:1]}),
        ):
            before.append(seen(client))
            decide(client, do, **given)
        before.append(seen(client))
        assert client.post("/api/v1/people/Ada/merge", json={"other": "Bob"}).status_code == 200
    with client_of(folder, GridExtractor()) as client:  # started again
        assert len(client.get(f"{LIBRARY}/decisions").json()["steps"]) == len(before)
        for number, expected in enumerate(reversed(before)):
            (said,) = client.post(f"{LIBRARY}/undo").json()["undone"]
            assert number or said == "merge Bob into Ada"
            assert seen(client) == expected
        assert client.post(f"{LIBRARY}/undo").json()["undone"] == []
        assert client.get(LIBRARY).json()["last"] is None


def test_a_face_and_its_photo_are_shown(scanned: TestClient) -> None:
    (face,) = faces_in(scanned, "stranger.jpg")
    facts = scanned.get(f"{LIBRARY}/faces/{face}").json()
    assert (facts["box"], facts["size"]) == ([24, 0, 24, 24], [72, 48])
    photo = scanned.get(facts["whole"])
    assert photo.headers["content-type"] == "image/jpeg"
    shown = Image.open(io.BytesIO(photo.content))
    assert shown.size == (72, 48)
    x, y, wide, high = facts["box"]
    whole = np.asarray(shown.convert("L")).astype(float)
    assert whole[y : y + high, x : x + wide].std() > 30 > 5 > whole[24:, :].std()
    crop = Image.open(io.BytesIO(scanned.get(facts["crop"]).content))
    assert np.asarray(crop.convert("L")).std() > 30


def test_photos_that_are_gone_or_changed_are_said(scanned: TestClient, photos: Path) -> None:  # noqa: F811
    (gone,), (changed,) = faces_in(scanned, "ada0.jpg"), faces_in(scanned, "ada1.jpg")
    (photos / "ada0.jpg").unlink()
    save(photos / "ada1.jpg", {(0, 0): (9, 0)})
    for face, reason in ((gone, "ada0.jpg: it is not there any more"), (changed, "ada1.jpg: it was changed")):
        for what in ("crop", "photo"):
            said = problem(scanned.get(f"{LIBRARY}/faces/{face}/{what}"), 404, "gone-photo")
            assert said["detail"].startswith(reason)
    (photos / "ada1.jpg").unlink()
    (photos / "ada1.jpg").symlink_to("/etc/passwd")
    said = problem(scanned.get(f"{LIBRARY}/faces/{changed}/photo"), 404, "gone-photo")
    assert "root" not in said["detail"]


def test_what_another_process_does_is_seen(
    scanned: TestClient,
    folder: Path,
    photos: Path,  # noqa: F811
) -> None:
    scanned.get(f"{LIBRARY}/suggestions")
    with SqliteStore(folder / "gallery.db") as store:
        other = Library(store)
        faces = faces_in(scanned, "ada0.jpg", "ada1.jpg")
        other.confirm("Ada", faces)
        save(photos / "later.png", {(0, 0): (1, 20)})
        scan(store, photos, GridExtractor())
    state = scanned.get(LIBRARY).json()
    assert (state["confirmed"], state["photos"], state["ungrouped"]) == (2, 10, 1)
    (ada,) = scanned.get(f"{LIBRARY}/suggestions").json()["people"]
    assert set(faces_in(scanned, "later.png")) <= set(ada["ids"])
    job = scanned.post(f"{LIBRARY}/groups").json()
    scanned.get(f"/api/v1/jobs/{job['id']}/events")  # until it is over
    assert scanned.get(f"/api/v1/jobs/{job['id']}").json()["state"] in ("done", "failed")
    with SqliteStore(folder / "gallery.db") as store:
        store.remove("Ada")
    assert scanned.get(LIBRARY).json()["confirmed"] == 0
    problem(scanned.get(f"{LIBRARY}/faces/{faces[0]}/crop"), 404, "unknown-face")


def test_a_gallery_without_a_scan_says_what_to_run(client: TestClient) -> None:
    state = client.get(LIBRARY).json()
    assert state["photos"] == 0
    assert state["command"].startswith("embed library scan FOLDER --gallery ")
    assert groups_of(client) == []


def test_keys_of_too_small_a_scope(folder: Path) -> None:
    keys = KeyFile(folder / "gallery.db.keys.json")
    given = {scope: {"X-API-Key": keys.new(scope)} for scope in ("identify", "enroll", "administer")}
    with client_of(folder, GridExtractor(), require_key=True) as client:

        def ask(scope: str, do: str, **more: Any) -> Any:
            body = {"do": do, **more}
            return client.post(f"{LIBRARY}/decisions", json=body, headers=given[scope])

        assert client.get(LIBRARY).status_code == 401
        faces = client.get(f"{LIBRARY}/faces", headers=given["identify"]).json()["faces"]
        ada = next(face["face"] for face in faces if face["photo"] == "ada0.jpg")
        bob = next(face["face"] for face in faces if face["photo"] == "bob0.png")
        for path in ("", "/groups", "/suggestions", f"/faces/{ada}/crop", "/decisions"):
            assert client.get(f"{LIBRARY}{path}", headers=given["identify"]).status_code == 200, path
        problem(client.get(f"{LIBRARY}/faces/{ada}/photo", headers=given["identify"]), 403, "not-allowed")
        problem(client.post(f"{LIBRARY}/undo", headers=given["identify"]), 403, "not-allowed")
        problem(ask("identify", "ignore", faces=[ada]), 403, "not-allowed")
        assert ask("enroll", "confirm", faces=[ada], name="Ada").status_code == 201
        # What takes a face from someone who is enrolled is no matter of this scope.
        for do, name in (("unknown", None), ("ignore", None), ("not-a-face", None), ("reject", "Ada")):
            problem(ask("enroll", do, faces=[ada, bob], name=name), 403, "not-allowed")
        problem(ask("enroll", "confirm", faces=[ada], name="Bob"), 403, "not-allowed")
        assert ask("administer", "reject", faces=[ada], name="Ada").status_code == 201
        problem(client.post(f"{LIBRARY}/undo", headers=given["enroll"]), 403, "not-allowed")
        assert client.post(f"{LIBRARY}/undo", headers=given["administer"]).status_code == 200
        assert client.post(f"{LIBRARY}/undo", headers=given["enroll"]).status_code == 200  # its own
        assert client.get(LIBRARY, headers=given["identify"]).json()["confirmed"] == 0


@pytest.mark.parametrize(
    ("body", "status", "kind", "said"),
    [
        ({"do": "confirm", "faces": [999], "name": "Ada"}, 404, "unknown-face", "face 999"),
        ({"do": "ignore", "groups": [99999]}, 404, "unknown-face", "group 99999"),
        ({"do": "confirm", "faces": [1]}, 400, "bad-request", "expected a name"),
        ({"do": "confirm", "faces": [1], "name": "A\x00"}, 400, "bad-request", "cannot be shown"),
        ({"do": "reject", "faces": [1], "name": "Nobody"}, 404, "unknown-person", "Nobody"),
        ({"do": "ignore"}, 400, "bad-request", "expected faces"),
        ({"do": "merge", "faces": [1]}, 400, "bad-request", "two faces"),
        ({"do": "erase", "faces": [1]}, 400, "bad-request", "do"),
        ({"do": "ignore", "faces": ["../../etc/passwd"]}, 400, "bad-request", "faces"),
        ({"do": "ignore", "faces": [-1]}, 400, "bad-request", "faces"),
        ({"do": "ignore", "faces": [1], "path": "/etc/passwd"}, 400, "bad-request", "path"),
        ({"do": "ignore", "faces": list(range(1, 20_000))}, 400, "bad-request", "faces"),
    ],
)
def test_what_cannot_be_decided_changes_nothing(
    scanned: TestClient, body: dict[str, Any], status: int, kind: str, said: str
) -> None:
    answered = scanned.post(f"{LIBRARY}/decisions", json=body)
    assert said in problem(answered, status, kind)["detail"]
    state = scanned.get(LIBRARY).json()
    assert (state["last"], state["unknown"]) == (None, 9)


@pytest.mark.parametrize(
    "number", ["0", "-1", "1.5", "..%2f..%2fetc%2fpasswd", "%00", "1%2f..%2f2", "9" * 30]
)
def test_no_path_is_a_face(scanned: TestClient, number: str) -> None:
    for what in ("crop", "photo"):
        assert scanned.get(f"{LIBRARY}/faces/{number}/{what}").status_code in (400, 404)


def test_a_name_with_a_script_is_text(scanned: TestClient) -> None:
    name = "<script>alert(1)</script>/..\\'\""
    face = faces_in(scanned, "ada0.jpg")
    decide(scanned, "confirm", faces=face, name=name)
    (person,) = scanned.get(f"{LIBRARY}/suggestions").json()["people"]
    assert person["name"] == name
    why = person["faces"][0]["suggestion"]["nearest"]
    assert scanned.get(why["crop"]).status_code == 200
    quoted = why["crop"].split("/people/")[1].split("/photos")[0]
    assert scanned.get(f"{LIBRARY}/people/{quoted}/photos").json()["total"] >= 1


def test_suggestions_that_are_followed_are_those_of_a_whole_look(folder: Path) -> None:
    """The quick way and the plain one agree after decisions of every kind."""
    with SqliteStore(folder / "gallery.db") as store:
        library, templates, suggester = Library(store), FollowedTemplates(store), Suggester()

        def at(*names: str) -> list[int]:
            return [n for n, face in library.faces.items() if library.path(face).name in names]

        for step in (
            lambda: None,
            lambda: library.confirm("Ada", at("ada0.jpg")),
            lambda: library.confirm("Bob", at("bob0.png", "bob1.png")),
            lambda: library.reject("Bob", at("bob2.png")),
            lambda: store.rename("Ada", "Augusta"),
            lambda: library.confirm("Ada", at("ada1.jpg")),  # the same person, under two names
            lambda: library.undo(),
            lambda: library.mark("ignore", at("ada2.jpg")),
            lambda: library.merge("Augusta", "Bob"),
            lambda: library.undo(),
            lambda: store.remove("Bob"),
        ):
            step()
            library.read()
            suggester.follow(Asked.of(library), templates.read(), THRESHOLD)
            expected = suggestions(library, THRESHOLD)
            assert {n: (s.name, s.distance, s.template) for n, s in suggester.suggested.items()} == {
                n: (s.name, s.distance, s.template) for n, s in expected.items()
            }
        assert expected


def test_new_faces_like_ignored_ones_are_left_out_and_taken_back(
    folder: Path,
    photos: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("enroll.serve.library.usual_threshold", lambda strangers: THRESHOLD)
    with client_of(folder, GridExtractor()) as client:
        bob = group_with(client, "bob0.png")
        decide(client, "ignore", groups=[bob["id"]])
        for number in (20, 21):
            save(photos / f"later{number}.png", {(0, 0): (2, number)})
        with SqliteStore(folder / "gallery.db") as store:
            scan(store, photos, GridExtractor())
        job = client.post(f"{LIBRARY}/groups").json()
        client.get(f"/api/v1/jobs/{job['id']}/events")
        done = client.get(f"/api/v1/jobs/{job['id']}").json()
        assert done["result"]["probably_ignored"] == 2, done
        new = faces_in(client, "later20.png", "later21.png")
        state = client.get(LIBRARY).json()
        assert (state["unknown"], state["ungrouped"]) == (5, 0)
        assert (state["ignored"], state["probably_ignored"]) == (4, 2)
        page = client.get(f"{LIBRARY}/groups", params={"least": 1}).json()
        assert page["probably_ignored"] == 2
        assert not {*new} & {face["face"] for group in page["groups"] for face in group["faces"]}
        listed = client.get(f"{LIBRARY}/faces", params={"state": "probably-ignored"}).json()["faces"]
        assert sorted(face["face"] for face in listed) == sorted(new)
        assert {face["like"]["face"] for face in listed} <= {face["face"] for face in bob["faces"]}
        assert client.get(listed[0]["like"]["crop"]).status_code == 200
        taken = decide(client, "unknown", faces=new)["library"]
        assert (taken["unknown"], taken["ungrouped"], taken["probably_ignored"]) == (7, 0, 0)
        assert group_with(client, "later20.png")["size"] == 2
        client.post(f"{LIBRARY}/undo")
        client.post(f"{LIBRARY}/undo")  # of the ignore
        state = client.get(LIBRARY).json()
        assert (state["ignored"], state["probably_ignored"], state["ungrouped"]) == (0, 0, 0)
        assert group_with(client, "bob0.png")["size"] == 6


def test_names_are_suggested_for_whole_groups(scanned: TestClient) -> None:
    def names(**asked: Any) -> list[tuple[str, int]]:
        group = next(one for one in groups_of(scanned, least=1, **asked) if one["id"] == ada["id"])
        assert all(0 < one["distance"] < one["threshold"] for one in group["names"])
        return [(one["name"], one["faces"]) for one in group["names"]]

    ada = group_with(scanned, "ada0.jpg")
    (first,), (second,) = faces_in(scanned, "ada0.jpg"), faces_in(scanned, "ada1.jpg")
    decide(scanned, "confirm", faces=[first], name="Ada")
    assert names(names=9) == [("Ada", 3)]
    assert names() == []
    decide(scanned, "confirm", faces=[second], name="Augusta")
    assert sorted(names(names=9)) == [("Ada", 2), ("Augusta", 2)]
    assert len(names(names=1)) == 1
    (person, *_) = scanned.get(f"{LIBRARY}/suggestions", params={"names": 9}).json()["people"]
    assert person["names"][0]["name"] == person["name"]
    assert len(person["names"]) == 2
    decide(scanned, "reject", faces=faces_in(scanned, "ada2.jpg"), name="Ada")  # for one of them
    assert names(names=9) == [("Augusta", 2)]
    both = {face: scanned.get(f"{LIBRARY}/faces/{face}").json() for face in faces_in(scanned, "both.jpg")}
    (other,) = [face for face, facts in both.items() if facts["group"] != ada["id"]]
    decide(scanned, "confirm", faces=[other], name="Augusta")  # who is in that photo already
    assert names(names=9) == [("Augusta", 1)]
    assert scanned.get(f"{LIBRARY}/groups", params={"names": 10}).status_code == 400
