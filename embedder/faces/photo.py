"""Look at a photo: choose the frame with a face, and say why no face was found."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder.faces.crop import NO_FACE, Crop
from embedder.images import Picture, resize_to_square, tell

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of 24 photos of ORL made as dark, bright or blurred as this, BlazeFace finds less than three quarters.
_DARK = 0.025  # mean luma, 0 black to 1 white
_BRIGHT = 0.93
_BLURRED = 0.09  # standard deviation of the Laplacian over that of the luma, at 64 pixels; as they are: .5
_EVEN = 0.004  # standard deviation of luma: one step of 255
_SMALL = 20  # pixels of the shorter side; a face there is found seldom, and recognized never
_JUDGED = 64
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, eq=False)
class PhotoCrops:
    """What was found in a photo.

    Attributes:
        pixels: (height, width, 3) uint8 RGB of the frame that was used.
        crops: its samples, the largest first.
        notes: what a person should know of the photo.
        no_face: why there is no sample, or None.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    crops: list[Crop]
    notes: tuple[str, ...] = ()
    no_face: str | None = None


def find_crops(
    frames: Generator[Picture],
    find: Callable[[NDArray[np.uint8]], list[Crop]],
    path: str | Path,
    look_again: Callable[[NDArray[np.uint8]], str | None] = lambda image: None,
) -> PhotoCrops:
    """Find the samples of a photo: of an animation those of the first frame that has any.

    Args:
        frames: of the photo; closed at the end.
        find: gives the samples of a (height, width, 3) uint8 RGB picture.
        path: of the photo, for what is logged.
        look_again: says of a picture without a face why none was found; `Extractor.why_missed`.

    Raises:
        ImageError: the photo cannot be read.
    """
    with closing(frames):
        chosen = first = next(frames)
        while not (crops := find(chosen.pixels)):
            following = next(frames, None)
            if following is None:
                break
            chosen = following
        if not crops:
            chosen = first
    notes = chosen.notes
    if chosen.frame > 1:
        notes += (f"frame {chosen.frame} of {chosen.frames} is used, the first with a face",)
    tell(path, notes)
    reason = None if crops else no_face_reason(chosen.pixels, first.notes, look_again)
    return PhotoCrops(chosen.pixels, crops, notes, reason)


def no_face_reason(
    image: NDArray[np.uint8],
    notes: tuple[str, ...] = (),
    look_again: Callable[[NDArray[np.uint8]], str | None] = lambda image: None,
) -> str:
    """Say that no face was found, and what of the picture may be why.

    Args:
        image: (height, width, 3) uint8 RGB.
        notes: what is known of the file, such as that it is cut.
        look_again: as for `find_crops`; asked if the picture as a whole and the file are no reason.
    """
    cause = _cause(image) or (notes[0] if notes else look_again(image))
    if cause is None:
        return NO_FACE
    found, _, advice = NO_FACE.partition("; ")
    return f"{found}: {cause.replace(';', ',')}; {advice}"


def _cause(image: NDArray[np.uint8]) -> str | None:
    height, width = image.shape[:2]
    if min(height, width) < _SMALL:
        return f"the picture has only {width} x {height} pixels"
    step = max(1, min(height, width) // _JUDGED)
    luma = image[::step, ::step].astype(np.float32) @ _LUMA / 255
    mean, spread = float(luma.mean()), float(luma.std())
    if spread < _EVEN:
        return f"the picture is {'black' if mean < _DARK else 'white' if mean > _BRIGHT else 'of one colour'}"
    if mean < _DARK:
        return f"the picture is dark, its mean brightness {mean:.2f} of 1"
    if mean > _BRIGHT:
        return f"the picture is too bright, its mean brightness {mean:.2f} of 1"
    small = resize_to_square(image, _JUDGED).astype(np.float32) @ _LUMA / 255
    high, wide = (max(3, round(_JUDGED * side / max(height, width))) for side in (height, width))
    top, left = (_JUDGED - high) // 2, (_JUDGED - wide) // 2
    small = small[top : top + high, left : left + wide]
    laplacian = (
        small[1:-1, :-2] + small[1:-1, 2:] + small[:-2, 1:-1] + small[2:, 1:-1] - 4 * small[1:-1, 1:-1]
    )
    sharpness = float(laplacian.std()) / (float(small.std()) or 1.0)
    if sharpness < _BLURRED:
        return f"the picture is blurred, its sharpness {sharpness:.3f}"
    return None
