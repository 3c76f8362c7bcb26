"""Spread photos over machines in windows, and process again what was lost with a machine."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from embedder import errors
from embedder.config.faces import limits_in_force
from embedder.errors import EmbedError, UsageError
from embedder.folders import Rejected
from embedder.images import tell
from enroll.cluster import tables
from enroll.cluster.tables import DIGEST, FACES, SAMPLE, Row
from enroll.cluster.worker import SentModel, Task, code_digest
from enroll.looking import AskedPhoto, DigestedPhoto, SampledPhoto, SearchedPhoto

if TYPE_CHECKING:
    import pyarrow as pa

    from embedder.extractor import Extractor

Answer = TypeVar("Answer")

BLOCK = 16  # photos a worker processes before it answers: repeated if it is lost, about a second
EACH = 8  # blocks a worker gets of a window: starting a window takes a quarter of a second
SENT = 128  # photos of a window whose content is sent: this process and the cluster hold all of it
AHEAD = 3  # windows processed at once: workers start the next one during the last photos of one

_LOST = (
    "every process that looked at it ended without an answer, twice; try it alone on this machine, without "
    "--cluster"
)


class LostError(Exception):
    """Raised when a window has no answer at all, as its machine was lost.

    The message is Ray's.
    """


class Machines(Protocol):
    """Processes blocks: `enroll.cluster.machines.RayMachines`, or a replacement in tests."""

    address: str

    def workers(self) -> int:
        """The number of blocks processed at a time, at least 1."""

    def keep(self, content: bytes) -> Any:
        """Store bytes where all machines can get them, and return them or a reference."""

    def submit(self, task: Task, blocks: Sequence[pa.Table]) -> Any:
        """Start to process blocks, and return what `result` takes."""

    def result(self, begun: Any) -> list[pa.Table]:
        """Wait for the answers; those of lost blocks are not among them.

        Raises:
            LostError: none came.
        """


class Spread:
    """Reads and embeds photos on other machines; a `Looker`.

    The photos of a lost machine are processed again by others. A photo without an answer even then, processed
    alone, is rejected, as it may be what ends the processes.
    """

    def __init__(self, machines: Machines, extractor: Extractor, sends: bool = False) -> None:
        """Prepare.

        Args:
            machines: that process the photos.
            extractor: the model, which is sent to them once, by its digest.
            sends: send the content of photos; otherwise they are read there, at their paths.
        """
        self._machines, self._sends = machines, sends
        self._size = extractor.manifest.input_size
        self._task = Task(DIGEST, code_digest(), limits_in_force())
        digests = {name: hashlib.sha256(part).hexdigest() for name, part in extractor.parts.items()}
        parts = {name: (digests[name], machines.keep(part)) for name, part in extractor.parts.items()}
        self._model = SentModel(extractor.manifest.to_bytes(), parts, extractor.finding)

    @property
    def sends(self) -> bool:
        """Whether the content of photos is sent."""
        return self._sends

    @property
    def window(self) -> int:
        """The number of photos of a window."""
        each = self._machines.workers() * BLOCK
        return min(SENT, each) if self._sends else each * EACH

    def digests(self, windows: Iterable[Sequence[AskedPhoto]]) -> Iterator[list[DigestedPhoto]]:
        """Compute the digests of photos."""

        def lost(path: Path) -> DigestedPhoto:
            return DigestedPhoto(b"", _LOST)

        return self._spread(self._task, windows, tables.to_digested, lost)

    def samples(
        self, windows: Iterable[Sequence[AskedPhoto]], force: bool, keep_crops: bool
    ) -> Iterator[list[SampledPhoto]]:
        """Find and embed the face of each photo."""

        def lost(path: Path) -> SampledPhoto:
            return SampledPhoto(b"", Rejected(path, _LOST))

        task = replace(self._task, kind=SAMPLE, model=self._model, force=force, keep_crops=keep_crops)
        return self._spread(task, windows, tables.to_sampled, lost)

    def faces(self, windows: Iterable[Sequence[AskedPhoto]]) -> Iterator[list[SearchedPhoto]]:
        """Find and embed all faces of photos."""

        def lost(path: Path) -> SearchedPhoto:
            return SearchedPhoto(b"", problem=_LOST)

        task = replace(self._task, kind=FACES, model=self._model)
        return self._spread(task, windows, tables.to_searched, lost)

    def _spread(
        self,
        task: Task,
        windows: Iterable[Sequence[AskedPhoto]],
        read: Callable[[Row, Path, int], Answer],
        lost: Callable[[Path], Answer],
    ) -> Iterator[list[Answer]]:
        """Process windows, some at a time, and yield the answers in their order."""
        flight: deque[tuple[Sequence[AskedPhoto], Any]] = deque()

        def landed() -> list[Answer]:
            photos, begun = flight.popleft()
            rows = self._rows(task, photos, begun) if photos else {}
            return [
                read(rows[number], photo.path, self._size) if number in rows else lost(photo.path)
                for number, photo in enumerate(photos)
            ]

        for photos in windows:
            flight.append((photos, self._begin(task, photos) if photos else None))
            if len(flight) > AHEAD:
                yield landed()
        while flight:
            yield landed()

    def _begin(self, task: Task, photos: Sequence[AskedPhoto], alone: Sequence[int] | None = None) -> Any:
        """Submit photos in blocks, or some of them in blocks of their own.

        Args:
            task: what to do.
            photos: of the window.
            alone: numbers of the photos to process one by one; None: all, in blocks.
        """
        rows = range(len(photos)) if alone is None else alone
        size = 1 if alone is not None else min(BLOCK, math.ceil(len(rows) / self._machines.workers()))
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        blocks = [tables.questions(part, [photos[row] for row in part]) for part in parts]
        return self._machines.submit(task, blocks)

    def _rows(self, task: Task, photos: Sequence[AskedPhoto], begun: Any) -> Mapping[int, Row]:
        """Wait for the answers of a window; process missing photos once more, one by one."""
        rows: dict[int, Row] = {}
        for last in (False, True):
            try:
                for table in self._machines.result(begun):
                    rows |= {row["row"]: row for row in self._checked(table, photos)}
            except LostError as error:
                if last:
                    raise EmbedError(
                        f"--cluster {self._machines.address}: no answer came, twice: {error}; what was "
                        "written stays: give the command again, and it goes on from there"
                    ) from error
            missing = [number for number in range(len(photos)) if number not in rows]
            if last or not missing:
                break
            begun = self._begin(task, photos, missing)
        return rows

    def _checked(self, table: pa.Table, photos: Sequence[AskedPhoto]) -> Iterator[Row]:
        """Yield answers.

        An error that ends the run is raised here, as it would have been on this machine.
        """
        for row in table.to_pylist():
            if row["error"] is not None:
                kind, message = row["error"]
                raise getattr(errors, kind)(f"{row['machine']}: {message}")
            path = photos[row["row"]].path
            if row["missing"] and path.exists():
                raise UsageError(missing_there(path, row["machine"]))
            tell(path, tuple(row["notes"] or ()))
            yield row


def missing_there(path: Path, machine: str) -> str:
    """Return the message that a machine does not see a photo."""
    return (
        f"{path}: expected on all machines of --cluster at the path {path.absolute()}, {machine} has no such "
        "file; share the disk under one path, or send the photos with --send-photos"
    )
