"""What must not grow, counted instead of timed: modules, decoded photos, networks' calls, work per photo."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import embedder
import enroll.embedding
from embedder.images import reading
from enroll import Gallery, Identifier, identify
from enroll.config import IdentifyConfig
from enroll.gallery import following as following_module
from enroll.search import exact
from enroll.store import NewPerson
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.conftest import ToyExtractor, save_people

FRAMEWORKS = {"tensorflow", "keras", "jax", "torch"}
SEARCH = {"sklearn", "scipy", "faiss", "pymilvus"}
PICTURES = {"matplotlib"}
OTHERS = {"cryptography", "pandas", "pydantic", "onnx", "av", "paho", "ray", "pyarrow"}
OURS = tuple(str(Path(package.__file__ or "").parent) for package in (embedder, enroll))
HEAVY = FRAMEWORKS | SEARCH | PICTURES | OTHERS


@pytest.fixture(scope="module")
def there(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, people and a gallery of them."""
    folder = tmp_path_factory.mktemp("fast")
    shutil.copytree(model, folder / "embed-model")
    save_people(folder / "people", 4, 3)
    run(folder, "enroll", "people")
    return folder


def run(folder: Path, *words: str) -> set[str]:
    """Run a command in a process of its own; gives the modules it loaded, by their first name."""
    code = (
        "import sys, atexit\n"
        "from enroll.cli import app\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "app(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], HEAVY | {"numpy", "PIL", "sqlite3", "ai_edge_litert", "rich"}),
        (["identify", "--help"], HEAVY | {"numpy", "PIL", "sqlite3", "ai_edge_litert", "rich"}),
        (["identify", "people/p00/0.png"], HEAVY),
        (["identify", "people/p00/0.png", "people/p01/1.png", "--json"], HEAVY),
        (["enroll", "people"], HEAVY),
        (["gallery", "list"], HEAVY | {"PIL", "ai_edge_litert"}),
        (["gallery", "verify"], HEAVY | {"ai_edge_litert"}),
        (["info"], HEAVY | {"PIL", "ai_edge_litert"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_loads_only_what_it_needs(there: Path, words: list[str], absent: set[str]):
    assert not absent & run(there, *words)


# Every help in one process, and last what it loaded.
HELP = """
import contextlib, io, sys
import typer
from enroll.cli import app

def show(command, words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        embed([*words, "--help"])
    for name, below in getattr(command, "commands", {}).items():
        show(below, [*words, name])

embed = typer.main.get_command(app)
show(embed, [])
print(*sys.modules)
"""
# What the declaration of options needs; no part that does anything.
DECLARING = {
    *("enroll.start", "enroll.cli", "enroll.config", "enroll.scoring"),
    *("embedder._internal", "embedder.config", "embedder.errors"),
}


@pytest.mark.parametrize(
    "command",
    [["-c", HELP], ["-X", "importtime", "-m", "enroll.cli", "--version"]],
    ids=["every help", "version"],
)
def test_help_and_version_load_what_declares_options(command: list[str]):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} | {*done.stdout.split()}
    names = {name.partition(".")[0] for name in modules}
    assert not names & (HEAVY | {"numpy", "PIL", "sqlite3", "ai_edge_litert", "rich", "pydantic", "asyncio"})
    parts = {".".join(name.split(".")[:2]) for name in modules if name.startswith(("enroll.", "embedder."))}
    assert parts <= DECLARING
    assert "tomllib" not in names


class Counted:
    """Counts the calls of a function, and makes them."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: object, **named: object) -> object:
        self.calls += 1
        return self.function(*arguments, **named)


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted(reading._frames)
    monkeypatch.setattr(reading, "_frames", counted)
    return counted


def paths_of(folder: Path, people: int) -> dict[str, list[Path]]:
    save_people(folder, people, 3)
    return {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("config", [IdentifyConfig(), IdentifyConfig(keep_pictures=True, neighbours=3)])
def test_identify_decodes_each_photo_once(
    tmp_path: Path, toy: ToyExtractor, decoding: Counted, config: IdentifyConfig
):
    people = paths_of(tmp_path / "people", 4)
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        list(gallery.enroll_many(people))
        decoding.calls = 0
        photos = [path for paths in people.values() for path in paths]
        answers = list(Identifier(toy, gallery, config=config).identify_many(photos))
    assert decoding.calls == len(photos) == 12
    assert [answer.picture is not None for answer in answers] == [config.keep_pictures] * 12


def test_one_embedding_call_per_part(tmp_path: Path, toy: ToyExtractor):
    people = paths_of(tmp_path / "people", 16)
    photos = [path for paths in people.values() for path in paths]
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        list(gallery.enroll_many(people))
        enrolling = list(toy.embedded)
        toy.embedded.clear()
        list(Identifier(toy, gallery).identify_many(photos))
    size = IdentifyConfig.batch_size
    assert sorted(enrolling) == sorted(toy.embedded) == [size] * (48 // size)


def filled(path: Path, toy: ToyExtractor, people: int) -> None:
    """A gallery of random templates, three a person."""
    rng = np.random.default_rng(people)
    vectors = rng.normal(size=(people, 3, toy.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    with SqliteStore(path, create=True) as store:
        store.bind(toy.fingerprint, toy.dim)
        store.add_many(
            [
                NewPerson(
                    f"p{person:05d}",
                    [
                        NewTemplate(f"{person} {photo}", rng.bytes(32), vector)
                        for photo, vector in enumerate(own)
                    ],
                )
                for person, own in enumerate(vectors)
            ]
        )


def test_no_fit_per_query(tmp_path: Path, toy: ToyExtractor, monkeypatch: pytest.MonkeyPatch):
    filled(tmp_path / "gallery.db", toy, 400)
    monkeypatch.setattr(exact, "FEW", 1000)
    monkeypatch.setattr(exact, "ALONE", 0)
    fitted = Counted(NearestNeighbors.fit)
    monkeypatch.setattr(NearestNeighbors, "fit", lambda *given: fitted(*given))
    (photo,) = paths_of(tmp_path / "people", 1)["p00"][:1]
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        read = Counted(gallery._store.templates)
        monkeypatch.setattr(gallery._store, "templates", read)
        identifier = Identifier(toy, gallery)
        for _ in range(20):
            identifier.identify(photo)
        assert (fitted.calls, read.calls) == (1, 1)
        gallery.enroll("new", [photo])
        for _ in range(20):
            assert identifier.identify(photo).faces[0].decision.identity == "new"
        assert (fitted.calls, read.calls) == (2, 2)  # only what is new


def operations(work: Callable[[], object]) -> int:
    """How many lines of ours a piece of work runs, turns of loops included, in all threads that it begins."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        next(lines)
        return trace

    before = sys.gettrace(), threading.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])  # type: ignore[arg-type]
    return next(lines)


