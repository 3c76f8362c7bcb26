"""Where labels go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enroll.report.annotate import place_labels

FRAME = (1000, 800)


def place(
    *boxes: tuple[int, int, int, int],
    forms: list[tuple[int, int]] | None = None,
    frame: tuple[int, int] = FRAME,
) -> list[tuple[int, int, int, int]]:
    """Boxes as left, top, right, bottom; gives the labels so."""
    sizes = forms or [(100, 20)]
    placed = place_labels(np.array(boxes, np.float64).reshape(-1, 4), [sizes] * len(boxes), frame)
    return [(left, top, left + sizes[form][0], top + sizes[form][1]) for form, left, top in placed]


def overlap(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def test_no_faces() -> None:
    assert place() == []


def test_a_label_stands_above_its_face() -> None:
    assert place((400, 300, 500, 420)) == [(400, 280, 500, 300)]


@pytest.mark.parametrize(
    ("box", "label"),
    [
        ((400, 5, 500, 120), (400, 120, 500, 140)),  # below, at the upper edge
        ((950, 300, 1000, 400), (900, 280, 1000, 300)),  # to the left, at the right edge
        ((0, 0, 1000, 800), (0, 0, 100, 20)),  # inside, when the face is all there is
    ],
)
def test_at_the_edge_a_label_stays_inside(
    box: tuple[int, int, int, int], label: tuple[int, int, int, int]
) -> None:
    assert place(box) == [label]


def test_a_label_gives_way_to_a_face() -> None:
    upper, lower = (400, 290, 500, 390), (400, 400, 500, 500)
    labels = place(upper, lower)
    assert labels[0] == (400, 270, 500, 290)
    assert labels[1] == (400, 500, 500, 520)


def test_a_label_gives_way_to_a_label() -> None:
    side_by_side = [(400 + 60 * n, 300, 450 + 60 * n, 360) for n in range(3)]
    labels = place(*side_by_side)
    for index, label in enumerate(labels):
        assert sum(overlap(label, other) for other in labels[:index]) == 0
        assert sum(overlap(label, box) for box in side_by_side) == 0


def test_a_wide_label_does_not_hide_a_small_face() -> None:
    big, small = (400, 300, 500, 420), (440, 270, 460, 295)
    label = place(big, small, forms=[(300, 40)])[0]
    assert overlap(label, small) == 0


def test_a_wide_label_rather_lies_on_its_own_face_than_hides_a_small_one() -> None:
    small = (140, 20, 160, 45)
    boxes = np.array([(100, 50, 200, 170), small], np.float64)
    (_, left, top), _ = place_labels(boxes, [[(300, 40)], [(10, 10)]], (300, 175))
    assert overlap((left, top, left + 300, top + 40), small) == 0


def test_labels_move_once_all_have_a_place() -> None:
    faces = [(170, 120, 210, 160), (210, 80, 250, 120), (220, 130, 260, 170)]
    labels = place(*faces, frame=(300, 300))
    assert [overlap(one, other) for one in labels for other in labels if one != other] == [0] * 6


def test_a_smaller_form_is_taken_where_the_first_does_not_fit() -> None:
    forms = [(300, 20), (60, 20)]
    alone = place((400, 300, 460, 380), forms=forms)
    assert alone[0][2] - alone[0][0] == 300
    row = [(100 * n, 300, 100 * n + 60, 380) for n in range(10)]
    labels = place(*row, forms=forms, frame=(1000, 420))
    assert min(label[2] - label[0] for label in labels) == 60
    for index, label in enumerate(labels):
        assert sum(overlap(label, other) for other in [*labels[:index], *row]) == 0


def grid(columns: int, rows: int) -> NDArray[np.float64]:
    across, down = np.meshgrid(np.arange(columns) * 130 + 20, np.arange(rows) * 120 + 40)
    corners = np.stack([across, down], axis=2).reshape(-1, 2)
    return np.hstack([corners, corners + np.array([50, 60])]).astype(np.float64)


@pytest.mark.parametrize(("columns", "rows"), [(4, 3), (20, 10)])
def test_12_and_200_faces_in_rows_have_free_labels(columns: int, rows: int) -> None:
    boxes = [tuple(int(value) for value in box) for box in grid(columns, rows)]
    labels = place(*boxes, forms=[(110, 24)], frame=(columns * 130 + 20, rows * 120 + 40))
    for index, label in enumerate(labels):
        assert sum(overlap(label, other) for other in labels[:index]) == 0
        assert sum(overlap(label, box) for box in boxes) == 0


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-50, 400)] * 2, *[st.integers(0, 300)] * 2), max_size=8),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_labels_are_inside_wherever_there_is_room(
    faces: list[tuple[int, int, int, int]], width: int, height: int
) -> None:
    boxes = [(x, y, x + w, y + h) for x, y, w, h in faces]
    for left, top, right, bottom in place(*boxes, forms=[(40, 20)], frame=(width, height)):
        assert left >= 0
        assert top >= 0
        assert right <= max(width, 40)
        assert bottom <= max(height, 20)
