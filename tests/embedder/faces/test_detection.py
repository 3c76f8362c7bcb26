from __future__ import annotations

import itertools

import numpy as np
import pytest

from embedder.faces.detection import POINTS, Detection, first_of_each_place, non_max_suppression


def face(x: float, y: float, width: float, height: float, score: float) -> Detection:
    return Detection((x, y, width, height), np.zeros((len(POINTS), 2)), score)


def share(one, other, of_union) -> float:
    """By hand, of two boxes."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0, across) * max(0, down)
    areas = one[2] * one[3], other[2] * other[3]
    return shared / (sum(areas) - shared if of_union else min(areas))


def boxes_of(*rows) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


@pytest.mark.parametrize("of_union", [False, True])
@pytest.mark.parametrize("limit", [0, 0.2, 0.4, 0.7, 1])
def test_first_of_each_place_is_the_plain_rule(limit, of_union):
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.integers(0, 60, (99, 2)), rng.integers(9, 60, (99, 2))], axis=1).astype(float)
    expected: list[int] = []
    for index, box in enumerate(boxes):
        if all(share(box, boxes[kept], of_union) <= limit for kept in expected):
            expected.append(index)
    assert first_of_each_place(boxes, limit, of_union) == expected
    assert limit == 1 or 1 < len(expected) < 99


def test_a_box_within_a_larger_one_is_of_the_same_place_only_by_the_smaller():
    boxes = boxes_of((0, 0, 100, 100), (40, 40, 20, 20))
    assert first_of_each_place(boxes, 0.4) == [0]
    assert first_of_each_place(boxes, 0.4, of_union=True) == [0, 1]
    assert first_of_each_place(boxes[::-1], 0.4) == [0]  # the small one, if it is more certain


def test_the_limit_itself_is_allowed():
    boxes = boxes_of((0, 0, 10, 10), (6, 0, 10, 10))  # share 40 of 100, and of 160
    assert first_of_each_place(boxes, 0.4) == [0, 1]
    assert first_of_each_place(boxes, 0.399) == [0]
    assert first_of_each_place(boxes, 0.25, of_union=True) == [0, 1]
    assert first_of_each_place(boxes, 0.249, of_union=True) == [0]


def test_what_a_dropped_box_covers_is_free():
    boxes = boxes_of((0, 0, 10, 10), (5, 0, 10, 10), (10, 0, 10, 10))  # each half on the next
    assert first_of_each_place(boxes, 0.4) == [0, 2]


@pytest.mark.parametrize("second", [(10, 0, 10, 10), (30, 30, 5, 5), (-10, -10, 10, 10), (20, -20, 5, 5)])
def test_boxes_that_only_touch_or_lie_apart_are_two_places(second):
    assert first_of_each_place(boxes_of((0, 0, 10, 10), second), 0) == [0, 1]


def test_no_boxes_and_boxes_of_no_area():
    assert first_of_each_place(np.empty((0, 4)), 0.4) == []
    assert first_of_each_place(boxes_of((0, 0, 0, 0), (0, 0, 0, 0)), 0.4, of_union=True) == [0, 1]
    assert non_max_suppression([], 0.4) == []


def test_without_overlaps_keeps_the_most_certain_of_each_place_first():
    weak, strong = face(0, 0, 10, 10, 0.8), face(1, 0, 10, 10, 0.9)
    apart, last = face(50, 0, 10, 10, 0.95), face(80, 80, 10, 10, 0.1)
    for order in itertools.permutations([weak, strong, apart, last]):
        assert non_max_suppression(list(order), 0.4) == [apart, strong, last]


def test_without_overlaps_of_equally_certain_faces_does_not_depend_on_the_order():
    left, right, below = face(0, 0, 10, 10, 0.9), face(3, 0, 10, 10, 0.9), face(0, 40, 10, 10, 0.9)
    for order in itertools.permutations([left, right, below]):
        assert non_max_suppression(list(order), 0.4) == [left, below]


def test_without_overlaps_at_its_limit():
    one, other = face(0, 0, 10, 10, 0.9), face(6, 0, 10, 10, 0.8)
    assert non_max_suppression([other, one], 0.4) == [one, other]
    assert non_max_suppression([other, one], 0.39) == [one]
    assert non_max_suppression([one, face(2, 2, 3, 3, 0.8)], 0.99) == [one]  # a face within a face
    assert len(non_max_suppression([one, face(2, 2, 3, 3, 0.8)], 1)) == 2
