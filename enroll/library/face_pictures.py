"""Crop faces of a library out of their photos, and show photos at a reduced size.

Only the gallery says which file is read, and only what the scan saw there is shown: another file in
its place has another SHA-256.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config import limits_in_force
from embedder.errors import ImageError
from embedder.images import decode_image, read_image_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.faces.crop import Box
    from enroll.library.people import Library

CROP = 160  # pixels across a face that is cut out, as screens with two pixels a point show it
_AROUND = 0.25  # of the face's size, on each side
_FEWEST = 500_000  # pixels that a JPEG is read with at least


@dataclass(frozen=True)
class FacePlace:
    """Holds the place of a face.

    Attributes:
        face: its number.
        box: x, y, width and height in pixels of the photo as it was scanned.
        size: width and height of that photo, in pixels.
        digest: SHA-256 of its file.
        files: paths of the photo.
    """

    face: int
    box: Box
    size: tuple[int, int]
    digest: bytes
    files: tuple[Path, ...]


def place_of(library: Library, number: int) -> FacePlace:
    """Return the place of a face of a library."""
    face = library.faces[number]
    photo = library.photos[face.photo]
    files = tuple(library.file(one) for one in sorted(photo.files, key=lambda one: not one.there))
    return FacePlace(number, face.box, (photo.width, photo.height), photo.digest, files)


def face_picture(library: Library, number: int) -> NDArray[np.uint8] | None:
    """Return the picture of a face, (height, width, 3) uint8 RGB, or None if its file is gone."""
    from enroll.library.film_still import frame_at

    seconds = library.faces[number].seconds
    try:
        if seconds is None:
            return cut_face(place_of(library, number))
        return _around(frame_at(library.path(library.faces[number]), seconds), library.faces[number].box, 1.0)
    except ImageError:
        return None


def cut_face(place: FacePlace) -> NDArray[np.uint8]:
    """Return a face of a photo with what is around it, at least `CROP` pixels wide.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: the photo cannot be shown; the message says why.
    """
    pixels = read_shown(place, CROP / max(1, *place.box[2:]))
    return _around(pixels, place.box, pixels.shape[1] / max(1, place.size[0]))


def read_shown(place: FacePlace, share: float) -> NDArray[np.uint8]:
    """Read a photo; of a JPEG about as many pixels as are shown.

    Args:
        place: of a face in it.
        share: of its width that is shown.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: it cannot be shown; the message says why.
    """
    data, path = _read(place)
    limits = limits_in_force()
    wanted = int(4 * place.size[0] * place.size[1] * min(share, 1.0) ** 2)
    few = replace(limits, max_pixels=min(limits.max_pixels, max(wanted, _FEWEST)))
    if data[:2] == b"\xff\xd8":
        with suppress(ImageError):  # one that cannot be read reduced
            return decode_image(data, path.name, few)
    return decode_image(data, path.name, limits)


def _around(pixels: NDArray[np.uint8], box: Box, share: float) -> NDArray[np.uint8]:
    """Crop a square around a box, as far as the picture reaches.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        box: in pixels of the picture as it was scanned.
        share: width of this picture, as a share of that one's.
    """
    x, y, width, height = box
    side = max(width, height) * (1 + 2 * _AROUND)
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    edges = [round(share * edge) for edge in (top, top + side, left, left + side)]
    up, down, start, end = (max(0, edge) for edge in edges)
    return pixels[up : max(down, up + 1), start : max(end, start + 1)]


def _read(place: FacePlace) -> tuple[bytes, Path]:
    reason = "no scan finds it any more"
    for path in place.files:
        try:
            data = read_image_file(path)
        except ImageError as error:
            missing = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
            reason = "it is not there any more" if missing else error.reason
            continue
        if hashlib.sha256(data).digest() == place.digest:
            return data, path
        reason = "it was changed since it was scanned"
    name = place.files[0].name if place.files else f"the photo of face {place.face}"
    raise ImageError(name, reason)
