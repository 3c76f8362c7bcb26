"""The command and what listens: beginning, ending, several processes, changes of others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from enroll import cli
from enroll.gallery.gallery import Gallery
from tests.conftest import ToyExtractor
from tests.enroll.serve.conftest import parts, picture
from tests.enroll.serve.live import listening

API = "/api/v1"
CLIENT = httpx.Client(timeout=60, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
WAIT = 120.0

posix = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise on Windows")


class Slow(ToyExtractor):
    """Takes its time, once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go, self.waits = threading.Event(), threading.Event(), False

    def embed(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if self.waits:
            self.begun.set()
            self.go.wait(WAIT)
        return super().embed(images)


@contextmanager
def command(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `embed serve` with a model of the test's own; gives the process and the address it says."""
    words = [
        sys.executable,
        "-m",
        "enroll.cli",
        "serve",
        "--gallery",
        str(folder / "gallery.db"),
        "--port",
        "0",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, (line, (folder / "log").read_text())
        address = found[0].rstrip("/")
        end = time.monotonic() + WAIT
        while time.monotonic() < end and process.poll() is None:
            try:
                if CLIENT.get(f"{address}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                threading.Event().wait(0.05)
        yield process, address
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@posix
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_ends_the_command(model: Path, tmp_path: Path, workers: int) -> None:
    with command(tmp_path, "--model", str(model), "--workers", str(workers)) as (process, address):
        answered = CLIENT.post(f"{address}{API}/people/Ada/photos", files=parts(picture(0, 0)))
        assert answered.status_code == 201, answered.text
        seen = {CLIENT.get(f"{address}{API}/people").json()["total"] for _ in range(6)}  # by each process
        assert seen == {1}
        figures = CLIENT.get(f"{address}/metrics").text
        assert 'embed_http_requests_total{method="POST"' in figures
        document = CLIENT.get(f"{address}/openapi.json").json()  # its models were imported unbuilt
        assert document["paths"][f"{API}/identify"]["post"]["requestBody"]["content"].keys() >= {"image/*"}
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT) in (0, 130)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert '"route": "/api/v1/people"' in log
    assert "Ada" not in log
    assert address not in log


@posix
@pytest.mark.slow
def test_a_job_is_followed_through_any_process(model: Path, tmp_path: Path) -> None:
    with command(tmp_path, "--model", str(model), "--workers", "2") as (_, address):
        files = parts(picture(0, 0), picture(0, 1))
        assert CLIENT.post(f"{address}{API}/people/Ada/photos", files=files).status_code == 201
        place = CLIENT.post(f"{address}{API}/doctor").headers["location"]
        assert {CLIENT.get(f"{address}{place}").status_code for _ in range(8)} == {200}
        assert CLIENT.get(f"{address}{place}/events").text.count("event: job") >= 1


def test_requests_in_flight_are_answered_when_the_server_ends(tmp_path: Path) -> None:
    slow = Slow()
    with ThreadPoolExecutor(1) as pool, listening(tmp_path, slow) as live:
        slow.waits = True
        answer = pool.submit(CLIENT.post, f"{live.address}{API}/identify", files=parts(picture(0, 0)))
        assert slow.begun.wait(WAIT)
        live.server.handle_exit(signal.SIGINT, None)
        threading.Event().wait(0.5)
        assert not answer.done()
        slow.go.set()
        assert answer.result(WAIT).status_code == 200


def test_what_is_followed_by_events_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with listening(tmp_path) as live:
        hold = threading.Event()
        jobs = live.app.state.services.jobs
        job = jobs.start("doctor", lambda progress: hold.wait(WAIT))
        with CLIENT.stream("GET", f"{live.address}{API}/jobs/{job.id}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: job"
            begun = time.monotonic()
            live.server.handle_exit(signal.SIGINT, None)
            list(lines)
            assert time.monotonic() - begun < 10
            hold.set()


def test_what_another_process_changes_is_seen_within_a_second(tmp_path: Path) -> None:
    """Another connection to the gallery, as another process has."""
    with listening(tmp_path) as live:

        def named() -> Any:
            answered = CLIENT.post(f"{live.address}{API}/identify", files=parts(picture(3, 2)))
            return answered.json()["answers"][0]["faces"][0]["identity"]

        assert named() is None
        (tmp_path / "1.png").write_bytes(picture(3, 0))
        with Gallery.open(tmp_path / "gallery.db", ToyExtractor()) as other:
            other.enroll("Eve", [tmp_path / "1.png"])
            begun = time.monotonic()
            assert named() == "Eve"
            assert time.monotonic() - begun < 1 + 5  # at the first request; what is over is the machine's
            other._store.rename("Eve", "Ada")
            assert named() == "Ada"
            other._store.remove("Ada")
            assert named() is None


def test_too_many_that_wait_are_refused(tmp_path: Path) -> None:
    slow = Slow()
    with ThreadPoolExecutor(8) as pool, listening(tmp_path, slow, threads=1, waiting=2) as live:
        slow.waits = True

        def ask() -> httpx.Response:
            return CLIENT.post(f"{live.address}{API}/identify", files=parts(picture(0, 0)))

        asked = [pool.submit(ask) for _ in range(3)]
        assert slow.begun.wait(WAIT)
        end = time.monotonic() + WAIT
        while live.app.state.services.engine._waiting < 3 and time.monotonic() < end:
            threading.Event().wait(0.01)
        refused = ask()
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/busy")
        assert int(refused.headers["retry-after"]) >= 1
        slow.go.set()
        assert [one.result(WAIT).status_code for one in asked] == [200, 200, 200]


def test_a_request_that_takes_too_long(tmp_path: Path) -> None:
    slow = Slow()
    with listening(tmp_path, slow, answer_seconds=0.2) as live:
        slow.waits = True
        answered = CLIENT.post(f"{live.address}{API}/identify", files=parts(picture(0, 0)))
        assert (answered.status_code, answered.json()["type"]) == (503, "/problems/too-slow")
        slow.go.set()


def test_an_origin_that_is_allowed(tmp_path: Path) -> None:
    origin = "https://photos.lan"
    with listening(tmp_path, origins=(origin,)) as live:
        leave = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
        answered = CLIENT.options(f"{live.address}{API}/people", headers=leave)
        assert answered.status_code == 204
        assert answered.headers["access-control-allow-origin"] == origin
        answered = CLIENT.get(f"{live.address}{API}/people", headers={"Origin": origin})
        assert (answered.status_code, answered.headers["access-control-allow-origin"]) == (200, origin)
        assert answered.headers["access-control-allow-origin"] != "*"
        own = CLIENT.get(f"{live.address}{API}/people", headers={"Origin": live.address})
        assert own.status_code == 200


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs `embed serve` with words, in this process."""

    def command_line(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["embed", "serve", *words])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return command_line


def test_an_address_of_other_machines_needs_a_key(tmp_path: Path, run: Callable[..., Ended]) -> None:
    gallery = ["--gallery", str(tmp_path / "gallery.db")]
    done = run("--host", "0.0.0.0", "--port", "0", *gallery)
    assert done.returncode == 2
    assert "embed serve keys new" in done.stderr
    assert not (tmp_path / "gallery.db").exists()
    made = run("keys", "new", "--scope", "identify", "--label", "door", *gallery)
    key = made.stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", key)
    listed = run("keys", "list", *gallery).stdout
    assert re.fullmatch(rf"{key[:8]}  identify    \d{{4}}-\d\d-\d\d  door\n", listed)
    assert run("keys", "revoke", key, *gallery).stdout == f"revoked {key[:8]}\n"
    assert run("keys", "list", *gallery).stdout == ""


def test_what_is_given_wrongly_ends_the_command(tmp_path: Path, run: Callable[..., Ended]) -> None:
    gallery = ["--gallery", str(tmp_path / "gallery.db")]
    with listening(tmp_path) as live:
        taken = run("--port", str(live.port), *gallery)
    assert (taken.returncode, "cannot be taken" in taken.stderr) == (2, True)
    for words, said in (
        (["--host", "192.0.2.1"], "key"),
        (["--folder", str(tmp_path / "none")], "expected a folder"),
        (["--origin", "*"], "expected an origin"),
        (["--dialects", "french"], "compreface, deepstack"),
        (["--workers", "0"], "workers"),
    ):
        done = run(*words, *gallery)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
