"""Cut out a candidate for a face, to search it closely, and transform what is found back to the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedder.faces.align import Similarity, warp_square
from embedder.faces.detection import Detection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.faces.yunet import Candidates


SIDE = 128  # pixels: side of a crop
_SHARE = 0.5  # share of the side that the face takes
_MIRRORED = [1, 0, 2, 4, 3]  # order of the landmarks of a mirrored face


@dataclass(frozen=True, eq=False)
class CloseCrop:
    """Holds the crop of a candidate.

    Attributes:
        pixels: (128, 128, 3) uint8 RGB.
        center: center of the candidate in pixels of the photo, as x + iy.
        side: mean of the candidate's width and height in pixels of the photo.
        back: transform from the crop to the photo.
    """

    pixels: NDArray[np.uint8]
    center: complex
    side: float
    back: Similarity

    @classmethod
    def cut(
        cls,
        image: NDArray[np.uint8],
        face: Detection,
        degrees: float,
        share: float = _SHARE,
        border: str = "black",
    ) -> CloseCrop:
        """Cut the crop of a candidate out of a photo.

        Args:
            image: (height, width, 3) uint8 RGB.
            face: the candidate, in pixels of `image`.
            degrees: clockwise rotation of the crop.
            share: share of the crop's side that the face takes.
            border: what lies beyond the photo: `black`, or its `mirror` image.
        """
        x, y, width, height = face.box
        center, side = complex(x + width / 2, y + height / 2), (width + height) / 2
        region, corner = image, 0j
        if border == "mirror":
            region, corner = _continued(image, center, 1.5 * side / share)
        turn = complex(np.exp(1j * np.deg2rad(degrees)) * (SIDE * share / side))
        to_square = Similarity(turn, complex(SIDE, SIDE) / 2 - turn * (center - corner))
        pixels = warp_square(region, to_square, SIDE, Image.Resampling.BILINEAR)
        back = to_square.inverse()
        return cls(pixels, center, side, Similarity(back.turn, back.shift + corner))

    def face_in(self, seen: Candidates, mirrored: bool = False) -> Detection | None:
        """Return the best face that was found in the crop, in pixels of the photo.

        Args:
            seen: what the network found in the crop.
            mirrored: whether it got the crop mirrored.

        Returns:
            The face; None if there is none, or it is another one, which has its own candidate.
        """
        if not len(seen.scores):
            return None
        points, (x, y, width, height) = seen.points[0].astype(np.float64), seen.boxes[0].tolist()
        if mirrored:
            points = np.stack([SIDE - points[:, 0], points[:, 1]], axis=1)[_MIRRORED]
            x = SIDE - x - width
        middle = self.back.turn * complex(x + width / 2, y + height / 2) + self.back.shift
        if abs(middle - self.center) > self.side / 2:
            return None
        width, height = width * self.back.scale, height * self.back.scale
        box = (middle.real - width / 2, middle.imag - height / 2, width, height)
        return Detection(box, self.back(points), float(seen.scores[0]))


def _continued(image: NDArray[np.uint8], center: complex, side: float) -> tuple[NDArray[np.uint8], complex]:
    """Return a square of a picture, extended by its mirror image, and the square's corner.

    A square within the picture is a view, no copy.
    """
    left, top = int(np.floor(center.real - side / 2)) - 2, int(np.floor(center.imag - side / 2)) - 2
    length = int(np.ceil(side)) + 4
    height, width = image.shape[:2]
    corner = complex(left, top)
    if left >= 0 and top >= 0 and left + length <= width and top + length <= height:
        return image[top : top + length, left : left + length], corner
    rows, columns = (_mirrored(start, length, limit) for start, limit in ((top, height), (left, width)))
    return image[rows[:, None], columns], corner


def _mirrored(start: int, length: int, limit: int) -> NDArray[np.int64]:
    """Compute the pixel numbers of a line that is extended by its mirror image."""
    place = np.arange(start, start + length) % (2 * limit)
    return np.minimum(place, 2 * limit - 1 - place)
