from __future__ import annotations

import numpy as np

from embedder.images import resize_to_square
from embedder.training.data.augmentation import LARGEST, DistillationViews, poor_views, relit, without_bars
from embedder.training.data.crop_store import Crops

RNG = np.random.default_rng(0)
SMOOTH = resize_to_square(
    RNG.integers(30, 256, (6, 5, 3), np.uint8), 60
)  # taller than wide: bars left and right


def detail(picture: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(picture.astype(float), axis=0)).mean())


def test_bars_are_cut_off_and_nothing_else():
    inner = without_bars(SMOOTH)
    assert inner.shape == (60, 50, 3)
    np.testing.assert_array_equal(inner, SMOOTH[:, 5:55])
    black = np.zeros((8, 8, 3), np.uint8)
    assert without_bars(black) is black
    full = np.full((8, 8, 3), 7, np.uint8)
    np.testing.assert_array_equal(without_bars(full), full)


def test_poor_views_lose_detail_down_to_the_smallest_side():
    noise = RNG.integers(1, 256, (1, 96, 96, 3), np.uint8).repeat(40, axis=0)
    views = poor_views(noise, 8, np.random.default_rng(1))
    assert views.shape == noise.shape
    assert views.dtype == np.uint8
    details = np.sort([detail(view) for view in views])
    assert details[0] < 0.1 * detail(noise[0])
    assert (details > 0.5 * detail(noise[0])).sum() in range(1, 16)  # some keep their resolution
    assert 8 * LARGEST < 96
    kept = poor_views(noise, 0, np.random.default_rng(1))
    assert min(detail(view) for view in kept) > details[20]


def test_poor_views_follow_from_the_draws_alone():
    crops = SMOOTH[None].repeat(3, axis=0)
    a, b = (poor_views(crops, 8, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a[0], a[1])


def test_some_poor_views_are_squeezed_and_none_gets_bars_of_other_kinds():
    views = poor_views(SMOOTH[None].repeat(60, axis=0), 0, np.random.default_rng(2))
    bars = np.array([60 - without_bars(view).shape[1] for view in views])
    assert (bars == 0).sum() in range(15, 46)
    assert set(bars.tolist()) <= {0, 10}
    assert all(without_bars(view).shape[0] == 60 for view in views)


def test_distillation_views_belong_together():
    crops = RNG.integers(1, 256, (5, 16, 16, 3), np.uint8)
    clean = RNG.integers(1, 256, (5, 16, 16, 3), np.uint8)
    before = np.stack([clean.reshape(5, -1)[:, :48], clean[:, :, ::-1].reshape(5, -1)[:, :48]]).astype(
        np.float32
    )
    views = DistillationViews(Crops.of(crops), Crops.of(clean), before, smallest=0)
    rows = np.array([3, 0, 3, 4, 1, 2, 3, 3])
    inputs = views(rows, np.random.default_rng(3))
    assert set(inputs) == {"image", "target", "clean", "before"}
    mirrored = 0
    for i, row in enumerate(rows):
        shown = inputs["clean"][i]
        # The features are those of the very picture that is shown, mirrored or not.
        np.testing.assert_array_equal(inputs["before"][i], shown.reshape(-1)[:48])
        np.testing.assert_array_equal(inputs["target"][i], before[:, row].mean(axis=0))
        mirrored += int(np.array_equal(shown, clean[row][:, ::-1].astype(np.float32)))
    assert 0 < mirrored < len(rows)
    assert inputs["image"].dtype == np.float32


def test_other_light_changes_brightness_contrast_and_colour_of_each_picture():
    crops = np.clip(SMOOTH[None].repeat(200, axis=0), 60, 120)
    lit = relit(crops, 0.5, np.random.default_rng(0)).astype(float)
    brightness = lit.mean(axis=(1, 2, 3)) / crops[0].mean()
    assert 0.25 < brightness.min() < 0.7
    assert 1.4 < brightness.max() < 4
    contrast = lit.std(axis=(1, 2, 3)) / lit.mean(axis=(1, 2, 3)) / (crops[0].std() / crops[0].mean())
    assert contrast.min() < 0.8 < 1.25 < contrast.max()
    colours = lit.mean(axis=(1, 2)) / lit.mean(axis=(1, 2, 3))[:, None]
    assert colours.std(axis=1).max() > 0.1
    np.testing.assert_array_equal(relit(crops, 0.0, np.random.default_rng(0)), crops)
