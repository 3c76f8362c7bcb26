"""Process a block of photos on a machine of a cluster, with the model that was sent."""

from __future__ import annotations

import hashlib
import logging
import socket
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import embedder
from embedder._internal.files import DiskCache
from embedder.config import DetectorConfig, ImageLimits, use_limits
from embedder.errors import EmbedError, ImageError, UsageError
from embedder.extractor import Extractor
from embedder.folders import Rejected
from embedder.images import read_image_file
from embedder.model_folder import parse_manifest
from enroll.cluster import tables
from enroll.cluster.tables import DIGEST, FACES, SAMPLE, Row
from enroll.embedding import PhotoSample, embed_samples, read_sample
from enroll.looking import AskedPhoto, DigestedPhoto, SampledPhoto, SearchedPhoto, search_photo

if TYPE_CHECKING:
    import pyarrow as pa

_CACHE, _CACHE_LIMIT = "models-received", 2**30  # bytes: some twenty models
_CACHE_NOTE = "Networks that came from other machines of a Ray cluster. Safe to delete.\n"
_IMAGES = logging.getLogger("embedder.images")
_loaded: dict[tuple[str, DetectorConfig | None], Extractor] = {}  # the last model of this process


@dataclass(frozen=True, eq=False)
class SentModel:
    """Holds a model to be sent to other machines.

    Attributes:
        manifest: content of its manifest.
        parts: of each network, by its name: SHA-256, and the content or a reference of Ray to it.
        finding: options of the detector.
    """

    manifest: bytes
    parts: Mapping[str, tuple[str, Any]]
    finding: DetectorConfig | None


@dataclass(frozen=True, eq=False)
class Task:
    """Holds what is to be done with photos.

    Attributes:
        kind: one of `DIGEST`, `SAMPLE` and `FACES`.
        code: `code_digest` of the caller.
        limits: of pictures.
        model: to embed with; None for `DIGEST`.
        force: accept faces that are too poor.
        keep_crops: return the crops, too.
    """

    kind: str
    code: str
    limits: ImageLimits
    model: SentModel | None = None
    force: bool = False
    keep_crops: bool = False


@cache
def code_digest() -> str:
    """Compute a digest of the installed toolkit, equal on two machines if they compute the same."""
    digest = hashlib.sha256()
    for root in (Path(embedder.__file__).parent, Path(__file__).parents[1]):
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def look(table: pa.Table, task: Task) -> pa.Table:
    """Process a block of photos.

    Args:
        table: from `tables.questions`.
        task: what to do.

    Returns:
        A table of `tables.answers`; an error not due to a single photo is in the column `error` of the first.
    """
    asked = list(tables.asked(table))
    try:
        if task.code != code_digest():
            raise UsageError(other_code(socket.gethostname()))
        use_limits(task.limits)
        rows = _KINDS[task.kind](asked, task)
    except EmbedError as error:
        rows = [_failed(asked, type(error).__name__, str(error))]
    except Exception as error:
        rows = [_failed(asked, EmbedError.__name__, f"{error!r}\n{traceback.format_exc()}")]
    return tables.answers(task.kind, rows)


def other_code(machine: str) -> str:
    """Return the message that a machine has another toolkit."""
    return (
        f"{machine}: expected the same embedder-enroll as here, got another; install one version on all "
        "machines of the cluster"
    )


def _failed(asked: Sequence[tuple[int, AskedPhoto, Path]], kind: str, message: str) -> Row:
    return {"row": asked[0][0], "machine": socket.gethostname(), "error": [kind, message]}


@dataclass(eq=False)
class _Content:
    """Holds a photo that was read, or why it cannot be."""

    row: int
    path: Path
    data: bytes = b""
    digest: bytes = b""
    problem: str | None = None
    missing: bool = False

    def columns(self, found: Row, notes: Sequence[str] = ()) -> Row:
        """Return the columns of an answer."""
        machine = socket.gethostname() if self.missing else None
        return {**found, "row": self.row, "notes": list(notes), "missing": self.missing, "machine": machine}


