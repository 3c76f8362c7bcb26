from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from enroll.serve.jobs import JobCancelledError, Jobs
from enroll.serve.problems import ProblemError
from enroll.serve.schemas import JobSchema
from enroll.store import open_store
from tests.conftest import ToyExtractor, save_people
from tests.enroll.serve.conftest import client_of, parts, picture
from tests.enroll.serve.test_api import API, problem

SOON = 60.0  # seconds


def over(client: TestClient, answered: Any) -> dict[str, Any]:
    """Follow a job to its end by its events."""
    assert answered.status_code == 202, answered.text
    place = answered.headers["location"]
    JobSchema.model_validate(answered.json())
    last = ""
    with client.stream("GET", f"{place}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                last = line.removeprefix("data: ")
    job: dict[str, Any] = json.loads(last)
    assert client.get(place).json() == job
    return job


@pytest.mark.parametrize("takes_long", [False, True])
def test_calibration(enrolled: TestClient, takes_long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if takes_long:  # as in a large gallery, whose threshold is not read again for some time
        monkeypatch.setattr("enroll.identify._LONG", 0.0)
        monkeypatch.setattr("enroll.identify._PAUSE", 1e9)
    before = enrolled.get(f"{API}/calibration").json()
    assert (before["calibrated"], before["facts"]["source"]) == (False, "model")
    assert "in a gallery of 6 people" in before["sentence"]
    job = over(enrolled, enrolled.post(f"{API}/calibration", json={"fpir": 0.02}))
    assert job["state"] == "done", job
    after = enrolled.get(f"{API}/calibration").json()
    assert (after["calibrated"], after["facts"]["target_fpir"]) == (True, 0.02)
    assert after["threshold"] == job["result"]["threshold"]
    answered = enrolled.post(f"{API}/identify", files=parts(picture(0, 2))).json()
    assert answered["threshold"] == after["threshold"]
    for wrong in ({"fpir": 0}, {"fpir": 1}, {"fpir": "x"}, {"other": 1}, [1]):
        problem(enrolled.post(f"{API}/calibration", json=wrong), 400, "bad-request")


def test_a_job_that_fails_says_why(client: TestClient) -> None:
    job = over(client, client.post(f"{API}/calibration"))
    assert job["state"] == "failed"
    assert job["problem"]["status"] == 400
    assert job["problem"]["detail"] == "no one is enrolled; nothing to calibrate"
    assert over(client, client.post(f"{API}/doctor"))["state"] == "failed"
    assert over(client, client.post(f"{API}/evaluation"))["state"] == "failed"


def test_evaluation(enrolled: TestClient) -> None:
    problem(enrolled.get(f"{API}/evaluation"), 404, "not-found")
    job = over(enrolled, enrolled.post(f"{API}/evaluation", json={"splits": 3, "seed": 5}))
    assert job["result"]["protocol"]["splits"] == 3
    assert job["result"]["counts"]["people"] == 6
    assert job["result"]["figures"]["rank-1"]["value"] == 1
    assert enrolled.get(f"{API}/evaluation").json() == job


def test_the_doctor_says_which_request_fixes_what_it_finds(enrolled: TestClient) -> None:
    for identity in (0, 2, 3, 4, 5):
        files = parts(*(picture(identity, photo) for photo in range(2, 6)))
        enrolled.post(f"{API}/people/p{identity:02d}/photos", files=files)
    enrolled.post(f"{API}/people/p00/photos", files=parts(picture(1, 5)))  # of p01
    enrolled.post(f"{API}/people/twice/photos", files=parts(*(picture(2, photo) for photo in range(6, 10))))
    found = over(enrolled, enrolled.post(f"{API}/doctor"))["result"]
    (wrong,) = [entry for entry in found["wrong_photos"] if entry["person"] == "p00"]
    assert wrong["like"] == "p01"
    assert enrolled.get(wrong["crop"]).status_code == 200
    assert enrolled.request(wrong["fix"]["method"], wrong["fix"]["href"]).json() == {"removed": 1}
    (twice,) = found["same_person"]
    assert set(twice["names"]) == {"p02", "twice"}
    fixed = enrolled.request(twice["fix"]["method"], twice["fix"]["href"], json=twice["fix"]["body"])
    assert fixed.status_code == 200
    found = over(enrolled, enrolled.post(f"{API}/doctor", json={"photos": True}))["result"]
    assert (found["wrong_photos"], found["same_person"], found["files_gone"]) == ([], [], 0)
    assert "command" not in json.dumps(found["poor_photos"])
    assert found["lines"]


def test_enroll_many_people_by_uploads(client: TestClient) -> None:
    files = [
        ("photos", (f"holiday/p{identity}/{photo}.png", picture(identity, photo), "image/png"))
        for identity in range(3)
        for photo in range(2)
    ]
    files.append(("photos", ("p0/notes.txt", b"text", "text/plain")))
    job = over(client, client.post(f"{API}/jobs/enroll", files=files))
    assert (job["done"], job["total"], job["result"]["added"]) == (7, 7, 6)
    assert {person["name"]: person["added"] for person in job["result"]["people"]} == {
        "p0": 2,
        "p1": 2,
        "p2": 2,
    }
    assert job["result"]["people"][0]["rejected"][0]["photo"] == "notes.txt"
    assert client.get(f"{API}/people").json()["total"] == 3
    problem(client.post(f"{API}/jobs/enroll", files=parts(picture(0, 0))), 400, "bad-request")
    job = over(client, client.post(f"{API}/jobs/enroll", files=[("x", ("\x1b[2J/1.png", b"x", "image/png"))]))
    assert "cannot be shown" in job["result"]["people"][0]["rejected"][0]["reason"]


def test_only_folders_that_the_operator_named_are_enrolled(tmp_path: Path) -> None:
    people = save_people(tmp_path / "people", 3, 2)
    save_people(tmp_path / "other", 1, 1)
    with client_of(tmp_path, folders=(str(people),)) as client:
        assert client.get(f"{API}/gallery").json()["folders"] == ["people"]
        for wrong in ("other", "../other", str(people), "", "."):
            answered = client.post(f"{API}/jobs/enroll-folder", json={"folder": wrong})
            assert "'people'" in problem(answered, 404, "not-found")["detail"]
        job = over(client, client.post(f"{API}/jobs/enroll-folder", json={"folder": "people"}))
        assert job["result"]["added"] == 6
        assert client.get(f"{API}/people").json()["total"] == 3
        crops = client.get(f"{API}/people/p00/photos").json()["photos"]
        assert client.get(crops[0]["crop"]).status_code == 200
        client.delete(f"{API}/people/p00")
    assert len(list((people / "p00").iterdir())) == 2  # the operator's own files stay


def test_a_gallery_of_another_model_is_made_again(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0), picture(0, 1)))
    with client_of(tmp_path, extractor=ToyExtractor("other")) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["reason"]) == (503, "the gallery was made with another model")
        facts = problem(client.post(f"{API}/identify", files=parts(picture(0, 2))), 503, "foreign-model")
        assert "re-embed" in facts["advice"]
        problem(client.post(f"{API}/people/Eve/photos", files=parts(picture(1, 2))), 503, "foreign-model")
        assert client.get(f"{API}/people").json()["total"] == 1
        job = over(client, client.post(f"{API}/jobs/re-embed"))
        assert job["result"] == {"photos": 2, "lost": [], "gone": []}
        assert client.get("/readyz").status_code == 200
        face = client.post(f"{API}/identify", files=parts(picture(0, 2))).json()["answers"][0]["faces"][0]
        assert face["identity"] == "Ada"


