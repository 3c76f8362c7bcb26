"""Indexes beside each other: ours, and faiss, usearch and hnswlib directly, on vectors that lie like faces.

For each size, templates of people with five photos each (`face_vectors.py`) are drawn and put into a gallery
file. Then each index, in a process of its own, is built, searched with 200 new photos of enrolled people and
200 of strangers, alone and 64 at a time, and gets one template more; a second process opens it from what it
keeps on the disk. What it finds is compared with the ten nearest by scikit-learn. Times are medians. Memory
is what the process holds besides what it held before, mapped files not counted and our templates counted. For
ours, `open` reads the gallery, and decisions are compared with those of the exact index at the threshold that
names 1 % of the strangers.

`one pass` is how long it takes to read the vectors once: their sum, and their product with one vector.

    python scripts/bench_index.py [--sizes 10000 100000 1000000] [--indexes ...] [--scratch /dev/shm]

The gallery file is written one person at a time and synchronized each time; in memory (`/dev/shm`) that is
quicker. usearch and hnswlib are measured if they are installed: `pip install usearch hnswlib`; hnswlib has no
wheels and needs a compiler.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from enroll.decision import decide
from enroll.gallery.gallery import LiveIndex
from enroll.search.approximate import ApproximateIndex, index_path, save_index
from enroll.search.base import GrowableIndex, nearest_people, nearest_templates
from enroll.search.exact import ExactIndex
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate, Templates

Array = np.ndarray[Any, Any]
PHOTOS, PROBES = 5, 200  # photos of each enrolled person; new photos of enrolled people, and of strangers
NEAREST = 10
TOGETHER = 64
MODEL = "0" * 64
LINKS, BUILD_BREADTH, SEARCH_BREADTH = 16, 100, 256  # of usearch and hnswlib: as ours


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


class FaissFlat:
    """Exact search by faiss."""

    def __init__(self, folder: Path) -> None:
        self.faiss: Any = importlib.import_module("faiss")
        self.path, self.vectors = str(folder / "flat"), mapped(folder)

    def build(self) -> None:
        """Make it of the templates."""
        self.index = self.faiss.IndexFlatL2(self.vectors.shape[1])
        self.add(self.vectors)

    def keep(self) -> None:
        """Write what it opens from."""
        self.faiss.write_index(self.index, self.path)

    def open(self) -> None:
        """Make it ready to search from what was written."""
        self.faiss.read_index(self.path)

    def add(self, vectors: Array) -> None:
        """Add templates."""
        self.index.add(vectors)

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        return np.asarray(self.index.search(queries, NEAREST)[1])


class Usearch:
    """HNSW by usearch, in half precision."""

    def __init__(self, folder: Path) -> None:
        self.library: Any = importlib.import_module("usearch.index")
        self.path, self.vectors = str(folder / "usearch"), mapped(folder)

    def build(self) -> None:
        """Make it of the templates."""
        self.index = self.library.Index(
            ndim=self.vectors.shape[1],
            metric="l2sq",
            dtype="f16",
            connectivity=LINKS,
            expansion_add=BUILD_BREADTH,
            expansion_search=SEARCH_BREADTH,
        )
        self.add(self.vectors)

    def keep(self) -> None:
        """Write what it opens from."""
        self.index.save(self.path)

    def open(self) -> None:
        """Make it ready to search from what was written."""
        self.library.Index.restore(self.path)

    def add(self, vectors: Array) -> None:
        """Add templates."""
        keys = np.arange(len(self.index), len(self.index) + len(vectors))
        self.index.add(keys, np.array(vectors), threads=os.cpu_count())

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        threads = min(len(queries), os.cpu_count() or 1)
        return np.atleast_2d(self.index.search(queries, NEAREST, threads=threads).keys).astype(np.int64)


class Hnswlib:
    """HNSW by hnswlib, in single precision."""

    def __init__(self, folder: Path) -> None:
        self.library: Any = importlib.import_module("hnswlib")
        self.path, self.vectors = str(folder / "hnswlib"), mapped(folder)

    def build(self) -> None:
        """Make it of the templates."""
        self.index = self.library.Index("l2", self.vectors.shape[1])
        self.index.init_index(len(self.vectors) + 100, M=LINKS, ef_construction=BUILD_BREADTH)
        self.index.set_ef(SEARCH_BREADTH)
        self.add(self.vectors)

    def keep(self) -> None:
        """Write what it opens from."""
        self.index.save_index(self.path)

    def open(self) -> None:
        """Make it ready to search from what was written."""
        self.library.Index("l2", self.vectors.shape[1]).load_index(self.path)

    def add(self, vectors: Array) -> None:
        """Add templates."""
        self.index.add_items(vectors, num_threads=os.cpu_count())

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        threads = min(len(queries), os.cpu_count() or 1)
        return np.asarray(self.index.knn_query(queries, NEAREST, num_threads=threads)[0], np.int64)


INDEXES: dict[str, Callable[[Path], Any]] = {
    "exact": lambda folder: Ours(folder, "exact"),
    "approximate": lambda folder: Ours(folder, "approximate"),
    "faiss flat": FaissFlat,
    "usearch": Usearch,
    "hnswlib": Hnswlib,
}
PACKAGES = {"usearch": "usearch", "hnswlib": "hnswlib", "approximate": "faiss-cpu", "faiss flat": "faiss-cpu"}
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
            passes[size] = one_pass(mapped(Path(scratch)))
            for name in options.indexes:
                rows.append({"templates": size, "index": name, **apart(name, scratch)})
                print(table_row(rows[-1]), flush=True)
    for size, seconds in passes.items():
        print(f"\none pass over {size}: " + ", ".join(f"{name} {ms} ms" for name, ms in seconds.items()))
    print()
    versions = {package: installed(package) for package in sorted(set(PACKAGES.values()))}
    line = {"script": "bench_index", **surroundings(), "indexes": versions, "seed": options.seed}
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
    with SqliteStore(folder / "gallery.db", create=True) as store:
        store.bind(MODEL, vectors.shape[1])
        for person, photos in enumerate(vectors.reshape(people, PHOTOS, -1)):
            first = person * PHOTOS
            new = [
                NewTemplate(f"{first + row}.jpg", (first + row).to_bytes(32, "big"), vector)
                for row, vector in enumerate(photos)
            ]
            store.add(f"person {person:06d}", new)


def mapped(folder: Path) -> Array:
    """The templates' vectors, mapped."""
    return np.asarray(np.load(folder / "vectors.npy", mmap_mode="r"))


