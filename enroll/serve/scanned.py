"""Show photos of a library as JPEG: a cropped face, or the whole photo at a reduced size."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embedder.errors import ImageError
from enroll.library.face_pictures import CROP, cut_face, read_shown
from enroll.serve.problems import ProblemError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.faces.crop import Box
    from enroll.library.face_pictures import FacePlace

WHOLE = 1600  # pixels of the longer side of a photo
_KEPT = 4096  # faces in memory: about 25 MB


class Crops:
    """Caches cropped faces; threads may share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, bytes, Box], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def crop(self, place: FacePlace) -> bytes:
        """Return a face as a JPEG file.

        Raises:
            ProblemError: the photo cannot be shown; the message says why.
        """
        key = place.face, place.digest, place.box
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        with _shown():
            made = _jpeg(cut_face(place), CROP)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def whole(place: FacePlace) -> bytes:
    """Return the photo of a face as a JPEG file, without the camera's metadata.

    Raises:
        ProblemError: it cannot be shown; the message says why.
    """
    with _shown():
        pixels = read_shown(place, WHOLE / max(place.size))
    return _jpeg(pixels, WHOLE)


@contextmanager
def _shown() -> Iterator[None]:
    """Convert the error of a photo that cannot be shown to a problem.

    Raises:
        ProblemError: it cannot.
    """
    try:
        yield
    except ImageError as error:
        raise ProblemError("gone-photo", str(error)) from error


def _jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=85)
    return written.getvalue()
