"""Scan films: read each without holding it in memory, find its people, and return what to keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.files import open_file
from embedder.errors import FilmError
from embedder.images import tell
from enroll.config import FilmConfig
from enroll.gallery.places import face_digest
from enroll.library.files import OTHER_KINDS, has_still
from enroll.library.film_faces import FilmFace, look_through
from enroll.library.film_kinds import HEAD, film_kind
from enroll.library.organize import digest
from enroll.library.scanned import MISSING_PACKAGE, Looked, Read
from enroll.library.video import INSTALL, LOST
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto

if TYPE_CHECKING:
    from embedder._internal.runtime import Advance
    from embedder.extractor import Extractor

_TYPESCRIPT = frozenset({".ts", ".mts"})  # of films, and of a language in which far more files are written


def read_films(
    entries: Iterable[tuple[Path, PhotoFile]], config: FilmConfig, others: Counter[str]
) -> Iterator[Read]:
    """Read films for their digests.

    A file whose first bytes are of no film is not read further.

    Args:
        entries: the files.
        config: time limit for reading one.
        others: counts TypeScript programs, whose names end as those of films.
    """
    without = find_spec("av") is None
    for path, file in entries:
        try:
            with open_file(path) as opened:
                kind = film_kind(opened.read(HEAD))
            if kind is None and path.suffix.lower() in _TYPESCRIPT:
                others[OTHER_KINDS] += 1
            elif without:
                yield Read(path, file, problem=f"{MISSING_PACKAGE}; install it: {INSTALL}")
            else:
                yield Read(path, file, digest=digest(path, config.max_time))
        except OSError as error:
            yield Read(path, file, problem=f"cannot be read: {error.strerror or error}")


@dataclass(frozen=True)
class FilmLooker:
    """Finds the people of films, one after another.

    The frames of each are searched in several threads.

    Attributes:
        extractor: the model.
        near: distance up to which faces are one person's; None follows them by their places alone.
        config: frames a second, and limits.
        expires: the last day for which faces without a name are kept; None: for ever.
    """

    extractor: Extractor
    near: float | None
    config: FilmConfig
    expires: date | None

    def look(self, read: Read, advance: Advance) -> Looked:
        """Find the people of a film.

        Args:
            read: the film.
            advance: called with a description of the position in the film.
        """
        if read.problem:
            return Looked(read, None)
        path, model = read.path, self.extractor.fingerprint

        def heard(seconds: float) -> None:
            advance(0, f"{path.name} {seconds:.0f} s")

        try:
            found = look_through(path, self.extractor, self.near, self.config, has_still(path), heard)
            after = path.stat()
        except FilmError as error:
            read.problem = error.reason
            if isinstance(error.__cause__, OSError) or LOST in error.reason:  # it may be there the next time
                return Looked(read, None)
            broken = SeenPhoto(read.digest, (read.file,), 0, 0, None, error.reason, model, seconds=0.0)
            return Looked(read, broken)
        except OSError as error:
            read.problem = f"cannot be read: {error.strerror or error}"
            return Looked(read, None)
        if (read.file.size, read.file.modified) != (after.st_size, after.st_mtime_ns):
            read.problem = "it was changed while it was looked at; the next scan looks again"
            return Looked(read, None)
        tell(path, found.notes)
        photo = SeenPhoto(
            read.digest,
            (read.file,),
            *found.size,
            found.taken,
            None,
            "" if found.lost else model,  # of no model: the next scan looks again
            seconds=found.seconds,
            live=found.live,
        )
        return Looked(read, photo, [self._face(read.digest, face) for face in found.faces])

    def _face(self, film: bytes, face: FilmFace) -> SeenFace:
        return SeenFace(
            0,
            face.box,
            face.vector,
            face.quality,
            self.expires,
            self.extractor.fingerprint,
            key=face_digest(film, face.box, face.seconds),
            seconds=face.seconds,
            intervals=face.intervals,
        )
