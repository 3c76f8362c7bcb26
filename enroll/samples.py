"""Photo to sample: the face that stands for a photo of one person, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config import QualityLimits
from embedder.errors import ImageError
from embedder.faces.crops import NO_FACE, principal
from embedder.faces.quality import problem
from embedder.images import load_image

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
    """

    path: Path
    chip: NDArray[np.uint8] | None
    faces: int
    problem: str | None


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


def enrolled_chip(extractor: Extractor, path: str) -> NDArray[np.uint8] | None:
    """Give the chip of a photo that was enrolled, or None if it is no longer there or no longer a picture."""
    try:
        return take_sample(Path(path), load_image(path), extractor, force=True).chip
    except ImageError:
        return None
