"""Resize a picture to the square input of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resize_to_square(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a picture into a square, centered on black, with its proportions.

    Args:
        image: (height, width, 3) uint8 RGB.
        size: side of the square in pixels.

    Returns:
        (size, size, 3) uint8 RGB, by bicubic interpolation.
    """
    height, width = image.shape[:2]
    if height == width == size:  # a crop already
        return image
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width] = np.asarray(resized)
    return square
