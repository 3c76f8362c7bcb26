"""Open files with Pillow's decoder of their kind, without the limits of `Image.open`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io

    from PIL import ImageFile

_DECODERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}


def open_as(kind: str, file: io.BytesIO) -> ImageFile.ImageFile:
    """Open a file with the decoder of one kind, without decoding its pixels.

    Args:
        kind: kind of the file, as Pillow names it.
        file: content of the file.

    Raises:
        Exception: the decoder failed.
    """
    place, name = _DECODERS[kind]
    opened: ImageFile.ImageFile = getattr(import_module(place), name)(file)
    return opened


def let_go(image: ImageFile.ImageFile) -> None:
    """Free the memory that a decoder holds after it has decoded its only frame."""
    for name in ("_decoder", "fp", "_fp"):
        if hasattr(image, name):
            setattr(image, name, None)
