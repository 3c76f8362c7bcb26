"""The enrolled photos nearest to each face of a photo, as a sheet below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from PIL import Image

from embedder.images import resize_to_square
from embedder.preview import contact_sheet
from embedder.tiles import SIDE, Tile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from enroll.identify import Answer

    ChipOf = Callable[[str], NDArray[np.uint8] | None]

_PAPER = (255, 255, 255)


def with_near_photos(
    picture: Image.Image, image: NDArray[np.uint8], answer: Answer, chip_of: ChipOf
) -> Image.Image:
    """Put a sheet below an annotated photo: a row per face, first itself, then the nearest enrolled photos.

    Args:
        picture: the annotated photo.
        image: (height, width, 3) uint8, the photo itself.
        answer: with neighbours.
        chip_of: gives the chip of an enrolled photo by its path, or None if it is gone.

    Returns:
        An RGB picture as wide as the wider of both; the same one if there are no neighbours.
    """
    if not any(face.neighbours for face in answer.faces):
        return picture
    sheet = contact_sheet(_tiles(image, answer, chip_of))
    both = Image.new("RGB", (max(picture.width, sheet.width), picture.height + sheet.height), _PAPER)
    both.paste(picture, (0, 0))
    both.paste(sheet, (0, picture.height))
    return both


def _tiles(image: NDArray[np.uint8], answer: Answer, chip_of: ChipOf) -> Iterator[Tile]:
    for number, face in enumerate(answer.faces, 1):
        name = face.decision.identity if face.decision.identity is not None else "unknown"
        heading = f"{number}: {name}"
        x, y, width, height = face.box or (0, 0, image.shape[1], image.shape[0])
        yield Tile(heading, resize_to_square(image[y : y + height, x : x + width], SIDE), "this face")
        for near in face.neighbours:
            yield Tile(heading, chip_of(near.path), f"{near.distance:.2f} {near.identity}")
