"""Sorting: nothing is written over, nothing is lost, everything can be taken back."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from embedder.errors import UsageError
from enroll.library import sorting
from enroll.library.files import companions, list_photos
from enroll.library.organize import (
    Mode,
    Move,
    Sorted,
    check_target,
    folder_name,
    folder_names,
    is_same_entry,
    plan_sorting,
)
from enroll.library.sorting import move_file, moved_photos, sort_photos, undo_moves
from enroll.store.library import PhotoFile, SeenPhoto
from tests.vanishing import delete_once_seen


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("embed-sort-")
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    write(folder / "a.jpg", "A")
    write(folder / "a.jpg.xmp", "A's sidecar")
    write(folder / "a.MOV", "A's film")
    write(folder / "b.jpg", "B")
    write(folder / "other" / "a.jpg", "another A")
    write(folder / "ab.jpg", "no companion of a")
    return folder


@pytest.fixture
def photos(source: Path) -> list[Sorted]:
    return [
        Sorted(source / "a.jpg", ("Ada", "Bob")),
        Sorted(source / "b.jpg", ("Bob",)),
        Sorted(source / "other" / "a.jpg", ("Ada",)),
    ]


SORTED = {
    "Ada/a.jpg": "A",
    "Ada/a.jpg.xmp": "A's sidecar",
    "Ada/a.MOV": "A's film",
    "Ada/a-1.jpg": "another A",
    "Bob/a.jpg": "A",
    "Bob/a.jpg.xmp": "A's sidecar",
    "Bob/a.MOV": "A's film",
    "Bob/b.jpg": "B",
}


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_photos_and_companions_come_into_folders(source: Path, photos: list[Sorted], mode: Mode) -> None:
    target, before = source.parent / "out", content(source)
    plan = plan_sorting(photos, target, mode)
    assert not target.exists()  # a plan changes nothing
    assert len(plan.open) == 8
    assert sort_photos(plan, target, mode) == (8, [], None)
    assert content(target) == SORTED
    assert content(source) == before
    again = plan_sorting(photos, target, mode)
    assert again.open == []
    assert sort_photos(again, target, mode) == (0, [], None)
    one = target / "Ada" / "a.jpg"
    assert one.samefile(source / "a.jpg") is (mode != "copy")
    assert one.is_symlink() is (mode == "symlink")
    if mode == "symlink":
        assert not one.readlink().is_absolute()
    if mode == "copy":
        assert one.stat().st_mtime_ns == (source / "a.jpg").stat().st_mtime_ns


def test_moving_goes_to_the_first_folder_and_can_be_taken_back(source: Path, photos: list[Sorted]) -> None:
    target, before = source.parent / "out", content(source)
    done, rejected, manifest = sort_photos(plan_sorting(photos, target, "move"), target, "move")
    assert (done, rejected) == (5, [])
    assert content(target) == {
        name: text for name, text in SORTED.items() if name[:3] != "Bob" or "b" in name[4:]
    }
    assert content(source) == {"ab.jpg": "no companion of a"}
    assert manifest is not None
    assert undo_moves(manifest) == (5, [])
    assert content(source) == before


def test_nothing_is_written_over(source: Path, photos: list[Sorted]) -> None:
    target = source.parent / "out"
    write(target / "Ada" / "a.jpg", "someone else's")
    write(target / "Ada" / "a-1.MOV", "someone else's, too")
    plan = plan_sorting(photos, target, "copy")
    write(target / "Bob" / "b.jpg", "came since")
    done, rejected, _ = sort_photos(plan, target, "copy")
    assert content(target)["Ada/a.jpg"] == "someone else's"
    assert content(target)["Ada/a-2.jpg"] == "A"
    assert content(target)["Ada/a-2.jpg.xmp"] == "A's sidecar"
    assert content(target)["Bob/b.jpg"] == "came since"
    assert [entry.path.name for entry in rejected] == ["b.jpg"]
    assert done == 7


def test_a_file_that_is_there_is_not_moved_onto_itself(source: Path) -> None:
    target = source
    plan = plan_sorting([Sorted(source / "other" / "a.jpg", ("other",))], target, "move")
    assert sort_photos(plan, target, "move")[0] == 0
    assert (source / "other" / "a.jpg").read_text() == "another A"
    (source / "loop").symlink_to(source / "other")
    assert is_same_entry(source / "other" / "a.jpg", source / "loop" / "a.jpg")
    move_file(source / "other" / "a.jpg", source / "loop" / "a.jpg")
    assert (source / "other" / "a.jpg").read_text() == "another A"


def test_a_sidecar_is_seen_though_the_folder_has_the_same_time(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enroll.library.files._SETTLED", 10**18)  # the test may be stopped for a while
    before = (source / "ab.jpg").parent.stat()
    assert list(companions(source / "ab.jpg")) == []
    write(source / "ab.xmp", "in the same moment of the file system's clock")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert list(companions(source / "ab.jpg")) == [source / "ab.xmp"]


def test_a_move_that_was_ended_goes_on(source: Path, photos: list[Sorted]) -> None:
    target = source.parent / "out"
    target.mkdir()
    (target / "Ada").mkdir()
    os.link(source / "a.jpg", target / "Ada" / "a.jpg")  # killed before the old name went
    left, writing = (write(target / "Ada" / f".embed-{digit * 16}", "half") for digit in "01")
    os.utime(left, (time.time() - 4000,) * 2)
    done, rejected, _ = sort_photos(plan_sorting(photos, target, "move"), target, "move")
    assert (done, rejected) == (5, [])
    assert not (source / "a.jpg").exists()
    sorted_in = {*("Ada/a.jpg", "Ada/a.jpg.xmp", "Ada/a.MOV", "Ada/a-1.jpg", "Bob/b.jpg")}
    assert set(content(target)) == {*sorted_in, f"Ada/{writing.name}"}  # another run may be writing it


def test_a_moved_photo_that_goes_meanwhile_is_passed_over(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write(source.parent / "out" / "a.jpg", "A")
    file = PhotoFile(str(source / "gone.jpg"), 1, 1)
    photo = SeenPhoto(bytes(32), (file,), 1, 1, None, None, "m")
    delete_once_seen(monkeypatch, target)
    (moved,) = moved_photos([photo], [Move(source / "gone.jpg", target, 1)], None)
    assert moved.files[0].path == str(target)
    assert moved_photos([photo], [Move(source / "gone.jpg", target, 1)], None) == []


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "move"])
def test_what_fails_is_listed_and_the_rest_goes_on(
    source: Path, photos: list[Sorted], mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = source.parent / "out"
    plan = plan_sorting(photos, target, mode)
    (source / "b.jpg").unlink()
    done, rejected, _ = sort_photos(plan, target, mode)
    if mode == "symlink":  # a link to what is gone
        assert rejected == []
        return
    assert [(entry.path.name, entry.reason) for entry in rejected] == [("b.jpg", "is not there any more")]
    assert done == len(plan.open) - 1


def test_a_full_disk_is_noticed_before(
    source: Path, photos: list[Sorted], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = source.parent / "out"
    plan = plan_sorting(photos, target, "copy")
    monkeypatch.setattr(sorting.shutil, "disk_usage", lambda _: os.statvfs_result([0] * 11) and Free())
    with pytest.raises(UsageError, match="make room"):
        sort_photos(plan, target, "copy")
    assert not target.exists()


class Free:
    free = 3


def test_a_target_among_the_photos_is_refused(source: Path) -> None:
    for target in (source, source / "sorted"):
        with pytest.raises(UsageError, match="name a folder outside"):
            check_target(target, [source / "a.jpg"])
    with pytest.raises(UsageError, match="got a file"):
        check_target(source / "a.jpg", [])
    check_target(source.parent / "out", [source / "a.jpg"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Ada", "Ada"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_"),
        (".hidden", "_.hidden"),
        ("Ada. ", "Ada"),
        ("nul", "_nul"),
        ("COM1.x", "_COM1.x"),
        ("Zoe\u0308", "Zoë"),
        ("_unknown", "__unknown"),
        ("日" * 100, "日" * 66),
    ],
)
def test_names_become_folders(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_no_two_people_share_a_folder() -> None:
    folders = folder_names(["Ada", "ada", "ADA", "a/b", "a:b"])
    assert len({folder.casefold() for folder in folders.values()}) == 5


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    for text in ('{"x": 1}', "[1]}", "{}}"):
        with pytest.raises(UsageError, match="expected a manifest"):
            undo_moves(write(tmp_path / "m", text))
    assert undo_moves(write(tmp_path / "m", '{"source": "/cut')) == (0, [])


def test_to_a_film_sidecars_alone_belong(tmp_path: Path) -> None:
    for name in ("a.MOV", "a.mp4", "a.dng", "a.xmp", "a.MOV.xmp"):
        (tmp_path / name).touch()
    assert {path.name for path in companions(tmp_path / "a.MOV")} == {"a.xmp", "a.MOV.xmp"}


def test_companions(source: Path) -> None:
    assert [path.name for path in companions(source / "a.jpg")] == ["a.jpg.xmp", "a.MOV"]
    assert list(companions(source / "b.jpg")) == []


def test_links_that_lead_out_are_not_followed(source: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret" / "s.jpg", "S")
    (source / "way").symlink_to(tmp_path / "secret")
    (source / "s.jpg").symlink_to(tmp_path / "secret" / "s.jpg")
    (source / "inside").symlink_to(source / "other")
    found = list_photos(source)
    assert sorted(path.name for path, _ in found.photos) == ["a.jpg", "a.jpg", "ab.jpg", "b.jpg"]
    assert sorted(entry.path.name for entry in found.rejected) == ["s.jpg", "way"]


def test_nothing_is_moved_over_another_file(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    source.write_bytes(b"one")
    target.write_bytes(b"two")
    with pytest.raises(FileExistsError):
        move_file(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"one", b"two")
    target.write_bytes(b"one")
    move_file(source, target)  # the same content: it was there already
    assert not source.exists()


def test_a_link_is_not_moved(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    link = tmp_path / "link.jpg"
    link.symlink_to("a.jpg")
    with pytest.raises(OSError, match="is a link"):
        move_file(link, tmp_path / "b.jpg")
    assert link.is_symlink() and not (tmp_path / "b.jpg").exists()


def test_the_last_move_is_taken_back_first(tmp_path: Path) -> None:
    """A place that was left may have been given to another file later."""
    first, second, third = (tmp_path / name for name in ("1.jpg", "2.jpg", "3.jpg"))
    second.write_bytes(b"was 1")
    first.write_bytes(b"was 3")
    manifest = tmp_path / "embed-sort-x.jsonl"
    moves = [(first, second), (third, first)]
    manifest.write_text(
        "".join(json.dumps({"source": str(a), "target": str(b)}) + "\n" for a, b in moves), encoding="utf-8"
    )
    assert undo_moves(manifest) == (2, [])
    assert (first.read_bytes(), third.read_bytes(), second.exists()) == (b"was 1", b"was 3", False)
