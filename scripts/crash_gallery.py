"""Kill enrolling, removing, renaming, calibrating and saving a model at every call that touches a file.

Each run is the real command in a process of its own, on a model that is a thumbnail. It is killed before its
n-th write, sync, rename, open or unlink, or at a random moment; then three folders are opened: the one that
is there, the one a power cut leaves if all that was not synced is lost, and one where a random half of it
survived. Whatever was printed must be there, and the change in flight must be there whole or not at all.
With --faults, the n-th call fails instead (disk full, I/O error, no permission, once or from then on): the
command must say so in one line, and leave the old state or, if it is told only when the change is already
made, the new one. Prints what went wrong and, last, one JSON line; ends with 1 if anything went wrong.

    python scripts/crash_gallery.py [--runs 1000] [--faults all] [--seed 0]
"""

from __future__ import annotations

import argparse
import base64
import errno
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from bench_main_job import surroundings
from power_cut import Disk, Snapshot, write
from stopped_calls import KILL, Call, Ended, Verdict, run_stopped, unsupported

import enroll.cli
from embedder.bundle import MANIFEST, Manifest, load_manifest, read_part, save_bundle
from embedder.errors import EmbedError
from embedder.extractor import Extractor
from embedder.faces.crops import Crop
from embedder.images import resize_to_square
from enroll.store import open_store
from enroll.store.keys import KEY_VARIABLE

KEY = base64.b64encode(bytes(range(32))).decode()
WORK = "work"
NOTHING = "nothing"  # the state of a folder without anyone or without a model
TYPED = {2, 3, 4}  # exit codes of errors that say what was wrong
FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES)
SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Operation:
    """A change of a folder.

    Attributes:
        name: for people.
        before: what is in the folder.
        act: changes a folder, in a process of its own; what it prints is acknowledged.
        read: gives what a folder holds as a value to compare; raises if it cannot be opened.
    """

    name: str
    before: Snapshot
    act: Callable[[Path], object]
    read: Callable[[Path], object]


@dataclass(frozen=True)
class Expected:
    """What an operation does if nothing goes wrong.

    Attributes:
        states: what is there before, and after each acknowledgement.
        calls: how many calls may change what a power cut leaves.
        reads: how many other calls there are on the folder's files.
        seconds: how long it takes.
    """

    states: list[object]
    calls: int
    reads: int
    seconds: float


@dataclass(frozen=True)
class Trouble:
    """What is to go wrong in a run.

    Attributes:
        at: number of the call before which the process is killed, or that fails; None: none.
        error: the errno it fails with; None: the process is killed.
        lasting: all later calls fail too.
        seconds: kill the process after so long.
    """

    at: int | None = None
    error: int | None = None
    lasting: bool = False
    seconds: float | None = None


