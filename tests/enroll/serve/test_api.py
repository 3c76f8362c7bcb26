from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from enroll.gallery.gallery import Gallery
from enroll.identify import Identifier
from enroll.report.answers import to_json
from enroll.serve.people import People
from tests.conftest import ToyExtractor
from tests.enroll.serve.conftest import client_of, parts, picture

API = "/api/v1"


def problem(answered: Any, status: int, kind: str) -> dict[str, Any]:
    """Check that an answer is a problem as RFC 9457 has it."""
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    facts: dict[str, Any] = answered.json()
    assert facts["type"] == f"/problems/{kind}"
    assert facts["status"] == status
    assert facts["request_id"] == answered.headers["x-request-id"]
    assert all(facts[name] for name in ("title", "detail", "advice"))
    return facts


def test_people_are_named_and_strangers_are_unknown(enrolled: TestClient) -> None:
    answered = enrolled.post(f"{API}/identify", files=parts(picture(0, 2), picture(7, 2)))
    assert answered.status_code == 200, answered.text
    faces = [answer["faces"][0] for answer in answered.json()["answers"]]
    assert [(face["identity"], face["reason"]) for face in faces] == [("p00", "match"), (None, "too_far")]


def test_the_answer_is_that_of_the_command(enrolled: TestClient, tmp_path: Path) -> None:
    """`embed identify --json` prints what `to_json` gives."""
    (tmp_path / "0.png").write_bytes(picture(3, 2))
    (answer,) = enrolled.post(f"{API}/identify", files=parts(picture(3, 2))).json()["answers"]
    toy = ToyExtractor()
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        identifier = Identifier(toy, gallery)
        expected = json.loads(to_json(identifier.identify(tmp_path / "0.png"), identifier.basis))
    assert answer == expected | {"photo": "0.png"}


def test_someone_who_is_erased_while_being_enrolled_is_no_error(
    enrolled: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(People, "_stored", lambda *_: [])
    answered = enrolled.post(f"{API}/people/new/photos", files=parts(picture(9, 0)))
    assert (answered.status_code, answered.json()["added"]) == (200, 0)
    enrolled.delete(f"{API}/people/new")
    monkeypatch.setattr(People, "_add", lambda *_: None)
    answered = enrolled.post("/api/v1/recognition/faces?subject=newer", files={"file": picture(9, 1)})
    assert "erased meanwhile" in answered.json()["message"]


def test_a_picture_may_come_in_several_ways(enrolled: TestClient) -> None:
    data = picture(0, 2)
    ways = [
        {"files": parts(data)},
        {"files": parts(data, field="anything")},
        {"content": data, "headers": {"Content-Type": "image/png"}},
        {"content": data, "headers": {"Content-Type": "application/octet-stream"}},
        {"json": {"photos": [base64.b64encode(data).decode()]}},
        {"json": {"photos": [f"data:image/png;base64,{base64.b64encode(data).decode()}"]}},
    ]
    for way in ways:
        (answer,) = enrolled.post(f"{API}/identify", **way).json()["answers"]
        assert answer["faces"][0]["identity"] == "p00", way


def test_explain(enrolled: TestClient) -> None:
    answered = enrolled.post(f"{API}/identify?explain=true", files=parts(picture(0, 2))).json()
    (face,) = answered["answers"][0]["faces"]
    assert [near["identity"] for near in face["neighbours"]][:2] == ["p00", "p00"]
    (lines,) = answered["explanations"]
    assert lines[1] == (
        f"  why: the nearest enrolled photo is p00's, at {face['distance']:.3f}, within the threshold of "
        f"{answered['threshold']:.3f}"
    )
    plain = enrolled.post(f"{API}/identify", files=parts(picture(0, 2))).json()
    assert plain["explanations"] is None
    assert plain["answers"][0]["faces"][0]["neighbours"] == []


def test_the_request_chooses_threshold_margin_and_candidates(enrolled: TestClient) -> None:
    def ask(**query: Any) -> dict[str, Any]:
        answered = enrolled.post(f"{API}/identify", params=query, files=parts(picture(0, 2)))
        face: dict[str, Any] = answered.json()["answers"][0]["faces"][0]
        return face

    assert ask(threshold=0)["reason"] == "too_far"
    assert ask(threshold=0)["threshold"] == 0
    assert ask(margin=2)["reason"] == "ambiguous"
    assert len(ask(candidates=2)["candidates"]) == 2
    for wrong in (
        {"threshold": 3},
        {"threshold": "nan"},
        {"margin": -1},
        {"candidates": 0},
        {"explain": "?"},
    ):
        problem(
            enrolled.post(f"{API}/identify", params=wrong, files=parts(picture(0, 2))), 400, "bad-request"
        )


def test_one_picture_that_cannot_be_read_does_not_hold_up_the_others(enrolled: TestClient) -> None:
    answers = enrolled.post(f"{API}/identify", files=parts(b"text", picture(0, 2))).json()["answers"]
    assert "not a picture" in answers[0]["error"]
    assert answers[1]["faces"][0]["identity"] == "p00"
    facts = problem(enrolled.post(f"{API}/identify", files=parts(b"text", b"")), 422, "unusable")
    assert [entry["photo"] for entry in facts["errors"]] == ["0.png", "1.png"]
    assert "not a picture" in facts["detail"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"json": {}},
        {"json": {"photos": []}},
        {"json": []},
        {"json": "photo.jpg"},
        {"json": {"photos": ["/etc/passwd"]}},
        {"json": {"photos": ["http://127.0.0.1/photo.jpg"]}},
        {"json": {"photos": [1]}},
        {"data": {"photos": "/etc/passwd"}},
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"content": b"[NaN]", "headers": {"Content-Type": "application/json"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    ],
)
def test_requests_without_a_picture(enrolled: TestClient, request_: dict[str, Any]) -> None:
    facts = problem(enrolled.post(f"{API}/identify", **request_), 400, "bad-request")
    assert "Traceback" not in facts["detail"]


