"""Kill scanning, tagging and sorting of photos and films before a call that touches a file: nothing is lost.

Each run is the real command in a process of its own, on a model that is a thumbnail, killed before a random
one of its calls that change a file. Then every photo and film must be there whole, no other file may be half
written, the gallery must open and be sound, and the same command, done again, must come to what one that was
not killed comes to. Prints what went wrong and, last, one JSON line; ends with 1 if anything went wrong.

    python scripts/crash_library.py [--runs 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import numpy as np
from bench_main_job import surroundings
from crash_operations import embed, use_thumbnails
from made_films import write_film
from PIL import Image
from stopped_calls import KILL, Call, Verdict, run_stopped, unsupported

from enroll.library import scan
from enroll.library.jpeg_xmp import embedded_xmp
from enroll.library.people import Library
from enroll.store import open_store

PEOPLE, EACH = 3, 3
SEEN = (".jpg", ".mp4")
_LEFT = re.compile(r"\.embed-[0-9a-f]{16}|gallery\.db-journal|gallery\.db-mj[0-9A-F]+|.*_original")
THRESHOLD = ("--threshold", "0.6")


@dataclass(frozen=True)
class Operation:
    """A command that is killed.

    Attributes:
        name: for people.
        before: the folder that it begins with.
        words: of the command, below `embed library`.
    """

    name: str
    before: Path
    words: tuple[str, ...]


def make_photos(folder: Path) -> None:
    """Write generated photos and films, one face each: the model takes a picture for a face."""
    folder.mkdir(parents=True)
    with_films = find_spec("av") is not None
    for person in range(PEOPLE):
        for photo in range(EACH):
            picture = Image.fromarray(_picture(person, photo))
            picture.save(folder / f"p{person}-{photo}.jpg", quality=95)
        if with_films:
            frames = [(number / 2, _picture(person, EACH + number)) for number in range(3)]
            write_film(folder / f"p{person}-film.mp4", frames, 2)


def _picture(person: int, photo: int) -> np.ndarray:
    base = np.random.default_rng([7, person]).integers(0, 256, (4, 4, 3))
    noise = np.random.default_rng([8, person, photo]).normal(0, 12, (32, 32, 3))
    return (np.kron(base, np.ones((8, 8, 1))) + noise).clip(0, 255).astype(np.uint8)


def prepare(place: Path) -> list[Operation]:
    """Make the folders that operations begin with."""
    photos, scanned, named = place / "fresh", place / "scanned", place / "named"
    make_photos(photos / "photos")
    shutil.copytree(photos, scanned)
    library("scan", "photos", folder=scanned)
    shutil.copytree(scanned, named)
    with open_store(named / "gallery.db") as store:
        known = Library(store)
        for person in range(PEOPLE):
            known.confirm(f"p{person}", [n for n, f in known.faces.items() if _photo(known, n) == person])
    for entry in list((named / "photos").iterdir())[::2]:
        entry.with_name(f"{entry.name}.xmp.keep").touch()
    return [
        Operation("scan", photos, ("scan", "photos")),
        Operation("scan again", scanned, ("scan", "photos", "--again")),
        Operation("tag", named, ("tag",)),
        Operation("tag photos", named, ("tag", "--embed")),
        *(
            Operation(mode, named, ("sort", "out", "--mode", mode, "--confirmed"))
            for mode in ("copy", "hardlink", "move")
        ),
    ]


def _photo(known: Library, number: int) -> int:
    return int(known.path(known.faces[number]).name[1])


def library(*words: str, folder: Path) -> None:
    """Run a command of a library in a folder, silently."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            embed("library", *words)
    finally:
        os.chdir(here)


def acting(operation: Operation, folder: Path) -> Callable[[], None]:
    """Give what the child does."""

    def act() -> None:
        use_thumbnails()
        scan.BLOCK = 2
        os.chdir(folder)
        embed("library", *operation.words)

    return act


