"""Bytes to pixels; the only place that opens images.

Training, enrollment and identification read through `load_image`, so that a picture means the same
everywhere: upright, RGB, 8 bits, whatever the file held.
"""

from __future__ import annotations

import io
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from embedder._internal.files import NO_FILE, check_file, open_file
from embedder._internal.runtime import no_warnings, quiet
from embedder.config import ImageLimits
from embedder.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to the terminal, too

# First bytes -> Pillow's decoder. Nothing else is ever tried: Pillow knows 40 more formats.
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
_STRIP = 2**22  # pixels; of a larger picture as a whole, Pillow would make three copies
_PHOTOMETRIC = TiffImagePlugin.PHOTOMETRIC_INTERPRETATION
FORMATS = "JPEG, PNG, WebP, BMP, GIF, TIFF or PNM"

# EXIF orientation -> whether rows are columns, then the order of rows and of columns.
_UPRIGHT = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


def load_image(path: str | Path, limits: ImageLimits | None = None) -> NDArray[np.uint8]:
    """Read a picture as people see it.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled by its range, of an
    animation the first frame is taken.

    Args:
        path: a JPEG, PNG, WebP, BMP, GIF, TIFF or PNM file, recognized by its first bytes.
        limits: sizes above which a file is refused unread.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ImageError: the file is missing, not a regular file, too large, of another format, or broken.
    """
    return decode_image(read_image_file(path, limits), path, limits)


def read_image_file(path: str | Path, limits: ImageLimits | None = None) -> bytes:
    """Read the bytes of an image file.

    Raises:
        ImageError: the file is missing, not a regular file, unreadable, empty or too large.
    """
    limits = limits or ImageLimits()
    try:
        if (size := check_file(path)) > limits.max_bytes:
            raise ImageError(path, _too_many_bytes(size, limits))
        with open_file(path) as file:
            data = file.read(limits.max_bytes + 1)  # the file may have grown since
    except OSError as error:
        reason = error.strerror or str(error)
        if reason.startswith(NO_FILE):
            raise ImageError(path, reason.replace(NO_FILE, "expected an image file", 1)) from error
        raise ImageError(path, f"cannot be read: {reason}") from error
    if len(data) > limits.max_bytes:
        raise ImageError(path, _too_many_bytes(len(data), limits))
    if not data:
        raise ImageError(path, "the file is empty")
    return data


def decode_image(data: bytes, path: str | Path, limits: ImageLimits | None = None) -> NDArray[np.uint8]:
    """Decode the bytes of an image file; see `load_image`.

    Args:
        data: the file's content.
        path: its name, for errors only.
        limits: the largest picture to decode, in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ImageError: of another format, too many pixels, truncated or broken.
    """
    limits = limits or ImageLimits()
    name = _format(data)
    if name is None:
        raise ImageError(path, f"not a picture: expected {FORMATS}, the file begins with {data[:8]!r}")
    try:
        pixels, orientation = _decode(data, name, path, limits)
        return _upright(pixels, orientation)  # Pillow's copy is gone by now
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, checked before ours can be
        raise ImageError(
            path, f"has far more than {limits.max_pixels / 1e6:g} megapixels; make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(path, f"broken: begins like a {name} file but cannot be read as one") from error
    except MemoryError as error:
        raise ImageError(path, "too large for the memory of this machine") from error
    except Exception as error:  # decoders raise what they like on broken data: OSError, SyntaxError, ...
        raise ImageError(path, f"broken or truncated {name} file: {error}") from error


def _decode(
    data: bytes, name: str, path: str | Path, limits: ImageLimits
) -> tuple[NDArray[np.uint8], object]:
    if name == "WEBP":  # Pillow gives memory to all pixels before it tells how many they are
        _refuse_too_many(*_webp_size(data), path, limits)
    # Pillow warns of oddities in metadata that do not touch pixels.
    with no_warnings(), Image.open(io.BytesIO(data), formats=[name]) as image:
        _refuse_too_many(image.width, image.height, path, limits)
        with quiet() if name == "TIFF" else nullcontext():  # libtiff writes to the terminal
            image.load()
        return _rgb(image, path), _orientation(image)


def _refuse_too_many(width: int, height: int, path: str | Path, limits: ImageLimits) -> None:
    if (count := width * height) > limits.max_pixels:
        most = f"at most {limits.max_pixels / 1e6:g} are read"
        raise ImageError(path, f"has {count / 1e6:.1f} megapixels, {most}; make it smaller")


def _webp_size(data: bytes) -> tuple[int, int]:
    # RFC 9649, sections 2.5 to 2.7: lossy, lossless and extended files say it each in its own way.
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return 0, 0  # nothing that is known: Pillow refuses it


def resize_to_square(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Fit a picture into a square: proportions kept, centered on black, bicubic.

    Args:
        image: (height, width, 3) uint8.
        size: side of the square in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    height, width = image.shape[:2]
    if height == width == size:  # a chip already
        return image
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width] = np.asarray(resized)
    return square


def _too_many_bytes(count: int, limits: ImageLimits) -> str:
    return f"has {count / 2**20:.1f} MiB, at most {limits.max_bytes / 2**20:g} are read; make it smaller"


def _format(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), None)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken metadata; the pixels are fine
        return None


def _upright(pixels: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    if orientation not in _UPRIGHT:
        return pixels
    turned, down, right = _UPRIGHT[orientation]
    whole = pixels.view("V3")[:, :, 0]  # numpy moves three bytes at once twice as fast as one by one
    whole = (whole.T if turned else whole)[::down, ::right]
    return np.ascontiguousarray(whole).view(np.uint8).reshape(*whole.shape, 3)


def _rgb(image: Image.Image, path: str | Path) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        return _grey16(image, path)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image if rows >= image.height else image.crop((0, top, image.width, top + rows))
        pixels[top : top + rows] = np.asarray(_colour(strip))[: image.height - top]
    return pixels


def _colour(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")  # Pillow would copy it


def _grey16(image: Image.Image, path: str | Path) -> NDArray[np.uint8]:
    values = np.asarray(image)
    top = 65535
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        top = 2 ** min(16, image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]) - 1
    if image.mode == "F" or values.size == 0 or values.min() < 0 or values.max() > top:
        raise ImageError(
            path, f"pixels of kind {image.mode!r} have no known range; save it with 8 or 16 bits"
        )
    grey = ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and not image.tag_v2.get(_PHOTOMETRIC, 1):
        grey = 255 - grey  # white is 0
    if isinstance(transparent := image.info.get("transparency"), int):
        grey[values == transparent] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)
