"""What the model of a power cut keeps and loses, and that processes are stopped where they are said to be."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
from pathlib import Path

import pytest
from power_cut import SECTOR, Disk
from stopped_calls import unsupported

REASON = unsupported()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "old").write_bytes(b"old")
    return Disk(tmp_path)


def test_what_was_there_before_survives(disk: Disk) -> None:
    assert disk.after_power_cut() == disk.as_it_is() == {"old": b"old"}


def test_what_was_not_synced_is_lost(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"changed")
    (tmp_path / "new").write_bytes(b"new")
    disk.observe()
    assert disk.as_it_is() == {"old": b"changed", "new": b"new"}
    assert disk.after_power_cut() == {"old": b"old"}


def test_a_synced_file_needs_a_synced_name(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    disk.observe()
    disk.sync(tmp_path / "new")
    assert disk.after_power_cut() == {"old": b"old"}
    disk.sync(tmp_path)
    assert disk.after_power_cut() == {"old": b"old", "new": b"new"}


def test_a_name_without_synced_content_is_an_empty_file(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    disk.observe()
    disk.sync(tmp_path)
    assert disk.after_power_cut() == {"old": b"old", "new": b""}


def test_a_rename_is_lost_or_there_but_never_half(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    disk.observe()
    disk.sync(tmp_path / "new")
    disk.sync(tmp_path)
    (tmp_path / "new").rename(tmp_path / "old")
    disk.observe()
    before, after = {"old": b"old", "new": b"new"}, {"old": b"new"}
    assert disk.after_power_cut() == before
    seen = [disk.after_power_cut(random.Random(seed)) for seed in range(20)]
    assert before in seen
    assert after in seen
    assert all(one in (before, after) for one in seen)


def test_a_removed_file_comes_back(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "old").unlink()
    disk.observe()
    assert disk.after_power_cut() == {"old": b"old"}
    disk.sync(tmp_path)
    assert disk.after_power_cut() == {}


def test_sectors_survive_one_by_one(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"a" * 4 * SECTOR)
    disk.observe()
    disk.sync(tmp_path / "old")
    (tmp_path / "old").write_bytes(b"b" * 4 * SECTOR)
    disk.observe()
    contents = [disk.after_power_cut(random.Random(seed))["old"] or b"" for seed in range(30)]
    assert all(len(content) == 4 * SECTOR for content in contents)
    assert all(set(content[at : at + SECTOR]) in ({97}, {98}) for content in contents for at in (0, SECTOR))
    assert len({bytes(content) for content in contents}) > 8


def test_a_folder_that_is_not_synced_takes_its_files_along(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x")
    disk.observe()
    disk.sync(tmp_path / "below" / "file")
    disk.sync(tmp_path / "below")
    assert disk.after_power_cut() == {"old": b"old"}
    disk.sync(tmp_path)
    assert disk.after_power_cut() == {"old": b"old", "below": None, "below/file": b"x"}


STOPPED = """
import os, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from stopped_calls import KILL, run_stopped
folder = Path(sys.argv[2])

def act():
    (folder / "one").write_bytes(b"1")
    print("printed", flush=True)
    try:
        (folder / "two").write_bytes(b"2")
    except OSError as error:
        print(error.errno, flush=True)
        sys.exit(7)

calls = []
def decide(call):
    calls.append(call.name if call.printed else f"{call.name} {call.paths[0].name}")
    return {"all": None, "kill": KILL, "fail": 28}[sys.argv[3]] if calls[-1] == "write two" else None

ended = run_stopped(act, folder, decide)
print([ended.code, ended.output, calls])
"""


@pytest.mark.skipif(REASON is not None, reason=REASON or "")
@pytest.mark.parametrize(
    ("verdict", "code", "output", "left"),
    [
        ("all", 0, ["printed"], {"one": b"1", "two": b"2"}),
        ("kill", -9, ["printed"], {"one": b"1", "two": b""}),
        ("fail", 7, ["printed", str(errno.ENOSPC)], {"one": b"1", "two": b""}),
    ],
)
def test_a_process_is_stopped_before_each_call(
    tmp_path: Path, verdict: str, code: int, output: list[str], left: dict[str, bytes]
) -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(scripts), str(tmp_path.resolve()), verdict],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    calls = ["openat one", "write one", "write", "openat two", "write two"]
    assert done.stdout.strip() == str([code, output, calls + ["write"] * (verdict == "fail")])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == left
