"""A real Ray cluster of two nodes on this machine: the same as one process, whatever ends in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enroll.store import open_store
from scripts.two_nodes import Nodes, left_over, two_nodes

pytestmark = pytest.mark.slow
PEOPLE, EACH = 24, 10  # of ORL, and photos of each: more than the windows that are on their way at once
PHOTOS = PEOPLE * EACH
_FIRST = "enrolled "
# The command, with smaller windows and transactions than it would have.
_COMMAND = """
from enroll.cluster import spread
from enroll.gallery import enrollment
spread.EACH, enrollment._WRITTEN = 1, 32
from enroll.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(orl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some people of ORL, a copy, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("cluster") / "people"
    for person in sorted(orl.iterdir())[:PEOPLE]:
        shutil.copytree(person, folder / person.name)
    (folder / "s07" / "broken.png").write_bytes(b"no picture")
    (folder / "s08" / "copy.pgm").write_bytes((folder / "s09" / "01.pgm").read_bytes())
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """The gallery of a single process, of people and of the library."""
    path = folder.parent / "alone.db"
    run(path, "enroll", folder)
    run(path, "library", "scan", folder)
    return path


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes; the last test kills one of them."""
    with two_nodes() as nodes:
        yield nodes
    assert left_over(nodes) == []


def begin(gallery: Path, *words: object, address: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _COMMAND, *map(str, words), "--gallery", str(gallery)]
    environment = {**os.environ, "RAY_ADDRESS": address}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, start_new_session=True, **streams)


def wait_for_first(running: subprocess.Popen[str]) -> None:
    """Wait until a command has written the first people."""
    assert running.stdout is not None
    if not running.stdout.readline().startswith(_FIRST):
        pytest.fail(running.communicate()[1])


def ended(running: subprocess.Popen[str], before: str = "") -> list[str]:
    """Wait for a command that had two photos it could not use; gives what it said of them."""
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 3, errors
    assert "Traceback" not in errors
    return sorted(line.strip() for line in errors.splitlines() if line.startswith("  "))


def run(gallery: Path, *words: object, address: str = "") -> list[str]:
    return ended(begin(gallery, *words, address=address))


def people_of(gallery: Path) -> list[tuple[str, str, bytes]]:
    with open_store(gallery) as store:
        templates = store.templates()
        names = templates.identities.tolist()
        where = store.photos(templates.ids.tolist())
        store.verify()
    return sorted(zip(names, where, map(bytes, templates.vectors), strict=True))


def faces_of(gallery: Path) -> list[tuple[object, ...]]:
    with open_store(gallery) as store:
        library = store.library()  # type: ignore[attr-defined]
        digests = {photo.number: photo.digest for photo in library.photos()}
        return sorted((digests[face.photo], face.box, face.vector.tobytes()) for face in library.faces())


def test_a_run_that_is_stopped_goes_on(folder: Path, alone: Path, nodes: Nodes, tmp_path: Path):
    gallery = tmp_path / "gallery.db"
    words = ("enroll", folder, "--cluster", nodes.client)
    running = begin(gallery, *words)
    wait_for_first(running)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    there = len(people_of(gallery))
    assert 0 < there < PHOTOS
    running = begin(gallery, *words)
    assert running.stdout is not None
    known = sum("already there" in line for line in running.stdout)
    ended(running)
    assert known == there // EACH
    assert people_of(gallery) == people_of(alone)


def test_a_library_is_scanned_by_a_cluster(folder: Path, alone: Path, nodes: Nodes, tmp_path: Path):
    gallery = tmp_path / "gallery.db"
    words = ("library", "scan", folder, "--cluster", nodes.client, "--send-photos")
    rejected = run(gallery, *words)
    assert [line.partition(":")[0] for line in rejected] == [str(folder / "s07" / "broken.png")]
    assert faces_of(gallery) == faces_of(alone)
    assert len(faces_of(gallery)) == PHOTOS
    run(gallery, *words)
    assert len(faces_of(gallery)) == PHOTOS


def test_a_ray_of_its_own_is_started_and_stopped(folder: Path, tmp_path: Path):
    few = tmp_path / "few"
    (few / "s07").mkdir(parents=True)
    for name in ("01.pgm", "broken.png"):
        (few / "s07" / name).write_bytes((folder / "s07" / name).read_bytes())
    run(tmp_path / "gallery.db", "enroll", few, "--cluster", "auto", address="local")
    assert len(people_of(tmp_path / "gallery.db")) == 1


def test_a_node_that_is_killed_changes_nothing(folder: Path, alone: Path, nodes: Nodes, tmp_path: Path):
    gallery = tmp_path / "gallery.db"
    running = begin(gallery, "enroll", folder, "--cluster", "auto", address=nodes.address)
    wait_for_first(running)
    assert len(people_of(gallery)) < PHOTOS
    nodes.kill_one()
    assert len(people_of(gallery)) < PHOTOS
    rejected = ended(running)
    assert [line.partition(":")[0] for line in rejected] == [
        str(folder / "s07" / "broken.png"),
        str(folder / "s09" / "01.pgm"),
    ]
    assert people_of(gallery) == people_of(alone)
