"""Search a photo for faces with YuNet, in several picture sizes and crops of candidates.

The network finds faces of 20 to 300 pixels, and places landmarks best on those of 40 to 256. So it gets the
photo as it is, or reduced as far as the smallest face allows, and again reduced by 4, until it is small. The
smallest picture is extended beyond its border by its mirror image, which completes faces cut by the border. A
candidate that is too small, or has a low score, is cropped and searched again; the score there decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedder.config import DetectorConfig
from embedder.faces.close_crop import CloseCrop
from embedder.faces.detection import (
    Detection,
    first_of_each_place,
    non_max_suppression,
    rotate_back,
)
from embedder.faces.yunet import Candidates, YuNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST = 20  # pixels of the smallest face in the network's input; at 16, one in six is missed
_TOO_SMALL = 0.75  # share of `min_face` below which a found face is dropped
_AS_IT_IS = 1280  # pixels: longest side up to which a photo is not reduced
_STEP = 4  # factor between two picture sizes
_SMALL = 256  # pixels: longest side of the smallest picture, which a face may fill
_TINY = 96  # pixels: longest side below which a picture is enlarged
_BORDER = 32  # pixels of mirror image around the smallest picture
_BLOCK, _SEAM = 1536, 192  # pixels: longest side of an input, which bounds memory, and overlap of blocks
_LARGE = 0.3  # share of a picture's longer side from which a face is kept, whatever `min_face`
_WELL_SEEN = (40, 256)  # pixels of a face in the network's input, for which no crop is needed
_SURE = 0.7  # lowest score of a candidate of that size that is a face; `score`, if that is lower
_PROPOSAL = 0.15  # lowest score of a candidate
_CLOSELY = 0.8  # lowest score of a face in the crop of a candidate
_TILTS = (0, -30, 30)  # degrees: rotations of the crop that are tried
_HOPE = 0.2  # lowest score of a face in a crop that is read at all
_CERTAIN = 0.88  # score from which no other rotation is tried
_UPRIGHT = 1.5  # degrees: largest measured roll that counts as upright
_TILT, _TURNS = 4.0, 3  # degrees of true roll per degree measured; largest number of rotations
_LARGEST_TURN, _SLOPES = 25.0, (0.15, 1.0)  # degrees per rotation; measured degrees per degree of rotation
_CUT = 0.8  # lowest score of a face that the mirror image completes
_SHARES, _SIDES = (0.45, 0.6), (False, True)  # crops for the landmarks: shares of the face; mirrored or not
_WORSE = 0.2  # largest loss of score in one of these crops
_SURELY_UPRIGHT = 0.88  # score that no face on its side or upside down reaches
_TILTED = 30.0  # degrees: if no upright face has a smaller roll, rotated photos are searched too
_LIKELY, _TURNED = 0.5, 0.8  # lowest scores of a face in a rotated photo: of the candidate, and in its crop
_BETTER = 0.04  # least gain of score by which a rotated face replaces an upright one
_CLEARLY_TILTED = 1.5  # least ratio of rolls for that; the error of a roll is up to 10 degrees


@dataclass(frozen=True, eq=False)
class _Place:
    """Holds a candidate for a face.

    Attributes:
        face: detection in pixels of the photo.
        level: number of the picture size in which it was found, 0 for the largest.
        seen: width of the face in pixels of the network's input.
    """

    face: Detection
    level: int
    seen: float


class YuNetDetector:
    """Finds faces with YuNet; see `detection.Detector`. Each thread needs its own."""

    def __init__(self, network: bytes, config: DetectorConfig | None = None, threads: int = 1) -> None:
        """Store network and settings; networks are loaded on first use.

        Args:
            network: LiteRT flatbuffer, as `embedder.export.yunet` compiles it.
            config: settings of the detection; None: the default ones.
            threads: number of threads at the largest picture size; smaller ones use one.
        """
        self._config = config or DetectorConfig()
        self._network, self._threads = network, threads
        self._looks: dict[str, YuNet] = {}

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the most certain first."""
        scales = _scales(image, self._config.min_face)
        least = _TOO_SMALL * min(self._config.min_face, _LARGE * max(image.shape))
        places, small = self._places(image, scales)
        found = [face for place in places if (face := self._judge(image, place))]
        found = [self._placed(image, face) for face in found]
        found += self._cut_faces(image, small, found)
        if not any(face.score >= _SURELY_UPRIGHT and abs(_roll(face)) <= _TILTED for face in found):
            found += self._turned_faces(image, small, found)
        found = [face for face in found if min(face.box[2:]) >= least and face.score >= self._config.score]
        return non_max_suppression(found, self._config.overlap)

    def _places(
        self, image: NDArray[np.uint8], scales: list[float]
    ) -> tuple[list[_Place], NDArray[np.uint8]]:
        """Find candidates in all picture sizes; also return the smallest picture."""
        picture = larger = Image.fromarray(image)
        places = []
        for level, scale in enumerate(scales):
            picture = _resized(picture, _shape(image, scale))
            seen = self._look(f"level {level}", np.asarray(picture), _PROPOSAL)
            places += _places_of(seen, image, picture.size, level)
            larger = picture if not level or max(picture.size) >= _SMALL else larger
        longest = max(larger.size)
        small = _resized(larger, _shape(image, min(longest, _SMALL) / max(image.shape)))
        return self._first_of_each(places), np.asarray(small)

    def _first_of_each(self, places: list[_Place]) -> list[_Place]:
        """Choose one of overlapping candidates: the largest picture of good face size, or score."""

        def rank(place: _Place) -> tuple[bool, int, float]:
            well = self._is_well_seen(place)
            return (not well, place.level if well else 0, -place.face.score)

        ranked = sorted(places, key=rank)
        boxes = np.array([place.face.box for place in ranked]).reshape(-1, 4)
        return [ranked[index] for index in first_of_each_place(boxes, self._config.overlap)]

    def _is_well_seen(self, place: _Place) -> bool:
        enough = min(_SURE, self._config.score)
        return _WELL_SEEN[0] <= place.seen <= _WELL_SEEN[1] and place.face.score >= enough

    def _judge(self, image: NDArray[np.uint8], place: _Place) -> Detection | None:
        """Return the face of a candidate, in a crop if needed; None if it is no face."""
        if self._is_well_seen(place):
            return place.face
        return self._look_closely(image, place.face, _CLOSELY)

    def _cut_faces(
        self, image: NDArray[np.uint8], small: NDArray[np.uint8], found: list[Detection]
    ) -> list[Detection]:
        """Find faces that the border cuts, in the picture extended by its mirror image."""
        continued = np.pad(small, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), "symmetric")
        seen = self._look("border", continued, _CUT)
        moved = replace(
            seen,
            boxes=seen.boxes - np.array([_BORDER, _BORDER, 0, 0], np.float32),
            points=seen.points - _BORDER,
        )
        return self._further(image, _places_of(moved, image, small.shape[1::-1], 0), found, _CUT, 0)

    def _turned_faces(
        self, image: NDArray[np.uint8], small: NDArray[np.uint8], found: list[Detection]
    ) -> list[Detection]:
        """Find faces on their side or upside down, with a higher score than upright ones."""
        turned: list[Detection] = []
        for quarters in (1, 2, 3):
            picture = np.ascontiguousarray(np.rot90(small, quarters))
            whole = np.rot90(image, quarters)
            seen = self._look(f"turned by {quarters % 2}", picture, _LIKELY)
            places = _places_of(seen, whole, picture.shape[1::-1], 0)
            turned += self._further(whole, places, found, _TURNED, quarters)
        return turned

    def _further(
        self,
        image: NDArray[np.uint8],
        places: list[_Place],
        found: list[Detection],
        at_least: float,
        quarters: int,
    ) -> list[Detection]:
        """Return further faces among the candidates of a rotated photo, searched in crops."""
        further = []
        for place in self._first_of_each(places):
            if not _center_within(place.face, image.shape):
                continue
            here = rotate_back(place.face, image.shape[:2], quarters)
            needed = max([at_least] + [old.score + _BETTER for old in found if _same_place(old, here)])
            if place.face.score < needed and not quarters:
                continue
            face = self._look_closely(image, place.face, needed, border="black" if quarters else "mirror")
            if face and quarters:
                face = self._placed(image, face)
                least = _CLEARLY_TILTED * abs(_roll(face))
                if any(_same_place(old, here) and abs(_roll(old)) <= least for old in found):
                    continue  # the face found before has about the same roll
            if face:
                further.append(rotate_back(face, image.shape[:2], quarters))
        return further

    def _look(self, name: str, picture: NDArray[np.uint8], at_least: float) -> Candidates:
        """Run the network of a name on a picture."""
        network = self._network_of(name)
        tops, height = _blocks(picture.shape[0])
        lefts, width = _blocks(picture.shape[1])
        seen = []
        for top in tops:
            for left in lefts:
                part = network.look(picture[top : top + height, left : left + width], at_least)
                shift = np.array([left, top], np.float32)
                boxes = part.boxes + np.concatenate([shift, np.zeros(2, np.float32)])
                seen.append(Candidates(boxes, part.points + shift, part.scores))
        return _joined(seen)

    def _network_of(self, name: str) -> YuNet:
        """Return the network of a name; names have their own, as a change of size takes time."""
        if name not in self._looks:
            self._looks[name] = YuNet(self._network, self._threads if name == "level 0" else 1)
        return self._looks[name]

    def _look_closely(
        self, image: NDArray[np.uint8], face: Detection, at_least: float, border: str = "black"
    ) -> Detection | None:
        """Search the crop of a candidate for the face, and rotated crops if its score is low.

        Beyond its border the photo is black, or extended by its mirror image.
        """
        best = None
        for degrees in _TILTS:
            crop = CloseCrop.cut(image, face, degrees, border=border)
            seen = crop.face_in(self._network_of("close").look(crop.pixels, _HOPE))
            if seen and seen.score >= max(at_least, best.score if best else 0):
                best = seen
                if best.score >= _CERTAIN:
                    break
        return best

    def _placed(self, image: NDArray[np.uint8], face: Detection) -> Detection:
        """Place the landmarks of a face in crops, rotated until the face is upright.

        The network was trained on few tilted faces: at a roll of 30 degrees its landmarks have one of 4. The
        secant method finds the rotation; after one step the error is 13 degrees, after three it is 4.
        """
        best = self._placed_once(image, face, 0.0)
        turned, off = 0.0, _roll(best)
        slope = 1 / _TILT
        for _ in range(_TURNS):
            if abs(off) < _UPRIGHT or (not turned and abs(off) > 45):
                break
            step = float(np.clip(-off / slope, -_LARGEST_TURN, _LARGEST_TURN))
            seen = self._placed_once(image, face, turned + step)
            if seen is face:
                break
            best, before = seen, off
            turned += step
            off = _roll(best) + turned
            slope = float(np.clip((off - before) / step, *_SLOPES))
        return best

    def _placed_once(self, image: NDArray[np.uint8], face: Detection, degrees: float) -> Detection:
        """Place the landmarks of a rotated face by the mean over several crops.

        The error is 2 % of the face's width with one crop, 1 % with four, no less with six. With two sizes
        and their mirror images, distances of photos of one person fall by .02 (docs/faces.md).
        """
        crops = [CloseCrop.cut(image, face, degrees, share) for share in _SHARES]
        views = [(crop, mirrored) for crop in crops for mirrored in _SIDES]
        pictures = [crop.pixels[:, ::-1] if mirrored else crop.pixels for crop, mirrored in views]
        seen = self._network_of("views").look_all(np.stack(pictures), _HOPE)
        looks = [crop.face_in(one, mirrored) for (crop, mirrored), one in zip(views, seen, strict=True)]
        points = [look.points for look in looks if look and look.score >= face.score - _WORSE]
        return replace(face, points=np.mean(points, axis=0)) if len(points) > len(looks) // 2 else face


