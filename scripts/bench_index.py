"""Indexes beside each other: ours, and faiss, scikit-learn and usearch directly, on vectors like faces.

For each size, templates of people with five photos each (`face_vectors.py`) are drawn and put into a gallery
file. Then each index, in a process of its own, is built, searched with 200 new photos of enrolled people and
200 of strangers, alone and 64 at a time, and gets one template more; a second process opens it from what it
keeps on the disk. What it finds is compared with the ten nearest by scikit-learn. Times are medians. Memory
is what the process holds besides what it held before, mapped files not counted and our templates counted. For
ours, `open` reads the gallery, and decisions are compared with those of the exact index at the threshold that
names 1 % of the strangers.

`one pass` is how long it takes to read the vectors once: their sum, and their product with one vector; of the
gallery's file, its bytes from the system's cache.

Above `MAPPED` templates the vectors stay in their file, mapped into memory, for every index that can use them
there, and no gallery is written: opening is not measured.

    python scripts/bench_index.py [--sizes 10000 100000 1000000] [--indexes ...] [--scratch FOLDER]

usearch is measured if it is installed: `pip install usearch`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from index_rivals import MAPPED, NEAREST, FaissFlat, FaissHnsw, ScikitLearn, Usearch, mapped

from enroll.decision import decide
from enroll.gallery.following import LiveIndex
from enroll.search.approximate import ApproximateIndex, index_path, save_index
from enroll.search.base import GrowableIndex, nearest_people, nearest_templates
from enroll.search.exact import ExactIndex
from enroll.store import NewPerson
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate, Templates

Array = np.ndarray[Any, Any]
PHOTOS, PROBES = 5, 200  # photos of each enrolled person; new photos of enrolled people, and of strangers
TOGETHER = 64
MODEL = "0" * 64
TOGETHER_ADDED = 10_000  # people, in one transaction


class Ours:
    """An index of the toolkit; answers are ranked by exact distances."""

    def __init__(self, folder: Path, kind: str) -> None:
        importlib.import_module("faiss" if kind == "approximate" else "sklearn.neighbors")
        self.gallery, self.kind, self.vectors = folder / "gallery.db", kind, mapped(folder)
        self.index: GrowableIndex

    def build(self) -> None:
        """Make it of the templates."""
        templates = enrolled(self.vectors)
        self.index = ExactIndex(templates) if self.kind == "exact" else ApproximateIndex(templates)
        self.index.nearest(templates.vectors[:1], NEAREST)

    def keep(self) -> None:
        """Write what it opens from."""
        if isinstance(self.index, ApproximateIndex):
            save_index(index_path(self.gallery), self.index.graph(), self.index.pool.parts)

    def open(self) -> None:
        """Make it ready to search from what was written."""
        with SqliteStore(self.gallery) as store:
            finder = LiveIndex(store, (MODEL, self.vectors.shape[1]), self.kind).search_index()
            finder.nearest(np.array(self.vectors[:1]), NEAREST)

    def add(self, vector: Array) -> None:
        """Add templates."""
        number = self.index.pool.last + 1
        self.index.extend(Templates(np.array([number]), np.array(["new"], object), vector))

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        found = nearest_templates(self.index, queries, NEAREST)
        return np.array([[one.template - 1 for one in some] for some in found])


INDEXES: dict[str, Callable[[Path], Any]] = {
    "exact": lambda folder: Ours(folder, "exact"),
    "approximate": lambda folder: Ours(folder, "approximate"),
    "faiss flat": FaissFlat,
    "scikit-learn": ScikitLearn,
    "faiss HNSW": FaissHnsw,
    "usearch": Usearch,
}
PACKAGES = {"usearch": "usearch"} | dict.fromkeys(("approximate", "faiss flat", "faiss HNSW"), "faiss-cpu")
COLUMNS = {
    "build": "build, s",
    "open": "open, s",
    "add": "add one, ms",
    "one": "query one, ms",
    "together": f"query {TOGETHER}, ms each",
    "memory": "memory, MB",
    "peak": "peak of open, MB",
    "recall": f"recall at {NEAREST}",
}


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--indexes", nargs="+", default=list(INDEXES), choices=list(INDEXES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="folder for galleries, 2.5 kB a template")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # task, index, folder
    options = parser.parse_args()
    if options.one:
        task, name, folder = options.one
        index = INDEXES[name](Path(folder))
        print(json.dumps(measure(index, Path(folder)) if task == "measure" else opened(index)))
        return
    from bench_main_job import surroundings
    from face_vectors import real_faces
    from synthetic_people import Population

    population = Population.fit(*real_faces())
    print("| templates | index | " + " | ".join(COLUMNS.values()) + " |")
    print("|" + " --- |" * (2 + len(COLUMNS)), flush=True)
    rows, passes = [], {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            prepare(Path(scratch), population, size, options.seed)
            passes[size] = one_pass(mapped(Path(scratch)), Path(scratch) / "gallery.db")
            for name in options.indexes:
                rows.append({"templates": size, "index": name, **apart(name, scratch)})
                print(table_row(rows[-1]), flush=True)
    for size, seconds in passes.items():
        print(f"\none pass over {size}: " + ", ".join(f"{name} {ms} ms" for name, ms in seconds.items()))
    print()
    versions = {package: installed(package) for package in sorted(set(PACKAGES.values()))}
    line = {"script": "bench_index", **surroundings(), "indexes": versions, "seed": options.seed}
    line["largest"] = max(options.sizes)
    print(json.dumps({**line, "one_pass_ms": passes, "rows": rows}))


def prepare(folder: Path, population: Any, size: int, seed: int) -> None:
    """Draw templates and searches, find what is right, and write a gallery."""
    from face_vectors import draw_many

    people = size // PHOTOS
    drawn = draw_many(population, people + PROBES, PHOTOS + 1, seed)
    vectors = np.ascontiguousarray(drawn[:people, :PHOTOS]).reshape(size, -1)
    searched = np.linspace(0, people - 1, PROBES).astype(int)
    queries = np.concatenate([drawn[searched, PHOTOS], drawn[people:, PHOTOS]])
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "more.npy", drawn[people:, 0])
    exact = ExactIndex(enrolled(vectors))
    found = nearest_templates(exact, queries, NEAREST)
    np.save(folder / "right.npy", [[one.template - 1 for one in some] for some in found])
    if size <= MAPPED:
        write_gallery(folder / "gallery.db", vectors)


def write_gallery(path: Path, vectors: Array) -> None:
    """Write people with `PHOTOS` templates each."""
    with SqliteStore(path, create=True) as store:
        store.bind(MODEL, vectors.shape[1])
        of_people = vectors.reshape(-1, PHOTOS, vectors.shape[1])
        for start in range(0, len(of_people), TOGETHER_ADDED):
            some = of_people[start : start + TOGETHER_ADDED]
            store.add_many([new_person(start + row, photos) for row, photos in enumerate(some)])


def new_person(number: int, photos: Array) -> NewPerson:
    """A person to enroll."""
    first = number * PHOTOS
    return NewPerson(
        f"person {number:06d}",
        [
            NewTemplate(f"{first + row}.jpg", (first + row).to_bytes(32, "big"), vector)
            for row, vector in enumerate(photos)
        ],
    )


def enrolled(vectors: Array) -> Templates:
    """Templates as a store gives them."""
    people = [f"person {number:06d}" for number in range(len(vectors) // PHOTOS)]
    own = vectors if len(vectors) > MAPPED else np.array(vectors)
    return Templates(np.arange(1, len(vectors) + 1), np.array(people, object).repeat(PHOTOS), own)


def one_pass(vectors: Array, gallery: Path) -> dict[str, float]:
    """Milliseconds to read all vectors once, two ways, and the gallery's file if there is one; medians."""
    query = np.array(vectors[0])
    if len(vectors) <= MAPPED:
        vectors = np.array(vectors)
    passes = {
        "sum": medians(vectors.sum for _ in range(7)),
        "product": medians((lambda: vectors @ query) for _ in range(7)),
    }
    return passes | ({"file": medians(gallery.read_bytes for _ in range(3))} if gallery.exists() else {})


