"""Photos as they are given to a gallery: files by their paths, or pictures that lie in no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config.faces import limits_in_force
from embedder.images import load_image, photo_name, read_bytes, read_image_file

if TYPE_CHECKING:
    from embedder.images import Photo


def is_file(photo: Photo) -> bool:
    """Say whether a photo is given by its path."""
    return isinstance(photo, str | os.PathLike)


def path_of(photo: Photo) -> Path:
    """Give a photo's path, or what stands for it in messages."""
    return Path(photo_name(photo))


def content_of(photo: Photo) -> bytes:
    """Give the bytes that a photo is known by; of an array or a picture of Pillow, those of a PNM file.

    Raises:
        ImageError: it cannot be read, or is none of the kinds that are taken.
    """
    if isinstance(photo, str | os.PathLike):
        return read_image_file(photo)
    if hasattr(photo, "__array_interface__"):  # Pillow's pictures have it, too
        pixels = load_image(photo)
        height, width = pixels.shape[:2]
        return f"P6 {width} {height} 255\n".encode() + pixels.tobytes()
    return read_bytes(photo, limits_in_force())
