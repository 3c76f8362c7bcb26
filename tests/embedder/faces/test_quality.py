from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from embedder.config import DLIB_LANDMARKS, QualityLimits
from embedder.faces.detection import Detection
from embedder.faces.quality import JUDGED, Quality, assess_quality, rejection_reason
from tests.embedder.faces.composed import rgb

CANONICAL = np.array([[0.3, 0.32], [0.7, 0.32], [0.5, 0.52], [0.33, 0.69], [0.67, 0.69]])
LIMITS = QualityLimits()
GOOD = Quality(size=80, visible=1.0, sharpness=0.6, brightness=0.5, yaw=0, roll=0, score=0.9)


def detection(points, box=(0, 0, JUDGED, JUDGED), score: float = 0.9) -> Detection:
    return Detection(box, np.array(points, float), score)


def judge(picture: np.ndarray, face: Detection) -> Quality:
    return assess_quality(picture, face)


def upright(middle=(0, 0), side: float = JUDGED) -> np.ndarray:
    """Points of a frontal face that fills a square of so many pixels."""
    return (CANONICAL - 0.5) * side + middle


def changed(picture: np.ndarray, change) -> np.ndarray:
    return np.asarray(change(Image.fromarray(picture)))


@pytest.fixture(scope="module")
def photo(heads) -> np.ndarray:
    canvas = np.full((300, 400, 3), 128, np.uint8)
    canvas[50:274, 100:284] = np.asarray(Image.fromarray(rgb(heads[0])).resize((184, 224)))
    return canvas


@pytest.fixture(scope="module")
def face(detector, photo) -> Detection:
    (found,) = detector.find(photo)
    return found


def test_a_good_photo_has_good_figures(photo, face):
    quality = judge(photo, face)
    assert quality.size == round(face.box[2], 1)
    assert quality.visible == 1
    assert quality.score == round(face.score, 3)
    assert abs(quality.roll) < 5
    assert abs(quality.yaw) < 10
    assert 0.2 < quality.brightness < 0.8
    assert rejection_reason(quality, LIMITS) is None


def test_blur_lowers_sharpness_only(photo, face):
    def blur(radius: int) -> Quality:
        return judge(changed(photo, lambda image: image.filter(ImageFilter.GaussianBlur(radius))), face)

    blurred = [blur(radius) for radius in (0, 1, 2, 4, 8)]
    sharpness = [quality.sharpness for quality in blurred]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 2 * sharpness[2] > 4 * sharpness[4] > 0
    brightness = [quality.brightness for quality in blurred]
    assert max(brightness) < 1.1 * min(brightness)
    assert "blurred" in rejection_reason(blurred[4], LIMITS)


def test_motion_blur_in_any_direction_lowers_sharpness(photo, face):
    across = (photo.astype(float) + sum(np.roll(photo, s, 1).astype(float) for s in range(1, 16))) / 16
    down = (photo.astype(float) + sum(np.roll(photo, s, 0).astype(float) for s in range(1, 16))) / 16
    for moved in (across, down):
        assert judge(moved.astype(np.uint8), face).sharpness < 0.85 * judge(photo, face).sharpness


@pytest.mark.parametrize("factor", [0.3, 0.6, 1.3])
def test_light_moves_brightness_and_hardly_sharpness(photo, face, factor):
    before = judge(photo, face)
    after = judge(changed(photo, lambda image: ImageEnhance.Brightness(image).enhance(factor)), face)
    assert after.brightness == pytest.approx(factor * before.brightness, rel=0.06)
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.1)
    assert (after.size, after.visible, after.yaw, after.roll) == (
        before.size,
        before.visible,
        before.yaw,
        before.roll,
    )


def test_contrast_is_not_sharpness(photo, face):
    flat = changed(photo, lambda image: ImageEnhance.Contrast(image).enhance(0.3))
    assert judge(flat, face).sharpness == pytest.approx(judge(photo, face).sharpness, rel=0.1)


