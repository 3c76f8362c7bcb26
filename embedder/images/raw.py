"""Read the preview in a camera's raw file, by the optional package rawpy (LibRaw)."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from embedder.errors import ImageError
from embedder.images.header import BrokenError
from embedder.images.jpeg import scan_jpeg
from embedder.images.tiff import RAW_ADVICE, raw_kind, scan_tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL_RAW = "pip install 'embedder-enroll[library]'"
# Flip of LibRaw -> EXIF orientation: upside down, rotated to the left, to the right.
_TURNED = {3: 3, 5: 8, 6: 6}
_ENOUGH = 1000  # pixels: longer side below which a preview is only a thumbnail


def is_raw(data: bytes) -> bool:
    """Return whether a file is a camera's raw file, by its first bytes and its directories."""
    if raw_kind(data):
        return True
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    try:
        scan_tiff(data)
    except BrokenError as error:
        return RAW_ADVICE in str(error)
    return False


def read_raw(data: bytes, path: str | os.PathLike[str]) -> tuple[bytes | NDArray[np.uint8], int]:
    """Read the largest preview of a raw file, or develop it at half its width and height.

    Args:
        data: content of the file.
        path: path of the file, for messages.

    Returns:
        A JPEG, or (height, width, 3) uint8 RGB; and the EXIF orientation to apply to it.

    Raises:
        ImageError: rawpy is not installed, or cannot read the file.
    """
    name = (raw_kind(data) or "a raw file of a camera").partition(",")[0]
    name = name if "raw" in name else f"{name}, a raw file of a camera"
    if find_spec("rawpy") is None:
        raise ImageError(
            path, f"{name}, for which a package is missing; install it: {INSTALL_RAW}, or {RAW_ADVICE}"
        )
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            try:
                preview = raw.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                preview = None
            if preview is not None and preview.format == rawpy.ThumbFormat.JPEG:
                header = scan_jpeg(preview.data)
                if max(header.width, header.height) >= min(_ENOUGH, raw.sizes.width, raw.sizes.height):
                    side = _TURNED.get(raw.sizes.flip, 1) if header.orientation == 1 else 1
                    upright = side in (6, 8) and header.height > header.width  # rotated by the camera already
                    return preview.data, 1 if upright else side
            return raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8), 1
    except (rawpy.LibRawError, BrokenError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(path, f"{name}, which cannot be read ({reason[:80]}); {RAW_ADVICE}") from error
