"""`embed watch-frigate` as a user runs it, with a real broker and a stand-in for Frigate."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import pattern
from tests.enroll.cli.test_cli import main, run
from tests.enroll.watch.stands import MOSQUITTO, FrigateStand, Listener, event, mosquitto, wait_for
from tests.ports import free_port

pytest.importorskip("paho.mqtt")


@pytest.fixture
def there(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, and ada and bob enrolled."""
    shutil.copytree(model, tmp_path / "embed-model")
    for number, name in ((100, "ada"), (101, "bob")):
        for photo in range(2):
            path = tmp_path / "people" / name / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pattern(number, photo, 48)).save(path)
    monkeypatch.chdir(tmp_path)
    run("enroll", "people")
    return tmp_path


def pictures(count: int) -> list[bytes]:
    found = []
    for photo in range(10, 10 + count):
        buffer = BytesIO()
        Image.fromarray(pattern(100, photo, 48)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


@pytest.mark.skipif(MOSQUITTO is None, reason="the program mosquitto is not installed")
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("stop", "code", "as_json"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 0, False)]
)
def test_people_are_named_until_it_is_stopped(there: Path, stop: signal.Signals, code: int, as_json: bool):
    port = free_port()
    (there / "token").write_text("t0ken\n")
    with mosquitto(there / "broker", port), Listener(port) as listener, FrigateStand() as frigate:
        frigate.pictures["1-a"] = pictures(3)
        words = [frigate.address, "--broker", f"127.0.0.1:{port}", "--user", "keeper", "--every", "0.05"]
        words += ["--threshold", "0.2", "--token-file", "token", *(["--json"] if as_json else [])]
        process = subprocess.Popen(
            [sys.executable, "-m", "enroll.cli", "watch-frigate", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "EMBED_MQTT_PASSWORD": "s3cret"},
        )
        try:
            assert process.stdout is not None
            wait_for(lambda: listener.last("embed/status") == "online" or process.poll() is not None, 60)
            listener.publish("frigate/events", event("new", "1-a"))
            line = process.stdout.readline()
            process.send_signal(stop)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == code, err
        wait_for(lambda: listener.last("embed/status") == "offline")
        assert [label["subLabel"] for label in frigate.labels["1-a"]] == ["ada"]
    if as_json:
        assert json.loads(line)["identity"] == "ada" and json.loads(line)["agreed"] == 2
    else:
        assert " door: ada (distance 0." in line
        assert line.endswith("; 2 of 2 good snapshots agree; event 1-a\n")
    assert "Threshold 0.200, as given" in err and "Traceback" not in err
    assert frigate.headers[0]["Authorization"] == "Bearer t0ken"
    assert not [secret for secret in ("s3cret", "t0ken") if secret in line + err]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://u:s3cret@h"], "FRIGATE: expected no user and password in the address"),
        (["frigate"], "FRIGATE: expected an address such as http://127.0.0.1:5000"),
        (["http://h", "--broker", "u:s3cret@h"], "--broker: expected no user and password in it"),
        (["http://h", "--broker", "h:x"], "--broker: expected HOST, HOST:PORT"),
        (
            ["http://h", "--password-file", "missing"],
            "--password-file: missing: expected a file with one line",
        ),
        (["http://h", "--password-file", "two"], "--password-file: two: expected a file with one line"),
        (["http://h", "--password-file", "one"], "--user: expected the user that the password is of"),
        (["http://h", "--topic", "frigate/#"], "--topic: expected a topic without + and #, got 'frigate/#'"),
        (["http://h", "--publish", ""], "--publish: expected a topic"),
        (["http://h", "--publish", "/a"], "--publish: expected a topic"),
        (["http://h", "--tls", "--ca", "one"], "one: expected certificates and keys in PEM"),
        (["http://h", "--threshold", "3"], "--threshold: expected a distance"),
        (["http://h", "--agree", "0"], "--agree"),
    ],
)
def test_what_cannot_be_done_is_said(there: Path, arguments: list[str], message: str):
    (there / "one").write_text("s3cret\n")
    (there / "two").write_text("s3cret\nand more\n")
    _, err = main("watch-frigate", *arguments, code=2)
    assert message in " ".join(err.split()) and "s3cret" not in err and "Traceback" not in err


def test_paho_is_named_if_it_is_missing(there: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("enroll.watch.broker.find_spec", lambda name: None)
    _, err = main("watch-frigate", "http://h", code=2)
    assert err.count("\n") == 1 and "pip install 'embedder-enroll[mqtt]'" in err