def test_re_embedding_loses_no_one_silently(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)))
        client.post(f"{API}/people/Eve/photos", files=parts(picture(1, 0)))
        (photo,) = client.get(f"{API}/people/Eve/photos").json()["photos"]
        (tmp_path / photo["photo"]).unlink()
        job = over(client, client.post(f"{API}/jobs/re-embed"))
        assert job["state"] == "failed"
        assert "no photo would be left of Eve" in job["problem"]["detail"]
        job = over(client, client.post(f"{API}/jobs/re-embed", json={"force": True}))
        assert job["result"]["gone"] == ["Eve"]
        assert client.get(f"{API}/people").json()["total"] == 1


def test_the_journal_says_which_key_did_what(client: TestClient, tmp_path: Path) -> None:
    from enroll.serve.keys import KeyFile

    key = KeyFile(tmp_path / "gallery.db.keys.json").new("administer")
    headers = {"X-API-Key": key}
    client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 0)))
    client.post(f"{API}/people/Ada/photos", files=parts(picture(0, 1)), headers=headers)
    client.delete(f"{API}/people/Ada", headers=headers)
    with open_store(tmp_path / "gallery.db") as store:
        said = [(event.action, event.count) for event in store.events()]
    assert said == [
        ("enroll by this machine", 1),
        (f"enroll by key {key[:8]}", 1),
        (f"remove by key {key[:8]}", 2),
    ]
    journal = client.get(f"{API}/gallery").json()["journal"]
    assert [entry["action"] for entry in journal] == [action for action, _ in said]
    assert "Ada" not in json.dumps(journal)


