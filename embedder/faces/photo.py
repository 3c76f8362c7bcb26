"""Find the faces of a photo or the frames of an animation, and why there is none."""

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

# In 24 photos of ORL made as dark, bright or blurred as this, BlazeFace, the detector before YuNet, found
# less than three quarters of the faces.
_DARK = 0.025  # mean luma, 0 black to 1 white
_BRIGHT = 0.93
_BLURRED = 0.09  # standard deviation of the Laplacian over that of the luma, at 64 pixels; of ORL it is .5
_EVEN = 0.004  # standard deviation of luma: one step of 255
_SMALL = 20  # pixels of the shorter side, below which faces are seldom found and never recognized
_JUDGED = 64  # pixels: longer side of the reduced picture that is measured
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, eq=False)
class PhotoCrops:
    """Holds the crops of a photo.

    Attributes:
        pixels: (height, width, 3) uint8 RGB of the frame that was used.
        crops: crops of the frame, the largest first.
        notes: notes for the user on how the photo was read.
        no_face: reason why there is no crop; None if there is one.
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
    """Find the crops of a photo; of an animation those of the first frame with a face.

    Args:
        frames: frames of the photo; closed at the end.
        find: function of a (height, width, 3) uint8 RGB picture that returns its crops.
        path: path of the photo, for log messages.
        look_again: function of a picture without a face that returns the reason or None, such as
            `Extractor.why_missed`.

    Raises:
        ImageError: the photo cannot be read.
    """
    with closing(frames):
        chosen = first = next(frames)
        while not (crops := find(chosen.pixels)):
            next_frame = next(frames, None)
            if next_frame is None:
                break
            chosen = next_frame
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
    """Return a sentence that no face was found, with a probable reason and advice.

    Args:
        image: (height, width, 3) uint8 RGB.
        notes: notes on how the file was read, such as that it is cut short.
        look_again: function of the picture that returns a reason or None; called if neither brightness and
            sharpness of the picture nor `notes` are a reason.
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
