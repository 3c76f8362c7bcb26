"""Convert places of faces between pixels and metadata: shares of the stored picture, before it is turned.

By the Metadata Working Group's guide 2.0 regions belong to the stored picture; a program that shows it turned
turns them too. EXIF's orientation says how a stored picture is turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from enroll.library.matching import overlap

Frame = Literal["stored", "displayed", "unsure"]

TURNED = (5, 6, 7, 8)  # orientations that exchange width and height
_SAME_SHAPE = 0.01  # share by which two ratios of width to height may differ


@dataclass(frozen=True)
class Region:
    """Holds a part of a picture that shows someone or something.

    Attributes:
        x: of its centre, as a share of the width, 0 to 1.
        y: likewise, of the height, from the top.
        w: its width, as a share.
        h: its height, as a share.
        name: of the person, or None.
        kind: Face, Pet, Focus, BarCode, or another word.
    """

    x: float
    y: float
    w: float
    h: float
    name: str | None = None
    kind: str = "Face"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height, as shares."""
        return self.x - self.w / 2, self.y - self.h / 2, self.w, self.h


def region_of(box: Sequence[float], width: int, height: int, name: str | None = None) -> Region:
    """Convert a box in pixels to a region of the same picture.

    Args:
        box: x, y, width and height in pixels.
        width: of the picture, in pixels.
        height: likewise.
        name: of the person, or None.
    """
    left, top = max(box[0] / width, 0.0), max(box[1] / height, 0.0)
    right, bottom = min((box[0] + box[2]) / width, 1.0), min((box[1] + box[3]) / height, 1.0)
    return Region((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, name)


def box_of_region(region: Region, width: int, height: int) -> tuple[float, float, float, float]:
    """Convert a region to x, y, width and height in pixels of a picture of that size."""
    left, top, w, h = region.box
    return left * width, top * height, w * width, h * height


def displayed(region: Region, orientation: int) -> Region:
    """Convert a region of the stored picture to one of the upright picture.

    Args:
        region: of the stored picture.
        orientation: EXIF's, 1 to 8.

    Example:
        >>> turned = displayed(Region(0.3, 0.8, 0.4, 0.2), 6)
        >>> [round(share, 3) for share in (turned.x, turned.y, turned.w, turned.h)]
        [0.2, 0.3, 0.2, 0.4]
    """
    x, y = region.x, region.y
    x, y = {
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }.get(orientation, (x, y))
    return _turned(region, x, y, orientation)


def stored(region: Region, orientation: int) -> Region:
    """Convert a region of the upright picture to one of the stored picture; see `displayed`.

    Example:
        >>> turned = stored(Region(0.2, 0.3, 0.2, 0.4), 8)
        >>> [round(share, 3) for share in (turned.x, turned.y, turned.w, turned.h)]
        [0.7, 0.2, 0.4, 0.2]
    """
    return displayed(region, {6: 8, 8: 6}.get(orientation, orientation))


def _turned(region: Region, x: float, y: float, orientation: int) -> Region:
    w, h = (region.h, region.w) if orientation in TURNED else (region.w, region.h)
    return replace(region, x=x, y=y, w=w, h=h)


def frame_of(applied: tuple[int, int] | None, size: tuple[int, int], orientation: int) -> Frame:
    """Find out which picture regions belong to, by the size that was written beside them.

    Args:
        applied: width and height that the regions were made for, None if unknown.
        size: width and height in pixels of the stored picture; 0 if unknown.
        orientation: EXIF's, 1 to 8.

    Returns:
        The stored picture, as it should be; the displayed one, as some programs write; or unsure, where the
        shape is another one: the picture was cropped since.

    Example:
        >>> frame_of((600, 800), (800, 600), 6), frame_of((500, 500), (800, 600), 1)
        ('displayed', 'unsure')
    """
    if applied is None or not all(applied) or not all(size):
        return "stored"
    if _alike(applied, size):
        return "stored"
    if orientation in TURNED and _alike(applied, (size[1], size[0])):
        return "displayed"
    return "unsure"


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _SAME_SHAPE


def same_place(one: Region, other: Region, least: float) -> bool:
    """Return whether the intersection over union of two regions is at least a share."""
    return overlap(one.box, other.box) >= least