def test_brightness_is_that_of_luma():
    for color, expected in [((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)]:
        quality = judge(np.full((90, 90, 3), color, np.uint8), detection(upright((45, 45))))
        assert quality.brightness == expected


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_an_even_picture_has_no_detail_and_divides_by_nothing(level):
    for middle in [(45, 45), (0, 0)]:
        quality = judge(np.full((90, 90, 3), level, np.uint8), detection(upright(middle)))
        assert quality.sharpness == 0
        assert quality.brightness == round(level / 255, 3)


def test_a_face_wholly_outside_has_figures_too():
    quality = judge(np.full((90, 90, 3), 200, np.uint8), detection(upright((500, 45)), (462, 8, 75, 75)))
    assert (quality.visible, quality.sharpness, quality.brightness) == (0, 0, 0)
    assert "border" in rejection_reason(quality, LIMITS)


def test_the_border_is_no_detail_and_not_dark():
    ramp = np.repeat(np.linspace(150, 250, 200)[None, :, None], 200, 0).repeat(3, 2).astype(np.uint8)
    within = judge(ramp, detection(upright((100, 100))))
    for middle in [(100, 0), (100, 190), (100, 10), (101, 199)]:
        beyond = judge(ramp, detection(upright(middle)))
        assert beyond.sharpness == pytest.approx(within.sharpness, rel=0.2)
        assert beyond.brightness == pytest.approx(within.brightness, abs=0.02)
    turned = upright((0, 0)) @ [[0.8, 0.6], [-0.6, 0.8]] + (100, 5)
    assert judge(ramp, detection(turned)).brightness == pytest.approx(within.brightness, abs=0.05)


def test_sharpness_by_hand():
    """A stripe in every other column: at one size and upright, the figure follows from its definition."""
    stripes = np.zeros((JUDGED, JUDGED, 3), np.uint8)
    stripes[:, ::2] = 200
    quality = assess_quality(stripes, detection(np.array(DLIB_LANDMARKS) * JUDGED))
    luma = stripes[:, :, 0].astype(float)
    middle = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    assert quality.sharpness == pytest.approx((around - 4 * middle).std() / luma.std(), abs=1e-3)


@pytest.mark.parametrize(
    ("left", "top", "expected"),
    [
        (0.1, 0.05, 1),
        (-0.5, 0, 0.5),  # the middle of the face lies on the left border
        (0.5, 0, 0.5),
        (0, -0.3, 0.75),
        (0, 0.5, 0.5),
        (-0.5, -0.5, 0.25),
        (-0.85, 0, 0),
        (0, 2, 0),
    ],
)
def test_visible_is_the_share_of_the_face_in_the_photo(left, top, expected):
    """Of the square that the trunk of dlib sees, the face takes .15 to .85 across and .1 to .9 down."""
    side = 100
    points = (np.array(DLIB_LANDMARKS) + np.array([left, top])) * side
    picture = np.full((side, side, 3), 99, np.uint8)
    assert judge(picture, detection(points)).visible == pytest.approx(expected, abs=0.02)


def test_a_face_at_the_border_is_less_visible(detector, photo):
    shown = []
    for left in (100, 132, 148):
        (cut_off,) = detector.find(np.ascontiguousarray(photo[:, left:]))
        shown.append(judge(photo[:, left:], cut_off).visible)
    assert 1 >= shown[0] > shown[1] > shown[2] > 0.4


def test_a_smaller_picture_has_a_smaller_face(detector, photo):
    sizes, sharpness = [], []
    for factor in (1, 2, 4, 5):
        small = changed(photo, lambda image, factor=factor: image.reduce(factor))
        (found,) = detector.find(small)
        quality = judge(small, found)
        sizes.append(quality.size * factor)
        sharpness.append(quality.sharpness)
    np.testing.assert_allclose(sizes, sizes[0], rtol=0.15)
    assert sharpness[0] > sharpness[2] > sharpness[3]


@pytest.mark.parametrize("degrees", [-120, -30, 0, 30, 90, 179])
def test_roll_is_the_turn_of_the_head(degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # y down: clockwise
    points = upright() @ turn + 200
    quality = judge(np.full((400, 400, 3), 99, np.uint8), detection(points))
    assert quality.roll == pytest.approx(degrees, abs=0.1)
    assert quality.yaw == pytest.approx(
        judge(np.full((400, 400, 3), 99, np.uint8), detection(upright() + 200)).yaw
    )


def test_roll_of_a_turned_photo(detector, photo, face):
    before = judge(photo, face)
    turned = changed(photo, lambda image: image.rotate(-20, Image.Resampling.BICUBIC, fillcolor=(128,) * 3))
    (found,) = detector.find(turned)  # Pillow's angles are counterclockwise: this is clockwise
    after = judge(turned, found)
    assert after.roll == pytest.approx(before.roll + 20, abs=15)  # the network alone sees 4
    assert abs(after.yaw - before.yaw) < 12


@pytest.mark.parametrize("looks", [-60, -30, 0, 20, 45, 75])
@pytest.mark.parametrize("roll", [1, 1j, np.exp(-0.7j)])
def test_yaw_of_a_head_in_space(looks, roll):
    """Eyes 60 apart, the nose tip half of that in front of them: turned aside and seen from the front."""
    angle = np.deg2rad(looks)
    eyes = [-30 * np.cos(angle), 30 * np.cos(angle)]
    nose = 30 * np.sin(angle)
    places = np.array([eyes[0], eyes[1], nose + 33j, 50j - 20, 50j + 20]) * roll
    points = np.stack([places.real, places.imag], axis=1) * 2 + 200
    quality = judge(np.full((400, 400, 3), 99, np.uint8), detection(points))
    assert quality.yaw == pytest.approx(looks, abs=0.1)  # positive: to the right of the picture


def test_an_upright_face_is_turned_and_tilted_by_nothing_with_no_minus():
    points = np.array([[30, 40.0], [50, 39.999], [39.999, 50], [32, 60], [48, 60]])
    quality = judge(np.full((90, 90, 3), 99, np.uint8), detection(points))
    assert (str(quality.yaw), str(quality.roll)) == ("0.0", "0.0")


def test_eyes_in_one_place_are_seen_from_the_side():
    points = np.array([[10.0, 10], [10, 10], [20, 20], [9, 30], [11, 30]])
    assert judge(np.full((90, 90, 3), 99, np.uint8), detection(points)).yaw == 90


def test_faces_that_look_aside(detector, heads):
    """Mirrored, they look to the other side."""
    figures = []
    for head in heads[::2]:
        pair = [rgb(head), np.ascontiguousarray(rgb(head)[:, ::-1])]
        figures.append([judge(picture, detector.find(picture)[0]).yaw for picture in pair])
    one, other = np.transpose(figures)
    assert np.corrcoef(one, other)[0, 1] < -0.6
    assert abs(np.mean(one + other)) < 5


LOWEST = {"size": LIMITS.size, "visible": LIMITS.visible, "sharpness": LIMITS.sharpness}


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("size", 10.0, r"10 pixels wide, at least 14 are needed"),
        ("visible", 0.5, r"cut by the border: 50 % of it is in the photo, at least 60 % are needed"),
        ("sharpness", 0.05, r"blurred: sharpness 0\.05, 0\.1 or more is needed"),
        ("brightness", 0.01, r"too dark: brightness 0\.01, 0\.03 to 0\.86 is needed"),
        ("brightness", 0.95, r"too bright: brightness 0\.95, 0\.03 to 0\.86 is needed"),
        ("yaw", 60.0, r"looks aside by 60 degrees, at most 45 are allowed"),
        ("yaw", -60.0, r"looks aside by 60 degrees, at most 45 are allowed"),
    ],
)
def test_every_problem_is_named_with_its_figure_and_its_limit(figure, value, words):
    reason = rejection_reason(replace(GOOD, **{figure: value}), LIMITS)
    import re

    assert re.search(words, reason)
    assert reason.startswith("the face ")


