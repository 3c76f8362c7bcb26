"""Photos that are looked at elsewhere: as here, nothing twice, and again after a loss; without Ray."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from embedder import Extractor
from embedder._internal.files import DiskCache
from embedder.config import DetectorConfig
from embedder.errors import EmbedError, UsageError
from enroll import Gallery, cli
from enroll.cluster import Spread, machines, spread, worker
from enroll.cluster.spread import LostError
from enroll.cluster.tables import DIGEST, FACES, SAMPLE, asked
from enroll.cluster.worker import Task, look
from enroll.gallery import enrollment
from enroll.gallery.enrollment import EnrollmentResult
from enroll.library.scan import Scanned, Scanner
from enroll.looking import AskedPhoto
from enroll.store.sqlite.store import SqliteStore
from tests.conftest import save_people
from tests.enroll.library.made import GridExtractor, save


class SentGrid(GridExtractor):
    """A model that can be sent."""

    parts = {"extractor": b"grid"}  # noqa: RUF012
    finding = None


class FakeMachines:
    """Work on blocks in this process; those that hold a photo in `losing` are lost, so many times."""

    address = "fake"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # kind of question and name of the photo
        self.blocks: list[int] = []
        self.losing: Counter[str] = Counter()
        self.failing = 0  # windows to be lost whole
        self.kept: list[bytes] = []
        self.change: Callable[[Task], Task] = lambda task: task

    def workers(self) -> int:
        return 1

    def keep(self, content: bytes) -> Any:
        self.kept.append(content)
        return content

    def submit(self, task: Task, blocks: Sequence[pa.Table]) -> Any:
        return task, blocks

    def result(self, begun: Any) -> list[pa.Table]:
        task, blocks = begun
        if self.failing:
            self.failing -= 1
            raise LostError("the machine is gone")
        done = []
        for block in blocks:
            names = [photo.path.name for _, photo, _ in asked(block)]
            self.blocks.append(len(names))
            self.asked += [(task.kind, name) for name in names]
            lost = [name for name in names if self.losing[name]]
            self.losing.subtract(lost)
            if not lost:
                done.append(look(block, self.change(task)))
        return done


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> SentGrid:
    """A model of this process and of the machines; windows and transactions are small."""
    grid = SentGrid()
    monkeypatch.setattr(worker, "_extractor", lambda task: grid)
    monkeypatch.setattr(spread, "BLOCK", 3)
    monkeypatch.setattr(spread, "EACH", 2)
    monkeypatch.setattr(enrollment, "_WRITTEN", 4)
    return grid


@pytest.fixture
def away() -> FakeMachines:
    return FakeMachines()


@pytest.fixture
def people(tmp_path: Path) -> dict[str, list[Any]]:
    """Photos that end differently: good ones, copies, a broken, a missing one, one without a face."""
    folder = save_people(tmp_path / "people", 5, 4)
    people: dict[str, list[Any]] = {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir())}
    first = people["p00"][0].read_bytes()
    for name, content in {"p00/copy": first, "p01/other": first, "p02/broken": b"no picture"}.items():
        path = folder / f"{name}.png"
        path.write_bytes(content)
        people[path.parent.name].append(path)
    people["p03"].append(folder / "p03" / "missing.png")
    people["p03"].append(save(folder / "p03" / "empty.png", {}))
    people["p04"].append(people["p04"][0])
    return people


def told(outcomes: Iterator[EnrollmentResult]) -> list[Any]:
    """What enrolling came to, without arrays."""
    return [
        replace(
            outcome,
            samples=tuple(
                replace(sample, crop=None if sample.crop is None else sample.crop.tobytes())
                for sample in outcome.samples
            ),
        )
        for outcome in outcomes
    ]


def facts(outcomes: list[EnrollmentResult]) -> list[Any]:
    """The same, to be compared: samples compare by identity."""
    return [(replace(one, samples=()), [vars(sample) for sample in one.samples]) for one in outcomes]


def content(gallery: Gallery) -> list[Any]:
    """All templates, in their order."""
    templates = gallery._store.templates()
    where = gallery._store.photos(templates.ids.tolist())
    return [*zip(templates.identities.tolist(), where, map(bytes, templates.vectors), strict=True)]


@pytest.mark.parametrize("sends", [False, True])
@pytest.mark.parametrize("bytes_too", [False, True])
def test_enrolling_elsewhere_is_as_here(
    tmp_path: Path,
    grid: SentGrid,
    away: FakeMachines,
    people: dict[str, list[Any]],
    sends: bool,
    bytes_too: bool,
):
    if bytes_too:  # one person is known before
        people["p02"].append(people["p01"][1].read_bytes())
    results = []
    for elsewhere in (None, Spread(away, grid, sends)):
        with Gallery.open(tmp_path / f"{elsewhere is None}.db", grid) as gallery:
            runs = [
                facts(told(gallery.enroll_many(people, keep_crops=True, elsewhere=elsewhere))) for _ in "12"
            ]
            results.append((runs, content(gallery)))
    assert results[0] == results[1]
    assert len(results[0][1]) == 20
    assert {kind for kind, _ in away.asked} == ({SAMPLE} if sends else {SAMPLE, DIGEST})


def test_what_is_enrolled_is_not_looked_at_again(
    tmp_path: Path, grid: SentGrid, away: FakeMachines, people: dict[str, list[Any]]
):
    with Gallery.open(tmp_path / "gallery.db", grid) as gallery:
        run = gallery.enroll_many(people, elsewhere=Spread(away, grid))
        first = next(run)
        run.close()  # type: ignore[attr-defined]
        known = len(content(gallery))
        assert first.added == 4
        assert 4 <= known < 20
        away.asked.clear()
        list(gallery.enroll_many(people, elsewhere=Spread(away, grid)))
        looked = [name for kind, name in away.asked if kind == SAMPLE]
        assert len(looked) == 20 - known + len(["broken", "empty"])
        away.asked.clear()
        list(gallery.enroll_many(people, elsewhere=Spread(away, grid)))
        assert [name for kind, name in away.asked if kind == SAMPLE] == ["broken.png", "empty.png"]
        assert len(content(gallery)) == 20


def test_what_was_lost_is_looked_at_again(
    tmp_path: Path, grid: SentGrid, away: FakeMachines, people: dict[str, list[Any]]
):
    away.losing.update({"broken.png": 1, "missing.png": 1})
    away.failing = 1
    with Gallery.open(tmp_path / "gallery.db", grid) as gallery:
        list(gallery.enroll_many(people, elsewhere=Spread(away, grid)))
        assert len(content(gallery)) == 20
    assert max(away.blocks) == spread.BLOCK
    assert away.blocks.count(1) >= 6  # a window that was lost whole, and two blocks


def test_a_photo_that_ends_every_process_is_rejected_alone(
    tmp_path: Path, grid: SentGrid, away: FakeMachines, people: dict[str, list[Any]]
):
    away.losing["broken.png"] = 99
    with Gallery.open(tmp_path / "gallery.db", grid) as gallery:
        done = {one.identity: one for one in gallery.enroll_many(people, elsewhere=Spread(away, grid))}
        assert len(content(gallery)) == 20
    assert [entry.reason for entry in done["p02"].rejected] == [spread._LOST]


def test_a_cluster_that_is_gone_ends_the_run(
    tmp_path: Path, grid: SentGrid, away: FakeMachines, people: dict[str, list[Any]]
):
    away.failing = 2
    with (
        Gallery.open(tmp_path / "gallery.db", grid) as gallery,
        pytest.raises(EmbedError, match=r"fake: no answer came, twice: the machine is gone; .*goes on from"),
    ):
        list(gallery.enroll_many(people, elsewhere=Spread(away, grid)))


@pytest.mark.parametrize("sends", [False, True])
def test_scanning_elsewhere_is_as_here(tmp_path: Path, grid: SentGrid, away: FakeMachines, sends: bool):
    folder = tmp_path / "photos"
    for number in range(8):
        save(folder / f"{number}.png", {(0, 0): (number, 0), (1, 1): (-number, 1)})
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "copy.png").write_bytes((folder / "1.png").read_bytes())
    results = []
    for elsewhere in (None, Spread(away, grid, sends)):
        with SqliteStore(tmp_path / f"{elsewhere is None}.db", create=True) as store:
            store.bind(grid.fingerprint, grid.dim)

            def scan(
                again: bool = False, store: SqliteStore = store, elsewhere: Spread | None = elsewhere
            ) -> Scanned:
                scanner = Scanner(store.library(), grid, tmp_path, 1, date(2026, 1, 1), elsewhere=elsewhere)
                return scanner.scan(folder, again)

            def seen(store: SqliteStore = store) -> list[Any]:
                faces = [{**vars(face), "vector": face.vector.tobytes()} for face in store.library().faces()]
                return [store.library().photos(), faces]

            runs: list[Any] = [scan(), seen(), scan(), seen()]
            (folder / "2.png").rename(folder / "moved.png")
            runs += [scan(), seen(), scan(again=True), seen()]
            assert store.library().purge(date(2026, 2, 1)) == 16
            runs += [scan(), seen()]
            (folder / "moved.png").rename(folder / "2.png")
            results.append(runs)
    assert results[0] == results[1]
    assert results[0][0].looked == 10  # the copy is looked at beside its original
    assert (results[1][4].moved, results[1][8].forgotten) == (1, 9)
    looked = Counter(name for kind, name in away.asked if kind == FACES)
    assert looked["0.png"] == 2  # and a third time it was not: it was erased


def test_a_photo_that_a_machine_does_not_see_ends_the_run(
    tmp_path: Path, grid: SentGrid, away: FakeMachines, people: dict[str, list[Any]]
):
    def elsewhere_missing(task: Task) -> Task:
        people["p01"][2].unlink(missing_ok=True)
        return task

    away.change = elsewhere_missing
    done = away.result

    def result(begun: Any) -> list[pa.Table]:
        content = people["p01"][2].read_bytes()
        tables = done(begun)
        people["p01"][2].write_bytes(content)
        return tables

    away.result = result  # type: ignore[method-assign]
    message = r"p01.2\.png: expected on all machines of --cluster .*--send-photos"
    with (
        Gallery.open(tmp_path / "gallery.db", grid) as gallery,
        pytest.raises(UsageError, match=message),
    ):
        list(gallery.enroll_many(people, elsewhere=Spread(away, grid)))


def test_another_toolkit_and_a_bug_there_end_the_run(
    grid: SentGrid, away: FakeMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    photo = AskedPhoto(save(tmp_path / "photo.png", {}))
    away.change = lambda task: replace(task, code="other")
    with pytest.raises(
        UsageError, match=f"{socket.gethostname()}: expected the same embedder-enroll as here"
    ):
        list(Spread(away, grid).digests([[photo]]))
    away.change = lambda task: task
    monkeypatch.setattr(worker, "read_image_file", lambda path: 1 // 0)
    with pytest.raises(EmbedError, match="ZeroDivisionError"):
        list(Spread(away, grid).digests([[photo]]))


def test_notes_on_photos_come_back(
    grid: SentGrid, away: FakeMachines, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    with caplog.at_level(logging.WARNING, "embedder.images"):
        list(Spread(away, grid).faces([[AskedPhoto(path)]]))
    assert [record.photo for record in caplog.records] == [str(path)]


def test_windows_are_asked_ahead_and_in_order(grid: SentGrid, away: FakeMachines, tmp_path: Path):
    photos = [AskedPhoto(tmp_path / f"{number}.png", bytes([number])) for number in range(10)]
    taken = []

    def windows() -> Iterator[list[AskedPhoto]]:
        for photo in photos:
            taken.append(photo)
            yield [photo]

    answers = Spread(away, grid, sends=True).digests(windows())
    first = next(answers)
    assert len(taken) == spread.AHEAD + 1
    digests = [one.digest for window in [first, *answers] for one in window]
    assert digests == [hashlib.sha256(photo.data or b"").digest() for photo in photos]


def test_a_model_is_sent_once_by_its_digest(
    tmp_path: Path, away: FakeMachines, monkeypatch: pytest.MonkeyPatch
):
    extractor = Extractor.load(finding=DetectorConfig(min_face=30))
    sent = Spread(away, extractor)._model
    monkeypatch.setattr(worker, "_loaded", {})
    task = Task(FACES, "", worker.ImageLimits(), sent)
    loaded = worker._extractor(task)
    assert loaded.fingerprint == extractor.fingerprint
    assert loaded.finding == DetectorConfig(min_face=30)
    assert worker._extractor(task) is loaded
    digest, content = sent.parts["extractor"]
    assert away.kept == [*extractor.parts.values()]
    assert len(content) < sum(map(len, away.kept))
    cache = DiskCache(worker._CACHE, worker._CACHE_NOTE, worker._CACHE_LIMIT)
    assert worker._part(digest, b"is not read", cache) == content
    with pytest.raises(EmbedError, match="expected the digest"):
        worker._part("00" * 32, content, cache)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--send-photos"], "--send-photos: expected with --cluster, got it alone"),
        (["--cluster", "10.0.0.1:6379"], "--cluster: expected auto or ray://HOST:PORT, got '10.0.0.1:6379'"),
        (["--cluster", "ray://somewhere"], "--cluster: expected ray://HOST:PORT, got 'ray://somewhere'"),
        (["--cluster", "ray://127.0.0.1:1"], "expected a Ray cluster, no one answers there"),
        (["--cluster", "auto"], "--cluster auto: RAY_ADDRESS=127.0.0.1:1: expected a Ray cluster"),
    ],
)
def test_wrong_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str):
    monkeypatch.chdir(save_people(tmp_path, 1, 1))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    for command in (["enroll", "."], ["library", "scan", "."]):
        done = CliRunner().invoke(cli.app, [*command, *options])
        assert isinstance(done.exception, UsageError)
        assert message in str(done.exception)


def test_ray_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machines.importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(UsageError, match=r"needs Ray.*pip install 'embedder-enroll\[cluster\]'"),
        machines.connect("auto"),
    ):
        pass


def test_strangers_are_looked_at_here(tmp_path: Path):
    done = CliRunner().invoke(cli.app, ["enroll", "--strangers", str(tmp_path), "--cluster", "auto"])
    assert "--strangers: looked at on this machine alone" in str(done.exception)
