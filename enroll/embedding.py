"""Embed photos: find one face and one vector in each, or the reason why there is none.

Every photo of a labelled folder is embedded once, and each one that fails is reported; of the pairs of the
LFW protocol (`enroll.evaluation.lfw`), the photos they name are embedded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import Progress, map_in_order, workers
from embedder._internal.wording import count
from embedder.config import QualityLimits
from embedder.copies import Copy, find_copies, picture_digest
from embedder.errors import ImageError, UsageError
from embedder.faces.crop import NO_FACE, main_or_at
from embedder.faces.photo import find_crops, no_face_reason
from embedder.faces.quality import rejection_reason
from embedder.folders import LabelledFolder, Rejected, Sample, scan_folder
from embedder.images import decode_frames, open_frames
from embedder.names import normal_name
from enroll.config import IdentifyConfig
from enroll.evaluation.lfw import FailedPhoto, photo_stem
from enroll.evaluation.samples import EmbeddedSamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.faces.crop import Crop
    from enroll.evaluation.lfw import Photo

_PICTURES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_SHOWN = 10  # missing photos that are named


@dataclass(frozen=True, eq=False)
class PhotoSample:
    """Holds the face that was found in a photo.

    Attributes:
        path: the photo.
        crop: (size, size, 3) uint8 RGB, or None if there is no face or it was not kept.
        faces: number of faces in the photo.
        problem: why it cannot be enrolled, or None.
        vector: (dim,) float32 unit vector of the crop, if it was embedded.
        picture: digest of the crop's pixels, which is the same for copies of the picture in other files.
        forced: whether the face is too poor to be enrolled, and was accepted all the same.
    """

    path: Path
    crop: NDArray[np.uint8] | None
    faces: int
    problem: str | None
    vector: NDArray[np.float32] | None = None
    picture: bytes | None = None
    forced: bool = False


def embed_photos(
    paths: Sequence[Path], extractor: Extractor, force: bool = False
) -> Iterator[PhotoSample | Rejected]:
    """Read photos, find, align and embed their main faces, in several threads.

    Args:
        paths: of the photos.
        extractor: finds and embeds the faces.
        force: as for `take_sample`.

    Yields:
        A sample for each photo, or the reason why it cannot be read, in their order.
    """

    def work(part: Sequence[Path]) -> list[PhotoSample | Rejected]:
        return embed_samples([read_sample(path, extractor, force) for path in part], extractor)

    size = part_size(len(paths))
    parts = (paths[start : start + size] for start in range(0, len(paths), size))
    for done in map_in_order(work, parts):
        yield from done


def part_size(photos: int, most: int = IdentifyConfig.batch_size) -> int:
    """Return how many photos a thread reads before it embeds them, so that all get some.

    Args:
        photos: number of photos.
        most: largest number a thread reads.
    """
    return max(1, min(most, math.ceil(photos / workers())))


def read_sample(
    path: Path,
    extractor: Extractor,
    force: bool = False,
    data: bytes | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> PhotoSample | Rejected:
    """Read a photo and choose its face.

    Args:
        path: of the photo.
        extractor: finds the faces.
        force: as for `take_sample`.
        data: content of the file, if it was read before.
        box: x, y, width and height in pixels of the face to take; None: the largest, most central one.

    Returns:
        The sample without a vector, or why the photo cannot be read.
    """
    try:
        frames = open_frames(path) if data is None else decode_frames(data, path)
        found = find_crops(frames, extractor.crops, path, extractor.why_missed)
    except ImageError as error:
        return Rejected(path, error.reason)
    return _sample(path, found.pixels, found.crops, found.no_face, force, box)


def take_sample(
    path: Path,
    image: NDArray[np.uint8],
    extractor: Extractor,
    force: bool = False,
    box: tuple[int, int, int, int] | None = None,
) -> PhotoSample:
    """Choose the face of a picture, by default the main one, and check its quality.

    Args:
        path: of the photo.
        image: (height, width, 3) uint8 RGB.
        extractor: finds the faces.
        force: accept a face that is too poor to be recognized well, too.
        box: as for `read_sample`.

    Returns:
        The sample without a vector; its `problem` says why it cannot be enrolled.
    """
    crops = extractor.crops(image)
    reason = None if crops else no_face_reason(image, look_again=extractor.why_missed)
    return _sample(path, image, crops, reason, force, box)


def _sample(
    path: Path,
    image: NDArray[np.uint8],
    crops: list[Crop],
    no_face: str | None,
    force: bool,
    box: tuple[int, int, int, int] | None = None,
) -> PhotoSample:
    if not crops:
        return PhotoSample(path, None, 0, no_face or NO_FACE)
    crop = main_or_at(crops, image.shape, box)
    poor = rejection_reason(crop.quality, QualityLimits()) if crop.quality else None
    reason = f"{poor}; --accept-low-quality enrolls it all the same" if poor and not force else None
    picture, forced = picture_digest(crop.pixels), bool(poor and force)
    return PhotoSample(path, crop.pixels, len(crops), reason, picture=picture, forced=forced)


def embed_samples(
    samples: Sequence[PhotoSample | Rejected], extractor: Extractor, keep_crops: bool = False
) -> list[PhotoSample | Rejected]:
    """Embed the faces of samples in one call.

    Args:
        samples: from `read_sample`.
        extractor: embeds the faces.
        keep_crops: keep the crops in the samples; those of many photos take much memory.

    Returns:
        The samples with vectors, in their order; those without a face unchanged.
    """
    faces = [
        (place, sample, sample.crop)
        for place, sample in enumerate(samples)
        if isinstance(sample, PhotoSample) and sample.crop is not None
    ]
    done = list(samples)
    if not faces:
        return done
    vectors = extractor.embed([crop for _, _, crop in faces])
    for (place, sample, crop), vector in zip(faces, vectors, strict=True):
        done[place] = replace(sample, vector=vector, crop=crop if keep_crops else None)
    return done


def enrolled_crop(extractor: Extractor, path: Path) -> NDArray[np.uint8] | None:
    """Return the crop of an enrolled photo, or None if its file is gone or unreadable.

    Args:
        extractor: finds the face.
        path: of the photo.

    Returns:
        (size, size, 3) uint8 RGB, or None.
    """
    sample = read_sample(path, extractor, force=True)
    return sample.crop if isinstance(sample, PhotoSample) else None


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
