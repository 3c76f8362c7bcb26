"""Read photos as they are given to a gallery: paths, or pictures that are in no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config.faces import limits_in_force
from embedder.images import load_image, photo_name, read_bytes, read_image_file

if TYPE_CHECKING:
    from embedder.images import Photo


def is_file(photo: Photo) -> bool:
    """Return whether a photo is given by its path."""
    return isinstance(photo, str | os.PathLike)


def path_of(photo: Photo) -> Path:
    """Return a photo's path, or a text that stands for it in messages."""
    return Path(photo_name(photo))


def content_of(photo: Photo) -> bytes:
    """Return the bytes whose digest identifies a photo.

    For an array or a picture of Pillow they are those of a PNM file.

    Args:
        photo: a path, bytes, an open file, an array or a picture of Pillow.

    Raises:
        ImageError: it cannot be read, or is of another kind.
    """
    if isinstance(photo, str | os.PathLike):
        return read_image_file(photo)
    if hasattr(photo, "__array_interface__"):  # Pillow's pictures have it, too
        pixels = load_image(photo)
        height, width = pixels.shape[:2]
        return f"P6 {width} {height} 255\n".encode() + pixels.tobytes()
    return read_bytes(photo, limits_in_force())
