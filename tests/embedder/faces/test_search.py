from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from embedder.config import DetectorConfig
from embedder.faces import search
from embedder.faces.detection import rotate_back
from embedder.faces.search import YuNetDetector
from scripts.group_photos import compose
from tests.embedder.faces.composed import face_of, middle, placed, rgb

# Of the points found in all heads; their mean picture has eyes, nose tip and mouth there.
MEDIANS = [[30.2, 52.9], [64.0, 53.1], [46.9, 71.8], [32.0, 85.4], [60.2, 85.7]]
GROUPS = [("drawn", 0), ("drawn", 3), ("drawn", 5), ("china", 0), ("flower", 0)]


@pytest.fixture(scope="session")
def groups(heads):
    """Photos of 6 people, turned by up to 15 degrees."""
    return {
        (background, seed): compose(heads, seed, (1600, 1200), 6, (62, 200), 15, background)
        for background, seed in GROUPS
    }


def same(faces, others):
    assert [face.score for face in faces] == [face.score for face in others]
    for face, other in zip(faces, others, strict=True):
        assert face.box == other.box
        np.testing.assert_array_equal(face.points, other.points)


@pytest.mark.parametrize("group", GROUPS)
def test_finds_every_face_where_it_is(detector, heads, groups, group):
    photo, truths = groups[group]
    faces = detector.find(photo)
    assert len(faces) == len(truths)
    found = [face_of(truth, faces) for truth in truths]
    assert len({id(face) for face in found}) == len(truths)
    for truth, face in zip(truths, found, strict=True):
        (alone,) = detector.find(rgb(heads[truth.head]))
        off = np.hypot(*(face.points - placed(truth, alone.points)).T) / truth.width
        assert off.max() < 0.15
        assert off.mean() < 0.11
        assert np.hypot(*(middle(face) - placed(truth, middle(alone)))) < 0.12 * truth.width
        assert face.box[2] < face.box[3]
        assert 0.85 * truth.width < face.box[2] < 1.35 * truth.width
        assert DetectorConfig.score <= face.score <= 1


def test_points_of_known_faces(detector, heads):
    found = [detector.find(rgb(head)) for head in heads]
    assert [len(faces) for faces in found] == [1] * len(heads)
    np.testing.assert_allclose(np.median([own.points for (own,) in found], axis=0), MEDIANS, atol=1)


def test_points_of_a_mirrored_picture_are_mirrored(detector, heads):
    off = []
    for head in heads[::4]:
        one, mirrored = (detector.find(rgb(picture))[0].points[:, 0] for picture in (head, head[:, ::-1]))
        off.append(one + mirrored[[1, 0, 2, 4, 3]] - head.shape[1])
    assert abs(np.mean(off)) < 1.5  # eyes are named by their side of the picture, not by the person's


def test_the_most_certain_face_comes_first(detector, groups):
    for photo, _ in groups.values():
        scores = [face.score for face in detector.find(photo)]
        assert scores == sorted(scores, reverse=True)


def test_the_same_answer_again_and_after_a_photo_of_another_size(detector, yunet_network, heads, groups):
    photo, _ = groups["drawn", 0]
    first = detector.find(photo)
    same(detector.find(photo), first)
    detector.find(rgb(heads[0]))
    detector.find(np.zeros((1000, 2100, 3), np.uint8))
    same(detector.find(photo), first)
    same(YuNetDetector(yunet_network, threads=2).find(photo), first)


def test_the_picture_is_left_as_it_is(detector, groups):
    photo = groups["drawn", 0][0].copy()
    detector.find(photo)
    np.testing.assert_array_equal(photo, groups["drawn", 0][0])