def _contents(asked: Iterable[tuple[int, AskedPhoto, Path]]) -> Iterator[_Content]:
    for row, photo, place in asked:
        read = _Content(row, photo.path)
        try:
            read.data = read_image_file(place) if photo.data is None else photo.data
            read.digest = hashlib.sha256(read.data).digest()
        except ImageError as error:
            read.problem, read.missing = error.reason, isinstance(error.__cause__, FileNotFoundError)
        yield read


def _digests(asked: Sequence[tuple[int, AskedPhoto, Path]], _: Task) -> list[Row]:
    return [
        read.columns(tables.of_digested(DigestedPhoto(read.digest, read.problem)))
        for read in _contents(asked)
    ]


def _samples(asked: Sequence[tuple[int, AskedPhoto, Path]], task: Task) -> list[Row]:
    extractor = _extractor(task)
    reads: list[_Content] = []
    samples: list[PhotoSample | Rejected] = []
    noted: list[list[str]] = []
    for read in _contents(asked):
        with _notes() as notes:
            if read.problem is not None:
                samples.append(Rejected(read.path, read.problem))
            else:
                samples.append(read_sample(read.path, extractor, task.force, read.data))
        read.data = b""
        reads.append(read)
        noted.append(notes)
    done = embed_samples(samples, extractor, task.keep_crops)
    return [
        read.columns(tables.of_sampled(SampledPhoto(read.digest, found)), notes)
        for read, found, notes in zip(reads, done, noted, strict=True)
    ]


def _faces(asked: Sequence[tuple[int, AskedPhoto, Path]], task: Task) -> list[Row]:
    extractor = _extractor(task)
    rows = []
    for read in _contents(asked):
        with _notes() as notes:
            if read.problem is not None:
                found = SearchedPhoto(b"", problem=read.problem)
            else:
                found = search_photo(read.data, read.digest, read.path, extractor)
        rows.append(read.columns(tables.of_searched(found), notes))
    return rows


_KINDS = {DIGEST: _digests, SAMPLE: _samples, FACES: _faces}


class _NoteCollector(logging.Handler):
    """Collects log records about photos."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.notes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record."""
        if hasattr(record, "note"):
            self.notes.append(record.note)


@contextmanager
def _notes() -> Iterator[list[str]]:
    """Collect log records about photos, to send them to the caller; none is shown here."""
    handler, propagated = _NoteCollector(), _IMAGES.propagate
    _IMAGES.addHandler(handler)
    _IMAGES.propagate = False
    try:
        yield handler.notes
    finally:
        _IMAGES.propagate = propagated
        _IMAGES.removeHandler(handler)


def _extractor(task: Task) -> Extractor:
    """Return the model that was sent.

    This process keeps the last one, the machine's cache the last few.
    """
    assert task.model is not None
    model = task.model
    key = (hashlib.sha256(model.manifest).hexdigest(), model.finding)
    if key not in _loaded:
        cache = DiskCache(_CACHE, _CACHE_NOTE, _CACHE_LIMIT)
        parts = {name: _part(*part, cache) for name, part in model.parts.items()}
        cache.prune()
        manifest = parse_manifest(model.manifest, Path("the model that was sent"))
        _loaded.clear()
        # One thread: Ray runs as many of us as there are cores.
        _loaded[key] = Extractor(manifest, parts["extractor"], parts.get("detector"), 1, model.finding)
    return _loaded[key]


def _part(digest: str, content: Any, cache: DiskCache) -> bytes:
    """Return a network by its digest: from this machine's cache, or else from the object store."""
    key = bytes.fromhex(digest)
    data = cache.get(key)
    if data is None or hashlib.sha256(data).hexdigest() != digest:
        if not isinstance(content, bytes):
            import ray

            content = ray.get(content)
        if hashlib.sha256(content).hexdigest() != digest:
            raise EmbedError(f"the model that was sent: expected the digest {digest[:16]}…, got another")
        cache.put(key, content)
        return bytes(content)
    return data
