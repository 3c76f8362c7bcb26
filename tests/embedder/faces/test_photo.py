"""Which frame of a photo is used, and why no face was found."""

from __future__ import annotations

import logging
from collections.abc import Generator

import numpy as np
import pytest

from embedder.faces.crop import NO_FACE, Crop
from embedder.faces.photo import find_crops, no_face_reason
from embedder.images import Picture

NOISE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)

GRADIENT = np.linspace(20, 220, 300).astype(np.uint8)[None, :, None].repeat(200, axis=0).repeat(3, axis=2)


def frames(
    *pictures: np.ndarray, notes: tuple[str, ...] = (), closed: list[int] | None = None
) -> Generator[Picture]:
    try:
        for number, pixels in enumerate(pictures, 1):
            yield Picture(pixels, notes, number, len(pictures))
    finally:
        if closed is not None:
            closed.append(1)


def bright_ones(image: np.ndarray) -> list[Crop]:
    return [Crop(image[:4, :4])] if image.mean() > 100 else []


def test_the_first_frame_with_a_face_is_used(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[int] = []
    black, white = np.zeros((50, 50, 3), np.uint8), np.full((50, 50, 3), 255, np.uint8)
    with caplog.at_level(logging.WARNING, "embedder.images"):
        found = find_crops(frames(black, white, white, closed=closed), bright_ones, "a.gif")
    assert found.pixels is white
    assert len(found.crops) == 1
    assert found.no_face is None
    assert found.notes == ("frame 2 of 3 is used, the first with a face",)
    assert [record.getMessage() for record in caplog.records] == [f"a.gif: {found.notes[0]}"]
    assert closed == [1]
    assert find_crops(frames(white, black), bright_ones, "a.gif").notes == ()


def test_without_a_face_the_first_frame_stands() -> None:
    black = np.zeros((50, 50, 3), np.uint8)
    found = find_crops(frames(black, black.copy(), notes=("cut",)), bright_ones, "a.gif")
    assert found.pixels is black
    assert (found.crops, found.notes) == ([], ("cut",))
    assert found.no_face == NO_FACE.replace(";", ": the picture is black;", 1)


def smooth(sigma: float) -> np.ndarray:
    from PIL import Image, ImageFilter

    image = Image.fromarray(NOISE).filter(ImageFilter.GaussianBlur(sigma))
    values = np.asarray(image).astype(float)
    low, high = values.min(), values.max()
    return (20 + 200 * (values - low) / (high - low)).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        (NOISE, None),
        (NOISE[:20, :20], None),
        (NOISE[:19], "the picture has only 300 x 19 pixels"),
        (NOISE // 24, "the picture is dark, its mean brightness 0.02 of 1"),
        (NOISE // 12, None),
        (255 - NOISE // 12, "the picture is too bright, its mean brightness 0.96 of 1"),
        (255 - NOISE // 6, None),
        (np.zeros_like(NOISE), "the picture is black"),
        (np.full_like(NOISE, 255), "the picture is white"),
        (np.full_like(NOISE, 99), "the picture is of one colour"),
        (smooth(3), None),
        (GRADIENT, "the picture is blurred"),
    ],
)
def test_what_may_be_why(image: np.ndarray, cause: str | None) -> None:
    reason = no_face_reason(image)
    assert reason == NO_FACE if cause is None else reason.startswith(f"no face found: {cause}")
    assert reason.endswith(NO_FACE.partition(";")[2])


def test_a_file_that_is_cut_is_a_reason() -> None:
    notes = ("the file ends before its picture does; read as far as it goes",)
    assert no_face_reason(NOISE, notes) == NO_FACE.replace(
        ";", ": the file ends before its picture does, read as far as it goes;", 1
    )
