"""Open files with Pillow's decoders, each kind with its own: `Image.open` has limits of the process."""

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
    """Open a file as one kind and nothing else; pixels are not decoded yet.

    Args:
        kind: as Pillow calls it.
        file: the bytes.

    Raises:
        Exception: what the decoder raises.
    """
    place, name = _DECODERS[kind]
    opened: ImageFile.ImageFile = getattr(import_module(place), name)(file)
    return opened


def let_go(image: ImageFile.ImageFile) -> None:
    """Free what a decoder keeps after a picture of one frame is decoded."""
    for name in ("_decoder", "fp", "_fp"):
        if hasattr(image, name):
            setattr(image, name, None)
