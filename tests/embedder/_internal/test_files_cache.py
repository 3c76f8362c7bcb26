from __future__ import annotations

import os
import shutil
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from embedder._internal import files as files_module
from embedder._internal.files import DiskCache, cache_folder

BODY = bytes(10_000)


def make(folder: Path, limit: int = 10**9) -> DiskCache:
    return DiskCache("things", "May be deleted.\n", limit, folder)


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "things").rglob("*") if path.is_file() and path.name != "README.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Zwischenspeicher für é"


def test_keeps_bytes_by_key(folder: Path):
    make(folder).put(b"a", b"")
    make(folder).put(b"b", BODY)
    again = make(folder)
    assert [again.get(key) for key in (b"a", b"b", b"c")] == [b"", BODY, None]
    assert again.trouble is None
    assert (folder / "things" / "README.txt").read_text() == "May be deleted.\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:60] + b"\1" + data[61:],
        lambda data: b"",
        lambda data: b"someone else's file",
    ],
    ids=["truncated", "longer", "one byte", "empty", "foreign"],
)
def test_what_is_damaged_is_not_there_and_is_made_anew(folder: Path, damage):
    cache = make(folder)
    cache.put(b"a", BODY)
    (path,) = files(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(b"a") is None
    cache.put(b"a", BODY)
    assert cache.get(b"a") == BODY


def test_an_entry_under_another_key_is_not_taken(folder: Path):
    cache = make(folder)
    cache.put(b"ada", b"her face")
    (hers,) = files(folder)
    cache.put(b"bob", b"his face")
    (his,) = set(files(folder)) - {hers}
    shutil.copy(hers, his)
    assert cache.get(b"bob") is None


@pytest.mark.skipif(os.name == "nt", reason="no such modes")
def test_is_private(folder: Path):
    folder.mkdir()
    (folder / "things").mkdir(mode=0o777)
    make(folder).put(b"a", BODY)
    (path,) = files(folder)
    modes = [stat.S_IMODE(place.stat().st_mode) for place in (folder / "things", path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


def test_goes_on_when_it_is_deleted_meanwhile(folder: Path):
    cache = make(folder)
    cache.put(b"a", BODY)
    shutil.rmtree(folder)
    assert cache.get(b"a") is None
    cache.prune()
    cache.put(b"b", BODY)
    assert cache.get(b"b") == BODY
    assert (folder / "things" / "README.txt").exists()
    assert cache.trouble is None


def test_processes_that_write_and_delete_at_once_see_whole_entries_or_none(folder: Path):
    caches = [make(folder) for _ in range(4)]
    stop = threading.Event()

    def work(number: int) -> set[object]:
        seen = set()
        for turn in range(40):
            caches[number].put(str(turn % 5).encode(), BODY)
            seen.add(caches[number].get(str(turn % 5).encode()))
        return seen

    def delete() -> None:
        while not stop.wait(0.002):
            shutil.rmtree(folder / "things", ignore_errors=True)

    with ThreadPoolExecutor(5) as pool:
        deleting = pool.submit(delete)
        seen = set().union(*pool.map(work, range(4)))
        stop.set()
        deleting.result()
    assert seen <= {BODY, None}
    assert BODY in seen
    assert [cache.trouble for cache in caches] == [None] * 4


def test_least_recently_used_go_first(folder: Path):
    writer = make(folder)
    for number in range(10):
        writer.put(b"%d" % number, BODY)
        for path in files(folder):
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
    (folder / "things" / "00").mkdir(exist_ok=True)
    for name in ("unknown.txt", "00/also unknown", "f" * 62):  # not ours
        (folder / "things" / name).write_bytes(bytes(10**6))
    small = make(folder, limit=4 * 12_288)  # of 10 kB each takes three blocks on a disk
    assert small.get(b"0") == BODY
    small.prune()
    assert [n for n in range(10) if small.get(b"%d" % n)] == [0, 7, 8, 9]
    assert all((folder / "things" / name).exists() for name in ("unknown.txt", "00/also unknown", "f" * 62))


def test_a_run_does_not_push_out_what_it_will_need_again(folder: Path):
    for _ in range(2):
        cache = make(folder, limit=4 * 12_288)
        for number in range(10):
            if cache.get(b"%d" % number) is None:
                cache.put(b"%d" % number, BODY)
        assert len(files(folder)) == 4
        cache.prune()
        assert [n for n in range(10) if make(folder).get(b"%d" % n)] == [0, 1, 2, 3]


def test_what_a_killed_run_left_is_cleared_away(folder: Path):
    cache = make(folder)
    cache.put(b"a", BODY)
    old, new = (files(folder)[0].with_name("." + digit * 16) for digit in "12")
    for path in (old, new):
        path.write_bytes(BODY)
    os.utime(old, (0, 0))
    cache.prune()
    assert not old.exists()
    assert new.exists()


def test_a_place_that_cannot_be_used_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch):
    folder.write_text("a file")
    cache = make(folder)
    cache.put(b"a", BODY)
    cache.prune()
    assert cache.get(b"a") is None
    assert f"{folder / 'things'}: nothing is kept for the next run: " in str(cache.trouble)
    assert "EMBED_CACHE" in str(cache.trouble)


def test_a_full_disk_ends_writing_but_not_reading(folder: Path, monkeypatch: pytest.MonkeyPatch):
    cache = make(folder)
    cache.put(b"a", BODY)
    tried = []

    def full(*_: object) -> None:
        tried.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module, "_write", full)
    cache.put(b"b", BODY)
    cache.put(b"c", BODY)
    assert len(tried) == 1
    assert "No space left on device" in str(cache.trouble)
    assert cache.get(b"a") == BODY


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners")
def test_a_folder_of_someone_else_is_not_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch):
    make(folder).put(b"a", BODY)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    cache = make(folder)
    assert cache.get(b"a") is None
    assert "belongs to someone else" in str(cache.trouble)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/embedder"),
        ("linux", {"XDG_CACHE_HOME": "/big/cache"}, "/big/cache/embedder"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/embedder"),
        ("darwin", {"XDG_CACHE_HOME": "/big/cache"}, "/home/ada/Library/Caches/embedder"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/embedder"),
        ("win32", {}, "/home/ada/AppData/Local/embedder"),
        ("linux", {"EMBED_CACHE": "/mine", "XDG_CACHE_HOME": "/big/cache"}, "/mine"),
    ],
)
def test_the_place_for_caches(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("EMBED_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_without_a_home_there_is_none(monkeypatch: pytest.MonkeyPatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("EMBED_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert "Could not determine home directory" in str(DiskCache("things", "", 1).trouble)
