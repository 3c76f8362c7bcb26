from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedder._internal import files
from embedder._internal.files import is_other_than_file, make_folder, write_atomic
from embedder.errors import GalleryError
from embedder.folders import scan_folder
from tests.vanishing import delete_once_seen


def test_a_new_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "new.bin", b"abc\0\n\r\n")
    assert (tmp_path / "new.bin").read_bytes() == b"abc\0\n\r\n"
    assert [path.name for path in tmp_path.iterdir()] == ["new.bin"]


@pytest.mark.parametrize("data", [b"", b"new", b"new" * 10**6])
def test_an_old_file_is_replaced(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "Zoë 1.bin"
    path.write_bytes(b"the old content")
    write_atomic(path, data)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="no such modes on Windows")
def test_others_may_read_it(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_name_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic(Path("file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to replace an open file")
def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    with path.open("rb") as reader:
        assert reader.read(3) == b"old"
        write_atomic(path, b"new content")
        assert reader.read() == b" content"
    assert path.read_bytes() == b"new content"


@pytest.mark.parametrize("call", ["os.fsync", "os.open", "pathlib.Path.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [b"old", None])
def test_whatever_fails_the_old_content_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(call, fail)
    with pytest.raises(type(error)):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == (
        {} if old is None else {"file": old}
    )


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    steps: list[object] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        sync(descriptor)
        at = os.fstat(descriptor)
        steps.append("folder" if os.path.samestat(at, tmp_path.stat()) else at.st_size)

    def replaced(self: Path, target: Path) -> Path:
        steps.append((self.read_bytes(), self.parent, target, path.read_bytes()))
        return replace(self, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_atomic(path, b"the new")
    assert steps == [7, (b"the new", tmp_path, path, b"old"), "folder"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "missing" / "file", b"new")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_kill_leaves_the_old_file_and_nothing_that_looks_like_a_photo(tmp_path: Path) -> None:
    path = tmp_path / "people" / "ada" / "1.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    program = (
        "import os, pathlib, sys; from embedder._internal.files import write_atomic\n"
        "os.fsync = lambda descriptor: os._exit(9)\n"
        "write_atomic(pathlib.Path(sys.argv[1]), b'new')\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == 9
    assert path.read_bytes() == b"old"
    assert len(list(path.parent.iterdir())) == 2  # what the kill left behind
    folder = scan_folder(tmp_path / "people")
    assert [sample.path for sample in folder.samples] == [path]
    assert folder.rejected == ()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no way to sync a folder")
def test_every_folder_that_was_made_is_synced_where_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("embedder._internal.files.sync_folder", synced.append)
    make_folder(tmp_path / "a" / "Zoë 1" / "c")
    assert sorted(synced) == [tmp_path, tmp_path / "a", tmp_path / "a" / "Zoë 1"]
    make_folder(tmp_path / "a")
    assert len(synced) == 3
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file")


def test_two_writers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    replace = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        monkeypatch.undo()
        write_atomic(path, b"the other writer")  # in the midst of this one
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    write_atomic(path, b"this writer")
    assert path.read_bytes() == b"this writer"
    assert list(tmp_path.iterdir()) == [path]


def test_parts_that_end_with_an_error_leave_the_old_content(tmp_path: Path):
    def parts() -> Iterator[bytes]:
        yield b"new "
        if failing:
            raise GalleryError("no")
        yield b"content"

    path = tmp_path / "file"
    path.write_bytes(b"old")
    failing = True
    with pytest.raises(GalleryError):
        write_atomic(path, parts())
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])
    failing = False
    write_atomic(path, parts())
    assert path.read_bytes() == b"new content"


def test_what_is_other_than_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("file", "vanishing"):
        (tmp_path / name).touch()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "link").symlink_to(tmp_path)
    delete_once_seen(monkeypatch, tmp_path / "vanishing")
    names = ("file", "vanishing", "missing", "file/below", "circle", "zero\0", "link", ".")
    assert [name for name in names if is_other_than_file(tmp_path / name)] == ["link", "."]
    with pytest.raises(OSError, match="name too long"):
        is_other_than_file(tmp_path / ("a" * 300))


def test_a_new_file_that_cannot_be_renamed_leaves_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)  # a file system without hard links
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write_atomic(tmp_path / "new", b"content", replace=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no such modes on Windows")
def test_a_folder_has_its_mode_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    made = tmp_path / "new"
    monkeypatch.setattr(files, "sync_folder", lambda _: modes.append(made.stat().st_mode & 0o777))
    before = os.umask(0o002)
    try:
        make_folder(made, 0o755)
    finally:
        os.umask(before)
    assert modes == [0o755]
