"""Identify people in a film: one answer per person, from all frames they are seen in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import Progress, map_in_order
from embedder.errors import FilmError
from embedder.faces.crop import main_face
from embedder.images import tell
from enroll.agreement import agree
from enroll.config import FilmConfig, IdentifyConfig
from enroll.decision import Decision, decide, one_face_per_person
from enroll.identify import Identifier
from enroll.library.appearances import Appearance, Appearances
from enroll.library.film_people import FilmPerson, people_of
from enroll.library.video import Film, Frame
from enroll.sightings import FilmAnswer, PersonSeen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.faces.crop import Crop
    from enroll.gallery.gallery import Gallery


class FilmIdentifier:
    """Identifies the people of films by a gallery.

    Attributes:
        basis: the threshold and its evidence.

    Example:
        >>> answer = FilmIdentifier(extractor, gallery).identify("film.mp4")
        >>> [(person.identity, person.intervals) for person in answer.people]
        [('ada', ((0.0, 4.5),))]
    """

    def __init__(
        self,
        extractor: Extractor,
        gallery: Gallery,
        threshold: float | None = None,
        config: FilmConfig | None = None,
        options: IdentifyConfig | None = None,
    ) -> None:
        """Join a model and a gallery.

        Args:
            extractor: the model the gallery was made with.
            gallery: the people to search.
            threshold: largest distance at which a name is given, 0 to 2; None takes the gallery's if it is
                calibrated, else the model's.
            config: frames a second, agreement and limits.
            options: candidates, margin, and whether every face of a frame counts.

        Raises:
            UsageError: no threshold is given or known, or it is not a distance.
        """
        self.basis = Identifier(extractor, gallery, threshold, options).basis
        self.config = config or FilmConfig()
        self._extractor, self._gallery = extractor, gallery
        self._options = options or IdentifyConfig()

    def identify(
        self, film: str | Path, keep_crops: bool = False, progress: Progress | None = None
    ) -> FilmAnswer:
        """Identify the people of one film.

        Args:
            film: its path.
            keep_crops: return the best frames' faces as pictures, too.
            progress: progress bar, advanced with every frame.

        Raises:
            FilmError: it cannot be read.
        """
        reader = Film(film, self.config)
        appearances = self.follow(keep_crops)
        looked_at = 0
        frames = reader.frames()
        first = list(islice(frames, 1))  # opens it, so that its length is known
        with (progress or Progress()).bar("Looking", reader.expected, "frames") as advance:
            for frame, crops, vectors in map_in_order(self.look, chain(first, frames)):
                appearances.add(frame, crops, vectors)
                looked_at += 1
                advance()
        tell(film, tuple(reader.notes))
        people = self.people(appearances.take_all())
        return FilmAnswer(str(film), None, reader.seconds, looked_at, people, tuple(reader.notes))

    def identify_or_say(
        self, film: str | Path, keep_crops: bool = False, progress: Progress | None = None
    ) -> FilmAnswer:
        """Identify the people of one film as `identify` does.

        One that cannot be read has an `error`.

        Args:
            film: its path.
            keep_crops: as for `identify`.
            progress: as for `identify`.
        """
        try:
            return self.identify(film, keep_crops, progress)
        except FilmError as error:
            return FilmAnswer(str(film), error.reason)

    def look(self, frame: Frame) -> tuple[Frame, list[Crop], NDArray[np.float32]]:
        """Find and embed the faces of a frame; may run in several threads.

        Returns:
            The frame, its faces, and (n, dim) float32 unit vectors of them.
        """
        crops = self._extractor.crops(frame.pixels)
        if crops and not self._options.all_faces:
            crops = [main_face(crops, frame.pixels.shape)]
        return frame, crops, self._extractor.embed([crop.pixels for crop in crops])

    def follow(self, keep_crops: bool = False) -> Appearances:
        """Start to follow the faces of frames."""

        def frame_decisions(vectors: NDArray[np.float32]) -> list[Decision]:
            return one_face_per_person(self.decide(vectors))

        return Appearances(frame_decisions, self.basis.distance, self.config.gap, keep_crops)

    def decide(self, vectors: NDArray[np.float32]) -> list[Decision]:
        """Decide on each vector on its own.

        Args:
            vectors: (n, dim) float32 unit rows.
        """
        found = self._gallery.nearest_people(vectors, max(2, self._options.candidates))
        return [decide(candidates, self.basis.distance, self._options.margin) for candidates in found]

    def people(self, appearances: Sequence[Appearance]) -> tuple[PersonSeen, ...]:
        """Join appearances of the same person, and decide who each is.

        The people are ordered by the first time they are seen.
        """
        if not appearances:
            return ()
        groups = people_of(appearances, self.basis.distance)
        joint = self.decide(np.stack([group.evidence.mean() for group in groups]))
        groups, joint = self._one_of_each_name(groups, joint)
        people = [
            PersonSeen(
                agree(group.evidence, decision, self.config.agree),
                group.intervals(self.config.gap),
                tuple(sighting for _, sighting in group.best),
                self._confidence(group.best[0][1].decision),
            )
            for group, decision in zip(groups, joint, strict=True)
        ]
        return tuple(sorted(people, key=lambda person: person.intervals[0]))

    def _one_of_each_name(
        self, groups: list[FilmPerson], joint: Sequence[Decision]
    ) -> tuple[list[FilmPerson], list[Decision]]:
        """Join all groups of one name to one person, the nearest first.

        A group seen at the same time shows someone else: unknown, as another face of a photo is.
        """
        kept: list[tuple[FilmPerson, Decision]] = []
        holders: dict[str, int] = {}
        for row in sorted(range(len(groups)), key=lambda row: joint[row].distance or 0.0):
            group, decision = groups[row], joint[row]
            name = decision.identity
            if name is None or name not in holders:
                if name is not None:
                    holders[name] = len(kept)
                kept.append((group, decision))
            elif kept[holders[name]][0].meets(group):
                kept.append((group, _taken(decision)))
            else:
                kept[holders[name]][0].include(group)
        return [group for group, _ in kept], [decision for _, decision in kept]

    def _confidence(self, decision: Decision) -> float | None:
        curve = self.basis.record.curve if self.basis.record else None
        if curve is None or decision.distance is None:
            return None
        return curve.probability(decision.distance, decision.second)


def _taken(decision: Decision) -> Decision:
    return Decision(None, "taken", decision.distance, decision.threshold, decision.candidates)