@pytest.mark.parametrize("seed", range(3))
def test_a_photo_of_no_one(detector, seed):
    photo, truths = compose(np.zeros((1, 112, 92), np.uint8), seed, (1600, 1200), 0, background="drawn")
    assert not truths
    assert detector.find(photo) == []


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 5000), (5000, 1), (2, 3000), (15, 17), (20, 20), (64, 64), (300, 400), (16, 900)]
)
@pytest.mark.parametrize("content", [0, 128, 255, "noise"])
def test_nothing_in_pictures_of_nothing(detector, shape, content):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.find(noise if content == "noise" else np.full_like(noise, content)) == []


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (224, 172, 105)])
def test_nothing_in_a_flat_colour(detector, color):
    assert detector.find(np.full((900, 1300, 3), color, np.uint8)) == []


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("hidden", [18, 24])
def test_a_face_cut_by_the_border(detector, heads, hidden, mirrored):
    photo = np.full((300, 400, 3), 120, np.uint8)
    whole = np.asarray(Image.fromarray(rgb(heads[0])).resize((138, 168)))
    photo[50:218, : 138 - hidden] = whole[:, hidden:]
    (face,) = detector.find(np.ascontiguousarray(photo[:, ::-1]) if mirrored else photo)
    x, y, width, _ = face.box
    assert (x + width > 399) if mirrored else (x < 2)
    assert 60 < y < 130
    assert 95 < width < 140
    expected = np.array(MEDIANS) * 1.5 + [-hidden, 50]
    if mirrored:
        expected = ([400, 0] + expected * [-1, 1])[[1, 0, 2, 4, 3]]
    assert np.hypot(*(face.points - expected).T).max() < 0.25 * width


def test_forty_faces_in_one_photo(detector, heads):
    photo, truths = compose(heads, 1, (2400, 1800), 40, (62, 90), 20, "drawn")
    faces = detector.find(photo)
    assert len(faces) == 40
    found = {id(face_of(truth, faces)) for truth in truths}
    assert len(found) == 40
    for truth in truths:
        face = face_of(truth, faces)
        assert np.hypot(*(face.points - placed(truth, np.array(MEDIANS))).T).max() < 0.3 * truth.width


def test_tilted_faces_have_tilted_points(detector, heads, monkeypatch):
    """The network alone sees a sixth of it."""

    def seen() -> float:
        shares = []
        for head in heads[:16:2]:
            picture = np.full((200, 200, 3), 128, np.uint8)
            picture[44:156, 54:146] = rgb(head)
            for turn in (-30, 30):
                image = Image.fromarray(picture).rotate(turn, Image.Resampling.BICUBIC, fillcolor=(128,) * 3)
                straight, turned = (detector.find(np.asarray(one)) for one in (picture, image))
                if turned:
                    shares.append((angle(turned[0].points) - angle(straight[0].points)) / -turn)
        assert len(shares) >= 12
        return float(np.median(shares))

    def angle(points) -> float:
        (x, y) = points[1] - points[0]
        return float(np.degrees(np.arctan2(y, x)))  # y points down

    assert 0.7 < seen() < 1.2
    monkeypatch.setattr(search, "_UPRIGHT", 90)
    assert seen() < 0.4


@pytest.mark.parametrize("factor", [2, 3])
def test_faces_that_fill_a_tiny_picture(detector, heads, factor):
    found = [detector.find(np.asarray(Image.fromarray(rgb(head)).reduce(factor))) for head in heads[::4]]
    assert np.mean([len(faces) == 1 for faces in found]) > 0.9
    points = np.array([faces[0].points for faces in found if faces])
    np.testing.assert_allclose(np.median(points, axis=0) * factor, MEDIANS, atol=3)


def test_a_face_that_fills_a_large_picture(detector, heads):
    large = np.asarray(Image.fromarray(rgb(heads[0])).resize((1840, 2240)))
    (face,) = detector.find(large)
    (small,) = detector.find(rgb(heads[0]))
    np.testing.assert_allclose(face.points, small.points * 20, atol=0.06 * 1400)


