"""Recognize the kind of a picture file by its first bytes, and word its errors."""

from __future__ import annotations

import os
from importlib.util import find_spec

from embedder.errors import ImageError
from embedder.images.reduction import format_title
from embedder.images.tiff import raw_kind

FORMATS = "JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF, TIFF or PNM"
INSTALL_HEIC = "pip install 'embedder-enroll[heic]'"

# First bytes -> kind of file. The 40 other formats of Pillow are not tried.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    *((f"P{n}".encode(), "PPM") for n in range(1, 7)),
)
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF = frozenset({b"avif", b"avis"})


def kind_of(data: bytes, path: str | os.PathLike[str]) -> str:
    """Return the kind of a file by its first bytes, as Pillow names it.

    Args:
        data: content of the file.
        path: path of the file, for messages.

    Raises:
        ImageError: the kind is not supported; for a camera's raw file, or HEIC without its package, the
            message says so.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if reason := raw_kind(data):
        raise ImageError(path, reason)
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4]), 256), 4))}
        if brands & _AVIF:
            return "AVIF"
        if brands & _HEIC or data[8:12] in (b"mif1", b"msf1"):
            if find_spec("pillow_heif") is None:
                raise ImageError(
                    path, f"a HEIC file, for which a package is missing; install it: {INSTALL_HEIC}"
                )
            return "HEIF"
    name = next((name for magic, name in _MAGIC if data.startswith(magic)), None)
    if name is None:
        raise ImageError(path, f"not a picture: expected {FORMATS}, the file begins with {data[:8]!r}")
    return name


def as_reason(name: str, reason: str) -> str:
    """Word the reason of an error: that the file is broken, unless the reason is another."""
    if reason.startswith(("has ", "is ", "a raw file", "its first picture", "pixels of kind")):
        return reason
    if reason.startswith(("begins ", "a picture of")):
        return f"broken: {reason}"
    return f"broken or truncated {format_title(name)} file: {reason}"
