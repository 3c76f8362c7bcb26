from __future__ import annotations

from starlette.testclient import TestClient

from tests.enroll.serve.conftest import parts, picture


def test_people_are_named_and_strangers_are_unknown(enrolled: TestClient) -> None:
    answered = enrolled.post("/api/v1/identify", files=parts(picture(0, 2), picture(7, 2)))
    assert answered.status_code == 200, answered.text
    faces = [answer["faces"][0] for answer in answered.json()["answers"]]
    assert [(face["identity"], face["reason"]) for face in faces] == [("p00", "match"), (None, "too_far")]
