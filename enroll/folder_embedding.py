"""Embed the photos of a labelled folder, or those that the pairs of the LFW protocol name, for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import Progress
from embedder._internal.wording import count
from embedder.copies import Copy, find_copies
from embedder.errors import UsageError
from embedder.faces.crop import NO_FACE
from embedder.folders import LabelledFolder, Rejected, Sample, scan_folder
from embedder.names import normal_name
from enroll.embedding import PhotoSample, embed_photos
from enroll.evaluation.lfw import FailedPhoto, photo_stem
from enroll.evaluation.samples import EmbeddedSamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from enroll.evaluation.lfw import Photo

_PICTURES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_SHOWN = 10  # missing photos that are named


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddedFolder(EmbeddedSamples):
    """Holds the photos of a labelled folder as vectors, with their files.

    Attributes:
        paths: (n) files that could be decoded, one for each row of `vectors`.
        unread: files that are no pictures, with the reason; they have no row.
        copies: photos that show the same picture as an earlier one.
        passed: files that operating systems and programs left beside the photos, which were ignored.

    Example:
        >>> from pathlib import Path
        >>> EmbeddedFolder(
        ...     identities=("ada",),
        ...     labels=np.array([0]),
        ...     vectors=np.eye(1, 4, dtype=np.float32),
        ...     found=np.array([True]),
        ...     enrollable=np.array([True]),
        ...     paths=(Path("ada/1.jpg"),),
        ... ).photo(0)
        'ada/1.jpg'
    """

    paths: tuple[Path, ...]
    unread: tuple[Rejected, ...] = ()
    copies: tuple[Copy, ...] = ()
    passed: tuple[Path, ...] = ()

    def photo(self, row: int) -> str:
        """Return the path of the photo of a row, for messages."""
        return str(self.paths[row])

    def not_found(self) -> list[Rejected]:
        """List the files that gave no vector, with the reason."""
        rows: list[int] = np.flatnonzero(~self.found).tolist()
        return [*self.unread, *(Rejected(self.paths[row], self.problems.get(row, NO_FACE)) for row in rows)]


def embed_folder(
    folder: LabelledFolder, extractor: Extractor, force: bool = False, progress: Progress | None = None
) -> EmbeddedFolder:
    """Embed all photos of a labelled folder: read them, find and align their main faces.

    Args:
        folder: photos by person.
        extractor: the model.
        force: count faces that are too poor as enrollable.
        progress: progress bar, advanced with every photo.

    Returns:
        A row for each photo that could be read, of zeros where no face was found.

    Raises:
        UsageError: no photo could be read.

    Example:
        >>> from pathlib import Path
        >>> from embedder.folders import scan_folder
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "ada").mkdir()
        ...     Image.new("RGB", (40, 40), "red").save(Path(folder) / "ada" / "1.png")
        ...     embedded = embed_folder(scan_folder(folder), whole_pictures)
        >>> embedded.identities, embedded.vectors.shape
        (('ada',), (1, 48))
    """
    unread = list(folder.rejected)
    kept: list[tuple[Sample, PhotoSample]] = []
    with (progress or Progress()).bar("Embedding", len(folder.samples), "photos") as advance:
        paths = [sample.path for sample in folder.samples]
        for sample, outcome in zip(folder.samples, embed_photos(paths, extractor, force), strict=True):
            advance()
            if isinstance(outcome, Rejected):
                unread.append(outcome)
            else:
                kept.append((sample, outcome))
    if not kept:
        raise UsageError(f"{folder.root}: no photo could be read, of {count(len(unread), 'file')}")
    found = np.array([entry.vector is not None for _, entry in kept])
    vectors = np.zeros((len(kept), extractor.dim), np.float32)
    if found.any():
        vectors[found] = [entry.vector for _, entry in kept if entry.vector is not None]
    identities = tuple(sorted({sample.identity for sample, _ in kept}))
    index = {name: number for number, name in enumerate(identities)}
    return EmbeddedFolder(
        identities=identities,
        paths=tuple(sample.path for sample, _ in kept),
        labels=np.array([index[sample.identity] for sample, _ in kept], np.int64),
        vectors=vectors,
        found=found,
        enrollable=np.array([entry.problem is None for _, entry in kept]),
        problems={row: entry.problem for row, (_, entry) in enumerate(kept) if entry.problem is not None},
        unread=tuple(unread),
        copies=find_copies((sample.path, sample.identity, entry.picture) for sample, entry in kept),
        passed=folder.passed,
        strangers=extractor.manifest.strangers,
    )


def embed_pair_photos(
    root: str | Path,
    pairs_file: str | Path,
    extractor: Extractor,
    progress: Progress | None,
    photos: Mapping[Photo, int],
) -> Iterator[NDArray[np.float32] | FailedPhoto]:
    """Embed the photos that a list of pairs names; the largest, most central face of each.

    Faces of poor quality are embedded, too, because the protocol counts every photo.

    Args:
        root: the folder, with photos at <name>/<name>_0001.jpg, or another kind of picture.
        pairs_file: the list, for messages.
        extractor: the model.
        progress: progress bar, advanced with every photo.
        photos: the photos, each with the line that names it first.

    Yields:
        For each photo, in their order, its (dim,) float32 vector, or why there is none.

    Raises:
        UsageError: photos are missing.
        FolderError: the folder holds no photos.
    """
    paths = _photo_files(Path(root), pairs_file, photos)
    with (progress or Progress()).bar("Embedding", len(paths), "photos") as advance:
        for outcome in embed_photos(paths, extractor, force=True):
            if isinstance(outcome, Rejected):
                yield FailedPhoto(str(outcome.path), outcome.reason)
            elif outcome.vector is None:
                yield FailedPhoto(str(outcome.path), outcome.problem or NO_FACE)
            else:
                yield outcome.vector
            advance()


def _photo_files(root: Path, pairs_file: str | Path, photos: Mapping[Photo, int]) -> list[Path]:
    """Find the file of each photo, in their order."""
    scanned = scan_folder(root)
    there: dict[tuple[str, str], list[Path]] = {}
    for sample in scanned.samples:
        if sample.path.suffix.lower() in _PICTURES:
            there.setdefault((sample.identity, normal_name(sample.path.stem)), []).append(sample.path)
    found: list[Path] = []
    missing: dict[Photo, int] = {}
    for photo, line in photos.items():
        paths = there.get((photo[0], photo_stem(photo)), [])
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise UsageError(
                f"{pairs_file}, line {line}: expected one photo {photo_stem(photo)}, got {names}"
            )
        if paths:
            found += paths
        else:
            missing[photo] = line
    if missing:
        refused = {normal_name(entry.path.name): entry.reason for entry in scanned.rejected}
        refused |= {normal_name(entry.path.stem): entry.reason for entry in scanned.rejected}
        listed = []
        for photo, line in list(missing.items())[:_SHOWN]:
            reason = refused.get(photo_stem(photo)) or refused.get(photo[0])
            listed.append(f"{photo[0]}/{photo_stem(photo)} (line {line}{f': {reason}' if reason else ''})")
        more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        raise UsageError(
            f"{pairs_file}: expected {count(len(photos), 'photo', ',')} in {root}, "
            f"{len(missing):,} of them missing: {', '.join(listed)}{more}"
        )
    return found
