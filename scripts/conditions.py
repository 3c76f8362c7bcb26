"""Faces of ORL under conditions that training never sees: what a trunk can forget is measured on them.

The strengths were chosen once, on the trunk before training, so that it still names nine people in ten or
more: from there a loss can be seen. What varies within a condition follows from the number of the photo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from embedder import load_image
from embedder.built_in import load_built_in
from embedder.faces.crop import Cropping, load_cropper, main_face
from embedder.images import resize_to_square
from embedder.trunks import find_trunk

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
SIZE = 150  # of the crops that lengths below are stated for; those of other crops are in proportion
SMALL = 24  # pixels: the condition that training is for
BLUR = 7.0  # pixels, standard deviation
DARK = -7.0  # stops
LOW, HIGH = 0.1, 4.0  # times the contrast
TINT = (1.8, 0.8, 0.2)  # times red, green and blue, in any order
TURN = 18  # degrees
COVER = 58  # pixels of the 100 or so that a face takes
_COVERED = ((25, 20), (25, 70), (80, 20), (80, 70), (90, 45))  # an eye and its brow, a cheek, the mouth


def blurred(crop: Pixels, _: np.random.Generator) -> Any:
    """Out of focus."""
    return np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(BLUR * len(crop) / SIZE)))


def darkened(crop: Pixels, _: np.random.Generator) -> Any:
    """Under-exposed, in linear light."""
    return ((crop / 255.0) ** 2.2 * 2.0**DARK).clip(0, 1) ** (1 / 2.2) * 255


def flat(crop: Pixels, _: np.random.Generator) -> Any:
    """Low contrast."""
    return crop.mean() + LOW * (crop - crop.mean())


def harsh(crop: Pixels, _: np.random.Generator) -> Any:
    """High contrast."""
    return crop.mean() + HIGH * (crop - crop.mean())


def tinted(crop: Pixels, rng: np.random.Generator) -> Any:
    """Coloured light."""
    return crop * rng.permutation(TINT)


def turned(crop: Pixels, rng: np.random.Generator) -> Any:
    """Aligned badly."""
    return np.asarray(Image.fromarray(crop).rotate(TURN * rng.choice([-1, 1]), Image.Resampling.BICUBIC))


def covered(crop: Pixels, rng: np.random.Generator) -> Any:
    """Something grey before the face."""
    out = crop.copy()
    corner = np.array(_COVERED[rng.integers(len(_COVERED))])
    (top, left), (bottom, right) = np.rint(np.stack([corner, corner + COVER]) * len(crop) / SIZE).astype(int)
    out[top:bottom, left:right] = 128
    return out


CONDITIONS: dict[str, Callable[[Pixels, np.random.Generator], Any]] = {
    "clean": lambda crop, _: crop,
    "blurred": blurred,
    "darkened": darkened,
    "contrast low": flat,
    "contrast high": harsh,
    "tinted": tinted,
    "rotated": turned,
    "covered": covered,
}


def under(name: str, crops: Pixels) -> Pixels:
    """Put all crops, (n, side, side, 3), under a condition."""
    number = list(CONDITIONS).index(name)
    changed = [CONDITIONS[name](crop, np.random.default_rng([99, number, i])) for i, crop in enumerate(crops)]
    return np.stack([np.clip(np.rint(crop), 0, 255).astype(np.uint8) for crop in changed])


def aligned_crops(paths: list[Any], trunk: str = "face-resnet") -> Pixels:
    """Find and align the face of each photo, as a trunk takes it."""
    network, facts = load_built_in().parts["detector"], find_trunk(trunk)
    cropper = load_cropper(Cropping("face", facts.input_size, facts.landmarks, network=network))
    images = [load_image(path) for path in paths]
    return np.stack([main_face(cropper.crops(image), image.shape).pixels for image in images])


def small_crops(paths: list[Any]) -> Pixels:
    """Take each photo whole, shrunk to a square of `SMALL` pixels first; not aligned."""
    return np.stack([resize_to_square(shrunk(load_image(path)), SIZE) for path in paths])


def shrunk(image: Pixels, side: int = SMALL) -> Pixels:
    """Shrink a picture to a square."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