def enrolled(vectors: Array) -> Templates:
    """Templates as a store gives them."""
    people = [f"person {number:06d}" for number in range(len(vectors) // PHOTOS)]
    return Templates(
        np.arange(1, len(vectors) + 1), np.array(people, object).repeat(PHOTOS), np.array(vectors)
    )


def one_pass(vectors: Array) -> dict[str, float]:
    """Milliseconds to read all vectors once, two ways; medians."""
    vectors = np.array(vectors)
    query = vectors[0].copy()
    return {
        "sum": medians(vectors.sum for _ in range(7)),
        "product": medians((lambda: vectors @ query) for _ in range(7)),
    }


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
    for task in ("measure", "open"):
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
    figures["one"] = medians(
        (lambda row=row: index.search(queries[row : row + 1])) for row in range(len(queries))
    )
    batches = range(0, len(queries) - TOGETHER, TOGETHER)
    figures["together"] = round(
        medians((lambda row=row: index.search(queries[row : row + TOGETHER])) for row in batches) / TOGETHER,
        3,
    )
    if own:
        figures["people"] = medians(
            (lambda row=row: nearest_people(index.index, queries[row : row + 1], 2))
            for row in range(len(queries))
        )
        if index.kind != "exact":
            figures["decisions"] = agreement(index, queries)
    index.keep()
    figures["add"] = medians((lambda row=row: index.add(more[row : row + 1])) for row in range(50))
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
    cells = [str(row.get(column, "not installed")) for column in COLUMNS]
    return f"| {row['templates']} | {row['index']} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