def contents(folder: Path) -> dict[str, str]:
    """Give what each file of a folder holds, as a digest; of photos that carry names, without these."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.name.startswith(("gallery.db", "embed-sort-")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def bare(path: Path) -> bytes:
    """Give a photo without its XMP segment; raises if that is broken."""
    data = path.read_bytes()
    packet = embedded_xmp(data)
    if packet is None:
        return data
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet
    return data.replace(b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body, b"", 1)


def state(folder: Path) -> object:
    """Give what is known in a folder's gallery: faces, and where their photos lie."""
    with open_store(folder / "gallery.db") as store:
        store.verify()
        known = Library(store)
        faces = sorted(
            (known.path(face).name, known.names.get(n, ""), face.intervals) for n, face in known.faces.items()
        )
        return faces, dict(store.identities())


def problems(operation: Operation, folder: Path, photos: set[bytes], last: object) -> list[str]:
    """Say what a kill has broken, and what is not as it should be when the command is done again."""
    found = []
    whole = set()
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file() or _LEFT.fullmatch(path.name):
            continue
        if path.suffix in SEEN:
            data = bare(path) if path.suffix == ".jpg" else path.read_bytes()
            whole.add(data)
            if data not in photos:
                found.append(f"{path.name}: half written")
        elif path.suffix == ".xmp" and not path.read_bytes().rstrip().endswith(b"?>"):
            found.append(f"{path.name}: half written")
    if photos - whole:
        found.append(f"{len(photos - whole)} photos or films are lost")
    try:
        if (folder / "gallery.db").exists() and (folder / "gallery.db").stat().st_size:
            state(folder)
        if operation.words == ("tag", "--embed"):  # a file may have names that the library was not told of
            library("scan", "photos", folder=folder)
        library(*operation.words, folder=folder)
        if (contents_now := (kept(folder), state(folder))) != last:
            found.append(f"done again, it is not as it should be: {contents_now} {last}")
    except BaseException as error:
        found.append(f"cannot be done again: {type(error).__name__}: {error}")
    return found


def kept(folder: Path) -> dict[str, str]:
    """Give `contents` without what a kill may leave: backups that hold the photo as it was."""
    return {name: digest for name, digest in contents(folder).items() if not _LEFT.fullmatch(Path(name).name)}


def run(operation: Operation, place: Path, count: int, rng: random.Random) -> tuple[int, list[str]]:
    """Kill an operation at random calls; gives how many kills there were, and what went wrong."""
    files = (operation.before / "photos").iterdir()
    photos = {path.read_bytes() for path in files if path.suffix in SEEN}
    work = place / "work"

    def begin() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(operation.before, work)

    begin()
    calls = 0

    def counted(call: Call) -> Verdict:
        nonlocal calls
        calls += call.changes and not call.printed
        return None

    ended = run_stopped(acting(operation, work), work, counted)
    if ended.code:
        return 0, [f"{operation.name}: failed without a kill: {ended.errors}"]
    last = kept(work), state(work)
    kills, wrong = 0, []
    for _ in range(count):
        begin()
        at = rng.randrange(calls)
        seen = 0

        def deadly(call: Call, at: int = at) -> Verdict:
            nonlocal seen
            if not call.changes or call.printed:
                return None
            seen += 1
            return KILL if seen > at else None

        ended = run_stopped(acting(operation, work), work, deadly)
        kills += ended.code < 0
        wrong += [
            f"{operation.name}, killed before call {at} of {calls}: {problem}"
            for problem in problems(operation, work, photos, last)
        ]
    return kills, wrong


def main() -> None:
    """Kill, look, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if reason := unsupported():
        sys.exit(reason)
    rng = random.Random(options.seed)
    use_thumbnails()
    kills: dict[str, int] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        operations = prepare(place)
        each = -(-options.runs // len(operations))
        for operation in operations:
            kills[operation.name], more = run(operation, place, each, rng)
            wrong += more
    for line in wrong[:50]:
        print(line)
    outcome = {"runs": options.runs, "seed": options.seed, "kills": kills, "problems": len(wrong)}
    print(json.dumps(outcome | surroundings()))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
