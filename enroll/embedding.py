"""Turn photos into one face and one vector each, or the reason why there is none.

Of a labelled folder every photo is embedded once, and none is forgotten; of the pairs of the LFW protocol,
those that they name.
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
    """What was found in a photo.

    Attributes:
        path: the photo.
        crop: (size, size, 3) uint8, or None if there is no face.
        faces: how many there are.
        problem: why it cannot be enrolled, or None.
        vector: (dim,) float32 unit vector of the crop, if it was embedded.
        picture: what the crop is known by; the same picture in another file has the same.
        forced: it is too poor to be enrolled, and taken all the same.
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
    """Read, find, align and embed photos, side by side; in their order, those that cannot be read too.

    Args:
        paths: of the photos.
        extractor: finds and embeds the faces.
        force: as for `take_sample`.
    """

    def work(part: Sequence[Path]) -> list[PhotoSample | Rejected]:
        return embed_samples([read_sample(path, extractor, force) for path in part], extractor)

    size = part_size(len(paths))
    parts = (paths[start : start + size] for start in range(0, len(paths), size))
    for done in map_in_order(work, parts):
        yield from done


def part_size(photos: int, most: int = IdentifyConfig.batch_size) -> int:
    """How many of so many photos a thread reads before it embeds them; few are shared out."""
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
        box: x, y, width and height of the face to take; None: the largest, most central one.

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
    """Choose the face of a picture, by default the largest, most central one, and judge it.

    Args:
        path: of the photo.
        image: (height, width, 3) uint8 RGB.
        extractor: finds the faces.
        force: take a face that is too poor to be recognized well, too.
        box: as for `read_sample`.
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
    """Embed all faces in one call.

    Args:
        samples: from `read_sample`.
        extractor: embeds.
        keep_crops: else they are let go: those of many photos take much memory.
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
    """Give the crop of a photo that was enrolled, or None if it is no longer there or no longer a picture."""
    sample = read_sample(path, extractor, force=True)
    return sample.crop if isinstance(sample, PhotoSample) else None


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddedFolder(EmbeddedSamples):
    """Photos of people as vectors, and their files.

    Attributes:
        paths: of the photos that could be decoded, by their rows.
        unread: files that are no pictures, with the reason; they are no samples.
        copies: photos that show a picture again.
        passed: what systems and programs left beside the photos.
    """

    paths: tuple[Path, ...]
    unread: tuple[Rejected, ...] = ()
    copies: tuple[Copy, ...] = ()
    passed: tuple[Path, ...] = ()

    def photo(self, row: int) -> str:
        """Say which photo a row is, for messages."""
        return str(self.paths[row])

    def not_found(self) -> list[Rejected]:
        """Give the files that gave no vector, with the reason."""
        rows: list[int] = np.flatnonzero(~self.found).tolist()
        return [*self.unread, *(Rejected(self.paths[row], self.problems.get(row, NO_FACE)) for row in rows)]


def embed_folder(
    folder: LabelledFolder, extractor: Extractor, force: bool = False, progress: Progress | None = None
) -> EmbeddedFolder:
    """Read, find, align and embed all photos of a folder.

    Args:
        folder: photos by person.
        extractor: the model.
        force: count faces that are too poor as enrollable.
        progress: hears of each photo.

    Raises:
        UsageError: no photo could be read.
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
    """Embed the photos that a list of pairs names; of each the largest, most central face, however poor.

    Args:
        root: FOLDER/<name>/<name>_0001.jpg, or another kind of picture.
        pairs_file: the list, for messages.
        extractor: the model.
        progress: hears of each photo.
        photos: with the line that names each first.

    Yields:
        For each photo, in their order, its vector or why there is none.

    Raises:
        UsageError: photos are not there.
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
