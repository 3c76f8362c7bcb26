"""Galleries in Milvus: how fast they are filled and searched, and what a killed server loses (nothing).

Starts a server from the wheel `milvus` on 127.0.0.1, in a folder of its own, and enrolls generated people:
random directions, since exact search takes as long whatever they are. Two parts:

store  the calls of a store, one by one, and a server that is killed (docs/scale.md)
goals  `embed gallery import` of so many vectors into the server, whole; then `Identifier.identify` of a photo
       of 800 x 600 pixels (`bench_photos.py`) in a process that stays, with that gallery, with the same by
       `?staleness=1`, and with the same in a file, in turns

Prints a table and one JSON line.

    python scripts/bench_milvus.py [--parts store goals] [--vectors 100000] [--dim 128] [--photos 5]
        [--index flat] [--tick 200] [--repeats 7]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bench_figures import STALE
from bench_main_job import surroundings
from bench_photos import EMBED, orl_heads, write_photo
from measured_run import run_measured

from embedder import Extractor
from enroll import Gallery, Identifier
from enroll.gallery.jsonl import to_lines
from enroll.gallery.transfer import GallerySnapshot, PersonRecord
from enroll.search.base import nearest_people
from enroll.search.exact import ExactIndex
from enroll.store import NewPerson, Terms, open_store
from enroll.store.milvus.connection import AwayError
from enroll.store.milvus.store import MilvusStore
from enroll.templates import NewTemplate

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.enroll.store.milvus_server import MilvusServer

SEED = 6
PATIENCE = 180  # seconds to wait for a server that was killed
FINGERPRINT = "b" * 64


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["store"])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--photos", type=int, default=5, help="of each person")
    parser.add_argument("--index", default="flat")
    parser.add_argument("--tick", type=int, default=200, help="proxy.timeTickInterval of the server, ms")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    for part in options.parts:
        with tempfile.TemporaryDirectory(prefix="bench-milvus-") as folder:
            figures |= PARTS[part](MilvusServer(Path(folder), options.tick), options)
    for name, figure in figures.items():
        print(f"{name:48} {figure:>12,.4g}")
    engine = {name: version(name) for name in ("milvus", "pymilvus")}
    about = {"script": "bench_milvus", **surroundings(), "engine": engine, **vars(options), "seed": SEED}
    print(json.dumps(about | {"figures": figures}))


def measure(server: MilvusServer, options: argparse.Namespace) -> dict[str, float]:
    """Give all figures; times in seconds."""
    figures = {"start the server": timed(server.start)}
    address = server.address(f"people?index={options.index}")
    people = list(generated(options.vectors, options.dim, options.photos))
    queries = unit(np.random.default_rng(SEED + 1).normal(size=(64, options.dim)))
    try:
        store = opened(address, figures)
        store.bind(FINGERPRINT, options.dim)
        single = iter(generated(2 * options.repeats * options.photos, options.dim, options.photos, "single"))
        figures["enroll one person, first"] = median(options.repeats, lambda: store.add_many([next(single)]))
        seconds = timed(lambda: store.add_many(people))
        figures["bulk enrollment, vectors a second"] = options.vectors / seconds
        figures["enroll one person, then"] = median(options.repeats, lambda: store.add_many([next(single)]))
        for count in (1, 64):
            figures[f"search for {count}"] = median(
                options.repeats,
                lambda count=count: nearest_people(store.search_index(), queries[:count], 2),  # type: ignore[misc]
            )
        figures["read all templates"] = timed(store.templates)
        templates = store.templates()
        found = nearest_people(store.search_index(), queries, 2)
        same = [
            one == other
            for one, other in zip(found, nearest_people(ExactIndex(templates), queries, 2), strict=True)
        ]
        figures["searches with the answer of scikit-learn"] = float(np.mean(same))
        before = store.people()
        server.kill()
        figures["start the server after SIGKILL"] = timed(server.start)
        store.close()
        store = opened(address, figures, "open the gallery after SIGKILL")
        after = {person.name: person.templates for person in store.people()}
        figures["templates lost"] = sum(one.templates - after.get(one.name, 0) for one in before)
        figures["search for 64 after SIGKILL, same answers"] = float(
            nearest_people(store.search_index(), queries, 2) == found
        )
        figures["bytes on the disk of each template"] = size(server.folder) / len(templates.ids)
        store.close()
    finally:
        server.kill()
    return figures


def goals(server: MilvusServer, options: argparse.Namespace) -> dict[str, float]:
    """Import by the command, then identify with the server and with a file, in turns; times in seconds."""
    figures = {"start the server": timed(server.start)}
    extractor = Extractor.load()
    address, file = server.address(f"people?index={options.index}"), server.folder / "gallery.db"
    photo, export = server.folder / "photo.jpg", server.folder / "people.jsonl"
    write_photo(photo, orl_heads(), person=0, number=0)
    people = generated(options.vectors, extractor.dim, options.photos)
    content = GallerySnapshot(
        (extractor.fingerprint, extractor.dim),
        tuple(PersonRecord(one.name, Terms(), tuple(one.templates)) for one in people),
    )
    with export.open("wb") as lines:
        lines.writelines(to_lines(content))
    del content
    try:
        command = [*EMBED, "gallery", "import", str(export), "--gallery"]
        cost = run_measured([*command, address])
        figures["import by the command, s"] = cost.wall
        figures["import by the command, vectors a second"] = options.vectors / cost.wall
        figures["import by the command, MB"] = cost.peak_mb
        run_measured([*command, str(file)])
        with ExitStack() as stack:
            identifiers = {
                name: Identifier(extractor, stack.enter_context(Gallery.open(place, extractor)))
                for name, place in (("server", address), (STALE, f"{address}&staleness=1"), ("file", file))
            }
            seconds: dict[str, list[float]] = {name: [] for name in identifiers}
            for turn in range(options.repeats + 1):  # the first one prepares both
                for name, identifier in identifiers.items():
                    took = timed(partial(identifier.identify, photo))
                    seconds[name] += [took] * bool(turn)
        for name, times in seconds.items():
            figures[f"identify with the {name}"] = statistics.median(times)
        for name in ("server", STALE):
            figures[f"identify with the {name}, s more"] = statistics.median(
                far - near for far, near in zip(seconds[name], seconds["file"], strict=True)
            )
    finally:
        server.kill()
    return figures


def opened(address: str, figures: dict[str, float], name: str = "make the gallery") -> MilvusStore:
    """Open a gallery, and note how long it took."""
    started = time.perf_counter()
    while True:
        try:
            store = open_store(address, create=True)
            break
        except AwayError:  # it answers, but is still loading what it keeps
            if time.perf_counter() - started > PATIENCE:
                raise
    figures[name] = time.perf_counter() - started
    assert isinstance(store, MilvusStore)
    return store


def generated(vectors: int, dim: int, photos: int, kind: str = "p") -> Iterator[NewPerson]:
    """Make people with so many photos each."""
    rng = np.random.default_rng(SEED + len(kind))
    for person in range(vectors // photos):
        name = f"{kind}{person:07d}"
        own = unit(rng.normal(size=(photos, dim)))
        yield NewPerson(
            name,
            [NewTemplate(f"/photos/{name}/{place}.jpg", rng.bytes(32), one) for place, one in enumerate(own)],
        )


def unit(rows: Any) -> Any:
    """Give rows of length 1, float32."""
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def timed(do: Callable[[], object]) -> float:
    """Give the seconds that something takes."""
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def median(repeats: int, do: Callable[[], object]) -> float:
    """Give the median of the seconds that something takes."""
    return statistics.median(timed(do) for _ in range(repeats))


def size(folder: Path) -> int:
    """Give the bytes of all files of the server's data, its program and logs left out."""
    return sum(path.stat().st_size for path in (folder / "data").rglob("*") if path.is_file())


PARTS = {"store": measure, "goals": goals}

if __name__ == "__main__":
    main()
