"""Hold the answers for a film: who is seen when, and how many frames agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedder.config import QualityLimits
from embedder.faces.quality import rejection_reason, usefulness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.faces.crop import Box
    from embedder.faces.quality import Quality
    from enroll.agreement import Agreement
    from enroll.decision import Decision


@dataclass(frozen=True, eq=False)
class Sighting:
    """Holds a face in one frame.

    Attributes:
        seconds: time of the frame since the film began.
        box: x, y, width and height in pixels of the upright frame; None when the whole frame is the face, and
            so are the next two.
        points: (5, 2) float64 x and y in pixels of eyes, nose tip and corners of the mouth.
        quality: measures of how well the face can be recognized.
        decision: for the frame on its own.
        crop: (size, size, 3) uint8 RGB, if it was to be kept.
    """

    seconds: float
    box: Box | None
    points: NDArray[np.float64] | None
    quality: Quality | None
    decision: Decision
    crop: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class PersonSeen:
    """Holds one person of a film.

    Attributes:
        agreement: the name or unknown, and how many frames agree.
        intervals: first and last second of each time that the person is in sight, in their order.
        best: the most useful frames, the best first.
        confidence: probability that the nearest person of the best frame is the right one, if as many faces
            are of enrolled people as of strangers; None if the gallery is not calibrated.
    """

    agreement: Agreement
    intervals: tuple[tuple[float, float], ...]
    best: tuple[Sighting, ...]
    confidence: float | None = None

    @property
    def identity(self) -> str | None:
        """The name, or None for unknown."""
        return self.agreement.decision.identity


@dataclass(frozen=True, eq=False)
class FilmAnswer:
    """Holds the answer for one film.

    Attributes:
        film: as it was given.
        error: why it could not be read, or None.
        seconds: how much of the film was examined.
        looked_at: number of frames that were examined.
        people: everyone who is seen, by the first time.
        notes: remarks on the film, such as that its end is missing.
    """

    film: str
    error: str | None = None
    seconds: float = 0.0
    looked_at: int = 0
    people: tuple[PersonSeen, ...] = ()
    notes: tuple[str, ...] = ()


def worth(quality: Quality | None) -> tuple[float, bool]:
    """Return how useful a face is among several of one person, and whether it is good.

    Args:
        quality: None where the whole picture is the face: then all count the same.
    """
    if quality is None:
        return 1.0, True
    return usefulness(quality), rejection_reason(quality, QualityLimits()) is None