def test_a_body_of_another_kind(enrolled: TestClient) -> None:
    answered = enrolled.post(f"{API}/identify", content=b"<a/>", headers={"Content-Type": "text/xml"})
    assert "text/xml" in problem(answered, 415, "wrong-type")["detail"]
    answered = enrolled.post(
        f"{API}/identify", content=b"x", headers={"Content-Type": "image/png", "Content-Encoding": "gzip"}
    )
    problem(answered, 415, "wrong-type")


def test_enrolling_says_what_became_of_each_picture(client: TestClient, tmp_path: Path) -> None:
    files = parts(picture(0, 0), picture(0, 1), b"text", picture(0, 0))
    answered = client.post(f"{API}/people/Ada/photos", files=files)
    assert answered.status_code == 201
    facts = answered.json()
    assert (facts["name"], facts["added"], facts["already"]) == ("Ada", 2, 1)
    assert [entry["photo"] for entry in facts["rejected"]] == ["2.png"]
    assert facts["photos"][0]["sha256"] == hashlib.sha256(picture(0, 0)).hexdigest()
    again = client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)))
    assert (again.status_code, again.json()["already"]) == (200, 1)
    facts = problem(client.post(f"{API}/people/Eve/photos", files=parts(picture(0, 0))), 409, "conflict")
    assert "already enrolled as 'Ada'" in facts["detail"]
    problem(client.post(f"{API}/people/Eve/photos", files=parts(b"text")), 422, "unusable")
    assert client.get(f"{API}/people").json()["total"] == 1


def test_enrolled_pictures_are_kept_and_others_are_not(client: TestClient, tmp_path: Path) -> None:
    kept = tmp_path / "gallery.db.photos"
    client.post(f"{API}/identify", files=parts(picture(0, 2)))
    client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0), picture(0, 1), b"text"))
    digests = {hashlib.sha256(picture(0, photo)).hexdigest() for photo in range(2)}
    assert {path.name for path in kept.iterdir()} == {*digests, ".lock"}
    assert (kept / min(digests)).stat().st_mode & 0o077 == 0
    (first, _) = client.get(f"{API}/people/Ada/photos").json()["photos"]
    assert first["photo"] == f"gallery.db.photos/{first['sha256']}"  # both can be moved together
    assert client.delete(f"{API}/people/Ada/photos/{first['id']}").json() == {"removed": 1}
    assert {path.name for path in kept.iterdir()} == {*digests, ".lock"} - {first["sha256"]}
    client.delete(f"{API}/people/Ada")
    assert [path.name for path in kept.iterdir()] == [".lock"]


def test_pictures_need_not_be_kept(tmp_path: Path) -> None:
    with client_of(tmp_path, keep_photos=False) as client:
        client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)))
        (photo,) = client.get(f"{API}/people/Ada/photos").json()["photos"]
        assert photo["photo"] == "0.png"
        assert "cannot be shown" in problem(client.get(photo["crop"]), 404, "unknown-photo")["detail"]
        assert client.get(f"{API}/gallery").json()["keeps_photos"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gallery.db"]


def test_pictures_that_a_killed_process_left_are_erased(tmp_path: Path) -> None:
    kept = tmp_path / "gallery.db.photos"
    with client_of(tmp_path) as client:
        client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)))
    stray = hashlib.sha256(picture(1, 1)).hexdigest()
    (kept / stray).write_bytes(picture(1, 1))
    (kept / "notes.txt").write_text("not ours")
    with client_of(tmp_path):
        pass
    assert not (kept / stray).exists()
    assert (kept / hashlib.sha256(picture(0, 0)).hexdigest()).exists()
    assert (kept / "notes.txt").exists()