@pytest.mark.parametrize(
    ("figure", "at", "beyond"),
    [
        ("size", LIMITS.size, -1),
        ("visible", LIMITS.visible, -1),
        ("sharpness", LIMITS.sharpness, -1),
        ("brightness", LIMITS.dark, -1),
        ("brightness", LIMITS.bright, 1),
        ("yaw", LIMITS.yaw, 1),
        ("yaw", -LIMITS.yaw, -1),
    ],
)
def test_the_limit_itself_is_good_enough(figure, at, beyond):
    assert rejection_reason(replace(GOOD, **{figure: at}), LIMITS) is None
    assert rejection_reason(replace(GOOD, **{figure: at + beyond * 1e-6}), LIMITS) is not None


def test_roll_and_score_are_no_problem():
    assert rejection_reason(GOOD, LIMITS) is None
    assert rejection_reason(replace(GOOD, roll=170, score=0.01), LIMITS) is None


def test_other_limits_are_obeyed():
    strict = QualityLimits(size=100, visible=1, sharpness=0.7, dark=0.6, bright=0.9, yaw=1)
    assert "80 pixels wide, at least 100" in rejection_reason(GOOD, strict)
    assert "blurred" in rejection_reason(replace(GOOD, size=120), strict)
    assert "dark" in rejection_reason(replace(GOOD, size=120, sharpness=1), strict)


def test_nearly_every_photo_of_orl_is_good_enough(detector, heads):
    reasons = [rejection_reason(judge(rgb(head), detector.find(rgb(head))[0]), LIMITS) for head in heads]
    assert sum(reason is not None for reason in reasons) <= 1