def medians(calls: Iterable[Callable[[], Any]]) -> float:
    """Median time of some calls, ms."""
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(times)), 3)


def apart(name: str, scratch: str) -> dict[str, Any]:
    """Measure an index in processes of its own."""
    if name in PACKAGES and installed(PACKAGES[name]) is None:
        return {"missing": PACKAGES[name]}
    figures: dict[str, Any] = {}
    mapped_only = not Path(scratch, "gallery.db").exists()
    for task in ("measure",) if mapped_only or name == "scikit-learn" else ("measure", "open"):
        command = [sys.executable, __file__, "--one", task, name, scratch]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name}: ended with {done.returncode}: {done.stderr[-2000:]}")
        figures |= json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(index: Any, folder: Path) -> dict[str, Any]:
    """All figures of an index."""
    queries, right, more = (np.load(folder / f"{name}.npy") for name in ("queries", "right", "more"))
    own = isinstance(index, Ours)
    before = anonymous()
    start = time.perf_counter()
    index.build()
    figures: dict[str, Any] = {"build": round(time.perf_counter() - start, 2)}
    figures["memory"] = round(anonymous() - before)
    answers = index.search(queries)
    hits = [len(set(some) & set(all_)) for some, all_ in zip(answers.tolist(), right.tolist(), strict=True)]
    figures["recall"] = round(float(np.mean(hits)) / NEAREST, 4)
    figures["one"] = medians(partial(index.search, queries[row : row + 1]) for row in range(len(queries)))
    batches = range(0, len(queries) - TOGETHER, TOGETHER)
    figures["together"] = round(
        medians(partial(index.search, queries[row : row + TOGETHER]) for row in batches) / TOGETHER,
        3,
    )
    if own:
        figures["people"] = medians(
            partial(nearest_people, index.index, queries[row : row + 1], 2) for row in range(len(queries))
        )
        if index.kind != "exact" and len(index.vectors) <= MAPPED:
            figures["decisions"] = agreement(index, queries)
    if hasattr(index, "keep") and len(index.vectors) <= MAPPED:
        index.keep()
        figures["add"] = medians(partial(index.add, more[row : row + 1]) for row in range(50))
    return figures


