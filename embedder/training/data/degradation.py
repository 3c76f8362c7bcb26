"""Degrade face crops like small, dark and badly aligned photos, and choose degradations.

Views of a crop: `degraded_view` is trained on, `clean_view` is the crop or its mirror picture, and
`varied_view` is a good photo under other conditions, on which a loss by training is measured. Keras is not
needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.errors import UsageError
from embedder.training.data.augmentation import FILTERS, without_bars

Pixels = NDArray[np.uint8]

AUTO, NONE = "auto", "none"
PIXELS, LIGHT = "pixels", "light"
KINDS = (PIXELS, LIGHT)

FEWEST, MOST = 9, 16  # pixels across the crop: SFace names 77 % of ORL at 10 pixels, 97 % at 16, 100 % above
SHIFT = 0.027  # shares of the side: the error of landmarks of a small face, 3 pixels of 112
TURN = 5.0  # degrees: the error of the roll of a small face
STOPS = 4.0  # exposure stops of the darkest view: a sixteenth of the light
NOISE = 4.0  # standard deviation in grey levels of the noise of dark views
TINT = 0.6  # largest change of a colour of a varied view, as a share
VARIED_TURN = 20.0  # degrees: largest rotation of a varied view
COVER = 0.29  # side of the covered square of a varied view, as a share of the crop's

_SIDES = (8, 12, 16, 24, 32, 48, 64)  # pixels: sides of the reduced copies that a crop is compared with
_SAME = 0.06  # largest error of an equal copy, as a share of the crop's contrast
_ROUNDING = 1.0  # grey levels: least allowed error, since copies of a dark crop differ by rounding
_DARK = 60.0  # grey levels: mean below which a face is dark
_SHARE = 0.2  # least share of dark photos for which dark views are trained
_SAMPLE = 200  # largest number of photos that are measured


@dataclass(frozen=True)
class Degradation:
    """Holds the degradations of the views to train on.

    Attributes:
        kinds: kinds of degradation, some of `KINDS`.
        fewest: side of the smallest view in pixels.
        most: side of the largest view in pixels.
        reason: sentence on the measured photos and the chosen degradation.
    """

    kinds: tuple[str, ...]
    fewest: int = FEWEST
    most: int = MOST
    reason: str = ""


def parse_kinds(degrade: str) -> tuple[str, ...]:
    """Parse the option --degrade; auto and none give no kinds.

    Raises:
        UsageError: the option names another kind.
    """
    if degrade in (AUTO, NONE):
        return ()
    kinds = tuple(degrade.split(","))
    if not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        raise UsageError(
            f"--degrade: expected {AUTO}, {NONE}, {', '.join(KINDS)} or {','.join(KINDS)}, got {degrade!r}"
        )
    return kinds


def choose_degradation(degrade: str, crops: Pixels) -> Degradation:
    """Choose the degradations to train by the resolution and brightness of the photos.

    With `auto`, views of few pixels are always trained, since face trunks fail on these first, and dark views
    if 20 % of the photos are dark. The smallest view has no more pixels than the least detailed photos.

    Args:
        degrade: option --degrade, other than none.
        crops: (n, size, size, 3) uint8 RGB, at most a few hundred.

    Raises:
        UsageError: `degrade` names another kind.
    """
    kinds = parse_kinds(degrade)
    detail = np.array([detail_of(crop) for crop in crops])
    light = crops.mean(axis=(1, 2, 3))
    dark = float((light < _DARK).mean())
    summary = (
        f"The photos show about {np.median(detail):.0f} pixels of detail across a face and a mean brightness "
        f"of {np.median(light):.0f} of 255, {100 * dark:.0f} % of them are dark"
    )
    if degrade == AUTO:
        kinds = (PIXELS, LIGHT) if dark >= _SHARE else (PIXELS,)
    fewest = min(FEWEST, int(np.quantile(detail, 0.1)))
    parts = []
    if PIXELS in kinds:
        why = (
            "as few as they have themselves" if np.median(detail) <= MOST else "where recognition fails first"
        )
        parts.append(f"{fewest} to {MOST} pixels ({why})")
    if LIGHT in kinds:
        parts.append(f"up to {STOPS:g} stops less light" + (" (as they are dark)" if dark >= _SHARE else ""))
    option = "" if degrade == AUTO else f"; asked for by --degrade {degrade}"
    return Degradation(
        kinds, fewest, MOST, f"{summary}: learning from views of {' and '.join(parts)}{option}"
    )


def sample_rows(photos: int) -> NDArray[np.intp]:
    """Return the numbers of at most 200 of `photos` photos, evenly spread."""
    return np.unique(np.linspace(0, photos - 1, min(photos, _SAMPLE)).astype(np.intp))


def detail_of(crop: Pixels) -> int:
    """Estimate the resolution of a crop: the least side to which it can be reduced unchanged.

    Args:
        crop: (size, size, 3) uint8 RGB.

    Returns:
        Side in pixels, one of 8, 12, 16, 24, 32, 48, 64, or the crop's own.
    """
    grey = Image.fromarray(crop).convert("L")
    pixels = np.asarray(grey, np.float64)
    allowed = max(_SAME * float(pixels.std()), _ROUNDING)
    for side in _SIDES:
        small = grey.resize((side, side), Image.Resampling.BOX).resize(grey.size, Image.Resampling.BICUBIC)
        error = math.sqrt(float(((np.asarray(small, np.float64) - pixels) ** 2).mean()))
        if side < len(crop) and error < allowed:
            return side
    return len(crop)


def degraded_view(crop: Pixels, plan: Degradation, rng: np.random.Generator, whole: bool = False) -> Pixels:
    """Degrade a crop like a poor photo: shifted, rotated, mirrored, of few pixels, dark.

    Args:
        crop: (size, size, 3) uint8 RGB.
        plan: degradations to draw.
        rng: generator that draws.
        whole: whether the crop is a whole picture, whose black bars are cut off first.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    picture = without_bars(crop) if whole else crop
    picture = _moved(picture, rng)
    if LIGHT in plan.kinds and (PIXELS not in plan.kinds or rng.random() < 0.5):
        dark = picture * 2.0 ** -rng.uniform(0.5, STOPS) + rng.normal(0, NOISE, picture.shape)
        picture = _to_pixels(dark)
    size = (len(crop), len(crop))
    small = Image.fromarray(picture)
    if PIXELS in plan.kinds:
        # Log-uniformly, which draws small sides, the harder ones, more often.
        side = round(plan.fewest * (plan.most / plan.fewest) ** rng.random())
        small = small.resize((side, side), FILTERS[rng.integers(len(FILTERS))])
    enlarged: Pixels = np.asarray(small.resize(size, FILTERS[1 + rng.integers(len(FILTERS) - 1)]))
    return enlarged