def steps_of_sqlite(gallery: Gallery, work: Callable[[], object]) -> int:
    """How many steps SQLite takes: one or more for each row it looks at."""
    steps = itertools.count()
    connection = gallery._store._connection._raw  # type: ignore[attr-defined]
    connection.set_progress_handler(lambda: next(steps) < 0, 1)
    work()
    connection.set_progress_handler(None, 1)
    return next(steps)


def growth(work: Callable[[int], Callable[[], object]], sizes: Sequence[int] = (40, 160)) -> float:
    """By how much the lines grow from n to 4n, of what is not there at any size."""
    none, small, large = (operations(work(size)) for size in (0, *sizes))
    return (large - none) / (small - none)


def test_enrolling_is_linear(tmp_path: Path, toy: ToyExtractor):
    def work(people: int) -> Callable[[], object]:
        photos = paths_of(tmp_path / f"{people}", people) if people else {}

        def enroll_all() -> None:
            with Gallery.open(tmp_path / f"{people}.db", toy) as gallery:
                list(gallery.enroll_many(photos))

        return enroll_all

    assert growth(work) < 4.2


def test_enrolling_one_more_costs_the_same_in_a_large_gallery(tmp_path: Path, toy: ToyExtractor):
    (photo,) = paths_of(tmp_path / "people", 1)["p00"][:1]
    (other,) = paths_of(tmp_path / "others", 2)["p01"][:1]
    lines, steps = [], []
    for people in (50, 800):
        filled(tmp_path / f"{people}.db", toy, people)
        with Gallery.open(tmp_path / f"{people}.db", toy) as gallery:
            lines.append(operations(lambda: gallery.enroll("new", [photo])))
            steps.append(steps_of_sqlite(gallery, lambda: gallery.enroll("other", [other])))
    assert 100 < lines[1] < 1.05 * lines[0]
    assert 100 < steps[1] < 1.05 * steps[0]