def test_smaller_faces_are_found_when_asked_for(heads, yunet_network):
    photo, truths = compose(heads, 1, (1600, 1200), 6, (32, 40), 0, "drawn")
    found = [
        len(YuNetDetector(yunet_network, DetectorConfig(min_face=least)).find(photo)) for least in (20, 200)
    ]
    assert found == [len(truths), 0]


def test_a_higher_score_lets_fewer_through(detector, yunet_network, groups):
    photo, _ = groups["drawn", 0]
    scores = [face.score for face in detector.find(photo)]
    limit = sum(scores[1:3]) / 2
    faces = YuNetDetector(yunet_network, DetectorConfig(score=limit)).find(photo)
    assert [face.score for face in faces] == [score for score in scores if score >= limit]
    assert 0 < len(faces) < len(scores)


def test_blocks_leave_no_seams(detector, groups, monkeypatch):
    photo, truths = groups["drawn", 3]
    at_once = detector.find(photo)
    monkeypatch.setattr(search, "_BLOCK", 512)
    in_blocks = detector.find(photo)
    assert len(in_blocks) == len(at_once) == len(truths)
    for truth in truths:
        one, other = face_of(truth, at_once), face_of(truth, in_blocks)
        np.testing.assert_allclose(one.points, other.points, atol=0.1 * truth.width)


def test_faces_on_their_side_and_head_are_found_upright(detector, heads):
    photo = np.full((300, 400, 3), 120, np.uint8)
    photo[40:264, 100:284] = np.asarray(Image.fromarray(rgb(heads[0])).resize((184, 224)))
    (straight,) = detector.find(photo)
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(photo, quarters))
        (face,) = detector.find(turned)
        back = rotate_back(face, turned.shape[:2], quarters)
        assert np.hypot(*(back.points - straight.points).T).max() < 0.2 * straight.box[2]


@pytest.mark.parametrize("degrees", [75, 90, 180])
def test_everyone_lying_in_a_small_photo_is_found(yunet_network, heads, degrees):
    """Faces of 40 pixels in 400, which a fourth of the photo's size would make too small to be seen."""
    finder = YuNetDetector(yunet_network, DetectorConfig(min_face=32))
    photos = [
        compose(heads, seed, (400, 300), 4, (40, 40), degrees, "drawn", exactly=True) for seed in range(3)
    ]
    assert sum(len(finder.find(photo)) for photo, _ in photos) >= 11


@pytest.mark.parametrize("seed", [7, 10])
def test_one_who_is_tilted_hides_no_one_who_lies(detector, heads, seed):
    """Tilted by 45 degrees a face is certain, and yet says nothing of how the photo lies."""
    tilted, _ = compose(heads, seed, (400, 400), 1, (120, 120), 45, "drawn", exactly=True)
    lying, _ = compose(heads, seed + 50, (400, 400), 1, (120, 120), 90, "drawn", exactly=True)
    (face,) = detector.find(tilted)
    assert face.score >= search._SURELY_UPRIGHT
    assert len(detector.find(np.concatenate([tilted, lying], axis=1))) == 2


def test_a_face_cut_in_the_middle_is_found(detector, heads):
    """Completed by its mirror image; the network alone does not see it."""
    photo = np.full((300, 400, 3), 120, np.uint8)
    whole = np.asarray(Image.fromarray(rgb(heads[0])).resize((138, 168)))
    photo[50:218, :72] = whole[:, 66:]
    (face,) = detector.find(photo)
    x, y, width, height = face.box
    assert x < 0 < x + width / 2 < 40
    assert 50 < y + height / 2 < 218


def test_blocks_are_equal_and_cover_the_side():
    for length in (32, 1536, 1537, 2000, 4000, 50_000):
        starts, block = search._blocks(length)
        assert block <= search._BLOCK
        assert starts[0] == 0
        assert starts[-1] + block == length
        assert all(later - start <= block - search._SEAM for start, later in itertools.pairwise(starts))