def test_what_is_told_of_model_and_gallery(enrolled: TestClient) -> None:
    model = enrolled.get(f"{API}/model").json()
    assert (model["trunk"], model["dim"], model["crop"]) == ("toy", 48, "whole")
    gallery = enrolled.get(f"{API}/gallery").json()
    assert (gallery["people"], gallery["photos"], gallery["encrypted"]) == (6, 12, False)


def _held(jobs: Jobs) -> tuple[Any, threading.Event]:
    """Start a job that makes steps until it is let go."""
    go = threading.Event()

    def work(progress: Any) -> str:
        with progress.bar("Waiting", 1000) as advance:
            end = time.monotonic() + SOON
            while not go.wait(0.01) and time.monotonic() < end:
                advance()
        return "went"

    return jobs.start("doctor", work), go


def _until(job: Any, state: str) -> None:
    end = time.monotonic() + SOON
    while job.state != state and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert job.state == state


def test_jobs_wait_for_each_other_and_can_be_cancelled() -> None:
    jobs = Jobs("")
    first, go = _held(jobs)
    second, _ = _held(jobs)
    _until(first, "running")
    assert (second.state, [job.id for job in jobs.all()]) == ("waiting", [second.id, first.id])
    jobs.cancel(second.id)
    go.set()
    _until(first, "done")
    _until(second, "cancelled")
    assert first.result == "went"
    assert jobs.cancel(first.id).state == "done"
    with pytest.raises(ProblemError, match="no job"):
        jobs.get("nothing")
    jobs.close()


def test_a_job_that_gives_what_no_file_holds_fails_and_the_next_one_runs(tmp_path: Path) -> None:
    jobs, other = Jobs("", tmp_path), Jobs("", tmp_path)
    odd = jobs.start("enroll", lambda _: {"vector": object()})
    good = jobs.start("enroll", lambda _: {"a": 1})
    _until(good, "done")
    assert good.result == {"a": 1}
    assert [odd.state, other.get(odd.id).state] == ["failed", "failed"]
    assert odd.result is None and odd.problem is not None
    jobs.close()


def test_too_many_jobs_are_refused_and_old_ones_forgotten() -> None:
    jobs = Jobs("")
    _, go = _held(jobs)
    with pytest.raises(ProblemError, match="jobs wait already"):
        for _ in range(20):
            jobs.start("doctor", lambda progress: 1)
    go.set()
    for job in jobs.all():
        _until(job, "done")
    for _ in range(100):
        job = jobs.start("doctor", lambda progress: 1)
        _until(job, "done")
    assert len(jobs.all()) <= 51
    jobs.close()


def test_a_server_that_ends_ends_its_jobs() -> None:
    jobs = Jobs("")
    job, _ = _held(jobs)
    _until(job, "running")
    jobs.close()
    assert job.state == "cancelled"


def test_processes_see_each_others_jobs(tmp_path: Path) -> None:
    jobs, other = Jobs("", tmp_path), Jobs("", tmp_path)
    job, _ = _held(jobs)
    _until(job, "running")
    end = time.monotonic() + SOON
    while (seen := other.get(job.id)).done == 0 and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert (seen.id, seen.kind, seen.state) == (job.id, "doctor", "running")
    assert [one.id for one in other.all()] == [job.id]
    other.cancel(job.id)
    _until(job, "cancelled")
    for wrong in ("../../etc/passwd", "0" * 16, "x"):
        with pytest.raises(ProblemError):
            other.get(wrong)
    jobs.close()
    other.close()


def test_a_cancelled_job_is_no_error_of_ours() -> None:
    assert not issubclass(JobCancelledError, Exception)
