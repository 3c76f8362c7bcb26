"""Degrade face crops as small, dark and badly aligned photos are, and choose which degradations to train.

Views of a crop: `degraded_view` is learned from, `clean_view` is the crop or its mirror picture, and
`varied_view` is a good photo under other conditions, on which a trunk shows what it has forgotten. Arrays in,
arrays out; without Keras.
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
SHIFT = 0.027  # of the side, 3 pixels of 112: what landmarks of a small face are off by
TURN = 5.0  # degrees, likewise
STOPS = 4.0  # darkest view: a sixteenth of the light
NOISE = 4.0  # grey levels, standard deviation, of a view in little light
TINT = 0.6  # a varied view's colours change by this share at most
VARIED_TURN = 20.0  # degrees
COVER = 0.29  # of the side

_SIDES = (8, 12, 16, 24, 32, 48, 64)  # pixels across that a crop is compared at
_SAME = 0.06  # of a crop's contrast: what it may differ by from its copy of so many pixels
_ROUNDING = 1.0  # grey levels: a dark crop has few, and differs from any copy by their rounding
_DARK = 60.0  # grey levels: mean below which a face is dark
_SHARE = 0.2  # of the photos that must be dark before darkness is trained
_SAMPLE = 200  # photos that are looked at


@dataclass(frozen=True)
class Degradation:
    """What the views to learn from lack, and why.

    Attributes:
        kinds: of `KINDS`.
        fewest: pixels across the smallest view.
        most: pixels across the largest one.
        reason: one sentence that says what the photos look like and what was chosen.
    """

    kinds: tuple[str, ...]
    fewest: int = FEWEST
    most: int = MOST
    reason: str = ""


def parse_kinds(asked: str) -> tuple[str, ...]:
    """Read the option --degrade: auto and none give no kinds.

    Raises:
        UsageError: it names another kind.
    """
    if asked in (AUTO, NONE):
        return ()
    kinds = tuple(asked.split(","))
    if not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        raise UsageError(
            f"--degrade: expected {AUTO}, {NONE}, {', '.join(KINDS)} or {','.join(KINDS)}, got {asked!r}"
        )
    return kinds


def choose_degradation(asked: str, crops: Pixels) -> Degradation:
    """Choose what to train from what the photos look like.

    Few pixels are always among it: that is where the face trunks fail first. Where many photos are dark,
    views are dark, too. Photos that are of few pixels themselves are degraded to as few as they have.

    Args:
        asked: the option --degrade, not none.
        crops: (n, size, size, 3) uint8, at most a few hundred.

    Raises:
        UsageError: `asked` names another kind.
    """
    kinds = parse_kinds(asked)
    detail = np.array([detail_of(crop) for crop in crops])
    light = crops.mean(axis=(1, 2, 3))
    dark = float((light < _DARK).mean())
    seen = (
        f"The photos show about {np.median(detail):.0f} pixels of detail across a face and a mean brightness "
        f"of {np.median(light):.0f} of 255, {100 * dark:.0f} % of them are dark"
    )
    if asked == AUTO:
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
    asked_for = "" if asked == AUTO else f"; asked for by --degrade {asked}"
    return Degradation(
        kinds, fewest, MOST, f"{seen}: learning from views of {' and '.join(parts)}{asked_for}"
    )


def sample_rows(photos: int) -> NDArray[np.intp]:
    """Give rows of at most a few hundred of so many photos, evenly spread, to look at."""
    return np.unique(np.linspace(0, photos - 1, min(photos, _SAMPLE)).astype(np.intp))


def detail_of(crop: Pixels) -> int:
    """Count the pixels across that a crop has detail for: it looks the same when shrunk to so many.

    Args:
        crop: (size, size, 3) uint8.

    Returns:
        One of a few sides, at most the crop's own.
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
    """Show a crop as a poor photo would: moved, turned, mirrored, of few pixels, dark.

    Args:
        crop: (size, size, 3) uint8.
        plan: what it lacks.
        rng: draws.
        whole: whether it is a whole picture, whose black bars are no part of it.
    """
    picture = without_bars(crop) if whole else crop
    picture = _moved(picture, rng)
    if LIGHT in plan.kinds and (PIXELS not in plan.kinds or rng.random() < 0.5):
        dark = picture * 2.0 ** -rng.uniform(0.5, STOPS) + rng.normal(0, NOISE, picture.shape)
        picture = _to_pixels(dark)
    size = (len(crop), len(crop))
    small = Image.fromarray(picture)
    if PIXELS in plan.kinds:
        # Evenly by ratio: of 9 and 16 pixels, the fewer are the harder to learn.
        side = round(plan.fewest * (plan.most / plan.fewest) ** rng.random())
        small = small.resize((side, side), FILTERS[rng.integers(len(FILTERS))])
    enlarged: Pixels = np.asarray(small.resize(size, FILTERS[1 + rng.integers(len(FILTERS) - 1)]))
    return enlarged


def clean_view(crop: Pixels, number: int) -> Pixels:
    """Show a crop as it is, or its mirror picture if the number is odd."""
    return np.ascontiguousarray(crop[:, ::-1]) if number % 2 else crop


def varied_view(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Show a crop tinted, turned, in other light or partly covered.

    Args:
        crop: (size, size, 3) uint8.
        rng: draws.
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
    """Shift, turn and mirror a picture about its middle, repeating its border."""
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
