"""Photos to the chips that are trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from embedder.errors import ImageError
from embedder.faces.crops import NO_FACE, Cropper, principal
from embedder.folders import Rejected, Sample
from embedder.images import decode_image, read_image_file
from embedder.parallel import in_order
from embedder.training.cache import Aligned, ChipCache

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Chip:
    """The sample that a photo gives.

    Attributes:
        pixels: (size, size, 3) uint8 RGB.
        faces: how many the photo shows.
        digest: SHA-256 of its file.
    """

    pixels: NDArray[np.uint8]
    faces: int
    digest: bytes


def read_chips(
    samples: Iterable[Sample], cropper: Cropper, cache: ChipCache | None = None
) -> Generator[Chip | Rejected]:
    """Read photos in threads, a few ahead of who takes the chips; each gives one entry, in their order.

    Args:
        samples: the photos.
        cropper: makes the chips.
        cache: of chips that `cropper` makes; photos in it are read but not decoded.
    """
    return in_order(partial(_read, cropper=cropper, cache=cache), samples)


def _read(sample: Sample, cropper: Cropper, cache: ChipCache | None) -> Chip | Rejected:
    try:
        data = read_image_file(sample.path)
        digest = hashlib.sha256(data).digest()
        aligned = cache.get(digest) if cache else None
        if aligned is None:
            aligned = _align(decode_image(data, sample.path), cropper)
            if cache:
                cache.put(digest, aligned)
    except ImageError as error:
        return Rejected(sample.path, error.reason)
    if aligned.chip is None:
        return Rejected(sample.path, f"{NO_FACE}; --crop whole takes pictures of other things")
    return Chip(aligned.chip, aligned.faces, digest)


def _align(image: NDArray[np.uint8], cropper: Cropper) -> Aligned:
    crops = cropper.crops(image)
    return Aligned(principal(crops, image.shape).chip if crops else None, len(crops))
