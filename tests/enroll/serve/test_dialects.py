"""Requests as Double-Take and Viseron send them, and what they do with the answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from enroll.serve.people import People
from tests.enroll.serve.conftest import client_of, parts, picture

R = "/api/v1/recognition"
V = "/v1/vision/face"
KEY = {"x-api-key": "00000000-0000-0000-0000-000000000000"}
STRANGER = 20


@pytest.fixture
def ada(client: TestClient) -> TestClient:
    """A server to which Double-Take has taught Ada, one picture a call."""
    for photo in range(2):
        answered = client.post(
            f"{R}/faces?subject=Ada", headers=KEY, files=parts(picture(0, photo), field="file")
        )
        assert (answered.status_code, answered.json()["subject"]) == (201, "Ada")
    return client


def double_take(answered: Any) -> list[tuple[str, bool]]:
    """What Double-Take makes of an answer of CompreFace: names, and whether each is a match."""
    body = answered.json()
    if "result" not in body:
        assert body["code"] == 28, body["message"]
        return []
    found = []
    for face in body["result"]:
        best = face["subjects"][0] if face["subjects"] else {"subject": "unknown", "similarity": 0}
        percent = best["similarity"] * 100
        found.append((best["subject"].lower() if percent >= 40 else "unknown", percent >= 60))
        box = face["box"]
        assert box["probability"] >= 0.8
        assert all(isinstance(box[side], int) for side in ("x_min", "y_min", "x_max", "y_max"))
    return found


def recognize(client: TestClient, data: bytes) -> Any:
    """As Double-Take asks: the literal text `undefined` where no plugins are set."""
    query = "face_plugins=undefined&det_prob_threshold=0.8"
    return client.post(f"{R}/recognize?{query}", headers=KEY, files=parts(data, field="file"))


def test_double_take_by_compreface(ada: TestClient) -> None:
    assert double_take(recognize(ada, picture(0, 2))) == [("ada", True)]
    assert double_take(recognize(ada, picture(STRANGER, 0))) == [("unknown", False)]
    assert ada.delete(f"{R}/faces?subject=Ada", headers=KEY).json() == {"deleted": 2}
    answered = recognize(ada, picture(0, 2))
    assert answered.json()["result"][0]["subjects"] == []
    assert double_take(answered) == [("unknown", False)]


@pytest.mark.parametrize("path", ["faces", "subjects"])
def test_erasing_everyone_goes_on_after_someone_who_is_gone(
    ada: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    ada.post(f"{R}/faces?subject=Bea", headers=KEY, files=parts(picture(1, 0), field="file"))
    everyone = People.everyone
    gone = SimpleNamespace(name="Abe")  # renamed or erased since the names were read
    monkeypatch.setattr(People, "everyone", lambda self: [gone, *everyone(self)])
    assert ada.delete(f"{R}/{path}", headers=KEY).json() == {"deleted": {"faces": 3, "subjects": 2}[path]}
    monkeypatch.undo()
    assert ada.get(f"{R}/subjects", headers=KEY).json() == {"subjects": []}


def test_no_face_is_what_double_take_compares(tmp_path: Path) -> None:
    from tests.conftest import ToyExtractor

    class Blind(ToyExtractor):
        def crops(self, image: Any) -> list[Any]:
            return []

    with client_of(tmp_path, Blind()) as client:
        client.app.state.services.engine.extractor.manifest  # noqa: B018
        answered = recognize(client, picture(0, 0))
        assert answered.status_code == 400
        assert answered.json() == {"message": "No face is found in the given image", "code": 28}
        assert double_take(answered) == []
        answered = client.post(f"{R}/faces?subject=Ada", files=parts(picture(0, 0), field="file"))
        assert answered.json()["code"] == 28
        answered = client.post(f"{V}/recognize", files=parts(picture(0, 0), field="image"))
        assert answered.status_code == 200
        assert (answered.json()["success"], answered.json()["predictions"]) == (True, [])
        assert answered.json()["message"] == "No face found in image"
        answered = client.post(f"{V}/match", files=parts(picture(0, 0), picture(0, 1)))
        assert (answered.status_code, answered.json()["error"]) == (200, "no face found")
        answered = client.post(f"{V}/register", files=parts(picture(0, 0)), data={"userid": "x"})
        assert answered.status_code == 400
        assert answered.json()["error"].startswith("no face detected")


@pytest.mark.parametrize("slash", ["", "/"])
def test_double_take_by_deepstack(client: TestClient, slash: str) -> None:
    """It sends an empty key, and takes `userid` for text whatever the confidence is."""
    for photo in range(2):
        form = {"userid": "Ada", "api_key": ""}
        answered = client.post(
            f"{V}/register{slash}", files=parts(picture(0, photo), field="image"), data=form
        )
        assert (answered.status_code, answered.json()["success"]) == (200, True)
    for data, who, sure in ((picture(0, 2), "ada", True), (picture(STRANGER, 0), "unknown", False)):
        answered = client.post(
            f"{V}/recognize{slash}", files=parts(data, field="image"), data={"api_key": ""}
        )
        assert answered.headers["content-length"]  # never in chunks
        body = answered.json()
        assert body["success"]
        (found,) = body["predictions"]
        assert (found["userid"].lower(), found["confidence"] * 100 >= 60) == (who, sure)
        assert {"code", "count", "message", "inferenceMs", "processMs", "duration"} <= set(body)
    assert client.post(f"{V}/delete{slash}", data={"userId": "Ada"}).json()[
        "success"
    ]  # as one client writes it
    assert client.post(f"{V}/delete{slash}", data={"userid": "Ada"}).json()["success"]  # gone already
    assert client.post(f"{V}/list{slash}").json()["faces"] == []  # without a body


def test_viseron_by_deepstack(client: TestClient) -> None:
    """At its start it deletes, detects, and registers one picture a call."""
    assert "success" in client.post(f"{V}/delete", data={"userid": "ada"}).json()
    for photo in range(2):
        detected = client.post(
            V, files=parts(picture(0, photo), field="image"), data={"min_confidence": "0.45"}
        )
        assert len(detected.json()["predictions"]) == 1
        registered = client.post(
            f"{V}/register", files=parts(picture(0, photo), field="image1"), data={"userid": "ada"}
        )
        assert registered.json()["success"]
    assert client.get("/api/v1/people/ada").json()["photos"] == 2  # added, not replaced
    answered = client.post(
        f"{V}/recognize", files=parts(picture(0, 2), field="image"), data={"min_confidence": "0.6"}
    )
    (found,) = answered.json()["predictions"]
    assert (found["userid"], found["confidence"] >= 0.6) == ("ada", True)
    answered = client.post(f"{V}/recognize", files=parts(picture(STRANGER, 2), field="image"))
    assert answered.json()["predictions"][0]["userid"] == "unknown"
    assert "success" in client.post(f"{V}/list", data={}).json()


def test_viseron_by_compreface(ada: TestClient) -> None:
    """It takes the first subject of the first face, above 0.5."""
    query = "limit=0&det_prob_threshold=0.8&prediction_count=1&face_plugins=&status=false"
    for data, known in ((picture(0, 2), True), (picture(STRANGER, 0), False)):
        answered = ada.post(f"{R}/recognize?&{query}", headers=KEY, files=parts(data, field="file"))
        assert (answered.json()["result"][0]["subjects"][0]["similarity"] > 0.5) == known


def test_the_clients_own_threshold_still_counts(ada: TestClient) -> None:
    answered = ada.post(
        f"{V}/recognize", files=parts(picture(0, 2), field="image"), data={"min_confidence": "0.999"}
    )
    assert answered.json()["predictions"][0]["userid"] == "unknown"
    query = "det_prob_threshold=1&limit=1"
    answered = ada.post(f"{R}/recognize?{query}", files=parts(picture(0, 2), field="file"))
    assert len(answered.json()["result"]) == 1


def test_the_second_question_mark_of_the_javascript_client(client: TestClient) -> None:
    files = parts(picture(0, 0), field="file")
    answered = client.post(f"{R}/faces?subject=Ann%20B?det_prob_threshold=0.8", files=files)
    assert answered.json()["subject"] == "Ann B"


def test_errors_have_the_numbers_of_compreface(ada: TestClient, tmp_path: Path) -> None:
    files = parts(picture(5, 0), field="file")
    for answered, status, code in (
        (ada.post(f"{R}/faces", files=files), 400, 33),
        (ada.post(f"{R}/faces?subject=a%0Ab", files=files), 400, 26),
        (ada.post(f"{R}/recognize"), 400, 34),
        (ada.post(f"{R}/recognize?limit=-1", files=files), 400, 36),
        (ada.post(f"{R}/subjects", json={"subject": "Ada"}), 400, 43),
        (ada.put(f"{R}/subjects/Ada", json={"subject": " "}), 400, 26),
        (ada.put(f"{R}/subjects/nobody", json={"subject": "x"}), 404, 42),
        (ada.delete(f"{R}/subjects/nobody"), 404, 42),
        (ada.delete(f"{R}/faces/00000000-0000-0000-0000-000000000000"), 404, 44),
        (ada.put(f"{R}/recognize"), 404, 0),
        (ada.get(f"{R}/nothing"), 404, 0),
    ):
        assert (answered.status_code, answered.json()["code"]) == (status, code), answered.text
        assert set(answered.json()) == {"message", "code"}
    with client_of(tmp_path / "..", require_key=True) as locked:
        answered = locked.get(f"{R}/subjects")
        assert (answered.status_code, answered.json()) == (
            400,
            {"message": "Missing header: x-api-key", "code": 20},
        )
        answered = locked.get(f"{R}/subjects", headers=KEY)
        assert (answered.status_code, answered.json()["code"]) == (404, 10)
        answered = locked.post(f"{V}/list", data={"api_key": "wrong"})
        assert answered.status_code == 401
        assert (answered.json()["success"], answered.json()["error"]) == (False, "Incorrect api key")


def test_vectors_instead_of_pictures(ada: TestClient) -> None:
    answered = ada.post(f"{R}/recognize?face_plugins=calculator", files=parts(picture(0, 2), field="file"))
    (face,) = answered.json()["result"]
    vector = face["embedding"]
    named = ada.post(f"{R}/embeddings/recognize", json={"embeddings": [vector]}).json()["result"][0]
    assert named["similarities"] == face["subjects"]
    (first, _) = ada.get(f"{R}/faces").json()["faces"]
    answered = ada.post(f"{R}/embeddings/faces/{first['image_id']}/verify", json={"embeddings": [vector]})
    assert answered.json()["result"][0]["similarity"] > 0.6
    opposite = [-value for value in vector]
    answered = ada.post(
        "/api/v1/verification/embeddings/verify", json={"source": vector, "targets": [opposite, vector]}
    )
    assert [entry["similarity"] for entry in answered.json()["result"]] == [1.0, 0.0]


def test_faces_by_pages(ada: TestClient) -> None:
    page = ada.get(f"{R}/faces?page=1&size=1&subject=").json()
    assert (len(page["faces"]), page["page_number"], page["total_pages"], page["total_elements"]) == (
        1,
        1,
        2,
        2,
    )
    assert ada.get(f"{R}/faces?subject=nobody").json()["faces"] == []
    image = page["faces"][0]["image_id"]
    assert ada.get(f"{R}/faces/{image}/img").headers["content-type"] == "application/octet-stream"
    assert ada.get(f"{R}/faces/00000000-0000-0000-0000-000000000000/img").content == b""
    answered = ada.post(
        f"{R}/faces/00000000-0000-0000-0000-000000000000/verify", files=parts(picture(0, 0), field="file")
    )
    assert (answered.json()["result"][0]["subject"], answered.json()["result"][0]["similarity"]) == ("", 0)


def test_dialects_can_be_switched_off(tmp_path: Path) -> None:
    with client_of(tmp_path, dialects=()) as client:
        assert client.get(f"{R}/subjects").status_code == 404
        assert client.post(f"{V}/list").status_code == 404
        assert client.get("/api/v1/people").status_code == 200
