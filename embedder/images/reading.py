"""Read photos: check their headers, and decode them within limits to upright sRGB."""

from __future__ import annotations

import io
import json
import logging
import os
import struct
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from embedder._internal.runtime import give_memory_back, no_warnings, quiet, stop_if_closed
from embedder.config import ImageLimits
from embedder.config.faces import limits_in_force
from embedder.errors import ImageError
from embedder.images import blocks, decoders
from embedder.images.apart import decode_apart, limit_memory
from embedder.images.budget import MemoryBudget
from embedder.images.colour import to_rgb, upright
from embedder.images.exif import orientation
from embedder.images.header import BrokenError, Header
from embedder.images.jpeg import scan_jpeg
from embedder.images.kinds import as_reason, kind_of
from embedder.images.notes import tell
from embedder.images.pnm import decode_pnm, scan_pnm
from embedder.images.raw import is_raw, read_raw
from embedder.images.reduction import choose_scale, format_title
from embedder.images.sources import photo_name, read_bytes, read_image_file, rgb_of_array, size_of
from embedder.images.tiff import scan_tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.images.sources import Photo

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to standard error

_SCANS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": scan_jpeg,
    "PNG": blocks.scan_png,
    "GIF": blocks.scan_gif,
    "WEBP": blocks.scan_webp,
    "BMP": blocks.scan_bmp,
    "TIFF": scan_tiff,
    "PPM": scan_pnm,
    "AVIF": lambda data: blocks.scan_boxes(data, "AVIF"),
    "HEIF": lambda data: blocks.scan_boxes(data, "HEIF"),
}
_MOST_FRAMES = 100  # of an animation that are searched for a face
_MOST_PROFILE = 4 * 2**20  # bytes
_BUDGET = MemoryBudget(limits_in_force().max_memory, give_memory_back)
_PILLOWS_BLOCK, _BLOCK = 16 * 2**20, 64 * 2**20  # bytes of Pillow's memory blocks: default, and set here


@dataclass(frozen=True, eq=False)
class Picture:
    """Holds an upright sRGB picture.

    Attributes:
        pixels: (height, width, 3) uint8 RGB.
        notes: notes for the user: cut short, reduced, one page of several.
        frame: number of the frame of an animation, from 1.
        frames: number of frames of the file.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    notes: tuple[str, ...] = ()
    frame: int = 1
    frames: int = 1


def load_image(photo: Photo, limits: ImageLimits | None = None) -> NDArray[np.uint8]:
    """Read a picture as upright sRGB pixels.

    EXIF orientation and colour profile are applied, transparent pixels are blended with white, 16-bit grey is
    scaled by its range, and of an animation the first frame is read. Notes on the picture are logged as
    warnings of `embedder.images`.

    Args:
        photo: a JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF, TIFF or PNM file, recognized by its first bytes, as
            path, bytes or open file; a picture of Pillow; or an array, as for `open_frames`.
        limits: limits above which a file is refused, or a JPEG is reduced; None: those of the process.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: the file is missing, not a regular file, too large, of another format, or broken.

    Example:
        >>> import numpy as np
        >>> from embedder import images
        >>> images.load_image(np.zeros((4, 6), np.uint8)).shape
        (4, 6, 3)
    """
    return _first(open_frames(photo, limits), photo_name(photo))


def decode_image(
    data: bytes, path: str | os.PathLike[str], limits: ImageLimits | None = None
) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file; see `load_image`.

    Args:
        data: content of the file.
        path: path of the file, for messages.
        limits: limits of pictures; None: those of the process.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: the file is of another format, too large, truncated or broken.
    """
    return _first(decode_frames(data, path, limits), path)