def test_terms_are_set_when_enrolling_and_later(client: TestClient) -> None:
    fields = {"consent": "file 17", "consent_date": "2026-01-31", "expires": "2931-01-31"}
    client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)), data=fields)
    person = client.get(f"{API}/people/Ada").json()
    assert person["terms"] == fields
    assert (person["photos"], len(person["pictures"]), person["expired"]) == (1, 1, False)
    changed = client.put(f"{API}/people/Ada/terms", json={"expires": "2001-01-01"}).json()
    assert changed["terms"] == {"consent": None, "consent_date": None, "expires": "2001-01-01"}
    assert changed["expired"]
    face = client.post(f"{API}/identify", files=parts(picture(0, 0))).json()["answers"][0]["faces"][0]
    assert face["identity"] is None
    for wrong in ({"expires": "tomorrow"}, {"consent": 1}, {"other": "x"}, [], {"consent": "x" * 1001}):
        problem(client.put(f"{API}/people/Ada/terms", json=wrong), 400, "bad-request")
    answered = client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 1)), data={"expires": "soon"})
    assert "YYYY-MM-DD" in problem(answered, 400, "bad-request")["detail"]


def test_rename_merge_and_remove(enrolled: TestClient) -> None:
    assert enrolled.post(f"{API}/people/p00/rename", json={"name": "Ada"}).json()["name"] == "Ada"
    problem(enrolled.post(f"{API}/people/Ada/rename", json={"name": "p01"}), 409, "conflict")
    problem(enrolled.post(f"{API}/people/p00/rename", json={"name": "x"}), 404, "unknown-person")
    assert enrolled.post(f"{API}/people/Ada/merge", json={"other": "p01"}).json() == {
        "name": "Ada",
        "moved": 2,
    }
    problem(enrolled.post(f"{API}/people/Ada/merge", json={"other": "Ada"}), 400, "bad-request")
    assert enrolled.get(f"{API}/people/Ada").json()["photos"] == 4
    face = enrolled.post(f"{API}/identify", files=parts(picture(1, 2))).json()["answers"][0]["faces"][0]
    assert face["identity"] == "Ada"
    assert enrolled.delete(f"{API}/people/Ada").json() == {"removed": 4}
    facts = problem(enrolled.delete(f"{API}/people/Ada"), 404, "unknown-person")
    assert "gallery.db" not in json.dumps(facts)
    face = enrolled.post(f"{API}/identify", files=parts(picture(1, 2))).json()["answers"][0]["faces"][0]
    assert face["identity"] is None


@pytest.mark.parametrize(
    "name", ["a/b", "photos", "a/photos", "Zoë Ångström", "50%", "a?b#c", "<script>", "a b"]
)
def test_any_name_can_be_in_an_address(client: TestClient, name: str) -> None:
    from urllib.parse import quote

    place = f"{API}/people/{quote(name, safe='')}"
    assert client.post(f"{place}/photos", files=parts(picture(0, 0))).json()["name"] == name
    assert client.get(place).json()["name"] == name
    (photo,) = client.get(f"{place}/photos").json()["photos"]
    assert client.get(photo["crop"]).headers["content-type"] == "image/png"
    assert client.post(f"{place}/rename", json={"name": f"{name}!"}).json()["name"] == f"{name}!"
    assert client.delete(f"{API}/people/{quote(f'{name}!', safe='')}").json() == {"removed": 1}


def test_a_name_in_the_form(client: TestClient) -> None:
    answered = client.post(f"{API}/people", files=parts(picture(0, 0)), data={"name": ".."})
    assert (answered.status_code, answered.json()["name"]) == (201, "..")
    encoded = {"name": "Eve", "photos": [base64.b64encode(picture(1, 0)).decode()]}
    assert client.post(f"{API}/people", json=encoded).json()["name"] == "Eve"
    for wrong in ({}, {"name": ""}, {"name": " \t"}, {"name": "a\nb"}, {"name": "x" * 201}):
        problem(client.post(f"{API}/people", files=parts(picture(2, 0)), data=wrong), 400, "bad-request")