def clean_view(crop: Pixels, number: int) -> Pixels:
    """Return a crop, or its mirror picture if `number` is odd."""
    return np.ascontiguousarray(crop[:, ::-1]) if number % 2 else crop


def varied_view(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Tint, rotate, relight or partly cover a crop.

    Args:
        crop: (size, size, 3) uint8 RGB.
        rng: generator that draws.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    picture = np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop
    kind = rng.integers(4)
    if kind == 0:
        return _to_pixels(picture * (1 + rng.uniform(-TINT, TINT, 3)))
    if kind == 1:
        turned = Image.fromarray(picture).rotate(
            rng.uniform(-VARIED_TURN, VARIED_TURN), Image.Resampling.BICUBIC
        )
        return np.asarray(turned)
    if kind == 2:
        mean = picture.mean()
        contrast = mean + 3.0 ** rng.uniform(-1, 1) * (picture - mean)
        return _to_pixels(contrast * 2.0 ** rng.uniform(-1.5, 1))
    side = round(COVER * len(picture))
    row, column = rng.integers(len(picture) // 6, 2 * len(picture) // 3, 2)
    covered = picture.copy()
    covered[row : row + side, column : column + side] = rng.integers(256)
    return covered


def _moved(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Shift, rotate and mirror a picture about its center, repeating its border."""
    height, width = picture.shape[:2]
    margin = math.ceil(0.15 * max(height, width))
    down, right = rng.uniform(-SHIFT, SHIFT, 2) * (height, width)
    angle = math.radians(rng.uniform(-TURN, TURN))
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    inverse = (
        cosine,
        -sine,
        margin + x - cosine * x + sine * y + right,
        sine,
        cosine,
        margin + y - sine * x - cosine * y + down,
    )
    bordered = Image.fromarray(np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))
    moved = np.asarray(
        bordered.transform((width, height), Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC)
    )
    return np.ascontiguousarray(moved[:, ::-1]) if rng.random() < 0.5 else moved


def _to_pixels(values: NDArray[np.float64]) -> Pixels:
    pixels: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return pixels