def test_enrolling_many_takes_as_many_steps_of_sqlite_for_each(tmp_path: Path, toy: ToyExtractor):
    steps = []
    for people in (40, 160):
        photos = paths_of(tmp_path / f"{people}", people)
        with Gallery.open(tmp_path / f"{people}.db", toy) as gallery:
            steps.append(steps_of_sqlite(gallery, lambda: list(gallery.enroll_many(photos))))  # noqa: B023
    assert 1000 < steps[1] < 4.2 * steps[0]


def test_identifying_is_linear(tmp_path: Path, toy: ToyExtractor):
    filled(tmp_path / "gallery.db", toy, 100)
    photos = [path for paths in paths_of(tmp_path / "people", 54).values() for path in paths]
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        identifier = Identifier(toy, gallery)
        list(identifier.identify_many(photos[:1]))
        assert growth(lambda size: lambda: list(identifier.identify_many(photos[:size]))) < 4.2


def test_a_search_makes_as_many_calls_in_a_large_gallery(tmp_path: Path, toy: ToyExtractor):
    (photo,) = paths_of(tmp_path / "people", 1)["p00"][:1]
    counts = []
    for people in (400, 1600):
        filled(tmp_path / f"{people}.db", toy, people)
        with Gallery.open(tmp_path / f"{people}.db", toy) as gallery:
            identifier = Identifier(toy, gallery)
            identifier.identify(photo)
            counts.append(operations(lambda: identifier.identify(photo)))  # noqa: B023 (called at once)
    assert 50 < counts[1] < 1.1 * counts[0]


@pytest.mark.parametrize(("few", "alone"), [(100, 0), (100, 1), (10_000, 0)])
def test_a_search_prepares_and_copies_no_templates(
    tmp_path: Path, toy: ToyExtractor, monkeypatch: pytest.MonkeyPatch, few: int, alone: int
):
    monkeypatch.setattr(exact, "FEW", few)
    monkeypatch.setattr(exact, "ALONE", alone)
    filled(tmp_path / "gallery.db", toy, 2000)
    query = np.eye(1, toy.dim, dtype=np.float32)
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        gallery.nearest_people(query, 5)
        search_index = gallery._search.search_index()
        assert isinstance(search_index, exact.ExactIndex)
        squares = list(search_index._squares)
        tracemalloc.start()
        gallery.nearest_people(query, 5)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert all(now is before for now, before in zip(search_index._squares, squares, strict=True))
    assert most < search_index.pool.start.vectors.nbytes / 4


def test_identify_keeps_no_module_of_its_own_for_pictures():
    assert not hasattr(identify, "decode_image")  # else it would be to count above


@pytest.mark.parametrize("few", [10, 1000])
def test_scikit_learn_is_loaded_beside_the_first_photo_if_it_will_be_needed(
    tmp_path: Path, toy: ToyExtractor, monkeypatch: pytest.MonkeyPatch, few: int
):
    filled(tmp_path / "gallery.db", toy, 20)
    loaded: list[tuple[str, bool]] = []
    done = threading.Event()

    def load(name: str) -> None:
        loaded.append((name, threading.current_thread() is threading.main_thread()))
        done.set()

    monkeypatch.setattr(exact, "FEW", few)
    monkeypatch.setattr(following_module, "import_module", load)
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        Identifier(toy, gallery)
        assert done.wait(timeout=10 if few < 60 else 0.2) == (few < 60)
    assert loaded == ([("sklearn.neighbors", False)] if few < 60 else [])
