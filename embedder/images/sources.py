"""Read photos given as paths, bytes, open files, pictures of Pillow or arrays."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from embedder._internal.files import NO_FILE, check_file, open_file
from embedder.config.faces import limits_in_force
from embedder.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.config import ImageLimits

Photo = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray
"""A path, the bytes of a file, a file that is open for reading, a picture of Pillow, or an array."""

_ARRAY = "an array of (height, width), (height, width, 3) or (height, width, 4), uint8 or float from 0 to 1"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://?[^/]", re.IGNORECASE)


def photo_name(photo: Photo) -> str:
    """Return the path of a photo, or a description such as <bytes>, for messages."""
    if isinstance(photo, str | os.PathLike):
        return os.fspath(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return "<bytes>"
    if isinstance(photo, np.ndarray):
        return "<array>"
    name = getattr(photo, "filename", None) or getattr(photo, "name", None)
    return name if isinstance(name, str) and name else f"<{type(photo).__name__}>"


def read_image_file(path: str | os.PathLike[str], limits: ImageLimits | None = None) -> bytes:
    """Read the bytes of a picture file.

    Raises:
        ImageError: the file is missing, not a regular file, unreadable, empty or too large.
    """
    limits = limits or limits_in_force()
    try:
        if (size := check_file(Path(path))) > limits.max_bytes:
            raise ImageError(path, _too_many_bytes(size, limits))
        with open_file(Path(path)) as file:
            data = file.read(limits.max_bytes + 1)  # the file may have grown since
    except OSError as error:
        if isinstance(error, FileNotFoundError) and _URL.match(os.fspath(path)):
            raise ImageError(path, "an address is not fetched; download it and give the file") from error
        reason = error.strerror or str(error)
        if reason.startswith(NO_FILE):
            raise ImageError(path, reason.replace(NO_FILE, "expected an image file", 1)) from error
        raise ImageError(path, f"cannot be read: {reason}") from error
    return _checked(data, path, limits)


def size_of(path: str | os.PathLike[str], limits: ImageLimits) -> int:
    """Return the size of a file in bytes; 0 if it is missing, no file, or too large."""
    try:
        size = Path(path).stat().st_size
    except (OSError, ValueError):
        return 0
    return size if size <= limits.max_bytes else 0


def read_bytes(photo: Photo, limits: ImageLimits) -> bytes:
    """Read a photo that is a path, bytes or an open file.

    Raises:
        ImageError: the photo is none of these, cannot be read, is empty or too large.
    """
    if isinstance(photo, str | os.PathLike):
        return read_image_file(photo, limits)
    name = photo_name(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return _checked(bytes(photo), name, limits)
    if not callable(getattr(photo, "read", None)):
        raise ImageError(
            name, f"expected a path, bytes, an open file, a picture or an array, got {type(photo).__name__}"
        )
    try:
        data = photo.read(limits.max_bytes + 1)  # type: ignore[union-attr]
    except (OSError, ValueError) as error:
        raise ImageError(name, f"cannot be read: {error}") from error
    if not isinstance(data, bytes):
        raise ImageError(name, "expected a file opened for bytes, got one for text; open it with 'rb'")
    return _checked(data, name, limits)


def rgb_of_array(array: NDArray[np.generic], limits: ImageLimits) -> NDArray[np.uint8]:
    """Convert an array to a picture: grey is repeated, and transparency blended with white.

    Args:
        array: (height, width), (height, width, 1), (height, width, 3) or (height, width, 4); uint8, bool, or
            float in 0 to 1.
        limits: limits of pictures; `max_pixels` is checked.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: the array has another shape, dtype or range, or too many pixels.
    """
    name = photo_name(array)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ImageError(name, f"expected {_ARRAY}, got shape {array.shape}")
    if array.shape[0] * array.shape[1] > limits.max_pixels:
        raise ImageError(name, f"has more than {limits.max_pixels / 1e6:g} megapixels; make it smaller")
    if array.dtype == np.bool_:
        pixels = array.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # also refuses NaN
            raise ImageError(name, f"expected {_ARRAY}, got {array.dtype} from {low:g} to {high:g}")
        pixels = np.rint(np.multiply(array, 255)).astype(np.uint8)
    elif array.dtype == np.uint8:
        pixels = array.astype(np.uint8, copy=False)
    else:
        raise ImageError(name, f"expected {_ARRAY}, got {array.dtype}")
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.uint32)
        laid = pixels[:, :, :3] * alpha + 255 * (255 - alpha)
        pixels = ((laid + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _checked(data: bytes, name: str | os.PathLike[str], limits: ImageLimits) -> bytes:
    if len(data) > limits.max_bytes:
        raise ImageError(os.fspath(name), _too_many_bytes(len(data), limits))
    if not data:
        raise ImageError(os.fspath(name), "the file is empty")
    return data


def _too_many_bytes(count: int, limits: ImageLimits) -> str:
    return f"has {count / 2**20:.1f} MiB, at most {limits.max_bytes / 2**20:g} are read; make it smaller"
