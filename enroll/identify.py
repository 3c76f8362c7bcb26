"""Identify the faces of photos: find, embed and search for them, and decide on names."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import map_in_order
from embedder.errors import ImageError, UsageError
from embedder.faces.crop import main_face
from embedder.faces.photo import find_crops
from embedder.images import Photo, open_frames, photo_name
from enroll.config import IdentifyConfig
from enroll.decision import Candidate, Decision, decide, one_face_per_person
from enroll.embedding import part_size
from enroll.gallery.threshold import FromModel, ThresholdSource, contradiction, some_people

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.faces.crop import Box, Crop
    from embedder.faces.quality import Quality
    from enroll.gallery.gallery import Gallery, PhotoMatch

_LONG = 0.1  # seconds that reading a gallery for its threshold may take at every change
_PAUSE = 9  # times as long as it took, before it is read again


@dataclass(frozen=True, eq=False)
class FaceResult:
    """Holds the answer for one face of a photo.

    Attributes:
        box: x, y, width and height in pixels of the upright photo; None when the whole picture is the face,
            and so are the next two.
        decision: the name, or unknown and why.
        points: (4, 2) float64 x and y in pixels of left eye, right eye, nose tip and mouth centre, as seen.
        quality: measures of how well the face can be recognized.
        confidence: probability that the nearest person is the right one, named or not, if as many faces are
            of enrolled people as of strangers; None if the gallery is not calibrated.
        neighbours: the nearest enrolled photos, if they were asked for.

    Example:
        >>> from enroll.decision import Candidate, decide
        >>> FaceResult((10, 20, 64, 64), decide([Candidate("Ada", 0.41)], 0.9)).decision.identity
        'Ada'
    """

    box: Box | None
    decision: Decision
    points: NDArray[np.float64] | None = None
    quality: Quality | None = None
    confidence: float | None = None
    neighbours: tuple[PhotoMatch, ...] = ()


@dataclass(frozen=True)
class PhotoResult:
    """Holds the answer for one photo.

    Attributes:
        photo: its path, or what stands for it.
        error: why the photo could not be read, or None.
        faces: one answer per face; empty if there is none.
        picture: (height, width, 3) uint8 RGB, if `IdentifyConfig.keep_pictures` is set.
        notes: remarks on the photo, such as that its end is missing, or that it was read at a reduced size:
            then boxes and points are in pixels of the reduced picture.
        no_face: why there is no face, or None.

    Example:
        >>> PhotoResult("empty.jpg", error=None, faces=(), no_face="no face found").faces
        ()
    """

    photo: str
    error: str | None
    faces: tuple[FaceResult, ...]
    picture: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    notes: tuple[str, ...] = ()
    no_face: str | None = None


@dataclass(eq=False)
class _Seen:
    """Holds the faces that were found in a photo; `vectors` has a row for each crop."""

    photo: str
    error: str | None = None
    crops: list[Crop] = field(default_factory=list)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    picture: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    no_face: str | None = None


class Identifier:
    """Identifies the faces of photos by a gallery.

    Changes of the gallery and its calibration by any process are followed. Threads may share an identifier,
    as those of a server do.

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
            gallery: the people to search.
            threshold: largest distance at which a name is given, 0 to 2; None takes the gallery's if it is
                calibrated, else the model's.
            config: options such as candidates, margin and batch size; None: the defaults.

        Raises:
            UsageError: no threshold is given or known, or it is not a distance.
        """
        self._extractor, self._gallery = extractor, gallery
        self._read_basis = partial(_basis, extractor, gallery, threshold)
        self._config = config or IdentifyConfig()
        self._revision = gallery.revision()
        self._basis = self._read_basis()
        self._following = threading.Lock()
        self._not_before = 0.0  # as `time.monotonic`
        gallery.prepare()

    @property
    def threshold(self) -> float:
        """The largest distance at which a name is given."""
        return self.basis.distance

    @property
    def basis(self) -> ThresholdSource:
        """The threshold and its evidence.

        It follows `calibrate`, `enroll` and `remove` of any process: at the next answer, or, in a gallery so
        large that reading this takes longer than 0.1 s, after ten times as long as it takes.

        Raises:
            GalleryError: the gallery cannot be read.
            UsageError: there is no calibration any more and nothing is known of the model.
        """
        # While another thread reads, this one uses the last threshold.
        if time.monotonic() >= self._not_before and self._following.acquire(blocking=False):
            try:
                if (revision := self._gallery.revision()) != self._revision:
                    begun = time.monotonic()
                    self._basis, self._revision = self._read_basis(), revision
                    now = time.monotonic()
                    self._not_before = now + (_PAUSE * (now - begun) if now - begun > _LONG else 0)
            finally:
                self._following.release()
        return self._basis

    def identify(self, photo: Photo) -> PhotoResult:
        """Identify the faces of one photo.

        Args:
            photo: its path, its bytes, a file open for reading, a picture of Pillow, or a (height, width[, 3
                or 4]) array of uint8 or float from 0 to 1.

        Returns:
            An answer for each face.

        Raises:
            ImageError: it cannot be read.
        """
        return self._answers(self._embedded([self._read(photo)]))[0]

    def identify_many(self, photos: Iterable[Photo]) -> Iterator[PhotoResult]:
        """Identify the faces of photos, read and embedded in several threads, a few photos ahead.

        Args:
            photos: as for `identify`.

        Yields:
            The answer for each photo, in their order; one that cannot be read has an `error`.
        """
        parts = self._parts(photos)
        if isinstance(photos, Sequence) and len(photos) == 1:  # the network that is loaded, and all cores
            looks: Iterable[list[_Seen]] = map(self._look, parts)
        else:
            looks = map_in_order(self._look, parts)
        for part in looks:
            yield from self._answers(part)

    def _parts(self, photos: Iterable[Photo]) -> Iterator[list[Photo]]:
        size = 1 if self._config.keep_pictures else self._config.batch_size
        if isinstance(photos, Sized):
            size = part_size(len(photos), size)
        remaining = iter(photos)
        while part := list(islice(remaining, size)):
            yield part

    def _look(self, part: Sequence[Photo]) -> list[_Seen]:
        """Find and embed the faces of photos."""
        seen = []
        for photo in part:
            try:
                seen.append(self._read(photo))
            except ImageError as error:
                seen.append(_Seen(photo_name(photo), error.reason))
        return self._embedded(seen)

    def _read(self, photo: Photo) -> _Seen:
        name = photo_name(photo)
        found = find_crops(open_frames(photo), self._extractor.crops, name, self._extractor.why_missed)
        crops, picture = found.crops, found.pixels if self._config.keep_pictures else None
        if crops and not self._config.all_faces:
            crops = [main_face(crops, found.pixels.shape)]
        return _Seen(name, None, crops, picture=picture, notes=found.notes, no_face=found.no_face)

    def _embedded(self, seen: list[_Seen]) -> list[_Seen]:
        """Embed the faces of photos in one call."""
        crops = [crop.pixels for one in seen for crop in one.crops]
        if not crops:
            return seen
        vectors = self._extractor.embed(crops)
        ends = np.cumsum([len(one.crops) for one in seen])
        for one, own in zip(seen, np.split(vectors, ends[:-1]), strict=True):
            one.vectors = own
        return seen

    def _answers(self, seen: Sequence[_Seen]) -> list[PhotoResult]:
        """Search for the faces of photos together."""
        found: list[list[Candidate]] = []
        near: list[list[PhotoMatch]] = []
        if any(one.crops for one in seen):
            vectors = np.concatenate([one.vectors for one in seen if one.crops])
            near = [[]] * len(vectors)
            # At least two are searched for: `decide` compares the first two, whether they are listed or not.
            found = self._gallery.nearest_people(vectors, max(2, self._config.candidates))
            if self._config.neighbours:
                near = self._gallery.nearest_photos(vectors, self._config.neighbours)
        basis = self.basis
        decisions = iter([decide(candidates, basis.distance, self._config.margin) for candidates in found])
        photos = iter(near)
        answers = []
        for one in seen:
            count = len(one.crops)
            chosen = one_face_per_person(list(islice(decisions, count)))
            faces = self._faces(one.crops, chosen, list(islice(photos, count)), basis)
            answers.append(PhotoResult(one.photo, one.error, faces, one.picture, one.notes, one.no_face))
        return answers

    def _faces(
        self,
        crops: Sequence[Crop],
        decisions: Sequence[Decision],
        near: Sequence[Sequence[PhotoMatch]],
        basis: ThresholdSource,
    ) -> tuple[FaceResult, ...]:
        return tuple(
            FaceResult(
                crop.box,
                replace(decision, candidates=decision.candidates[: self._config.candidates]),
                crop.points,
                crop.quality,
                _confidence(decision, basis),
                tuple(neighbours),
            )
            for crop, decision, neighbours in zip(crops, decisions, near, strict=True)
        )


def _confidence(decision: Decision, basis: ThresholdSource) -> float | None:
    curve = basis.record.curve if basis.record else None
    if curve is None or decision.distance is None:
        return None
    return curve.probability(decision.distance, decision.second)


def _basis(extractor: Extractor, gallery: Gallery, threshold: float | None) -> ThresholdSource:
    record, warning = gallery.calibration() or (None, None)
    if threshold is not None:
        if not 0 <= threshold <= 2:
            raise UsageError(
                f"--threshold: expected a distance between unit vectors, 0 to 2, got {threshold}"
            )
        return ThresholdSource("given", threshold, record)
    if record is not None:
        doubts = [doubt for doubt in (warning, contradiction(record.calibration)) if doubt]
        return ThresholdSource(
            "gallery", record.calibration.distance, record, warning="; ".join(doubts) or None
        )
    known = extractor.manifest.strangers
    if known is None:
        raise UsageError(
            "nothing is known of the model's distances between strangers, since too few people were held out "
            "of training; run `embed calibrate`, or give --threshold"
        )
    people = gallery.identities()
    estimate = FromModel.for_gallery(known, people, gallery.templates_of(some_people(people)))
    return ThresholdSource("model", estimate.distance, estimate=estimate, warning=contradiction(estimate))