def opened(index: Any) -> dict[str, Any]:
    """How long opening takes, and what the process then needs at most, mapped files and all."""
    start = time.perf_counter()
    index.open()
    return {"open": round(time.perf_counter() - start, 2), "peak": round(_status("VmHWM") / 1024)}


def agreement(index: Ours, queries: Array) -> dict[str, float]:
    """Share of searches in which the decision, and the two nearest people, are those of the exact index."""
    exact = nearest_people(ExactIndex(index.index.pool.everything()), queries, 2)
    found = nearest_people(index.index, queries, 2)
    threshold = float(np.quantile([some[0].distance for some in exact[PROBES:]], 0.01))
    pairs = list(zip(found, exact, strict=True))
    return {
        "same decision": float(np.mean([decide(a, threshold) == decide(b, threshold) for a, b in pairs])),
        "same name": float(
            np.mean([decide(a, threshold).identity == decide(b, threshold).identity for a, b in pairs])
        ),
        "threshold": round(threshold, 4),
    }


def anonymous() -> float:
    """Memory of this process that is no file's, MB."""
    return _status("RssAnon") / 1024


def _status(entry: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{entry}:")[1].split()[0])


def installed(package: str) -> str | None:
    """Version of a package, None if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def table_row(row: dict[str, Any]) -> str:
    """One line of Markdown."""
    cells = [str(row.get(column, "not installed" if "missing" in row else "–")) for column in COLUMNS]
    return f"| {row['templates']} | {row['index']} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
