"""Photo to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config import IdentifyConfig
from embedder.errors import ImageError, UsageError
from embedder.faces.crops import principal
from embedder.images import load_image
from enroll.decision import Decision, decide, one_face_each
from enroll.promise import Basis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.faces.crops import Box, Crop
    from embedder.faces.quality import Quality
    from enroll.gallery import Gallery, NearPhoto


@dataclass(frozen=True, eq=False)
class FaceAnswer:
    """The answer for one face of a photo.

    Attributes:
        box: x, y, width and height in pixels of the upright photo; None when the whole picture is the face,
            and so are the last two.
        decision: who it is.
        points: (4, 2) x and y of left eye, right eye, nose tip and mouth centre, as seen.
        quality: how well the face can be recognized.
        confidence: probability that the nearest person is the right one, named or not, if as many faces are
            of enrolled people as of strangers; None if the gallery is not calibrated.
        neighbours: the nearest enrolled photos, if they were asked for.
    """

    box: Box | None
    decision: Decision
    points: NDArray[np.float64] | None = None
    quality: Quality | None = None
    confidence: float | None = None
    neighbours: tuple[NearPhoto, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The answer for one photo.

    Attributes:
        photo: as it was given.
        error: why the photo could not be read, or None.
        faces: one answer per face; empty if there is none.
    """

    photo: str
    error: str | None
    faces: tuple[FaceAnswer, ...]


class Identifier:
    """Answers photos from a gallery.

    Example:
        >>> answer = Identifier(extractor, gallery).identify("photo.jpg")
        >>> [face.decision.identity for face in answer.faces]
        ['ada']
    """

    def __init__(
        self,
        extractor: Extractor,
        gallery: Gallery,
        threshold: float | None = None,
        config: IdentifyConfig | None = None,
    ) -> None:
        """Join a model and a gallery.

        Args:
            extractor: the model the gallery was made with.
            gallery: whom to look for.
            threshold: largest distance at which a name is given; None takes the gallery's if it is
                calibrated, else the model's.
            config: candidates, margin and batch size.

        Raises:
            UsageError: no threshold is given or known, or it is not a distance.
        """
        self.basis = _basis(extractor, gallery, threshold)
        self.threshold = self.basis.distance
        self._extractor, self._gallery = extractor, gallery
        self._config = config or IdentifyConfig()

    def identify(self, photo: str | Path) -> Answer:
        """Answer one photo.

        Raises:
            ImageError: it cannot be read.
        """
        return Answer(str(photo), None, self._answers([self._crops(load_image(photo))])[0])

    def identify_many(self, photos: Iterable[str | Path]) -> Iterator[Answer]:
        """Answer photos in their order, some at a time; one that cannot be read gets an `error`."""
        remaining = iter(photos)
        while batch := list(islice(remaining, self._config.batch_size)):
            yield from self._identify_batch(batch)

    def _identify_batch(self, photos: Sequence[str | Path]) -> Iterator[Answer]:
        errors: dict[int, str] = {}
        crops: dict[int, list[Crop]] = {}  # photos themselves may be large
        for index, photo in enumerate(photos):
            try:
                crops[index] = self._crops(load_image(photo))
            except ImageError as error:
                errors[index] = error.reason
        faces = dict(zip(crops, self._answers(list(crops.values())), strict=True))
        for index, photo in enumerate(photos):
            yield Answer(str(photo), errors.get(index), faces.get(index, ()))

    def _crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        crops = self._extractor.crops(image)
        if self._config.all_faces or not crops:
            return crops
        return [principal(crops, image.shape)]

    def _answers(self, photos: Sequence[Sequence[Crop]]) -> list[tuple[FaceAnswer, ...]]:
        """Answer the crops of each photo; all are embedded and searched for together."""
        together = [crop for crops in photos for crop in crops]
        if not together:
            return [() for _ in photos]
        vectors = self._extractor.embed([crop.chip for crop in together])
        # Two at least are looked for: the rule compares the first two, whether they are listed or not.
        found = self._gallery.nearest_people(vectors, max(2, self._config.candidates))
        decisions = iter([decide(candidates, self.threshold, self._config.margin) for candidates in found])
        shown = self._config.neighbours
        near = iter(self._gallery.nearest_photos(vectors, shown) if shown else [[]] * len(vectors))
        return [
            self._answer(
                crops,
                one_face_each(list(islice(decisions, len(crops)))),
                list(islice(near, len(crops))),
            )
            for crops in photos
        ]

    def _answer(
        self, crops: Sequence[Crop], decisions: Sequence[Decision], near: Sequence[Sequence[NearPhoto]]
    ) -> tuple[FaceAnswer, ...]:
        return tuple(
            FaceAnswer(
                crop.box,
                replace(decision, candidates=decision.candidates[: self._config.candidates]),
                crop.points,
                crop.quality,
                self._confidence(decision),
                tuple(neighbours),
            )
            for crop, decision, neighbours in zip(crops, decisions, near, strict=True)
        )

    def _confidence(self, decision: Decision) -> float | None:
        curve = self.basis.calibration.curve if self.basis.calibration else None
        if curve is None or decision.distance is None:
            return None
        return curve.probability(decision.distance, decision.second)


def _basis(extractor: Extractor, gallery: Gallery, threshold: float | None) -> Basis:
    calibration, warning = gallery.calibration() or (None, None)
    if threshold is not None:
        if not 0 <= threshold <= 2:
            raise UsageError(
                f"--threshold: expected a distance between unit vectors, 0 to 2, got {threshold}"
            )
        return Basis("given", threshold, calibration)
    if calibration is not None:
        return Basis("gallery", calibration.promise.distance, calibration, warning=warning)
    estimate = extractor.manifest.threshold
    if estimate is None:
        raise UsageError(
            "the model has no threshold, since no one was held out of training; run `embed calibrate`, or "
            "give --threshold"
        )
    return Basis("model", estimate.distance, estimate=estimate)
