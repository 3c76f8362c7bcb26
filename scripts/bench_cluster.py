"""Photos a second of a worker of a Ray cluster, beside the single process on one core.

The same photos (`bench_photos.py`, 800 x 600 pixels, or enlarged) are enrolled into a new gallery in turns:
by this process on one core, and by a cluster whose one node has that one core, while this process writes
the gallery from another. What is timed begins when the model is loaded on either side, and ends when all is
written. Wall-clock time needs a machine on which nothing else runs; processor time of all processes of the
cluster and of this one is given, too. `known` is the second run of the cluster, when all is enrolled.

Prints figures and, last, one JSON line.

    python scripts/bench_cluster.py [--photos 400] [--enlarge 1] [--repeats 3] [--send-photos] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench_main_job import surroundings
from bench_photos import JPEG_QUALITY, write_people
from bench_rivals import BENCH
from PIL import Image
from two_nodes import two_nodes

from embedder import Extractor, load_image
from enroll import Gallery
from enroll.cluster import Spread, connect

PER_PERSON = 10
WARM = 32  # photos before the clock runs: a worker loads the model, Ray Data is imported
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """What a run took, in seconds for each photo."""

    wall: float
    cpu: float


def main() -> None:
    """Measure, print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--enlarge", type=int, default=1, help="times: 5 makes photos of 12 megapixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--send-photos", action="store_true", help="send the photos instead of their paths")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        sys.exit("expected Linux and two cores: one for the worker, one for the process that writes")
    paths = write_people(BENCH / f"photos-{options.photos}", options.photos, PER_PERSON, options.seed)
    people: dict[str, list[Path]] = {}
    for path in paths if options.enlarge == 1 else enlarged(paths, options.enlarge):
        people.setdefault(path.parent.name, []).append(path)
    figures = measure(people, options.repeats, options.send_photos)
    for name, value in figures.items():
        print(f"{name}: {value}")
    facts = surroundings()
    facts["versions"] |= {name: version(name) for name in ("ray", "pyarrow")}
    print(json.dumps({"script": "bench_cluster", **facts, **vars(options), **figures}))


def enlarged(paths: list[Path], times: int) -> list[Path]:
    """Write photos that are so many times as wide and high, beside the others."""
    folder = paths[0].parents[1]
    made = []
    for path in paths:
        target = folder.with_name(f"{folder.name}-x{times}") / path.relative_to(folder)
        made.append(target)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(load_image(path))
            image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC).save(
                target, quality=JPEG_QUALITY
            )
    return made


def measure(people: dict[str, list[Path]], repeats: int, sends: bool) -> dict[str, Any]:
    """Run both in turns."""
    core, *others = sorted(os.sched_getaffinity(0))
    runs: dict[str, list[Run]] = {"single": [], "worker": [], "known": []}
    with ExitStack() as stack:
        with on_cores([core]):
            nodes = stack.enter_context(two_nodes(1))  # its processes keep to the core
        os.environ["RAY_ADDRESS"] = nodes.address
        for _ in range(repeats):
            with on_cores([core]):
                runs["single"].append(alone(people))
            with on_cores(others):
                worker, known = by_a_worker(people, nodes.pid, sends)
            runs["worker"].append(worker)
            runs["known"].append(known)
    pairs = list(zip(runs["single"], runs["worker"], strict=True))
    return {
        **{f"{name}_photos_per_s": [round(1 / run.wall, 2) for run in some] for name, some in runs.items()},
        **{f"{name}_cpu_ms": [round(1000 * run.cpu, 1) for run in some] for name, some in runs.items()},
        "ratio": round(statistics.median(one.wall / other.wall for one, other in pairs), 3),
        "ratio_of_cpu": round(statistics.median(one.cpu / other.cpu for one, other in pairs), 3),
    }


def alone(people: dict[str, list[Path]]) -> Run:
    """Enroll by this process, on its one core."""
    extractor = Extractor.load()
    with tempfile.TemporaryDirectory() as folder:
        enroll(Path(folder) / "warm.db", extractor, few(people))
        return timed(lambda: enroll(Path(folder) / "g.db", extractor, people), own_cpu, people)


def by_a_worker(people: dict[str, list[Path]], pid: int, sends: bool) -> tuple[Run, Run]:
    """Enroll by a cluster, below a process, and then once more what is enrolled."""
    extractor = Extractor.load()
    with connect("auto") as machines, tempfile.TemporaryDirectory() as folder:
        elsewhere = Spread(machines, extractor, sends)
        enroll(Path(folder) / "warm.db", extractor, few(people), elsewhere)

        def work() -> None:
            enroll(Path(folder) / "g.db", extractor, people, elsewhere)

        def cpu() -> float:
            return own_cpu() + cpu_below(pid)

        return timed(work, cpu, people), timed(work, cpu, people)


def few(people: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Give the first people, to warm up with."""
    return dict(list(people.items())[: WARM // PER_PERSON])


def enroll(
    path: Path, extractor: Extractor, people: dict[str, list[Path]], elsewhere: Spread | None = None
) -> None:
    """Enroll all people."""
    with Gallery.open(path, extractor) as gallery:
        for _ in gallery.enroll_many(people, elsewhere=elsewhere):
            pass


def timed(work: Callable[[], None], cpu: Callable[[], float], people: dict[str, list[Path]]) -> Run:
    """Run a piece of work, and divide what it took by the photos."""
    photos = sum(map(len, people.values()))
    spent, start = cpu(), time.perf_counter()
    work()
    return Run((time.perf_counter() - start) / photos, (cpu() - spent) / photos)


def own_cpu() -> float:
    """Processor seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_below(pid: int) -> float:
    """Processor seconds of a process and of all that it started, those that have ended among them."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(place.parent.name)
        parents[number], ticks[number] = int(fields[1]), sum(map(int, fields[11:15]))

    def below(number: int) -> bool:
        while number not in (0, 1, pid):
            number = parents.get(number, 0)
        return number == pid

    return sum(count for number, count in ticks.items() if below(number)) / TICKS


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Keep this thread, and what it starts, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main()
