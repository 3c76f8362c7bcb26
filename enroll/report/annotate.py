"""Draw an answer into a photo: boxes, names, and the nearest enrolled photos below.

Labels are placed at their own face, inside the image, off other faces and other labels.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from embedder._internal.fonts import installed_fonts
from embedder._internal.outputs import Inputs, check_output, write_output
from embedder._internal.text import TextLine, layout_line, shorten, wrap, write
from embedder.contact_sheet import SIDE, Tile, contact_sheet
from embedder.errors import UsageError
from embedder.images import resize_to_square

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from embedder._internal.text import Colour
    from enroll.decision import Decision
    from enroll.identify import PhotoResult

    CropOf = Callable[[str], NDArray[np.uint8] | None]


# Costs of a label over another label, another face, its own face.
_ON_LABEL, _ON_FACE, _ON_OWN = 20.0, 5.0, 2.0
_CLOSE = 6  # pixels from another face at which a label would seem to be that one's
_SWEEPS = 3  # in the first each label sees those before it, then all; a fourth changed nothing

_PAPER = (255, 255, 255)

SMALLEST_LETTERS = 14  # pixels; Latin can be read at 10, Chinese cannot
_SMALL_PHOTO = (
    560  # pixels, the root of its area: smaller ones are enlarged, so that a label is no half of it
)
_PER_FACE = 90  # pixels, the root of the area that each face has around it if labels are to fit in
_LARGEST = 4000  # pixels to which a side is enlarged
_ENDINGS = ("jpg", "png")
_MANY_PIXELS = 2_000_000  # a photo as PNG has 10 times the bytes of a JPEG; a small picture loses by JPEG


def place_labels(
    boxes: NDArray[np.float64], forms: Sequence[Sequence[tuple[int, int]]], frame: tuple[int, int]
) -> list[tuple[int, int, int]]:
    """Choose a form and a place for each face's label.

    Args:
        boxes: (n, 4) float64, left, top, right and bottom of each face, in pixels.
        forms: for each face, the widths and heights its label may have, the best first.
        frame: width and height of the picture.

    Returns:
        For each face the index of the form, and the left and top of the label.
    """
    offered = [_places(box, sizes, frame) for box, sizes in zip(boxes, forms, strict=True)]
    wider = np.array([-_CLOSE, -_CLOSE, _CLOSE, _CLOSE])
    costs = [
        _ON_FACE * _covered(places, np.delete(boxes, index, 0) + wider)
        + _ON_OWN * _covered(places, boxes[index : index + 1])
        for index, places in enumerate(offered)
    ]
    labels = np.zeros((len(boxes), 4))
    chosen = [0] * len(boxes)
    for _ in range(_SWEEPS):
        for index, places in enumerate(offered):
            labels[index] = 0
            cost = costs[index] + _ON_LABEL * _covered(places, labels)
            chosen[index] = int(cost.argmin())  # the first in the order of places, of equal ones
            labels[index] = places[chosen[index]]
    each = [len(places) // len(sizes) for places, sizes in zip(offered, forms, strict=True)]
    return [
        (best // per_form, int(label[0]), int(label[1]))
        for best, per_form, label in zip(chosen, each, labels, strict=True)
    ]


def _places(
    box: NDArray[np.float64], sizes: Sequence[tuple[int, int]], frame: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the places for each size, one after the other.

    Args:
        box: (4,) float64 left, top, right, bottom of the face, in pixels.
        sizes: width and height of the label.
        frame: width and height of the picture.

    Returns:
        (sizes * 13, 4) float64: left, top, right, bottom.
    """
    left, top, right, bottom = box
    found = []
    for width, height in sizes:
        middle, end = (left + right - width) / 2, right - width
        corners = np.array(
            [
                *((left, top - height), (middle, top - height), (end, top - height)),
                *((left, bottom), (middle, bottom), (end, bottom)),
                *((left, bottom - height), (middle, bottom - height), (end, bottom - height)),
                *((right, top), (left - width, top)),
                *((right, bottom - height), (left - width, bottom - height)),
            ]
        )
        room = np.maximum(0, np.array(frame) - (width, height))
        corners = np.clip(corners.round(), 0, room)
        found.append(np.hstack([corners, corners + np.array([width, height])]))
    return np.vstack(found)


