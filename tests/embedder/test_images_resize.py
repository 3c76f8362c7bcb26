"""Pictures fitted into a square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.images import resize_to_square
from tests.embedder.pictures import COLOURS, PICTURE


@pytest.mark.parametrize("size", [1, 16, 17, 150])
def test_a_picture_of_that_size_is_not_touched(size: int) -> None:
    image = np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8)
    np.testing.assert_array_equal(resize_to_square(image, size), image)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_very_thin_picture_becomes_a_line(shape: tuple[int, int]) -> None:
    square = resize_to_square(np.full((*shape, 3), 200, np.uint8), 16)
    lit = (square == 200).all(axis=2)
    line = lit[7] if shape[0] == 1 else lit[:, 7]
    assert line.all()
    assert lit.sum() == 16
    assert not square[~lit].any()


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64))
def test_proportions_are_kept_and_the_picture_centered(height: int, width: int, size: int) -> None:
    square = resize_to_square(np.full((height, width, 3), 200, np.uint8), size)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8
    rows, columns = np.nonzero(square[:, :, 0])
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    assert (square[top:bottom, left:right] == 200).all()
    assert max(bottom - top, right - left) == size
    assert abs(bottom - top - max(1, height * size / max(height, width))) <= 0.5
    assert abs(right - left - max(1, width * size / max(height, width))) <= 0.5
    assert abs(top - (size - bottom)) <= 1
    assert abs(left - (size - right)) <= 1


def test_enlarging_and_shrinking_keep_what_is_where() -> None:
    for block in (8, 32):
        square = resize_to_square(PICTURE, 3 * block)
        middles = square[block::block, block // 2 :: block][:2]
        np.testing.assert_allclose(middles.astype(int), COLOURS.astype(int), atol=3)


def test_enlarging_is_bicubic() -> None:
    """One bright line between dark ones becomes Keys' kernel, a = -1/2, at 1/4, 3/4 and 5/4 of a pixel."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4] = 200
    near, middle, far = 0.8671875, 0.2265625, -0.0703125
    expected = [0, *(round(max(0, 200 * weight)) for weight in (far, middle, near, near, middle, far)), 0]
    assert resize_to_square(image, 16)[8, 5:13, 0].tolist() == expected


def test_shrinking_averages() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 200
    square = resize_to_square(np.stack([checks] * 3, axis=2).astype(np.uint8), 16)
    np.testing.assert_allclose(square, 100, atol=8)
