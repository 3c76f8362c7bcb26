"""Crop faces out of pictures: a face of a group photo, or as the network sees it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from embedder.images import decode_image
from enroll.serve.problems import ProblemError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.faces.crop import Box
    from enroll.serve.uploads import Upload

_AROUND = 0.75  # of the face's size, on each side: margin for a detector and an aligned crop


def cut_around(upload: Upload, box: Box) -> Upload:
    """Crop the part of a picture around a face, as a PNG file.

    The same part gives the same bytes.

    Args:
        upload: the picture.
        box: x, y, width and height in pixels of the upright picture, as in an answer.

    Raises:
        ImageError: it cannot be read.
        ProblemError: the box is not in it.
    """
    pixels = decode_image(upload.data, upload.name)
    x, y, width, height = box
    if width < 1 or height < 1 or not (0 <= x < pixels.shape[1] and 0 <= y < pixels.shape[0]):
        raise ProblemError(
            "bad-request",
            f"box: expected one inside the picture of {pixels.shape[1]} x {pixels.shape[0]} pixels, got "
            f"{','.join(map(str, box))}",
        )
    wide, high = round(_AROUND * width), round(_AROUND * height)
    rows = slice(max(0, y - high), y + height + high)
    columns = slice(max(0, x - wide), x + width + wide)
    return replace(upload, data=png(pixels[rows, columns]))


def box_of_text(text: str) -> Box:
    """Parse x, y, width and height in pixels.

    Raises:
        ProblemError: they are none.
    """
    parts = text.strip("[] ").split(",")
    try:
        x, y, width, height = (int(float(part)) for part in parts)
    except (ValueError, OverflowError):
        raise ProblemError(
            "bad-request", f"box: expected x,y,width,height in pixels, got {text[:60]!r}"
        ) from None
    return x, y, width, height


def png(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as a PNG file.

    Args:
        picture: (height, width, 3) uint8 RGB.
    """
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(picture).save(written, "PNG")
    return written.getvalue()