def _covered(places: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute how much of each place overlaps others, as shares of the smaller of the two.

    A wide label that hides a small face is as bad as one that lies wholly on a large face.

    Args:
        places: (n, 4) float64 left, top, right, bottom.
        others: (m, 4) float64 likewise.

    Returns:
        (n,) float64.
    """
    low = np.maximum(places[:, None, :2], others[None, :, :2])
    high = np.minimum(places[:, None, 2:], others[None, :, 2:])
    shared = np.maximum(0, high - low).prod(axis=2)
    areas, other_areas = (
        (rectangles[:, 2:] - rectangles[:, :2]).prod(axis=1) for rectangles in (places, others)
    )
    smaller = np.maximum(1, np.minimum(areas[:, None], other_areas[None, :]))  # faces may be empty
    return np.asarray((shared / smaller).sum(axis=1))


def with_near_photos(
    picture: Image.Image, image: NDArray[np.uint8], answer: PhotoResult, crop_of: CropOf
) -> Image.Image:
    """Add a sheet below an annotated photo: a row per face, first itself, then the nearest enrolled photos.

    Args:
        picture: the annotated photo.
        image: (height, width, 3) uint8 RGB, the photo itself.
        answer: with neighbours.
        crop_of: returns the crop of an enrolled photo by its path, or None if it is gone.

    Returns:
        An RGB picture as wide as the wider of both; the same one if there are no neighbours.
    """
    if not any(face.neighbours for face in answer.faces):
        return picture
    sheet = contact_sheet(_tiles(image, answer, crop_of))
    both = Image.new("RGB", (max(picture.width, sheet.width), picture.height + sheet.height), _PAPER)
    both.paste(picture, (0, 0))
    both.paste(sheet, (0, picture.height))
    return both


def _tiles(image: NDArray[np.uint8], answer: PhotoResult, crop_of: CropOf) -> Iterator[Tile]:
    for number, face in enumerate(answer.faces, 1):
        name = face.decision.identity if face.decision.identity is not None else "unknown"
        heading = f"{number}: {name}"
        x, y, width, height = face.box or (0, 0, image.shape[1], image.shape[0])
        yield Tile(heading, resize_to_square(image[y : y + height, x : x + width], SIDE), "this face")
        for near in face.neighbours:
            yield Tile(heading, crop_of(near.path), f"{near.distance:.2f} {near.identity}")


@dataclass(frozen=True)
class _Style:
    """Holds one of two colours that colour-blind people tell apart, and the colours to write on it.

    They are from the palette of Okabe and Ito 2008. The edge is light around the dark one and dark around the
    light one, so that one of the two is visible anywhere.
    """

    colour: Colour
    edge: Colour
    text: Colour


_KNOWN = _Style(colour=(0, 96, 165), edge=(255, 255, 255), text=(255, 255, 255))
_UNKNOWN = _Style(colour=(240, 160, 0), edge=(0, 0, 0), text=(0, 0, 0))
_NOTE = _Style(colour=(40, 40, 40), edge=(255, 255, 255), text=(255, 255, 255))


def annotate(image: NDArray[np.uint8], answer: PhotoResult) -> Image.Image:
    """Draw an answer into its photo.

    Args:
        image: (height, width, 3) uint8 RGB, the upright photo; it is not changed.
        answer: for the photo.

    Returns:
        An RGB picture of the same size; of a small photo a whole number of times as large.

    Raises:
        UsageError: `EMBED_FONT` names no font.
    """
    photo = Image.fromarray(image)
    boxes = np.array(
        [face.box or (0, 0, photo.width, photo.height) for face in answer.faces], np.float64
    ).reshape(-1, 4)
    factor = _enlargement(photo.size, len(boxes))
    if factor > 1:
        photo = photo.resize((photo.width * factor, photo.height * factor), Image.Resampling.BICUBIC)
    boxes[:, 2:] += boxes[:, :2]
    boxes = np.clip(boxes * factor, 0, np.tile(photo.size, 2))
    if not answer.faces:
        _write_note(photo, answer.error or "no face found")
        return photo
    sizes = [_letter_size(photo.size, right - left) for left, _, right, _ in boxes]
    labels = [
        _labels(face.decision, size, box[2] - box[0], photo.width)
        for face, size, box in zip(answer.faces, sizes, boxes, strict=True)
    ]
    styles = [_UNKNOWN if face.decision.identity is None else _KNOWN for face in answer.faces]
    for box, style, size in zip(boxes, styles, sizes, strict=True):
        _draw_box(photo, box, style, size)
    forms = [[_plate_size(lines) for lines in offered] for offered in labels]
    places = place_labels(boxes, forms, photo.size)
    for (form, left, top), offered, style in zip(places, labels, styles, strict=True):
        _draw_plate(photo, offered[form], style, left, top)
    return photo


def save_annotated(
    folder: str | Path,
    photo: str | Path,
    image: NDArray[np.uint8],
    answer: PhotoResult,
    crop_of: CropOf | None = None,
    inputs: Inputs | None = None,
    force: bool = False,
) -> Path:
    """Write a photo with its answer drawn in.

    The file is named after the photo and a short hash of its path: the same photo gives the same file,
    another `1.jpg` from elsewhere another, and no photo is ever overwritten. Neither EXIF nor any other
    metadata of the photo is in it. It is a JPEG above 2 megapixels, where a PNG would be tens of megabytes,
    and a PNG below, where a JPEG would blur the letters.

    Args:
        folder: made if missing.
        photo: the photo's path.
        image: (height, width, 3) uint8 RGB, its pixels.
        answer: for the photo.
        crop_of: draw the nearest enrolled photos below, too; see `with_near_photos`.
        inputs: files that are never replaced, besides the photo; see `outputs.check_output`.
        force: replace a file that exists.

    Returns:
        The path of the file.

    Raises:
        UsageError: the file exists and `force` is not given, it is an input, the folder cannot be
            written, or `EMBED_FONT` names no font.
    """
    picture = annotate(image, answer)
    if crop_of is not None:
        picture = with_near_photos(picture, image, answer, crop_of)
    buffer = BytesIO()
    if large := picture.width * picture.height > _MANY_PIXELS:
        picture.save(buffer, "JPEG", quality=90, subsampling=0)  # halved colours would blur the labels
    else:
        picture.save(buffer, "PNG")
    path = Path(folder) / f"{annotated_name(photo)}.{'jpg' if large else 'png'}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}") from error
    write_output(path, buffer.getvalue(), inputs or Inputs([photo]), force)
    return path


def check_annotated(folder: Path, photos: Iterable[Path], inputs: Inputs, force: bool) -> None:
    """Check a folder for annotated photos before they are answered.

    Arguments as of `save_annotated`.

    Raises:
        UsageError: it is no folder, holds a file that must not be replaced, or `EMBED_FONT` names no font.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: cannot be written: expected a folder, got a file")
    for photo in photos:
        for ending in _ENDINGS:
            check_output(folder / f"{annotated_name(photo)}.{ending}", inputs, force)
    installed_fonts()


def annotated_name(photo: str | Path) -> str:
    """Return the name of the annotated copy of a photo, without suffix."""
    photo = Path(photo)
    place = hashlib.sha256(os.fsencode(photo.resolve())).hexdigest()[:8]
    stem = photo.stem
    while len(os.fsencode(stem)) > 200:  # a file name has at most 255 bytes
        stem = stem[:-1]
    return f"{stem}-{place}"


def _enlargement(size: tuple[int, int], faces: int) -> int:
    side = math.sqrt(size[0] * size[1])
    wanted = max(_SMALL_PHOTO, _PER_FACE * math.sqrt(faces)) / side
    return max(1, min(math.ceil(wanted), _LARGEST // max(size)))


def _letter_size(size: tuple[int, int], face_width: float) -> int:
    """Compute the letter size in pixels: it grows with the face, and stays readable on a screen."""
    side = math.sqrt(size[0] * size[1])
    least = max(SMALLEST_LETTERS, side / 105)
    return round(min(max(0.18 * face_width, least), max(least, side / 32)))


def _labels(decision: Decision, size: int, face_width: float, width: int) -> list[list[TextLine]]:
    """Return the forms of a label, the best first: in one line, in two, in two with a shorter name."""
    name = decision.identity if decision.identity is not None else "unknown"
    distance = "" if decision.distance is None else f"{decision.distance:.2f}"
    most = max(1, width - 2 * _padding(size))
    room = round(min(max(2.0 * face_width, 13 * size), most))
    names = dict.fromkeys(shorten(name, size, narrower) for narrower in (room, min(room, 7 * size)))
    forms = [[layout_line(text, size) for text in (shown, distance)] for shown in names]
    whole = layout_line(f"{name} {distance}", size)
    return [[whole], *forms] if whole.width <= room else forms


def _padding(size: int) -> int:
    return max(2, round(size / 4))


def _edge(size: int) -> int:
    return max(1, size // 14)


def _plate_size(lines: list[TextLine]) -> tuple[int, int]:
    padding = 2 * _padding(lines[0].size)
    return max(line.width for line in lines) + padding, sum(line.height for line in lines) + padding


def _draw_plate(photo: Image.Image, lines: list[TextLine], style: _Style, left: int, top: int) -> None:
    width, height = _plate_size(lines)
    padding, edge = _padding(lines[0].size), _edge(lines[0].size)
    corners = (left, top, left + width - 1, top + height - 1)
    ImageDraw.Draw(photo).rectangle(corners, style.colour, style.edge, edge)
    for line in lines:
        write(photo, line, left + padding, top + padding, style.text)
        top += line.height


def _draw_box(photo: Image.Image, box: NDArray[np.float64], style: _Style, size: int) -> None:
    draw = ImageDraw.Draw(photo)
    left, top, right, bottom = (round(value) for value in box.tolist())
    line, edge = max(2, round(min(size / 8, (right - left) / 20))), _edge(size)
    right, bottom = max(left + 1, right) - 1, max(top + 1, bottom) - 1
    draw.rectangle((left, top, right, bottom), outline=style.edge, width=line + 2 * edge)
    inner = (left + edge, top + edge, max(left + edge, right - edge), max(top + edge, bottom - edge))
    draw.rectangle(inner, outline=style.colour, width=line)


def _write_note(photo: Image.Image, text: str) -> None:
    size = _letter_size(photo.size, 0)
    room = max(1, photo.width - 2 * _padding(size))
    lines = [layout_line(line, size) for line in wrap(text, size, room, 3)]
    _draw_plate(photo, lines, _NOTE, 0, 0)
