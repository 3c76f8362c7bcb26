from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from embedder.faces.align import Similarity, inside, warp_square

HERE = Similarity(1 + 0j, 0j)
FITS = [(3, 0.0), (4, 0.5), (5, 10.0), (50, 3.0), (4, 200.0)]  # number of points, how far each is off


def smooth(height: int, width: int) -> np.ndarray:
    """A picture whose value at any place is known: each channel rises along a line."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)


def value(places: np.ndarray) -> np.ndarray:
    return np.stack([places[..., 0], places[..., 1], 255 - places[..., 0]], axis=-1) - 0.5


def centers(size: int) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] + 0.5
    return np.stack([x, y], axis=-1)


@pytest.mark.parametrize(("count", "noise"), FITS)
def test_fit_is_the_least_squares_solution(count, noise):
    rng = np.random.default_rng(count)
    source = rng.uniform(-50, 900, (count, 2))
    target = source @ [[0.3, 0.9], [-0.9, 0.3]] + [40, -7] + rng.normal(0, noise, (count, 2))
    # u = a x - b y + c, v = b x + a y + d, one row for each number, solved by numpy
    one, zero = np.ones(count), np.zeros(count)
    x, y = source.T
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, c, d = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
    fitted = Similarity.fit(source, target)
    np.testing.assert_allclose(
        [fitted.turn.real, fitted.turn.imag, fitted.shift.real, fitted.shift.imag], [a, b, c, d], atol=1e-9
    )


@pytest.mark.parametrize("turn", [1, 0.1, 1j, -2, 3 * np.exp(2j), 1e-3 * np.exp(-1j)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_fit_gives_back_a_known_transform(turn, count):
    known = Similarity(complex(turn), 12 - 340j)
    source = np.random.default_rng(count).uniform(0, 300, (count, 2))
    fitted = Similarity.fit(source, known(source))
    assert fitted.turn == pytest.approx(known.turn, rel=1e-9)
    assert fitted.shift == pytest.approx(known.shift, abs=1e-9)
    assert fitted.scale == pytest.approx(abs(turn))


def test_fit_never_mirrors():
    source = np.array([[0.0, 0], [10, 0], [0, 20], [10, 20]])
    fitted = Similarity.fit(source, source * [-1, 1])
    corner = fitted(np.array([[0.0, 0], [1, 0], [0, 1]]))
    across, down = corner[1] - corner[0], corner[2] - corner[0]
    assert across[0] * down[1] - across[1] * down[0] > 0


def test_fit_refuses_points_that_are_all_the_same():
    with pytest.raises(ValueError, match="must not all be the same"):
        Similarity.fit(np.full((4, 2), 7.0), np.eye(4, 2))


def test_a_transform_by_hand():
    quarter = Similarity(2j, 5 + 1j)  # clockwise by 90 degrees as y points down, twice as large
    np.testing.assert_allclose(quarter(np.array([[3.0, 0], [0, 3]])), [[5, 7], [-1, 1]])
    np.testing.assert_allclose(quarter(np.zeros((2, 3, 2))), np.broadcast_to([5, 1], (2, 3, 2)))
    assert quarter.scale == 2


def test_inverse_undoes():
    forth = Similarity(0.7 * np.exp(1.1j), 30 - 8j)
    places = np.random.default_rng(0).uniform(-99, 99, (20, 2))
    np.testing.assert_allclose(forth.inverse()(forth(places)), places, atol=1e-9)
    np.testing.assert_allclose(forth(forth.inverse()(places)), places, atol=1e-9)
    assert forth.inverse().scale == pytest.approx(1 / forth.scale)


@pytest.mark.parametrize("size", [1, 17, 64])
def test_cut_without_a_change_gives_the_picture(size):
    picture = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    crop = warp_square(picture, HERE, size)
    np.testing.assert_array_equal(crop, picture)
    assert crop.dtype == np.uint8


@pytest.mark.parametrize("quarters", range(4))
def test_cut_by_quarter_turns_gives_the_turned_picture(quarters):
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    turn = 1j**quarters
    to_square = Similarity(turn, 10 + 10j - turn * (10 + 10j))  # clockwise about the middle
    np.testing.assert_array_equal(warp_square(picture, to_square, 20), np.rot90(picture, -quarters))


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize(
    ("scale", "degrees", "middle"),
    [
        (1, 0, (100, 90)),
        (1, 0, (100.5, 90.25)),
        (2, 0, (60, 60)),
        (0.7, 0, (100, 90)),
        (1.3, 33, (90, 90)),
        (0.6, -75, (110, 100)),
        (1, 180, (110, 100)),
        (3, 140, (70, 120)),
    ],
)
def test_cut_samples_what_is_there(scale, degrees, middle, resample):
    turn = complex(scale * np.exp(1j * np.deg2rad(degrees)))
    to_square = Similarity(turn, 20 + 20j - turn * complex(*middle))
    crop = warp_square(smooth(200, 220), to_square, 40, resample)
    expected = value(to_square.inverse()(centers(40)))
    assert expected.min() > 0
    assert expected.max() < 255
    np.testing.assert_allclose(crop, expected, atol=1.01)


@pytest.mark.parametrize("factor", [2, 3, 4, 2.5, 7.9])
def test_cut_averages_before_it_shrinks(factor):
    fine = np.indices((400, 400)).sum(0) % 2 * 255  # a chessboard of single pixels
    picture = np.repeat(fine[:, :, None], 3, axis=2).astype(np.uint8)
    crop = warp_square(picture, Similarity(1 / factor + 0j, 0j), 48)
    whole = crop if factor * 48 <= 390 else crop[: int(390 / factor), : int(390 / factor)]
    assert np.abs(whole.astype(float) - 127.5).max() < 35  # sampled, it would be 0 and 255


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_cut_shrinks_by_whole_factors_to_the_means(factor):
    picture = np.random.default_rng(0).integers(0, 256, (24 * factor, 24 * factor, 3), dtype=np.uint8)
    means = picture.reshape(24, factor, 24, factor, 3).mean((1, 3))
    crop = warp_square(picture, Similarity(1 / factor + 0j, 0j), 24)
    np.testing.assert_allclose(crop, means, atol=0.6)  # of 9 pixels, Pillow rounds roughly


@pytest.mark.parametrize("factor", [2, 3.4, 5])
def test_cut_keeps_the_place_where_it_shrinks(factor):
    to_square = Similarity(1 / factor * np.exp(0.4j), 16 + 16j - 1 / factor * np.exp(0.4j) * (103 + 121j))
    crop = warp_square(smooth(240, 240), to_square, 32)
    expected = value(to_square.inverse()(centers(32)))
    within = np.all((expected > 6) & (expected < 234), axis=-1)
    assert within.mean() > 0.5
    np.testing.assert_allclose(crop[within], expected[within], atol=1.6)


def test_cut_shows_black_outside():
    picture = np.full((30, 40, 3), 200, np.uint8)
    crop = warp_square(picture, Similarity(1 + 0j, 10 + 20j), 60)
    seen = np.zeros((60, 60), bool)
    seen[20:50, 10:50] = True
    assert (crop[seen] == 200).all()
    assert (crop[~seen] == 0).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_cut_at_each_corner_of_the_picture(corner):
    picture = np.random.default_rng(1).integers(1, 256, (50, 70, 3), dtype=np.uint8)
    left, top = (corner[0] * 70 - 8, corner[1] * 50 - 8)
    crop = warp_square(picture, Similarity(1 + 0j, complex(-left, -top)), 16)
    padded = np.pad(picture, ((16, 16), (16, 16), (0, 0)))
    np.testing.assert_array_equal(crop, padded[top + 16 : top + 32, left + 16 : left + 32])


@pytest.mark.parametrize("shift", [(500, 0), (-500, 0), (0, 500), (0, -500), (1e6, -1e6)])
@pytest.mark.parametrize("turn", [1, 0.1, 5j])
def test_cut_wholly_outside_is_black(shift, turn):
    picture = np.full((40, 30, 3), 255, np.uint8)
    crop = warp_square(picture, Similarity(complex(turn), complex(*shift)), 12)
    assert crop.shape == (12, 12, 3)
    assert not crop.any()


def test_cut_leaves_the_picture_as_it_is():
    picture = smooth(90, 90)
    before = picture.copy()
    crop = warp_square(picture, HERE, 90)
    assert not np.shares_memory(crop, picture)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    ("turn", "shift"),
    [
        (1, 0),
        (1, -10 - 5j),
        (1, 9 + 3j),
        (2, -30),
        (0.5, 0),
        (0.5, 13 + 2j),
        (1j, 20),
        (1, 500),
        (np.exp(0.6j), 0),
        (0.4 * np.exp(-2j), 20 + 20j),
    ],
)
def test_inside_says_of_each_pixel_whether_it_shows_the_picture(turn, shift):
    to_square = Similarity(complex(turn), complex(shift))
    seen = inside((40, 60), to_square, 32)
    x, y = np.moveaxis(to_square.inverse()(centers(32)), -1, 0)
    np.testing.assert_array_equal(seen, (x >= 0) & (x < 60) & (y >= 0) & (y < 40))
    assert seen.dtype == bool


def test_inside_agrees_with_what_is_cut():
    to_square = Similarity(1.5 * np.exp(0.5j), 20 + 4j)
    picture = np.full((30, 45, 3), 255, np.uint8)
    crop = warp_square(picture, to_square, 64, Image.Resampling.NEAREST)[:, :, 0] > 0
    seen = inside(picture.shape, to_square, 64)
    assert 0.1 < seen.mean() < 0.9
    np.testing.assert_array_equal(crop, seen)


# Transforms that put rows and columns of a square exactly on the border of the picture, or exactly on a step
# of what is averaged: the next float may lie on the other side of it.
ON_THE_BORDER = [
    (1, 0.5),
    (1, 7.5 + 3.5j),
    (2, -31 + 1j),
    (1 / 2, 0),
    (1 / 3, 4.5j),
    (1j, 39.5),
    (0.6 + 0.8j, 0.5),
    (1.3512, 8.5 - 2j),
    (0.4 * np.exp(-2j), 20 + 20j),
]


def neighbours(number: complex) -> list[complex]:
    """The number and those next to it, as other processors round the sums that lead to it."""
    around = [number.real, number.imag]
    moved = [[np.nextafter(part, toward) for part in around] for toward in (-np.inf, np.inf)]
    low, high = (complex(real, imag) for real, imag in moved)
    return [number, low, high, complex(low.real, high.imag), complex(high.real, low.imag)]


@pytest.mark.parametrize(("turn", "shift"), ON_THE_BORDER)
def test_the_last_bit_of_a_transform_changes_nothing(turn, shift):
    picture = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)
    expected = Similarity(complex(turn), complex(shift))
    crop, seen = warp_square(picture, expected, 32), inside(picture.shape, expected, 32)
    assert seen.mean() > 0
    for moved_turn in neighbours(complex(turn)):
        for moved_shift in neighbours(complex(shift)):
            moved = Similarity(moved_turn, moved_shift)
            np.testing.assert_array_equal(warp_square(picture, moved, 32), crop)
            np.testing.assert_array_equal(inside(picture.shape, moved, 32), seen)


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize(("turn", "shift"), ON_THE_BORDER)
@pytest.mark.parametrize("shape", [(40, 60), (39, 61), (31, 1)])
def test_what_is_inside_is_what_is_not_black(shape, turn, shift, resample):
    white = np.full((*shape, 3), 255, np.uint8)
    to_square = Similarity(complex(turn), complex(shift))
    shown = warp_square(white, to_square, 32, resample)
    np.testing.assert_array_equal(shown > 0, inside(shape, to_square, 32)[:, :, None].repeat(3, 2))
    assert set(np.unique(shown)) <= {0, 255}  # averaging and sampling white gives white


@pytest.mark.parametrize("turn", [1, 1.5, 7.3, 5j, 4 * np.exp(0.6j), np.exp(-0.3j)])
def test_cut_samples_the_picture_beyond_the_square(turn):
    """What the square needs of the picture is taken from the picture, not from its own border."""
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    to_square = Similarity(complex(turn), 16 + 16j - turn * (35 + 25j))
    back = to_square.inverse()
    a, b = back.turn, back.shift
    whole = Image.fromarray(picture).transform(
        (32, 32),
        Image.Transform.AFFINE,
        (a.real, -a.imag, b.real, a.imag, a.real, b.imag),
        Image.Resampling.BICUBIC,
    )
    difference = np.asarray(whole).astype(int) - warp_square(picture, to_square, 32)
    assert abs(difference).max() <= 1  # the sums that are rounded to whole numbers are not the same
