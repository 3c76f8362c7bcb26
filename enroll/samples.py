"""Photos to samples: the face that stands for a photo of one person, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config import IdentifyConfig, QualityLimits
from embedder.errors import ImageError
from embedder.faces.crops import NO_FACE, principal
from embedder.faces.quality import problem
from embedder.folders import Rejected
from embedder.images import decode_image, load_image
from embedder.parallel import in_order, workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.extractor import Extractor


@dataclass(frozen=True, eq=False)
class PhotoSample:
    """What was found in a photo.

    Attributes:
        path: the photo.
        chip: (size, size, 3) uint8, or None if there is no face.
        faces: how many there are.
        problem: why it cannot be enrolled, or None.
        vector: (dim,) float32 unit vector of the chip, if it was embedded.
    """

    path: Path
    chip: NDArray[np.uint8] | None
    faces: int
    problem: str | None
    vector: NDArray[np.float32] | None = None


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
    for done in in_order(work, parts):
        yield from done


def part_size(photos: int, most: int = IdentifyConfig.batch_size) -> int:
    """How many of so many photos a thread reads before it embeds them; few are shared out."""
    return max(1, min(most, math.ceil(photos / workers())))


def read_sample(
    path: Path, extractor: Extractor, force: bool = False, data: bytes | None = None
) -> PhotoSample | Rejected:
    """Read a photo and choose its face.

    Args:
        path: of the photo.
        extractor: finds the faces.
        force: as for `take_sample`.
        data: content of the file, if it was read before.

    Returns:
        The sample without a vector, or why the photo cannot be read.
    """
    try:
        image = load_image(path) if data is None else decode_image(data, path)
    except ImageError as error:
        return Rejected(path, error.reason)
    return take_sample(path, image, extractor, force)


def take_sample(
    path: Path, image: NDArray[np.uint8], extractor: Extractor, force: bool = False
) -> PhotoSample:
    """Choose the largest, most central face of a photo and judge it.

    Args:
        path: of the photo.
        image: (height, width, 3) uint8 RGB.
        extractor: finds the faces.
        force: take a face that is too poor to be recognized well, too.
    """
    crops = extractor.crops(image)
    if not crops:
        return PhotoSample(path, None, 0, NO_FACE)
    crop = principal(crops, image.shape)
    poor = problem(crop.quality, QualityLimits()) if crop.quality and not force else None
    reason = f"{poor}; --force enrolls it all the same" if poor else None
    return PhotoSample(path, crop.chip, len(crops), reason)


def embed_samples(
    samples: Sequence[PhotoSample | Rejected], extractor: Extractor, keep_chips: bool = False
) -> list[PhotoSample | Rejected]:
    """Embed all faces in one call.

    Args:
        samples: from `read_sample`.
        extractor: embeds.
        keep_chips: else they are let go: those of many photos take much memory.
    """
    faces = [
        (place, sample, sample.chip)
        for place, sample in enumerate(samples)
        if isinstance(sample, PhotoSample) and sample.chip is not None
    ]
    done = list(samples)
    if not faces:
        return done
    vectors = extractor.embed([chip for _, _, chip in faces])
    for (place, sample, chip), vector in zip(faces, vectors, strict=True):
        done[place] = replace(sample, vector=vector, chip=chip if keep_chips else None)
    return done


def enrolled_chip(extractor: Extractor, path: str) -> NDArray[np.uint8] | None:
    """Give the chip of a photo that was enrolled, or None if it is no longer there or no longer a picture."""
    try:
        return take_sample(Path(path), load_image(path), extractor, force=True).chip
    except ImageError:
        return None
