"""`embed identify` with films and cameras, as a user runs it; a model of whole pictures makes it quick."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from embedder import load_image
from scripts.made_films import write_film
from tests.conftest import pattern
from tests.enroll.cli.test_cli import main, run

pytest.importorskip("av")
from tests.enroll.library.rtsp import RtspCamera


@pytest.fixture
def there(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, ada and bob enrolled, and a film of first one and then the other."""
    shutil.copytree(model, tmp_path / "embed-model")
    for number, name in ((100, "ada"), (101, "bob")):
        for photo in range(2):
            path = tmp_path / "people" / name / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pattern(number, photo, 48)).save(path)
    frames = [(index / 10, pattern(100 if index < 20 else 101, index, 48)) for index in range(40)]
    write_film(tmp_path / "film.avi", frames, codec="mjpeg", qmin="1", qmax="2")
    monkeypatch.chdir(tmp_path)
    run("enroll", "people")
    return tmp_path


@pytest.fixture
def near(there: Path) -> str:
    """A threshold well below the distance between ada and bob."""
    (face,) = json.loads(run("identify", "people/ada/1.png", "--threshold", "0", "--json"))["faces"]
    return str(round(0.6 * face["candidates"][1]["distance"], 3))


def test_photos_and_films_are_answered_in_their_order(there: Path, near: str):
    (there / "text.mp4").write_text("no film")
    photo = "people/ada/0.png"
    out, err = main("identify", photo, "film.avi", "text.mp4", photo, "--threshold", near, code=3)
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines] == [photo, "film.avi", "film.avi", "text.mp4", photo]
    assert lines[1].startswith("film.avi: ada (distance 0.")
    assert "; 0:00:00.000-0:00:01.500; 4 of 4 good frames agree; best at " in lines[1]
    assert lines[2].startswith("film.avi: bob (distance 0.") and "0:00:02.000-0:00:03.500" in lines[2]
    assert lines[3].startswith("text.mp4: not read: expected a film")
    assert f"Threshold {float(near):.3f}, as given" in err


def test_json_has_a_line_per_photo_and_film(there: Path, near: str):
    (there / "mixed").mkdir()
    for name in ("film.avi", "people/ada/0.png"):
        shutil.copy(there / name, there / "mixed")
    out = run("identify", "mixed", "--threshold", near, "--json")
    photo, film = map(json.loads, out.splitlines())
    assert (photo["photo"], len(photo["faces"])) == ("mixed/0.png", 1)
    assert (film["film"], film["error"], film["looked_at"]) == ("mixed/film.avi", None, 8)
    assert [person["identity"] for person in film["people"]] == ["ada", "bob"]


def test_options_of_films(there: Path, near: str):
    few = json.loads(run("identify", "film.avi", "--json", "--fps", "1", "--threshold", near))
    assert few["looked_at"] == 4
    short = json.loads(run("identify", "film.avi", "--json", "--max-duration", "1", "--threshold", near))
    assert [person["identity"] for person in short["people"]] == ["ada"]
    assert short["notes"] == ["not read to its end: only the first 1 seconds are looked at"]
    _, err = main("identify", "film.avi", "--max-duration", "1", "--threshold", near)
    assert "film.avi: not read to its end: only the first 1 seconds are looked at" in err
    strict = run("identify", "film.avi", "--agree", "5", "--threshold", near, "--fail-on-unknown", code=5)
    assert strict.count("unknown (nearest ada at 0.") == 1 and "too few frames agree" in strict
    _, err = main("identify", "film.avi", "--fps", "0", code=2)
    assert "fps" in err and "0.01" in err


def test_annotate_writes_a_sheet(there: Path, near: str):
    run("identify", "film.avi", "people/ada/0.png", "--annotate", "out", "--threshold", near)
    written = sorted(path.name.rpartition("-")[0] for path in (there / "out").iterdir())
    assert written == ["0", "film"]
    (sheet,) = (there / "out").glob("film-*.png")
    assert load_image(sheet).shape[1] > 1000
    _, err = main("identify", "film.avi", "--annotate", "out", code=2)
    assert "already there" in err
    run("identify", "film.avi", "--annotate", "out", "--force", "--threshold", near)


def test_explain(there: Path, near: str):
    text = run("identify", "film.avi", "--explain", "--threshold", near)
    assert "  why: the nearest enrolled photo is ada's, at 0." in text
    assert "  frames: seen in 4, 4 of them good; 4 give this answer on their own, 0 another name" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "ftp://u:s3cret@h"], "--camera: expected a number, as 0, or an address"),
        (["--camera", "0", "people/ada/0.png"], "--camera: expected no photos beside it"),
        (["--camera", "0", "--annotate", "out"], "--camera: expected no --annotate beside it"),
        ([], "Missing argument 'photos': give photos, films or folders of them, or --camera"),
    ],
)
def test_what_does_not_go_together(there: Path, arguments: list[str], message: str):
    _, err = main("identify", *arguments, code=2)
    assert message in " ".join(err.split()) and "s3cret" not in err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/video9")
def test_a_camera_that_is_not_there(there: Path):
    _, err = main("identify", "--camera", "9", code=3)
    assert err.startswith("embed: 9: the camera cannot be read: No such file or directory")


def test_a_camera_is_watched_for_a_while(there: Path):
    frames = [pattern(100, index, 48) for index in range(20)]
    with RtspCamera(frames) as rtsp:
        words = (
            "--camera",
            rtsp.address,
            "--max-duration",
            "6",
            "--threshold",
            "0.6",
            "--fps",
            "5",
            "--json",
        )
        out, err = main("identify", *words)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["seen", "left"]
    assert {event["person"]["identity"] for event in events} == {"ada"}
    assert list(events[0]) == ["event", "camera", "moment", "person"]
    assert events[1]["person"]["agreed"] >= 2
    assert "s3cret" not in out + err and "t0ken" not in out + err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_says_who_is_in_sight_and_ends_the_command(there: Path, near: str):
    frames = [pattern(100, index, 48) for index in range(20)]
    with RtspCamera(frames) as rtsp:
        process = subprocess.Popen(
            [sys.executable, "-m", "enroll.cli", "identify", "--camera", rtsp.address, "--threshold", near],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        seen = process.stdout.readline()  # comes as soon as two frames agree
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert ": seen: ada (distance 0." in seen and ": left: ada (distance 0." in out
    assert "Traceback" not in err and "s3cret" not in seen + out + err


def test_photos_load_nothing_of_films(there: Path, near: str):
    """Neither PyAV nor what follows people; a film does."""
    code = (
        "import sys, atexit\nfrom enroll.cli import app\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\napp(sys.argv[1:])"
    )
    loaded = {}
    for name in ("people/ada/0.png", "film.avi"):
        command = [sys.executable, "-c", code, "identify", name, "--threshold", near]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded[name] = set(done.stderr.splitlines()[-1].split())
    films = {"av", "enroll.library.video", "enroll.library.tracks", "enroll.report.film"}
    assert not films & loaded["people/ada/0.png"]
    assert films <= loaded["film.avi"]
