"""Photos of several people, composed of ORL faces, so that every face's place is known.

ORL's pictures show a head each, 92 x 112 pixels, the face about 70 of them across. Each is scaled, turned a
little, given a tint and laid with soft edges onto a background that is drawn, or one of scikit-learn's two
photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

HEAD = (92, 112)  # pixels of an ORL picture
FACE = 70  # of them across the face, from ear to ear
CENTER = (46, 60)  # of them, where the middle of the face is


@dataclass(frozen=True)
class Truth:
    """Where a face is: center and width in pixels, turned counterclockwise by degrees."""

    center: tuple[float, float]
    width: float
    degrees: float
    head: int


def compose(
    heads: NDArray[np.uint8],
    seed: int,
    size: tuple[int, int] = (4000, 3000),
    people: int = 12,
    widths: tuple[float, float] = (60, 400),
    degrees: float = 15,
    background: str | None = None,
    exactly: bool = False,
) -> tuple[NDArray[np.uint8], list[Truth]]:
    """Compose a photo.

    Args:
        heads: (n, 112, 92) uint8 grey pictures to draw from.
        seed: of everything.
        size: width and height of the photo.
        people: how many; no one covers another.
        widths: smallest and largest face in pixels, drawn evenly in the logarithm.
        degrees: largest turn in the plane.
        background: `drawn`, `china` or `flower`; None draws one of them.
        exactly: turn every head by `degrees`, to the one side or the other.

    Returns:
        (height, width, 3) uint8 RGB, and where each face is.
    """
    rng = np.random.default_rng([seed, 7])
    photo = _background(background or str(rng.choice(["drawn", "drawn", "china", "flower"])), size, rng)
    truths: list[Truth] = []
    taken: list[tuple[float, float, float]] = []
    chosen = rng.choice(len(heads), people, replace=len(heads) < people)
    least, most = np.log(widths)
    sizes = sorted(np.exp(rng.uniform(least, most, people)), reverse=True)
    for head, width in zip(chosen, sizes, strict=True):
        turn = float(rng.uniform(-degrees, degrees))
        turn = float(np.copysign(degrees, turn)) if exactly else turn
        x, y, reach = _free_place(size, width, taken, rng)
        taken.append((x, y, reach))
        _lay(photo, heads[head], (x, y), float(width), turn, rng)
        truths.append(Truth((x, y), float(width), turn, int(head)))
    return np.asarray(photo), truths


def _free_place(
    size: tuple[int, int], width: float, taken: list[tuple[float, float, float]], rng: np.random.Generator
) -> tuple[float, float, float]:
    reach = width / FACE * 0.75 * HEAD[1]  # half of a turned head, and some
    for _ in range(10_000):
        x, y = (float(rng.uniform(reach, side - reach)) for side in size)
        if all(np.hypot(x - a, y - b) > reach + r for a, b, r in taken):
            return x, y, reach
    raise ValueError(f"no free place for a face of {width:.0f} pixels in a photo of {size}")


def _lay(
    photo: Image.Image,
    head: NDArray[np.uint8],
    center: tuple[float, float],
    width: float,
    degrees: float,
    rng: np.random.Generator,
) -> None:
    scale = width / FACE
    side = int(np.ceil(scale * 1.5 * HEAD[1]))
    left, top = (round(c - side / 2) for c in center)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    middle = np.array(center) - (left, top)
    inverse = np.column_stack([turn, np.array(CENTER) - turn @ middle]).ravel()
    tint = np.array([1.0, 0.82, 0.72]) ** rng.uniform(0, 1)
    colored = Image.fromarray((head[:, :, None] * tint).astype(np.uint8))
    mask = Image.new("L", HEAD)
    ImageDraw.Draw(mask).ellipse((5, 3, HEAD[0] - 6, HEAD[1] + 10), fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(3))
    if scale < 1:  # sampling would alias
        small = (max(1, round(HEAD[0] * scale)), max(1, round(HEAD[1] * scale)))
        colored, soft = colored.resize(small), soft.resize(small)
        inverse = (inverse.reshape(2, 3) * (np.array(small) / HEAD)[:, None]).ravel()
    how = Image.Transform.AFFINE, tuple(inverse), Image.Resampling.BICUBIC
    photo.paste(colored.transform((side, side), *how), (left, top), soft.transform((side, side), *how))


def _background(kind: str, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    if kind == "drawn":
        return _drawn(size, rng)
    picture = _photo(kind)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture.resize(size, Image.Resampling.BICUBIC)


@lru_cache
def _photo(kind: str) -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(f"{kind}.jpg"))


def _drawn(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A wall with shadows, furniture and grain."""
    small = rng.integers(40, 220, (5, 7, 3), dtype=np.uint8)
    photo = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(photo)
    for _ in range(60):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        w, h = rng.uniform(0.01, 0.2, 2) * size
        color = tuple(int(c) for c in rng.integers(0, 256, 3))
        shape = rng.choice(["rectangle", "ellipse", "line"])
        if shape == "line":
            draw.line((x, y, x + w, y + h), fill=color, width=max(1, size[0] // 200))
        else:
            getattr(draw, shape)((x, y, x + w, y + h), fill=color)
    grain = Image.fromarray(rng.integers(0, 256, (256, 256), dtype=np.uint8)).resize(size)
    return Image.blend(photo, grain.convert("RGB"), 0.06)
