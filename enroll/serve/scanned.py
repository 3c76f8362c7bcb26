"""Photos of a library as pictures to look at: a face cut out, or all of it, made small.

Which file is read is said by the gallery alone, and only what the scan saw there is shown: another file in
its place has another SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config import limits_in_force
from embedder.errors import ImageError
from embedder.images import decode_image, read_image_file
from enroll.serve.problems import ProblemError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.faces.crop import Box

CROP = 160  # pixels across a face that is cut out, as screens with two pixels a point show it
WHOLE = 1600  # pixels of the longer side of a photo
_AROUND = 0.25  # of the face's size, on each side
_FEWEST = 500_000  # pixels that a JPEG is read with at least
_KEPT = 4096  # faces in memory: about 25 MB


@dataclass(frozen=True)
class Place:
    """Where a face is.

    Attributes:
        face: its number.
        box: x, y, width and height in pixels of the photo as it was scanned.
        size: width and height of that photo.
        digest: SHA-256 of its file.
        files: where it lies.
    """

    face: int
    box: Box
    size: tuple[int, int]
    digest: bytes
    files: tuple[Path, ...]


class Crops:
    """Faces that were cut out lately; threads may share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, bytes, Box], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def crop(self, place: Place) -> bytes:
        """Give a face as JPEG.

        Raises:
            ProblemError: the photo cannot be shown; it says why.
        """
        key = place.face, place.digest, place.box
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        made = _cut(place)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def whole(place: Place) -> bytes:
    """Give the photo of a face as JPEG, without what a camera writes into it.

    Raises:
        ProblemError: it cannot be shown; it says why.
    """
    share = WHOLE / max(place.size)
    pixels = _decoded(place, share)
    return _jpeg(pixels, WHOLE)


def _cut(place: Place) -> bytes:
    x, y, width, height = place.box
    pixels = _decoded(place, CROP / max(1, width, height))
    share = pixels.shape[1] / max(1, place.size[0])
    side = max(width, height) * (1 + 2 * _AROUND)
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    edges = [round(share * edge) for edge in (top, top + side, left, left + side)]
    up, down, start, end = (max(0, edge) for edge in edges)
    return _jpeg(pixels[up : max(down, up + 1), start : max(end, start + 1)], CROP)


def _decoded(place: Place, share: float) -> NDArray[np.uint8]:
    """Read a photo; of a JPEG no more pixels than are shown, as good as that can be chosen."""
    data, path = _read(place)
    limits = limits_in_force()
    wanted = int(4 * place.size[0] * place.size[1] * min(share, 1.0) ** 2)
    few = replace(limits, max_pixels=min(limits.max_pixels, max(wanted, _FEWEST)))
    try:
        if data[:2] == b"\xff\xd8":
            with suppress(ImageError):  # one that cannot be read reduced
                return decode_image(data, path.name, few)
        return decode_image(data, path.name, limits)
    except ImageError as error:
        raise _gone(f"{path.name}: {error.reason}") from error


def _read(place: Place) -> tuple[bytes, Path]:
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
    raise _gone(f"{name}: {reason}")


def _gone(detail: str) -> ProblemError:
    return ProblemError("gone-photo", detail)


def _jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=85)
    return written.getvalue()
