"""One rule for every file that is written: see `embedder.outputs`."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from embedder._internal.outputs import Inputs, check_output, is_side_file, write_output
from embedder.errors import UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: photos of two people, and a photo beside them."""
    for path in ("people/ada/1.png", "people/Zoë K/1.png", "other.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def symbolic(here: Path) -> str:
    Path("link.png").symlink_to("people/ada/1.png")
    return "link.png"


def hard(here: Path) -> str:
    os.link("people/ada/1.png", "same.png")
    return "same.png"


def through_a_folder(here: Path) -> str:
    Path("linked").symlink_to("people", target_is_directory=True)
    return "linked/ada/1.png"


def linked_in(here: Path) -> str:
    """The file that a link in the folder leads to is an input, too."""
    Path("people/ada/2.png").symlink_to(here / "other.png")
    return "other.png"


SPELLINGS: dict[str, Callable[[Path], str]] = {
    "as it is": lambda here: "people/ada/1.png",
    "absolute": lambda here: str(here / "people" / "ada" / "1.png"),
    "around": lambda here: "people/../people/Zoë K/../ada/1.png",
    "symbolic link": symbolic,
    "hard link": hard,
    "folder that is linked": through_a_folder,
    "link in the folder": linked_in,
}


@pytest.mark.parametrize("given", ["people", "people/ada/1.png", "people/ada"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_an_input_is_never_replaced(here: Path, name: str, given: str) -> None:
    path = SPELLINGS[name](here)
    given = "people/ada/2.png" if name == "link in the folder" and given.endswith("1.png") else given
    before = contents(here)
    for force in (False, True):
        with pytest.raises(UsageError, match="is an input of this command; name another file"):
            write_output(path, b"new", Inputs([given]), force)
    assert contents(here) == before


def test_case_alone_makes_no_other_file_where_it_makes_none(here: Path) -> None:
    inputs = Inputs(galleries=["new.db"])  # not there yet
    for name in ("new.db", "NEW.DB", "new.db.keys", "New.db-WAL", "new.db.index", "people/../new.db"):
        with pytest.raises(UsageError, match="is an input"):
            check_output(name, inputs, force=True)
    check_output("new.db2", inputs)
    check_output("people/new.db", inputs)


def test_a_file_that_exists_needs_force(here: Path) -> None:
    with pytest.raises(UsageError, match=r"other\.png: is already there; name another file, or --force"):
        write_output("other.png", b"new")
    assert Path("other.png").read_bytes() == b"other.png"
    write_output("other.png", b"new", Inputs(["people"]), force=True)
    assert Path("other.png").read_bytes() == b"new"
    write_output("people/new.png", b"new", Inputs(["people"]))
    assert Path("people/new.png").read_bytes() == b"new"


def test_a_link_to_nowhere_is_there(here: Path) -> None:
    Path("link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="already there"):
        write_output("link", b"new")
    assert not Path("nowhere").exists()


def test_a_link_in_a_circle_is_there(here: Path) -> None:
    Path("circle.png").symlink_to("circle.png")
    with pytest.raises(UsageError, match="already there"):
        check_output("circle.png", Inputs([here / "people"]))
    with pytest.raises(UsageError, match="cannot be written: Too many levels"):
        write_output("circle.png", b"new", Inputs([here / "people"]), force=True)


def test_force_replaces_a_link_and_not_what_it_leads_to(here: Path) -> None:
    Path("link").symlink_to("other.png")
    write_output("link", b"new", force=True)
    assert (Path("link").read_bytes(), Path("other.png").read_bytes()) == (b"new", b"other.png")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_stays(here: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Someone is faster, after the check."""
    link = os.link

    def late(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"theirs")
        if not links:
            raise PermissionError("a file system without hard links")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    before = names(here)
    with pytest.raises(UsageError, match=r"new\.png: is already there"):
        write_output("new.png", b"ours")
    assert Path("new.png").read_bytes() == b"theirs"
    assert names(here) == before | {"new.png"}


def test_without_hard_links_a_new_file_is_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("a file system without hard links")

    monkeypatch.setattr(os, "link", refused)
    before = names(here)
    write_output("new.png", b"ours")
    assert Path("new.png").read_bytes() == b"ours"
    assert names(here) == before | {"new.png"}


def database(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE a (b)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("side", ["", "-wal", "-shm", "-journal", ".keys", ".keys-journal", ".index"])
@pytest.mark.parametrize("there", [True, False])
def test_a_gallery_and_its_side_files_are_never_replaced(here: Path, side: str, there: bool) -> None:
    database("g.db")
    Path("link.db").symlink_to("g.db")
    if there and side:
        Path(f"g.db{side}").write_bytes(b"some")
    before = contents(here)
    for name in (f"g.db{side}", f"people/../g.db{side}", f"link.db{side}"):
        with pytest.raises(UsageError, match="is a gallery or one of its files"):
            write_output(name, b"new", force=True)
    assert contents(here) == before


def test_a_name_like_that_of_a_side_file_is_free(here: Path) -> None:
    assert not is_side_file(Path("report-wal"))
    assert not is_side_file(Path("other.png.index"))  # no database
    assert not is_side_file(Path(".keys"))
    write_output("other.png.index", b"new")


def test_a_key_is_never_replaced(here: Path) -> None:
    key = base64.b64encode(bytes(range(32))) + b"\n"
    Path("key").write_bytes(key)
    with pytest.raises(UsageError, match="is the key of a gallery; one that is replaced is lost"):
        write_output("key", b"new", force=True)
    assert Path("key").read_bytes() == key
    Path("short").write_bytes(key[4:])
    write_output("short", b"new", force=True)


@pytest.mark.parametrize(
    "name", ["manifest.json", "extractor-0123456789abcdef.tflite", "weights-1.safetensors"]
)
def test_a_part_of_a_model_is_never_replaced(here: Path, name: str) -> None:
    Path("model").mkdir()
    Path("model/manifest.json").write_text("{}")
    Path("model", name).write_text("{}")
    with pytest.raises(UsageError, match="is a part of the model"):
        write_output(f"model/{name}", b"new", force=True)
    write_output("model/report.html", b"new")
    write_output("model/report.html", b"newer", force=True)


@pytest.mark.skipif(os.name == "nt", reason="no pipes with names on Windows")
def test_no_pipe_is_waited_for_and_none_replaced(here: Path) -> None:
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="expected a file, got a pipe or a device"):
        write_output("pipe", b"new", force=True)
    with pytest.raises(UsageError, match="expected a file, got a folder"):
        write_output("people", b"new", force=True)


def test_a_place_that_no_file_can_have(here: Path) -> None:
    Path("circle").symlink_to("circle")
    Path("round").mkdir()
    Path("round/again").symlink_to(here / "round", target_is_directory=True)
    for name in ("no/folder", "a" * 300, "other.png/below", "circle/below", "zero\0"):
        with pytest.raises(UsageError, match="cannot be written"):
            write_output(name, b"new", Inputs(["round"]), force=True)
    write_output("other.png", b"new", Inputs(["round", "circle", "nowhere"]), force=True)
