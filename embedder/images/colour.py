"""Convert decoded pixels of any mode to upright sRGB of 8 bits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from embedder.images.header import BrokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NO_PROFILE = "its colour profile cannot be used; colours are read as if it had none"

_STRIP = 2**18  # pixels converted at once, since Pillow makes three copies of them
_PHOTOMETRIC = TiffImagePlugin.PHOTOMETRIC_INTERPRETATION
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}

# EXIF orientation -> whether rows and columns are exchanged, step of rows, step of columns.
_UPRIGHT = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


def to_rgb(image: Image.Image, profile: bytes) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Convert a decoded picture to sRGB pixels.

    Args:
        image: picture of any mode of Pillow.
        profile: ICC profile; b"" stands for sRGB.

    Returns:
        (height, width, 3) uint8 RGB, and notes for the user.

    Raises:
        BrokenError: the values of the pixels have no known range.
    """
    transparent = None
    if image.mode.startswith("I") or image.mode == "F":
        transparent = image.info.get("transparency")
        image, hidden = _grey16(image, transparent)
    else:
        hidden = None
    change, notes = (None, ()) if not profile and image.mode != "LAB" else _transform(image, profile)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image if rows >= image.height else image.crop((0, top, image.width, top + rows))
        pixels[top : top + rows] = np.asarray(_colour(strip, change))[: image.height - top]
    if hidden is not None:
        pixels[hidden] = 255
    return pixels, notes


def upright(pixels: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    """Rotate and mirror a (height, width, 3) uint8 picture by its EXIF orientation, if valid."""
    if not isinstance(orientation, int) or orientation not in _UPRIGHT:
        return pixels
    turned, down, right = _UPRIGHT[orientation]
    whole = pixels.view("V3")[:, :, 0]  # numpy copies three bytes at once twice as fast as single ones
    whole = (whole.T if turned else whole)[::down, ::right]
    return np.ascontiguousarray(whole).view(np.uint8).reshape(*whole.shape, 3)


def _colour(image: Image.Image, change: Callable[[Image.Image], Image.Image] | None) -> Image.Image:
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    if change is not None:
        image = change(image)
    elif image.mode != "RGB":  # Pillow copies a picture that is RGB already
        image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def _transform(
    image: Image.Image, profile: bytes
) -> tuple[Callable[[Image.Image], Image.Image] | None, tuple[str, ...]]:
    """Make the function that converts pictures from a profile to sRGB; None if not needed."""
    from PIL import ImageCms

    source: Any
    try:
        if image.mode == "LAB" and not profile:
            source, mode = ImageCms.createProfile("LAB"), "LAB"
        else:
            mode = _MODES[profile[16:20]]
            if profile[36:40] != b"acsp" or (mode == "CMYK") != (image.mode == "CMYK"):
                return None, (NO_PROFILE,)
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB")
        if mode == "RGB" and _changes_nothing(transform):
            return None, ()
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError, TypeError):
        return None, (NO_PROFILE,)

    def change(part: Image.Image) -> Image.Image:
        converted = transform.apply(part if part.mode == mode else part.convert(mode))
        assert isinstance(converted, Image.Image)
        return converted

    return change, ()


def _changes_nothing(transform: object) -> bool:
    """Return whether a transform changes colours by at most 1 of 255, as for sRGB profiles."""
    from PIL import ImageCms

    assert isinstance(transform, ImageCms.ImageCmsTransform)
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    changed = np.asarray(transform.apply(Image.fromarray(colours)))
    return int(np.abs(changed.astype(int) - colours).max()) <= 1


def _grey16(image: Image.Image, transparent: object) -> tuple[Image.Image, NDArray[np.bool_] | None]:
    """Scale grey of more than 8 bits by its range; also return which pixels are transparent."""
    values = np.asarray(image)
    top = 65535
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        top = 2 ** min(16, image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]) - 1
    if image.mode == "F" or values.size == 0 or values.min() < 0 or values.max() > top:
        raise BrokenError(f"pixels of kind {image.mode!r} have no known range; save it with 8 or 16 bits")
    table = ((np.arange(top + 1, dtype=np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and not image.tag_v2.get(_PHOTOMETRIC, 1):
        table = 255 - table  # in this kind of TIFF 0 is white
    hidden = values == transparent if isinstance(transparent, int) else None
    return Image.fromarray(table[values]), hidden
