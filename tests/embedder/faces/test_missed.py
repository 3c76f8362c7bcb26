"""Why no face was found, of photos whose face is known: small, dark, cut, uncertain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from embedder.config import DetectorConfig
from embedder.config.faces import ARCFACE_LANDMARKS
from embedder.faces.crop import FaceCropper, WholeImageCropper
from embedder.faces.detection import Detection
from embedder.faces.missed import why_missed
from embedder.faces.photo import find_crops
from embedder.images import Picture

Pixels = NDArray[np.uint8]
NONE = "none from 20 pixels on either, and more than half of a face must be seen"


@pytest.fixture(scope="module")
def head(orl: Path) -> Image.Image:
    photo = sorted(path for path in orl.rglob("*.*") if path.is_file())[0]
    return Image.open(photo).convert("RGB").resize((368, 448))


@pytest.fixture(scope="module")
def finder(yunet_network: bytes) -> FaceCropper:
    return FaceCropper(112, ARCFACE_LANDMARKS, network=yunet_network)


def on_canvas(head: Image.Image, width: int, place: tuple[int, int] = (300, 200)) -> Pixels:
    noise = np.random.default_rng(0).integers(100, 150, (480, 640, 3), np.uint8)
    canvas = Image.fromarray(noise)
    canvas.paste(head.resize((width, width * head.height // head.width)), place)
    return np.asarray(canvas)


def said(image: Pixels, finder: FaceCropper) -> str:
    found = find_crops((Picture(pixels) for pixels in [image]), finder.crops, "photo", finder.why_missed)
    assert found.crops == []
    assert found.no_face is not None
    return found.no_face


def test_a_small_face(head: Image.Image, finder: FaceCropper) -> None:
    reason = said(on_canvas(head, 40), finder)
    assert ": the largest face is " in reason
    across = int(reason.partition("the largest face is ")[2].split()[0])
    assert 24 <= across <= 40
    assert f"{across} pixels wide, they are looked for from 60 on; --min-face looks for smaller" in reason


def test_a_dark_face(head: Image.Image, finder: FaceCropper) -> None:
    reason = said(np.asarray(head) // 16, finder)
    assert "the picture is dark, its mean brightness 0.0" in reason
    assert "with more light it shows a face" in reason


def test_a_part_of_a_face(head: Image.Image, finder: FaceCropper) -> None:
    reason = said(on_canvas(head, 368, (-280, 20)), finder)
    assert any(words in reason for words in (NONE, "cut by the border"))


def test_nothing_is_said_of_a_whole_picture_or_where_faces_are(
    head: Image.Image, finder: FaceCropper
) -> None:
    assert WholeImageCropper(112).why_missed(np.zeros((9, 9, 3), np.uint8)) is None
    asked: list[Pixels] = []
    pictures = (Picture(pixels) for pixels in [np.asarray(head)])
    found = find_crops(pictures, finder.crops, "photo", asked.append)  # type: ignore[arg-type]
    assert (len(found.crops), found.no_face, asked) == (1, None, [])


GREY = np.full((100, 100, 3), 128, np.uint8)
FACE = Detection((10.0, 10.0, 30.0, 40.0), np.zeros((5, 2)), 0.5)
CUT = replace(FACE, box=(-20.0, 10.0, 50.0, 40.0))


@pytest.mark.parametrize(
    ("image", "from_score", "face", "right"),
    [
        (GREY, 0.7, FACE, "the largest face is 30 pixels wide, they are looked for from 60 on"),
        (GREY, 0.4, FACE, "what may be a face is too uncertain, 0.50 of 0.7"),
        (GREY, 0.4, CUT, "what may be a face is cut by the border"),
        (GREY, 0.0, FACE, NONE),
        (GREY[:0:-1], 0.0, FACE, NONE),
    ],
)
def test_what_other_ways_of_looking_find(
    image: Pixels, from_score: float, face: Detection, right: str
) -> None:
    def find(_: Pixels, config: DetectorConfig) -> list[Detection]:
        return [face] if config.score == from_score else []

    assert why_missed(image, find, DetectorConfig()) == right


def test_no_more_than_two_megapixels_are_looked_at() -> None:
    seen: list[tuple[int, ...]] = []

    def find(picture: Pixels, config: DetectorConfig) -> list[Detection]:
        seen.append(picture.shape)
        return [FACE] if config.score == 0.7 else []

    large = np.full((3000, 4000, 3), 128, np.uint8)
    assert "the largest face is 90 pixels wide" in why_missed(large, find, DetectorConfig(min_face=100))
    assert seen == [(1000, 1334, 3)]
