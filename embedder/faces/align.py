"""Pictures to upright crops: the similarity transform that puts a face where the trunk expects it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


_GRID = 2.0**30  # steps in a pixel: places in pictures of 65,536 pixels a side still take 53 bits at most


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

    def rounded(self) -> Similarity:
        """Round turn and shift to multiples of 2⁻³⁰.

        Processors differ in the last bit of what led to them, and of sums and products of them. After this,
        both have no last bit to lose: where a pixel lies is the same number on every machine.
        """
        turn, shift = (
            complex(round(number.real * _GRID) / _GRID, round(number.imag * _GRID) / _GRID)
            for number in (self.turn, self.shift)
        )
        return Similarity(turn, shift)

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transform (..., 2) points."""
        moved = points @ (1, 1j) * self.turn + self.shift
        return np.stack([moved.real, moved.imag], axis=-1)


def warp_square(
    image: NDArray[np.uint8],
    to_square: Similarity,
    size: int,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> NDArray[np.uint8]:
    """Sample a square from a picture; what lies outside of the picture is black.

    Where the square is much smaller than what it shows, the picture is averaged down first, as sampling
    looks at a few pixels only and would alias.

    Args:
        image: (height, width, 3) uint8 RGB, or (height, width) uint8.
        to_square: from the picture's coordinates to the square's.
        size: side of the square in pixels.
        resample: how to sample between pixels.

    Returns:
        (size, size, 3) or (size, size) uint8.
    """
    back = to_square.inverse().rounded()
    corners = back(np.array([[0, 0], [0, size], [size, 0], [size, size]]))
    factor = max(1, int(back.scale))
    margin = 3 * factor  # sampling looks beyond the border, at two pixels of what was averaged
    left, top = (max(math.floor(low) - margin, 0) for low in corners.min(axis=0))
    right, bottom = (max(math.ceil(high) + margin, 0) for high in corners.max(axis=0))
    pixels = image[top:bottom, left:right]
    if not pixels.size:  # it lies wholly outside
        return np.zeros((size, size, *image.shape[2:]), np.uint8)
    region = Image.fromarray(pixels)
    if factor > 1:
        region = region.reduce(factor)
    sampled = Similarity(back.turn / factor, (back.shift - complex(left, top)) / factor).rounded()
    a, b = sampled.turn, sampled.shift
    coefficients = (a.real, -a.imag, b.real, a.imag, a.real, b.imag)
    return np.asarray(region.transform((size, size), Image.Transform.AFFINE, coefficients, resample))


def inside(shape: tuple[int, ...], to_square: Similarity, size: int) -> NDArray[np.bool_]:
    """Say which pixels of a square that is cut from a picture show the picture.

    `cut` alone decides it: this asks it about a white picture.

    Args:
        shape: height and width of the picture.
        to_square: as for `cut`.
        size: side of the square in pixels.

    Returns:
        (size, size) bool.
    """
    white = np.broadcast_to(np.uint8(255), shape[:2])  # takes no memory
    return warp_square(white, to_square, size) > 0
