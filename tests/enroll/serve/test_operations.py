from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from enroll.serve.limits import Buckets
from enroll.serve.logs import Lines
from tests.enroll.serve.conftest import client_of, parts, picture
from tests.enroll.serve.test_api import API, problem
from tests.enroll.serve.test_keys import quick


def test_figures_have_no_names(enrolled: TestClient) -> None:
    enrolled.post(f"{API}/identify", files=parts(picture(0, 2), picture(7, 0), b"text"))
    enrolled.delete(f"{API}/people/p05")
    enrolled.get("/nothing/p05")
    text = enrolled.get("/metrics").text
    for line in (
        'embed_photos_total{outcome="faces"} 2.0',
        'embed_photos_total{outcome="unreadable"} 1.0',
        'embed_identifications_total{outcome="match"} 1.0',
        'embed_identifications_total{outcome="too_far"} 1.0',
        "embed_enrolled_photos_total 12.0",
        "embed_erased_photos_total 2.0",
        "embed_gallery_people 5.0",
        "embed_gallery_photos 10.0",
        f'embed_http_requests_total{{method="POST",route="{API}/identify",status="200"}} 1.0',
        'embed_http_requests_total{method="GET",route="(none)",status="404"} 1.0',
    ):
        assert line in text, line
    assert f'embed_http_request_duration_seconds_count{{route="{API}/identify"}} 1.0' in text
    assert not re.search(r"p0\d", text)


def test_ready_and_alive(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}
    client.app.state.services.engine.failure = "the model is being loaded"  # type: ignore[attr-defined]
    answered = client.get("/readyz")
    assert (answered.status_code, answered.json()["reason"]) == (503, "the model is being loaded")
    assert client.get("/healthz").status_code == 200


def test_each_request_has_an_identity(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "enroll.serve")
    assert client.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = {client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    facts = [record.facts for record in caplog.records if hasattr(record, "facts")]
    assert facts[0]["request_id"] == "mine-1"
    assert (facts[0]["route"], facts[0]["status"], facts[0]["method"]) == ("/healthz", 200, "GET")


def test_a_log_line_is_json(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("enroll", logging.INFO, "x.py", 1, "a\nb \x1b[2J %s", ("ü",), None)
    record.facts = {"status": 200}
    line = Lines().format(record)
    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line)["message"] == "a\nb \x1b[2J ü"
    assert json.loads(line)["status"] == 200


def test_a_bug_is_a_problem_and_not_a_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("secret place /home/ada")

    monkeypatch.setattr(client.app.state.services.people, "everyone", broken)  # type: ignore[attr-defined]
    facts = problem(client.get(f"{API}/people"), 500, "bug")
    assert "secret" not in json.dumps(facts)
    assert "RuntimeError: secret place" in caplog.text
    answered = client.get("/api/v1/recognition/subjects")
    assert (answered.status_code, set(answered.json())) == (500, {"message", "code"})
    answered = client.post("/v1/vision/face/list")
    assert (answered.status_code, answered.json()["success"]) == (500, False)


def test_a_gallery_that_breaks_is_no_fault_of_the_request(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)))
        (tmp_path / "gallery.db").write_bytes(b"no gallery" * 1000)
        facts = problem(client.get(f"{API}/people"), 503, "not-ready")
        assert str(tmp_path) not in json.dumps(facts)
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_every_answer_is_for_no_other_page(client: TestClient) -> None:
    for path in ("/healthz", "/nothing", f"{API}/people", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_on_this_machine_any_key_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of CompreFace must send one, whether there are keys or not; none is counted as a try."""
    from enroll.serve.keys import KeyFile

    quick(monkeypatch)
    with client_of(tmp_path) as client:
        for made in range(2):
            for number in range(30):
                headers = {"X-API-Key": f"{number:08x}-{made}000-4000-8000-000000000000"}
                assert client.get(f"{API}/people", headers=headers).status_code == 200
            KeyFile(tmp_path / "gallery.db.keys.json").new("identify")


def test_buckets_fill_evenly() -> None:
    now = [0.0]
    buckets = Buckets(60, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(60)] == [0.0] * 60
    assert buckets.take("a") == pytest.approx(1)
    assert buckets.take("b") == 0
    now[0] = 0.5
    assert buckets.wait("a") == pytest.approx(0.5)
    now[0] = 10
    assert [buckets.take("a") for _ in range(10)] == [0.0] * 10
    assert buckets.take("a") > 0
    buckets.give("a")
    assert buckets.take("a") == 0
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._held) <= 10_000
