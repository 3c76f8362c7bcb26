"""Pictures to upright chips: the similarity transform that puts a face where the trunk expects it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Similarity:
    """A turn, a scale and a shift of the plane: z ↦ turn · z + shift, a point being z = x + iy.

    Attributes:
        turn: its modulus is the scale, its argument the angle (y points down: positive is clockwise).
        shift: in pixels.
    """

    turn: complex
    shift: complex

    @classmethod
    def fit(cls, source: NDArray[np.floating], target: NDArray[np.floating]) -> Similarity:
        """Give the transform that brings points nearest to others in the least-squares sense.

        In the plane and without reflection, Umeyama's problem (1991, equations 40-42) is linear.

        Args:
            source: (n, 2) x and y.
            target: (n, 2) where they should come to lie.

        Raises:
            ValueError: all source points are the same.
        """
        z, w = source @ (1, 1j), target @ (1, 1j)
        centered = z - z.mean()
        spread = np.vdot(centered, centered).real
        if not spread > 0:
            raise ValueError("the points of a face must not all be the same")
        turn = complex(np.vdot(centered, w) / spread)
        return cls(turn, complex(w.mean()) - turn * complex(z.mean()))

    @property
    def scale(self) -> float:
        """Length of the picture of a unit length."""
        return abs(self.turn)

    def inverse(self) -> Similarity:
        """Give the transform that undoes this one."""
        return Similarity(1 / self.turn, -self.shift / self.turn)

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transform (..., 2) points."""
        moved = points @ (1, 1j) * self.turn + self.shift
        return np.stack([moved.real, moved.imag], axis=-1)


def cut(
    image: NDArray[np.uint8],
    to_square: Similarity,
    size: int,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> NDArray[np.uint8]:
    """Sample a square from a picture; what lies outside of the picture is black.

    Where the square is much smaller than what it shows, the picture is averaged down first, as sampling
    looks at a few pixels only and would alias.

    Args:
        image: (height, width, 3) uint8 RGB.
        to_square: from the picture's coordinates to the square's.
        size: side of the square in pixels.
        resample: how to sample between pixels.

    Returns:
        (size, size, 3) uint8.
    """
    back = to_square.inverse()
    corners = back(np.array([[0, 0], [0, size], [size, 0], [size, size]]))
    margin = 3 * back.scale  # sampling looks beyond the border
    left, top = (math.floor(low - margin) for low in corners.min(axis=0))
    right, bottom = (math.ceil(high + margin) for high in corners.max(axis=0))
    factor = max(1, int(back.scale))
    left, top = max(left, 0), max(top, 0)
    pixels = image[top : max(bottom, 0), left : max(right, 0)]
    if not pixels.size:  # it lies wholly outside
        return np.zeros((size, size, 3), np.uint8)
    region = Image.fromarray(pixels)
    if factor > 1:
        region = region.reduce(factor)
    a, b = back.turn / factor, (back.shift - complex(left, top)) / factor
    coefficients = (a.real, -a.imag, b.real, a.imag, a.real, b.imag)
    return np.asarray(region.transform((size, size), Image.Transform.AFFINE, coefficients, resample))


def inside(shape: tuple[int, ...], to_square: Similarity, size: int) -> NDArray[np.bool_]:
    """Say which pixels of a square that is cut from a picture lie in the picture.

    Args:
        shape: height and width of the picture.
        to_square: as for `cut`.
        size: side of the square in pixels.

    Returns:
        (size, size) bool.
    """
    corners = to_square.inverse()(np.array([[0, 0], [0, size], [size, 0], [size, size]]))
    if (corners >= 0).all() and (corners <= shape[1::-1]).all():  # the usual case, and a fast one
        return np.ones((size, size), bool)
    y, x = np.mgrid[0:size, 0:size] + 0.5
    places = to_square.inverse()(np.stack([x, y], axis=-1))
    return np.asarray(((places >= 0) & (places < shape[1::-1])).all(axis=-1))