class Thumbnail:
    """Stands in for a model: a picture's vector is its 4 x 4 thumbnail, centered and of unit length."""

    dim = 48
    manifest = Manifest("thumbnail", "none", 16, "whole", "blazeface", False, dim, "0" * 64, "0" * 64, None)
    fingerprint = manifest.fingerprint

    def crops(self, image: np.ndarray) -> list[Crop]:
        """Give the whole picture."""
        return [Crop(resize_to_square(image, 16))]

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        """Give (n, 48) float32 unit rows."""
        rows = [resize_to_square(image, 4).reshape(-1) - 127.25 for image in images]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    """Run what was asked for, print what went wrong and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="kills, shared among the operations")
    parser.add_argument("--faults", default="all", help="failing calls: a number, or all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if reason := unsupported():
        sys.exit(f"crash_gallery: {reason}")
    started = time.monotonic()
    with scratch_folder() as scratch:
        outcome = measure(scratch, options.runs, options.faults, options.seed)
    for problem in outcome["problems"]:
        print(problem)
    outcome["problems"] = len(outcome["problems"])
    outcome |= {"script": "crash_gallery", **surroundings(), "seed": options.seed}
    print(json.dumps(outcome | {"seconds": round(time.monotonic() - started, 1)}))
    sys.exit(bool(outcome["problems"]))


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder in memory if there is one: the syncs are modelled, a disk would only be slow."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def measure(scratch: str, runs: int, faults: str, seed: int) -> dict[str, Any]:
    """Run all operations with all their troubles; gives counts and what went wrong."""
    place = Path(scratch).resolve()
    Extractor.load = classmethod(lambda cls, *given, **named: Thumbnail())  # type: ignore[assignment]
    draw = random.Random(seed)
    made = operations(place)
    plans = [(operation, expect(operation, place)) for operation in made]
    kills = [
        (operation, expected, trouble)
        for operation, expected in plans
        for trouble in kills_of(expected, draw, runs // len(plans))
    ]
    failing = [
        (operation, expected, trouble) for operation, expected in plans for trouble in faults_of(expected)
    ]
    if faults != "all":
        failing = draw.sample(failing, min(int(faults), len(failing)))
    problems: list[str] = []
    new_state = 0
    for operation, expected, trouble in kills + failing:
        found, late = check(operation, expected, trouble, place, draw)
        problems += found
        new_state += late
    return {
        "kills": len(kills),
        "faults": len(failing),
        "faults told after the change": new_state,
        "calls": {operation.name: expected.calls for operation, expected in plans},
        "problems": problems,
    }


def kills_of(expected: Expected, draw: random.Random, runs: int) -> Iterator[Trouble]:
    """Give kills before every call and after the last, then at random moments; a sample if runs are few."""
    places = [*range(1, expected.calls + 1), None]
    timed = max(1, runs // 10, runs - len(places))
    for place in places if runs > len(places) else draw.sample(places, runs - timed):
        yield Trouble(at=place)
    for _ in range(timed):
        yield Trouble(seconds=draw.uniform(0, expected.seconds))


def faults_of(expected: Expected) -> Iterator[Trouble]:
    """Give every way in which every call can fail."""
    for place in range(1, expected.calls + expected.reads + 1):
        for error in FAULTS:
            for lasting in (False, True):
                yield Trouble(place, error, lasting)


def expect(operation: Operation, place: Path) -> Expected:
    """Run an operation undisturbed, and see what it comes to."""
    states = [read_snapshot(operation, operation.before, place)]
    calls: list[Call] = []
    printed: list[Snapshot] = []

    def note(call: Call, disk: Disk) -> None:
        calls.append(call)
        if call.printed:
            printed.append(disk.as_it_is())

    started = time.monotonic()
    ended, disk, _ = run(operation, Trouble(), place, note)
    seconds = time.monotonic() - started
    states += [read_snapshot(operation, snapshot, place) for snapshot in printed]
    if ended.code or not printed or read_snapshot(operation, disk.as_it_is(), place) != states[-1]:
        raise RuntimeError(f"{operation.name}: fails without trouble: {ended}")
    changing = sum(call.changes and not call.printed for call in calls)
    reads = sum(not call.changes and may_fail(call, disk.root) for call in calls)
    return Expected(states, changing, reads, seconds)


def run(
    operation: Operation,
    trouble: Trouble,
    place: Path,
    note: Callable[[Call, Disk], None] = lambda call, disk: None,
) -> tuple[Ended, Disk, int]:
    """Run an operation with one trouble; gives how it ended, the disk, and how often it has printed."""
    folder = write(operation.before, place / WORK)
    disk = Disk(folder)
    last: Call | None = None
    seen = printed = 0

    def done() -> None:
        nonlocal last, printed
        disk.observe()
        if last is not None and last.name in SYNCS:
            disk.sync(last.paths[0])
        if last is not None and last.printed:
            printed += 1
        last = None

    def decide(call: Call) -> Verdict:
        nonlocal last, seen
        done()
        note(call, disk)
        if not call.printed and (call.changes or (trouble.error is not None and may_fail(call, folder))):
            seen += 1
            if trouble.at is not None and (seen == trouble.at or (trouble.lasting and seen > trouble.at)):
                return KILL if trouble.error is None else trouble.error
        last = call
        return None

    ended = run_stopped(lambda: operation.act(folder), folder, decide, trouble.seconds)
    if ended.code < 0:
        last = None  # whether it was done, no one knows
    done()
    shutil.rmtree(folder)
    return ended, disk, printed


def may_fail(call: Call, folder: Path) -> bool:
    """Say whether a call can fail: SQLite goes on, unsynced, if a folder cannot be opened to sync it."""
    return not call.printed and call.paths[0] != folder


def check(
    operation: Operation, expected: Expected, trouble: Trouble, place: Path, draw: random.Random
) -> tuple[list[str], bool]:
    """Run an operation with one trouble; gives what was wrong, and whether a failure left the new state."""
    ended, disk, printed = run(operation, trouble, place)
    problems = []
    allowed = expected.states[printed:]
    late = False
    if trouble.error is not None:
        if (ended.code not in TYPED and ended.code) or "Traceback" in ended.errors:
            problems.append(f"no typed error: {ended}")
        allowed = allowed[:2] if ended.code else expected.states[-1:]
    for kind, snapshot in (
        ("as it is", disk.as_it_is()),
        ("nothing unsynced survived", disk.after_power_cut()),
        ("half survived", disk.after_power_cut(draw)),
    ):
        try:
            state = read_snapshot(operation, snapshot, place)
        except Exception as error:  # whatever it is, it does not open
            problems.append(f"{kind}: cannot be opened: {error!r}")
            continue
        if state not in allowed:
            which = expected.states.index(state) if state in expected.states else "no"
            problems.append(f"{kind}: is state {which}, {printed} of {len(expected.states) - 1} printed")
        late |= trouble.error is not None and bool(ended.code) and state in allowed[1:]
    return [f"{operation.name}: {trouble}: {problem}" for problem in problems], late


def read_snapshot(operation: Operation, snapshot: Snapshot, place: Path) -> object:
    """Open a folder as it would be after the trouble."""
    folder = write(snapshot, place / WORK)  # in the same place: SQLite's journals name each other
    try:
        return operation.read(folder)
    finally:
        shutil.rmtree(folder)


def operations(place: Path) -> list[Operation]:
    """Make all operations and what they begin with."""
    old, new = place / "old people", place / "new people"
    save_people(old, range(8))
    save_people(new, range(20, 22))
    plain, encrypted = fill(place / "plain", old), fill(place / "encrypted", old, KEY)
    erased = traces(place / "plain" / "gallery.db", "p03")

    def command(name: str, *words: object, before: Snapshot = plain, key: str = "") -> Operation:
        def act(folder: Path) -> None:
            with environment(key):
                embed(*words, "--gallery", folder / "gallery.db")

        def read(folder: Path) -> object:
            with environment(key):
                return people(folder / "gallery.db", erased)

        return Operation(name, before, act, read)

    return [
        command("enroll the first", "enroll", new, before={}),
        command("enroll", "enroll", new),
        command("enroll, encrypted", "enroll", new, before=encrypted, key=KEY),
        command("remove", "gallery", "remove", "p03"),
        command("remove, encrypted", "gallery", "remove", "p03", before=encrypted, key=KEY),
        command("rename", "gallery", "rename", "p03", "Zoë"),
        command("calibrate", "calibrate", "--fpir", 0.2),
        saving("save the first model", {}),
        saving("save a model", saved(place / "a model")),
    ]


def fill(folder: Path, photos: Path, key: str = "") -> Snapshot:
    """Make a gallery; gives its files. All modules are loaded then, and forks share them."""
    folder.mkdir()
    with redirect_stdout(StringIO()), environment(key):
        embed("enroll", photos, "--gallery", folder / "gallery.db")
        embed("calibrate", "--fpir", 0.1, "--gallery", folder / "gallery.db")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def environment(key: str) -> Iterator[None]:
    """Name the key of an encrypted gallery; empty for a plain one."""
    with patch.dict(os.environ, {KEY_VARIABLE: key}):
        yield


def embed(*words: object) -> None:
    """Run a command of ours in this process; a failure is a SystemExit."""
    sys.argv = ["embed", *map(str, words)]
    if words[0] in ("enroll", "calibrate"):
        sys.argv += ["--detector", "blazeface"]  # without it, the model's manifest is asked for one
    try:
        enroll.cli.main()
    except SystemExit as error:
        if error.code:
            raise


def save_people(folder: Path, numbers: range) -> None:
    """Write three generated photos a person, as PNM."""
    for number in numbers:
        (folder / f"p{number:02d}").mkdir(parents=True)
        base = np.random.default_rng([7, number]).integers(0, 256, (4, 4, 3))
        for photo in range(3):
            noise = np.random.default_rng([8, number, photo]).normal(0, 12, (16, 16, 3))
            picture = (np.kron(base, np.ones((4, 4, 1))) + noise).clip(0, 255).astype(np.uint8)
            (folder / f"p{number:02d}" / f"{photo}.ppm").write_bytes(b"P6 16 16 255\n" + picture.tobytes())


def people(gallery: Path, erased: list[bytes]) -> object:
    """Give all that a gallery holds, and whether any trace of an erased person is in its files."""
    if not gallery.exists():
        return NOTHING
    with open_store(gallery, create=True) as store:
        templates, strangers, calibration = store.templates(), store.strangers(), store.calibration()
        rows = [
            (int(number), name, vector.tobytes(), photo)
            for number, name, vector, photo in zip(
                templates.ids,
                templates.identities,
                templates.vectors,
                store.photos(templates.ids),
                strict=True,
            )
        ]
        names, events = (
            store.people(),
            [(event.action, event.subject, event.count) for event in store.events()],
        )
        store.verify()
    if not (names or rows or len(strangers.ids) or calibration):
        return NOTHING
    promise = json.loads(calibration[0])["promise"] if calibration else None
    files = b"\0".join(path.read_bytes() for path in gallery.parent.iterdir())
    return names, events, rows, promise, any(trace in files for trace in erased)


def traces(gallery: Path, name: str) -> list[bytes]:
    """Give every 16-byte window of a person's templates."""
    with open_store(gallery) as store:
        templates = store.templates()
    rows = [row.tobytes() for row in templates.vectors[templates.identities == name]]
    return [row[start : start + 16] for row in rows for start in range(0, len(row) - 15, 4)]


def saving(name: str, before: Snapshot) -> Operation:
    """Save a model where there is none, or another."""

    def act(folder: Path) -> None:
        save(folder / "models" / "a model", b"new")

    def read(folder: Path) -> object:
        model = folder / "models" / "a model"
        if not (model / MANIFEST).exists():
            return NOTHING
        manifest = load_manifest(model)
        return manifest, read_part(model, manifest, "extractor"), read_part(model, manifest, "weights")

    return Operation(name, before, act, read)


def saved(scratch: Path) -> Snapshot:
    """Give a folder with a model."""
    with redirect_stdout(StringIO()):
        save(scratch, b"old")
    return {
        "models": None,
        "models/a model": None,
        **{f"models/a model/{path.name}": path.read_bytes() for path in scratch.iterdir()},
    }


def save(folder: Path, kind: bytes) -> None:
    """Save a small model, and say so."""
    extractor, weights = kind + b" network" * 300, kind + b" weights" * 500
    manifest = replace(
        Thumbnail.manifest,
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
    )
    try:
        save_bundle(folder, manifest, extractor, weights)
    except EmbedError as error:
        print(f"embed: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print("saved")


if __name__ == "__main__":
    main()
