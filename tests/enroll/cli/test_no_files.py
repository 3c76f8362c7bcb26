"""Pipes, sockets and devices in the place of every file that a command reads: refused at once."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedder
import enroll
from embedder._internal.files import check_file, open_file, read_file
from tests.conftest import save_people
from tests.enroll.cli.test_cli import main

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and sockets of POSIX")

SECONDS = 20  # a command that waits for a pipe would wait for ever
PLACES = {
    "a pair list": (["evaluate", "people", "--pairs", "THING"], 2),
    "a configuration": (["train", "people", "--config", "THING"], 2),
    "a gallery": (["gallery", "list", "--gallery", "THING"], 4),
    "a new gallery": (["enroll", "people", "--gallery", "THING"], 4),
    "a gallery to merge": (["gallery", "merge", "THING"], 4),
    "a key": (["--key", "THING", "gallery", "list"], 2),
    "an export": (["gallery", "import", "THING", "--gallery", "new.db"], 2),
    "a photo": (["identify", "THING"], 3),
    "a photo of a person": (["enroll", "--name", "ada", "THING"], 3),
    "a photo in a folder": (["enroll", "thing"], 2),
    "a manifest": (["info", "--model", "model"], 4),
    "weights": (["train", "people", "--trunk", "imagenet:VGG16", "--trunk-weights", "THING"], 2),
    "a loss": (["train", "people", "--loss", "THING:f"], 2),
    "a page": (["evaluate", "people", "--report", "THING"], 2),
    "a page of training": (["info", "--report", "THING"], 2),
    "a page of groups": (["library", "groups", "--report", "THING"], 2),
    "a preview": (["enroll", "people", "--preview", "thing.png"], 2),
    "a written export": (["gallery", "export", "THING", "--force"], 2),
}


@pytest.fixture(scope="module")
def there(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and people."""
    folder = tmp_path_factory.mktemp("things")
    shutil.copytree(model, folder / "embed-model")
    save_people(folder / "people", 4, 3)
    return folder


@pytest.fixture(params=["pipe", "socket", "device"])
def thing(request: pytest.FixtureRequest, there: Path) -> Iterator[str]:
    """Something that is no file, also under names that are expected of files."""
    path = there / "THING"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            before = Path.cwd()
            os.chdir(there)  # a socket's whole path has room for 100 letters
            server.bind("THING")
            os.chdir(before)
    else:
        path.symlink_to("/dev/zero")
    links = [there / "thing.png", there / "thing" / "ada" / "1.png", there / "model" / "manifest.json"]
    for link in links:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    yield request.param
    for made in (path, *links):
        made.unlink()


def at_once(*words: str, code: int) -> str:
    def too_long(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        return "".join(main(*words, code=code))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("place", PLACES)
def test_no_file_is_refused(there: Path, thing: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(there)
    if not (there / "gallery.db").exists():
        main("enroll", "people", code=0)
    monkeypatch.setenv("EMBED_GALLERY_KEY_FILE", "")  # --key sets it
    words, code = PLACES[place]
    said = at_once(*words, code=code)
    assert "Traceback" not in said
    assert "THING" in said or "thing" in said or "manifest" in said


@pytest.mark.parametrize("side", ["-journal", "-wal", ".keys", ".index"])
def test_no_file_beside_a_gallery_is_refused(
    there: Path, thing: str, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(there)
    main("enroll", "people", "--gallery", f"{side[1:]}.db", code=0)
    beside = Path(f"{side[1:]}.db{side}")
    beside.symlink_to("THING")
    said = at_once("gallery", "list", "--gallery", f"{side[1:]}.db", code=4)
    assert "it is no file" in said
    beside.unlink()
    Path(f"{side[1:]}.db").unlink()


def test_what_is_no_file(there: Path, thing: str, tmp_path: Path) -> None:
    for read in (check_file, open_file, read_file):
        with pytest.raises(OSError, match="got a device, pipe or socket"):
            read(there / "THING")
        with pytest.raises(OSError, match="got a folder"):
            read(there)
        with pytest.raises(FileNotFoundError):
            read(there / "none")
        with pytest.raises(OSError, match="null"):
            read("a\0b")


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert check_file(tmp_path / "file") == 5
    assert read_file(tmp_path / "file") == read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="at most 4 bytes"):
        read_file(tmp_path / "file", 4)


def test_nothing_else_opens_files() -> None:
    """What a user names is opened by `embedder._internal.files`; packages' own files need not be."""
    own = {
        "crop_store",
        "folders",
        "litert",
        "face_resnet",
        "wheels",
        "files",
        "page",
        "view_cache",
        "worker",
    }
    found = set()
    for package in (embedder, enroll):
        for path in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in ("read_bytes", "read_text"):
                    found.add(path.stem)
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "open"
                    and [entry.value for entry in node.args if isinstance(entry, ast.Constant)] == ["rb"]
                ):
                    found.add(path.stem)
    assert found <= own | {"connection"}  # of a journal, after `is_file`
