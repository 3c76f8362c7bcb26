"""Align faces: fit a similarity transform to landmarks, and warp a picture to a crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


_GRID = 2.0**30  # steps per pixel: coordinates up to 65,536 pixels then take 46 of a float's 53 bits


@dataclass(frozen=True)
class Similarity:
    """Rotates, scales and shifts points: z ↦ turn · z + shift, for points z = x + iy.

    Attributes:
        turn: rotation and scale: its modulus is the scale, its argument the angle (positive is clockwise, as
            y points down).
        shift: shift in pixels.
    """

    turn: complex
    shift: complex

    @classmethod
    def fit(cls, source: NDArray[np.floating], target: NDArray[np.floating]) -> Similarity:
        """Fit the transform from source to target points with the least sum of squares.

        In the plane and without reflection this is linear (Umeyama 1991, "Least-squares estimation of
        transformation parameters between two point patterns", equations 40-42).

        Args:
            source: (n, 2) x and y of the points, any float dtype.
            target: (n, 2) x and y that they are to be mapped to.

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
        """Factor by which lengths grow."""
        return abs(self.turn)

    def inverse(self) -> Similarity:
        """Return the inverse transform."""
        return Similarity(1 / self.turn, -self.shift / self.turn)

    def rounded(self) -> Similarity:
        """Round `turn` and `shift` to multiples of 2⁻³⁰.

        Processors differ in the last bit of the computations before. Sums and products of the rounded
        numbers are exact, so that the coordinates of pixels are equal on every machine.
        """
        turn, shift = (
            complex(round(number.real * _GRID) / _GRID, round(number.imag * _GRID) / _GRID)
            for number in (self.turn, self.shift)
        )
        return Similarity(turn, shift)

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transform points (..., 2), to (..., 2) float64."""
        moved = points @ (1, 1j) * self.turn + self.shift
        return np.stack([moved.real, moved.imag], axis=-1)


def warp_square(
    image: NDArray[np.uint8],
    to_square: Similarity,
    size: int,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> NDArray[np.uint8]:
    """Sample a square from a picture, black where it lies outside of the picture.

    If the square is reduced by a factor of 2 or more, the picture is averaged in blocks first: the few pixels
    that a sample is interpolated from would alias.

    Args:
        image: (height, width, 3) uint8 RGB, or (height, width) uint8.
        to_square: transform from the picture's coordinates to the square's, in pixels.
        size: side of the square in pixels.
        resample: interpolation between pixels.

    Returns:
        (size, size, 3) or (size, size) uint8.
    """
    back = to_square.inverse().rounded()
    factor, box = _sampled(back, size)
    left, top, right, bottom = (max(side, 0) for side in box)
    pixels = image[top:bottom, left:right]
    if not pixels.size:  # the square lies outside of the picture
        return np.zeros((size, size, *image.shape[2:]), np.uint8)
    region = Image.fromarray(pixels)
    if factor > 1:
        region = region.reduce(factor)
    sampled = Similarity(back.turn / factor, (back.shift - complex(left, top)) / factor).rounded()
    a, b = sampled.turn, sampled.shift
    coefficients = (a.real, -a.imag, b.real, a.imag, a.real, b.imag)
    return np.asarray(region.transform((size, size), Image.Transform.AFFINE, coefficients, resample))


def inside(shape: tuple[int, ...], to_square: Similarity, size: int) -> NDArray[np.bool_]:
    """Compute which pixels of a square of `warp_square` lie within the picture.

    They are those that are not black in the square of a white picture; all, if no pixel beyond the border is
    read.

    Args:
        shape: height and width of the picture.
        to_square: transform from the picture's coordinates to the square's, in pixels.
        size: side of the square in pixels.

    Returns:
        (size, size) bool.
    """
    _, (left, top, right, bottom) = _sampled(to_square.inverse().rounded(), size)
    if left >= 0 and right <= shape[1] and top >= 0 and bottom <= shape[0]:
        return np.ones((size, size), bool)
    white = np.broadcast_to(np.uint8(255), shape[:2])  # a view of one byte
    return warp_square(white, to_square, size) > 0


def _sampled(back: Similarity, size: int) -> tuple[int, tuple[int, int, int, int]]:
    """Compute how far a picture is reduced, and left, top, right, bottom of the pixels that are read."""
    factor = max(1, int(back.scale))
    corners = back(np.array([[0, 0], [0, size], [size, 0], [size, size]]))
    margin = 3 * factor  # bicubic interpolation reads two averaged pixels beyond the border
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    return factor, (int(left) - margin, int(top) - margin, int(right) + margin, int(bottom) + margin)
