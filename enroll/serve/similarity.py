"""Convert distances to the scores of other programs, whose thresholds then agree with ours.

Those programs get no decision but a number from 0 to 1, and use a name if it is above a threshold of their
own: 0.5 (Viseron), 0.6 with names hidden below 0.4 (Double-Take), 0.67 and 0.7 (clients of DeepStack). So a
name that we give scores above all of these and one that we refuse below, and no score is in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedder.config import DetectorConfig

if TYPE_CHECKING:
    from embedder.faces.crop import Box
    from embedder.faces.quality import Quality

FARTHEST = 2.0  # between unit vectors


@dataclass(frozen=True)
class Scale:
    """Holds the scores of accepted and refused distances.

    Attributes:
        accepted: score of the threshold itself, from which accepted distances rise to 1.
        refused: score from which refused distances fall to 0.
    """

    accepted: float
    refused: float

    def score(self, distance: float, threshold: float, accepted: bool) -> float:
        """Return the score of a distance, 0 to 1; a smaller distance never has a lower score.

        Args:
            distance: 0 to 2.
            threshold: largest distance at which a name is given.
            accepted: whether the name is given; one that is not, though it is near enough, scores as one
                just beyond the threshold.

        Example:
            >>> COMPREFACE.score(1.0, 1.0, True), COMPREFACE.score(1.0, 1.0, False)
            (0.65, 0.35)
        """
        distance, threshold = min(max(distance, 0.0), FARTHEST), min(max(threshold, 0.0), FARTHEST)
        if accepted:
            near = 1 - distance / threshold if threshold else 1.0
            return round(self.accepted + (1 - self.accepted) * max(near, 0.0), 5)
        room = FARTHEST - threshold
        far = (FARTHEST - max(distance, threshold)) / room if room else 0.0
        return round(self.refused * far, 5)


COMPREFACE = Scale(accepted=0.65, refused=0.35)  # 0.5, 0.6 and 0.4 lie between
DEEPSTACK = Scale(accepted=0.75, refused=0.35)  # 0.4 to 0.7 lie between


def box_of(box: Box | None, quality: Quality | None, size: tuple[int, int]) -> dict[str, Any]:
    """Return the place of a face; a picture without a box is one face.

    Args:
        box: of the face, None if it is the whole picture.
        quality: of the face.
        size: height and width of the picture in pixels.
    """
    x, y, width, height = box or (0, 0, size[1], size[0])
    return {
        "probability": probability(quality),
        "x_min": max(x, 0),
        "y_min": max(y, 0),
        "x_max": x + width,
        "y_max": y + height,
    }


def probability(quality: Quality | None) -> float:
    """Return the detector's certainty on the scale of other detectors, whose limit is at 0.8.

    Double-Take asks for 0.8 or more; all faces that our detector finds are above that, in the same order.
    """
    if quality is None:
        return 1.0
    cut = DetectorConfig.score
    return round(0.8 + 0.2 * max(quality.score - cut, 0.0) / (1 - cut), 5)
