"""Kill every change of a gallery (`crash_operations`) and saving a model at every call that touches a file.

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
import errno
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_main_job import surroundings
from crash_operations import Operation, operations, use_thumbnails
from power_cut import Disk, Snapshot, write
from stopped_calls import KILL, Call, Ended, Verdict, run_stopped, unsupported

WORK = "work"
TYPED = {2, 3, 4}  # exit codes of errors that say what was wrong
FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES)
SYNCS = ("fsync", "fdatasync")


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
    use_thumbnails()
    draw = random.Random(seed)
    made = operations(place)
    plans = [(operation, expect(operation, place)) for operation in made]
    kills = [
        (operation, expected, trouble)
        for operation, expected in plans
        for trouble in kills_of(expected, draw, -(-runs // len(plans)))
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


if __name__ == "__main__":
    main()
