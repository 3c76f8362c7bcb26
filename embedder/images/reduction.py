"""Choose the scale at which a picture is decoded, so that it is within the limits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from embedder.errors import ImageError
from embedder.images import blocks

if TYPE_CHECKING:
    from embedder.config import ImageLimits
    from embedder.images.header import Header


def choose_scale(
    header: Header, limits: ImageLimits, path: str | os.PathLike[str]
) -> tuple[int, tuple[str, ...]]:
    """Choose the scale at which a picture is decoded.

    Args:
        header: header of the file.
        limits: limits of pictures.
        path: path of the file, for messages.

    Returns:
        1, 2, 4 or 8, by which width and height are divided; and notes for the user.

    Raises:
        ImageError: the picture exceeds the limits at every scale.
    """
    count = header.width * header.height
    if count <= limits.max_pixels:
        blocks.check_sides(header)
    scales = (
        (1, 2, 4, 8) if header.reducible and count <= max(limits.max_jpeg_pixels, limits.max_pixels) else (1,)
    )
    for scale in scales:
        wide, high = -(-header.width // scale), -(-header.height // scale)
        if wide * high <= limits.max_pixels and header.memory(scale) <= limits.max_memory:
            if scale == 1:
                return 1, header.notes
            note = f"read at {wide:,} x {high:,} of its {header.width:,} x {header.height:,} pixels"
            return scale, (*header.notes, note)
    if count > limits.max_pixels:
        most = f"at most {limits.max_pixels / 1e6:g} are read"
        if header.reducible:
            most += f", of a JPEG {limits.max_jpeg_pixels / 1e6:g}"
        raise ImageError(
            path, f"has {count / 1e6:.1f} megapixels, {most}; make it smaller or raise --max-pixels"
        )
    needed, given = header.memory(scales[-1]) / 2**20, limits.max_memory / 2**20
    raise ImageError(
        path,
        f"has {count / 1e6:.1f} megapixels, and as {format_title(header.kind)} takes {needed:.0f} MiB to "
        f"read, at most {given:.0f} are given; make it smaller, or save it as a plain JPEG",
    )


def format_title(name: str) -> str:
    """Return the usual spelling of a format's name."""
    return {"PPM": "PNM", "WEBP": "WebP", "HEIF": "HEIC"}.get(name, name)
