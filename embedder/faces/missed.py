"""Find out why no face was found in a photo: too small, dark, uncertain or cut off.

The photo is searched again for smaller faces, with more light, and with a lower score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from embedder.faces.detection import part_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.config import DetectorConfig
    from embedder.faces.detection import Detection

Find = Callable[["NDArray[np.uint8]", "DetectorConfig"], "list[Detection]"]

_SMALLEST = 20  # pixels: width of the smallest face that YuNet finds
_UNCERTAIN = 0.4  # lowest score of a detection that is reported as a possible face
_DARK, _LIT = 0.25, 0.45  # mean brightness below which a picture is brightened, and that of the result
_MOST = 2_000_000  # pixels searched again, so that photos without a face do not take far longer
_WHOLE = 0.98  # share of a box within the picture from which a face counts as whole


def why_missed(image: NDArray[np.uint8], find: Find, config: DetectorConfig) -> str:
    """Find out why no face was found, by searches with other settings.

    Args:
        image: (height, width, 3) uint8 RGB.
        find: function of a picture and of settings that returns the faces found.
        config: settings with which no face was found.

    Returns:
        The reason, as the end of a sentence.

    Example:
        >>> import numpy as np
        >>> from embedder.config import DetectorConfig
        >>> why_missed(np.zeros((90, 90, 3), np.uint8), lambda image, config: [], DetectorConfig())
        'none from 20 pixels on either, and more than half of a face must be seen'
    """
    height, width = image.shape[:2]
    step = 1
    while (height // step) * (width // step) > _MOST:
        step += 1
    seen = np.ascontiguousarray(image[::step, ::step])
    closer = replace(config, min_face=min(config.min_face, _SMALLEST))
    if found := find(seen, closer):
        across = round(step * max(float(face.box[2]) for face in found))
        return f"the largest face is {across} pixels wide, they are looked for from {config.min_face} on"
    mean = float(seen.mean()) / 255
    if 0 < mean < _DARK:
        lit = np.clip(seen * (_LIT / mean), 0, 255).astype(np.uint8)
        if find(lit, closer):
            return (
                f"the picture is dark, its mean brightness {mean:.2f} of 1, with more light it shows a face"
            )
    for face in find(seen, replace(closer, score=min(config.score, _UNCERTAIN))):
        part = part_within(face.box, seen.shape)
        if part is not None:
            (left, top), (right, bottom) = part[:2], part[2:]
            share = (right - left) * (bottom - top) / float(face.box[2] * face.box[3])
            if share < _WHOLE:
                return "what may be a face is cut by the border"
        return f"what may be a face is too uncertain, {face.score:.2f} of {config.score:g}"
    return f"none from {closer.min_face} pixels on either, and more than half of a face must be seen"
