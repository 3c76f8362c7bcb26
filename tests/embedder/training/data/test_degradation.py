from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from embedder.errors import UsageError
from embedder.training.data.degradation import (
    FEWEST,
    LIGHT,
    MOST,
    PIXELS,
    Degradation,
    choose_degradation,
    clean_view,
    degraded_view,
    detail_of,
    parse_kinds,
    sample_rows,
    varied_view,
)

RNG = np.random.default_rng(0)


def crop(side: int = 112, seed: int = 0) -> np.ndarray:
    """A picture with detail down to a pixel, and a bright left half to tell left from right."""
    picture = np.random.default_rng(seed).integers(60, 160, (side, side, 3))
    picture[:, : side // 2] += 60
    return picture.astype(np.uint8)


def of_few_pixels(side: int) -> np.ndarray:
    small = Image.fromarray(crop()).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize((112, 112), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("side", [8, 16, 32])
def test_detail_is_that_of_the_pixels_a_picture_was_made_from(side: int):
    assert side <= detail_of(of_few_pixels(side)) <= 2 * side
    assert detail_of(crop()) == 112


def test_detail_is_less_of_a_blurred_picture():
    blurred = np.asarray(Image.fromarray(crop()).filter(ImageFilter.GaussianBlur(4)))
    assert detail_of(blurred) < 64


def test_good_photos_are_degraded_to_few_pixels_and_that_is_said():
    plan = choose_degradation("auto", np.stack([crop(seed=seed) for seed in range(5)]))
    assert plan.kinds == (PIXELS,)
    assert (plan.fewest, plan.most) == (FEWEST, MOST)
    assert "112 pixels of detail" in plan.reason
    assert "9 to 16 pixels (where recognition fails first)" in plan.reason


def test_dark_photos_are_also_darkened_and_that_is_said():
    photos = np.stack([crop(seed=seed) // (6 if seed < 2 else 1) for seed in range(5)])
    plan = choose_degradation("auto", photos)
    assert plan.kinds == (PIXELS, LIGHT)
    assert "40 % of them are dark" in plan.reason
    assert "stops less light (as they are dark)" in plan.reason


def test_photos_of_few_pixels_are_degraded_to_as_few_as_they_have():
    plan = choose_degradation("auto", np.stack([of_few_pixels(5)] * 3))
    assert plan.fewest == 8
    assert "as few as they have themselves" in plan.reason


def test_what_was_asked_for_is_done_whatever_the_photos_are():
    plan = choose_degradation("light", np.stack([crop()]))
    assert plan.kinds == (LIGHT,)
    assert "asked for by --degrade light" in plan.reason


@pytest.mark.parametrize("asked", ["", "blur", "pixels,", "pixels,pixels", "auto,light"])
def test_other_kinds_are_refused(asked: str):
    with pytest.raises(
        UsageError, match=r"--degrade: expected auto, none, pixels, light or pixels,light, got"
    ):
        parse_kinds(asked)


def test_kinds_that_there_are():
    assert [parse_kinds(asked) for asked in ("auto", "none", "pixels", "light,pixels")] == [
        (),
        (),
        ("pixels",),
        ("light", "pixels"),
    ]


def test_degraded_views_have_few_pixels_and_differ():
    plan = Degradation((PIXELS,))
    views = [degraded_view(crop(), plan, np.random.default_rng(seed)) for seed in range(12)]
    assert all(view.shape == (112, 112, 3) and view.dtype == np.uint8 for view in views)
    assert max(detail_of(view) for view in views) <= 48
    assert len({view.tobytes() for view in views}) == 12
    left = [float(view[:, :40].mean() - view[:, 72:].mean()) for view in views]
    assert min(left) < -20 < 20 < max(left)  # some are mirrored
    again = degraded_view(crop(), plan, np.random.default_rng(3))
    np.testing.assert_array_equal(again, views[3])


def test_dark_views_are_dark_and_keep_their_pixels():
    plan = Degradation((LIGHT,))
    views = [degraded_view(crop(), plan, np.random.default_rng(seed)) for seed in range(8)]
    light = [view.mean() for view in views]
    assert max(light) < 0.75 * crop().mean()
    assert min(light) < 0.2 * crop().mean()
    assert max(detail_of(view) for view in views) == 112
    plan = Degradation((PIXELS, LIGHT))
    both = [degraded_view(crop(), plan, np.random.default_rng(seed)) for seed in range(8)]
    assert 0 < sum(view.mean() < 0.75 * crop().mean() for view in both) < 8
    assert max(detail_of(view) for view in both) <= 48


def test_bars_of_a_whole_picture_are_no_part_of_the_view():
    picture = crop()
    picture[:, :30] = picture[:, -30:] = 0
    plan = Degradation((PIXELS,))
    kept, cut = (degraded_view(picture, plan, np.random.default_rng(0), whole) for whole in (False, True))
    assert kept[:, :15].mean() < 10
    assert cut[:, :15].mean() > 60


def test_clean_views_are_the_crop_and_its_mirror_picture():
    np.testing.assert_array_equal(clean_view(crop(), 0), crop())
    np.testing.assert_array_equal(clean_view(crop(), 1), crop()[:, ::-1])


def test_varied_views_change_colour_or_light_or_angle_or_cover_a_part_and_keep_pixels():
    views = [varied_view(crop(), np.random.default_rng(seed)) for seed in range(40)]
    colours = np.array([view.mean(axis=(0, 1)) for view in views])
    assert np.ptp(colours, axis=1).max() > 20  # tinted
    assert colours.mean(axis=1).min() < 0.7 * crop().mean()  # in less light
    assert sum((view[0, 0] == 0).all() for view in views) >= 3  # turned
    assert max((view == view[56, 56]).all(axis=2).mean() for view in views) > 0.06  # covered
    assert np.median([detail_of(view) for view in views]) == 112


def test_photos_that_are_looked_at_are_spread_evenly():
    np.testing.assert_array_equal(sample_rows(3), [0, 1, 2])
    rows = sample_rows(100_000)
    assert len(rows) == 200
    assert (rows[0], rows[-1]) == (0, 99_999)
