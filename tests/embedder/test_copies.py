"""The same picture in two files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from embedder.copies import Copy, find_copies, picture_digest

A1, A2, B1 = Path("a/1.png"), Path("a/2.png"), Path("b/1.png")


def test_copies_are_found_within_a_person_and_across_people() -> None:
    found = find_copies([(A1, "a", b"x"), (A2, "a", b"x"), (B1, "b", b"x"), (Path("b/2"), "b", b"y")])
    assert found == (Copy(A2, "a", A1, "a"), Copy(B1, "b", A1, "a"))
    assert found[0].describe() == "a/2.png: the same picture as a/1.png"
    assert (
        found[1].describe()
        == "b/1.png: the same picture as a/1.png, but of 'b' and 'a': one of them is wrong"
    )


def test_what_is_not_known_is_no_copy() -> None:
    assert find_copies([(A1, "a", None), (A2, "a", None), (A1, "a", b"x"), (A1, "a", b"x")]) == ()


def test_pixels_and_size_make_a_picture() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert picture_digest(picture) == picture_digest(picture.copy())
    assert picture_digest(picture) != picture_digest(picture.reshape(4, 2, 3))
    assert picture_digest(picture) != picture_digest(picture + np.uint8(1))
