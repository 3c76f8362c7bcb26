"""Embed photos: find one face and one vector in each, or the reason why there is none.

Every photo is looked at once, and each one that fails is reported with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import map_in_order, workers
from embedder.config import QualityLimits
from embedder.copies import picture_digest
from embedder.errors import ImageError
from embedder.faces.crop import NO_FACE, main_or_at
from embedder.faces.photo import find_crops, no_face_reason
from embedder.faces.quality import rejection_reason
from embedder.folders import Rejected
from embedder.images import decode_frames, open_frames
from enroll.config import IdentifyConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.faces.crop import Crop


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