def _first(frames: Generator[Picture], path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    with closing(frames):
        picture = next(frames)
    tell(path, picture.notes)
    return picture.pixels


def open_frames(photo: Photo, limits: ImageLimits | None = None) -> Generator[Picture]:
    """Read the frames of a photo, one by one; see `decode_frames`.

    Args:
        photo: file or picture as for `load_image`. An array is (height, width), (height, width, 3) or
            (height, width, 4), grey, RGB or RGBA, uint8 or float in 0 to 1.
        limits: limits of pictures; None: those of the process.

    Raises:
        ImageError: the file is missing, not a regular file, too large, of another format, or broken.
    """
    limits = limits or limits_in_force()
    if hasattr(photo, "__array_interface__") and not isinstance(photo, Image.Image):
        import numpy as np

        yield Picture(rgb_of_array(np.asarray(photo), limits))
    elif isinstance(photo, Image.Image):
        yield _of_pillow(photo, limits)
    elif isinstance(photo, str | os.PathLike):
        yield from _within_budget(
            partial(read_image_file, photo, limits), size_of(photo, limits), photo, limits
        )
    else:
        yield from decode_frames(read_bytes(photo, limits), photo_name(photo), limits)


def decode_frames(
    data: bytes, path: str | os.PathLike[str], limits: ImageLimits | None = None
) -> Generator[Picture]:
    """Decode the frames of a picture file, one by one; a photo has one.

    The memory of a picture is held until the next one is decoded or the generator is closed, so that all
    threads stay within the budget of the process: close the generator when done.

    Args:
        data: content of the file.
        path: path of the file, for messages.
        limits: limits of pictures; None: those of the process.

    Yields:
        At least one picture; at most 100, with at most twice `limits.max_pixels` in all.

    Raises:
        ImageError: the file is of another format, too large, truncated or broken.
    """
    yield from _within_budget(lambda: data, len(data), path, limits or limits_in_force())


def _within_budget(
    read: Callable[[], bytes], size: int, path: str | os.PathLike[str], limits: ImageLimits
) -> Generator[Picture]:
    """Decode a file within the memory budget; it is read again after a wait for memory.

    Args:
        read: function that reads the file's content.
        size: size of the file in bytes.
        path: path of the file, for messages.
        limits: limits of pictures.
    """
    stop_if_closed()
    with _BUDGET.hold(2 * size) as share:  # the file, and the copy for the decoder
        while True:
            data = read()
            if is_raw(data):
                yield from _raw_frames(data, path, limits)
                return
            kind = kind_of(data, path)
            with _as_image_error(path, kind):
                header = _SCANS[kind](data)
                scale, notes = choose_scale(header, limits, path)
            size = len(data) + header.memory(scale)
            if share.grow(size):
                break
            del data, header
            share.wait(size)
        first = True
        try:
            with _as_image_error(path, kind):
                for picture in _frames(header, scale, notes, limits):
                    first = False
                    if picture.frames == 1:
                        share.shrink(len(data) + len(header.data) + picture.pixels.nbytes)
                    yield picture
        except ImageError as error:
            if first or error.__cause__ is None or isinstance(error.__cause__, BrokenError | MemoryError):
                raise  # otherwise a later frame is broken, and the frames before it are used


@contextmanager
def _as_image_error(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Convert any error of a decoder into an `ImageError`."""
    try:
        yield
    except (ImageError, CancelledError):
        raise
    except BrokenError as error:
        raise ImageError(path, as_reason(kind, str(error))) from error
    except MemoryError as error:
        raise ImageError(path, "too large for the memory of this machine") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ImageError(path, f"broken or truncated {format_title(kind)} file: {reason}") from error


def _raw_frames(data: bytes, path: str | os.PathLike[str], limits: ImageLimits) -> Generator[Picture]:
    preview, side = read_raw(data, path)
    if not isinstance(preview, bytes):
        yield Picture(rgb_of_array(preview, limits))
        return
    for picture in decode_frames(preview, path, limits):
        yield replace(picture, pixels=upright(picture.pixels, side))


def read_header(data: bytes, path: str | os.PathLike[str]) -> Header:
    """Scan the header of a picture file; the size of a raw file is 0 x 0.

    Raises:
        ImageError: the file is no picture, or broken.
    """
    if is_raw(data):
        return Header("RAW", 0, 0, b"", orientation=orientation(data))
    name = kind_of(data, path)
    try:
        return _SCANS[name](data)
    except (BrokenError, struct.error) as error:
        raise ImageError(path, as_reason(name, str(error))) from error


@cache
def _take_large_blocks() -> None:
    """Set Pillow's memory blocks to a size that the C library frees at once.

    Freed blocks of 16 MiB stay with their thread: 8 threads held 1.2 GB. Blocks above 32 MiB are returned to
    the system at once. The setting is that of the whole process, so it is made when the first picture is
    read, not by an import, and not if other code has changed it.
    """
    if Image.core.get_block_size() == _PILLOWS_BLOCK:  # type: ignore[attr-defined]
        Image.core.set_block_size(_BLOCK)  # type: ignore[attr-defined]


def write_frames(task: dict[str, Any]) -> None:
    """Decode standard input with limited memory, in the process of `apart.decode_apart`.

    Args:
        task: `kind`, `width` and `height` of the header, largest number of `pixels`, and `memory` in bytes.
    """
    out, data = sys.stdout.buffer, sys.stdin.buffer.read()
    header = Header(task["kind"], task["width"], task["height"], data, sure=False)
    limits = ImageLimits(max_pixels=task["pixels"])
    limit_memory(task["memory"])
    try:
        for picture in _frames(header, 1, (), limits, apart=True):
            facts = {"shape": picture.pixels.shape[:2], "notes": picture.notes, "frame": picture.frame}
            out.write(json.dumps({**facts, "frames": picture.frames}).encode() + b"\n")
            out.write(picture.pixels.tobytes())
    except Exception as error:  # decoders raise any kind of error
        out.write(json.dumps({"error": " ".join(str(error).split())[:500] or "no memory"}).encode() + b"\n")
    else:
        out.write(b'{"end": true}\n')
    out.flush()


def _frames(
    header: Header, scale: int, notes: tuple[str, ...], limits: ImageLimits, apart: bool = False
) -> Generator[Picture]:
    if header.kind == "PPM":
        yield Picture(decode_pnm(header), notes)
        return
    if not header.sure and not apart:
        about = {"kind": header.kind, "width": header.width, "height": header.height}
        task = {**about, "pixels": limits.max_pixels, "memory": limits.max_memory}
        for pixels, more, number, frames in decode_apart(header.data, task):
            yield Picture(pixels, (*notes, *more), number, frames)
        return
    _take_large_blocks()
    with no_warnings(), decoders.open_as(header.kind, io.BytesIO(header.data)) as image:
        _check_opened(image, header, limits)
        if scale > 1:
            image.draft(None, (max(1, header.width // scale), max(1, header.height // scale)))
        frames = header.frames if header.kind != "AVIF" else getattr(image, "n_frames", 1)
        most = min(frames, _MOST_FRAMES, max(1, 2 * limits.max_pixels // (header.width * header.height)))
        for number in range(most):
            if number:
                stop_if_closed()
                image.seek(number)
            with quiet() if header.kind == "TIFF" else nullcontext():  # libtiff writes to standard error
                image.load()
            if frames == 1:
                decoders.let_go(image)
            pixels, more = to_rgb(image, _profile(image, header))
            side = _orientation(image, header)
            if frames == 1:
                image.close()  # frees Pillow's copy before `upright` makes a third
            yield Picture(upright(pixels, side), (*notes, *more), number + 1, frames)


def _check_opened(image: Image.Image, header: Header, limits: ImageLimits) -> None:
    """Check that the decoder's size of a picture is not larger than that of its header.

    Raises:
        BrokenError: it is larger.
    """
    if image.width * image.height > max(header.width * header.height, 1):
        raise BrokenError(f"has {image.width} x {image.height} pixels, its header says otherwise")


def _profile(image: Image.Image, header: Header) -> bytes:
    profile = header.profile or image.info.get("icc_profile") or b""
    return profile if isinstance(profile, bytes) and len(profile) <= _MOST_PROFILE else b"?"


def _orientation(image: Image.Image, header: Header) -> object:
    """Return the EXIF orientation of a loaded picture that its decoder has not applied."""
    if header.kind == "TIFF":
        return image.getexif().get(0x0112)
    if header.kind not in ("AVIF", "HEIF"):
        return header.orientation
    exif = image.info.get("exif")
    return orientation(exif) if isinstance(exif, bytes) else 1


def _of_pillow(image: Image.Image, limits: ImageLimits) -> Picture:
    """Convert a picture of Pillow.

    Raises:
        ImageError: the picture is too large, empty, or cannot be loaded.
    """
    name = photo_name(image)
    if image.width * image.height > limits.max_pixels:
        raise ImageError(name, f"has more than {limits.max_pixels / 1e6:g} megapixels; make it smaller")
    if not image.width * image.height:
        raise ImageError(name, "expected a picture with pixels, got none")
    _take_large_blocks()
    try:
        with no_warnings():
            image.load()
            side = image.getexif().get(0x0112)
            profile = image.info.get("icc_profile") or b""
            pixels, notes = to_rgb(image, profile if len(profile) <= _MOST_PROFILE else b"?")
    except BrokenError as error:
        raise ImageError(name, str(error)) from error
    except Exception as error:  # decoders raise any kind of error
        raise ImageError(name, f"cannot be read: {error}") from error
    return Picture(upright(pixels, side), notes)
