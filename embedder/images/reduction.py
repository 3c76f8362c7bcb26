"""Choose by how much a picture is reduced when it is decoded, so that it fits its limits."""

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
    """Choose by how much a picture is reduced.

    Raises:
        ImageError: no reduction makes it fit.
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
    """Give a format's name as people write it."""
    return {"PPM": "PNM", "WEBP": "WebP", "HEIF": "HEIC"}.get(name, name)