def _roll(face: Detection) -> float:
    """Compute the roll of a face in degrees, clockwise, from eyes and corners of the mouth."""
    left, right, _, mouth_left, mouth_right = face.points @ (1, 1j)
    return float(np.rad2deg(np.angle(right - left + mouth_right - mouth_left)))


def _scales(image: NDArray[np.uint8], smallest: float) -> list[float]:
    """Compute the scales at which a picture is searched, the largest first."""
    longest = max(image.shape)
    scales = [max(min(1.0, max(_SMALLEST / smallest, _AS_IT_IS / longest)), _TINY / longest)]
    while longest * scales[-1] > 1.5 * _SMALL:
        scales.append(scales[-1] / _STEP)
    return scales


def _shape(image: NDArray[np.uint8], scale: float) -> tuple[int, int]:
    """Compute width and height of a scaled picture."""
    return max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _blocks(length: int) -> tuple[list[int], int]:
    """Divide a side into overlapping blocks of equal length: their starts, and the length."""
    if length <= _BLOCK:
        return [0], length
    count = -(-(length - _SEAM) // (_BLOCK - _SEAM))
    block = -(-(length + (count - 1) * _SEAM) // count)
    return [min(index * (block - _SEAM), length - block) for index in range(count)], block


def _places_of(seen: Candidates, image: NDArray[np.uint8], size: tuple[int, ...], level: int) -> list[_Place]:
    """Convert candidates of a scaled picture, `size` being width and height, to the photo."""
    factor = np.array(image.shape[1::-1]) / size
    boxes = seen.boxes * np.tile(factor, 2)
    points = seen.points * factor
    return [
        _Place(Detection((x, y, width, height), points[row], float(score)), level, float(across))
        for row, ((x, y, width, height), score, across) in enumerate(
            zip(boxes.tolist(), seen.scores, seen.boxes[:, 2], strict=True)
        )
    ]


def _center_within(face: Detection, shape: tuple[int, ...]) -> bool:
    x, y, width, height = face.box
    return 0 <= x + width / 2 <= shape[1] and 0 <= y + height / 2 <= shape[0]


def _same_place(one: Detection, other: Detection) -> bool:
    boxes = np.array([one.box, other.box])
    return len(first_of_each_place(boxes, 0.2)) == 1


def _joined(parts: list[Candidates]) -> Candidates:
    order = np.argsort(-np.concatenate([part.scores for part in parts]), kind="stable")
    return Candidates(
        np.concatenate([part.boxes for part in parts])[order],
        np.concatenate([part.points for part in parts])[order],
        np.concatenate([part.scores for part in parts])[order],
    )