def test_people_by_pages(enrolled: TestClient) -> None:
    page = enrolled.get(f"{API}/people", params={"limit": 2, "offset": 4}).json()
    assert ([person["name"] for person in page["people"]], page["total"]) == (["p04", "p05"], 6)
    page = enrolled.get(f"{API}/people", params={"search": "P03"}).json()
    assert ([person["name"] for person in page["people"]], page["total"]) == (["p03"], 1)
    problem(enrolled.get(f"{API}/people", params={"limit": 0}), 400, "bad-request")


def test_a_crop_is_what_the_network_sees(enrolled: TestClient) -> None:
    (first, _) = enrolled.get(f"{API}/people/p03/photos").json()["photos"]
    shown = Image.open(io.BytesIO(enrolled.get(first["crop"]).content))
    assert shown.tobytes() == Image.open(io.BytesIO(picture(3, 0))).tobytes()
    for wrong in ("x", "-1", "999", f"{first['id']}0" * 50):
        problem(enrolled.get(f"{API}/people/p03/photos/{wrong}/crop"), 404, "unknown-photo")
    problem(enrolled.get(f"{API}/people/p04/photos/{first['id']}/crop"), 404, "unknown-photo")


def test_a_face_is_enrolled_by_its_box(client: TestClient) -> None:
    left, right = (Image.open(io.BytesIO(picture(identity, 0))) for identity in (0, 1))
    both = Image.new("RGB", (64, 16))
    both.paste(left, (0, 0))
    both.paste(right, (48, 0))
    written = io.BytesIO()
    both.save(written, "PNG")
    answered = client.post(
        f"{API}/people/right/photos", files=parts(written.getvalue()), data={"box": "48,0,16,16"}
    )
    (photo,) = answered.json()["photos"]
    cut = both.crop((36, 0, 64, 16))
    assert photo["sha256"] != hashlib.sha256(written.getvalue()).hexdigest()
    shown = Image.open(io.BytesIO(client.get(photo["crop"]).content))
    assert shown.size == (16, 16)
    assert cut.size == (28, 16)
    for wrong in ("64,0,1,1", "0,0,0,5", "1,2,3", "a,b,c,d", "-1,0,5,5", "nan,0,5,5", "1e400,0,5,5"):
        answered = client.post(f"{API}/people/x/photos", files=parts(written.getvalue()), data={"box": wrong})
        assert "box: expected" in problem(answered, 400, "bad-request")["detail"]
    answered = client.post(
        f"{API}/people/x/photos", files=parts(picture(0, 0), picture(0, 1)), data={"box": "0,0,5,5"}
    )
    problem(answered, 400, "bad-request")


def test_nothing_of_that_address(client: TestClient) -> None:
    problem(client.get("/nothing"), 404, "not-found")
    problem(client.get(f"{API}/people/nobody"), 404, "unknown-person")
    problem(client.put(f"{API}/identify"), 405, "wrong-method")
    assert client.get("/problems/busy").json()["status"] == 503
    problem(client.get("/problems/none"), 404, "not-found")


def test_the_openapi_document(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            where = f"{method} {path}"
            assert route["description"].endswith(".") or route["summary"], where
            assert route.get("description"), where
    schemas = document["components"]["schemas"]
    assert all(
        schema.get("description") for name, schema in schemas.items() if not name.startswith("HTTPValidation")
    )
    identify = document["paths"][f"{API}/identify"]["post"]
    assert set(identify["requestBody"]["content"]) == {"multipart/form-data", "image/*", "application/json"}
    assert schemas["Face"]["properties"]["distance"]["examples"] == [0.61]


def test_answers_are_as_the_document_says(enrolled: TestClient) -> None:
    from enroll.serve import schemas

    shapes = {
        "/people": schemas.PeoplePage,
        "/people/p00": schemas.PersonDetail,
        "/people/p00/photos": schemas.PhotosOf,
        "/calibration": schemas.CalibrationSchema,
        "/model": schemas.ModelSchema,
        "/gallery": schemas.GallerySchema,
        "/jobs": schemas.JobList,
    }
    for path, shape in shapes.items():
        shape.model_validate(enrolled.get(f"{API}{path}").json())
    answered = enrolled.post(f"{API}/identify?explain=true", files=parts(picture(0, 2)))
    schemas.Identified.model_validate(answered.json())
    answered = enrolled.post(f"{API}/people/p00/photos", files=parts(picture(0, 0)))
    schemas.EnrolledSchema.model_validate(answered.json())
    schemas.ProblemSchema.model_validate(enrolled.get("/nothing").json())
