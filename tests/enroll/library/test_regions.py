"""Regions belong to the stored picture: the table of orientations, and which frame a program wrote in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from enroll.library.regions import Region, box_of_region, displayed, frame_of, region_of, stored


def shares(region: Region) -> list[float]:
    return [round(share, 9) for share in (region.x, region.y, region.w, region.h)]


# Stored -> displayed centre, as the reference has it; for 5 to 8 width and height change places.
TABLE = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}


@pytest.mark.parametrize("orientation", TABLE)
def test_the_table_of_orientations(orientation: int) -> None:
    region = Region(0.3, 0.8, 0.4, 0.2, "Ada")
    x, y = TABLE[orientation](0.3, 0.8)
    w, h = (0.2, 0.4) if orientation >= 5 else (0.4, 0.2)
    turned = displayed(region, orientation)
    assert shares(turned) == shares(Region(x, y, w, h))
    assert shares(stored(turned, orientation)) == shares(region)
    assert turned.name == "Ada"


@pytest.mark.parametrize(("orientation", "expected"), [(6, (0.3, 0.8, 0.4, 0.2)), (8, (0.7, 0.2, 0.4, 0.2))])
def test_the_vectors_of_the_guide(orientation: int, expected: tuple[float, ...]) -> None:
    assert shares(stored(Region(0.2, 0.3, 0.2, 0.4), orientation)) == list(expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_turn_as_regions_do(orientation: int) -> None:
    """A white box in the stored picture lies, in the picture that Pillow turns, where the region says."""
    pixels = np.zeros((60, 80), np.uint8)
    pixels[40:56, 8:40] = 255  # centre (24, 48), 32 x 16
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    rows, columns = np.nonzero(upright)
    region = displayed(region_of((8, 40, 32, 16), 80, 60), orientation)
    left, top, width, height = box_of_region(region, upright.shape[1], upright.shape[0])
    found = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert (round(left), round(top), round(width), round(height)) == found


@pytest.mark.parametrize(
    ("applied", "size", "orientation", "frame"),
    [
        ((800, 600), (800, 600), 6, "stored"),
        ((400, 300), (800, 600), 1, "stored"),  # made smaller
        ((600, 800), (800, 600), 6, "displayed"),
        ((600, 800), (800, 600), 1, "unsure"),
        ((600, 600), (800, 600), 1, "unsure"),  # cut
        (None, (800, 600), 6, "stored"),
        ((800, 600), (0, 0), 6, "stored"),
    ],
)
def test_the_frame_that_regions_were_written_in(
    applied: tuple[int, int] | None, size: tuple[int, int], orientation: int, frame: str
) -> None:
    assert frame_of(applied, size, orientation) == frame


def test_a_box_that_leaves_the_picture_is_cut() -> None:
    assert shares(region_of((-10, 50, 30, 30), 100, 60)) == [0.1, 0.916666667, 0.2, 0.166666667]
