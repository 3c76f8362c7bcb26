"""Suggest names for all unknown faces of a library as `suggest` does, computing only what changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.decision import Candidate, decide, one_face_per_person
from enroll.library.nearness import Nearness
from enroll.library.people import Library, library_of
from enroll.library.suggest import Suggestion
from enroll.templates import Templates

if TYPE_CHECKING:
    from enroll.store import Store
    from enroll.store.library import SeenFace

_SPARE = 0.05  # of a distance by which the threshold may rise before everything is measured again


@dataclass(frozen=True, eq=False)
class Asked:
    """Holds the faces for which names are suggested, as they were at one moment.

    Attributes:
        waiting: the unknown faces.
        names: of faces that have one.
        photos: of these faces.
        refused: names that were refused for a face.
    """

    waiting: Sequence[SeenFace]
    names: Mapping[int, str]
    photos: Mapping[int, int]
    refused: Mapping[int, frozenset[str]]

    @classmethod
    def of(cls, library: Library) -> Asked:
        """Read the faces from a library."""
        people = library.people()
        refused = {
            face: frozenset(people[person] for person in persons if person in people)
            for face, persons in library.reviewed.refused.items()
        }
        photos = {face: library.faces[face].photo for face in library.names if face in library.faces}
        return cls(library.unknown(), library.names, photos, refused)


@dataclass(frozen=True)
class GroupName:
    """Holds a name for a group of faces.

    Attributes:
        nearest: suggestion for the face of the group that is nearest to the person.
        faces: number of faces of the group within the threshold.
    """

    nearest: Suggestion
    faces: int

    def rank(self) -> tuple[int, float, str]:
        """Return the sort key of the names of a group, the best first."""
        return -self.faces, self.nearest.distance, self.nearest.name


class FollowedTemplates:
    """Reads the templates of a gallery; each vector once."""

    def __init__(self, store: Store) -> None:
        self._store, self._rows = store, library_of(store)
        self._read: tuple[tuple[int, int], Templates] | None = None

    def read(self) -> Templates:
        """Return the current templates."""
        now = self._store.changes()
        if self._read is None:
            self._read = now, self._store.templates()
        elif self._read[0] != now:
            (generation, _), old = self._read
            if generation != now[0]:
                old = _renamed(old, self._rows.template_names())
            last = int(old.ids[-1]) if len(old.ids) else 0  # some may have been added while it was read
            self._read = now, _joined(old, self._store.templates(after=last))
        return self._read[1]


def _renamed(old: Templates, names: Mapping[int, str]) -> Templates:
    """Remove templates that are gone, and give the others the current names."""
    kept = np.array([number in names for number in old.ids.tolist()], bool)
    ids = old.ids[kept]
    identities = np.array([names[number] for number in ids.tolist()], object)
    return Templates(ids, identities, old.vectors[kept])


def _joined(old: Templates, more: Templates) -> Templates:
    if not len(old.ids) or not len(more.ids):
        return old if len(old.ids) else more
    return Templates(
        np.concatenate([old.ids, more.ids]),
        np.concatenate([old.identities, more.identities]),
        np.concatenate([old.vectors, more.vectors]),
    )


class Suggester:
    """Suggests names for unknown faces.

    Attributes:
        suggested: by the face's number; its `threshold` may be an earlier one.
    """

    def __init__(self) -> None:
        """Start without suggestions."""
        self.suggested: dict[int, Suggestion] = {}
        self._nearness: Nearness | None = None
        self._asked = Asked((), {}, {}, {})
        self._photo: dict[int, int] = {}  # of each waiting face
        self._settings: tuple[float, float, Collection[str]] = (0.0, 0.0, ())

    def follow(
        self,
        asked: Asked,
        templates: Templates,
        threshold: float,
        margin: float = 0.0,
        gone: Collection[str] = (),
    ) -> None:
        """Update the suggestions.

        Args:
            asked: faces of the library.
            templates: of everyone who is enrolled.
            threshold: largest distance at which a name is suggested.
            margin: how much farther the second person must be.
            gone: people who are not suggested: they have expired.
        """
        limit = threshold + margin
        if self._nearness is None or not limit <= self._nearness.reach <= limit + 2 * _SPARE:
            self._nearness = Nearness(min(limit + _SPARE, 2.0))
            self.suggested, self._photo, self._asked = {}, {}, Asked((), {}, {}, {})
        near = self._nearness
        changed = near.follow({face.number: face.vector for face in asked.waiting}, templates)
        settings = (threshold, margin, gone)
        if settings != self._settings:
            changed |= {face for face, people in near.near.items() if people}
        photo = {face.number: face.photo for face in asked.waiting}
        dirty = {one[face] for face in changed for one in (self._photo, photo) if face in one}
        before = self._asked
        for face in {face for face, _ in before.names.items() ^ asked.names.items()}:
            dirty |= {one[face] for one in (before.photos, asked.photos) if face in one}
        refused = {face for face, _ in before.refused.items() ^ asked.refused.items()}
        dirty |= {photo[face] for face in refused if face in photo}
        self._asked, self._photo, self._settings = asked, photo, settings
        self._suggest_in(dirty)

    def names_of(self, groups: Sequence[Collection[int]], most: int) -> list[list[GroupName]]:
        """Suggest names for whole groups of waiting faces: those near most of its faces first.

        A name that was refused for one of its faces is not suggested for a group. A face does not count for a
        person who is in its photo already.

        Args:
            groups: numbers of faces.
            most: largest number of names per group.
        """
        near, asked = {} if self._nearness is None else self._nearness.near, self._asked
        threshold, _, gone = self._settings
        in_photo: dict[int, set[str]] = {}
        for face, photo in asked.photos.items():
            in_photo.setdefault(photo, set()).add(asked.names[face])
        found = []
        for faces in groups:
            barred = {*gone}.union(*(asked.refused.get(face, ()) for face in faces))
            people: dict[str, list[tuple[float, int]]] = {}
            for face in faces:
                there = in_photo.get(self._photo.get(face, 0), ())
                for name, (distance, template) in near.get(face, {}).items():
                    if distance <= threshold and name not in barred and name not in there:
                        people.setdefault(name, []).append((distance, template))
            names = [
                GroupName(Suggestion(name, distance, threshold, None, template), len(theirs))
                for name, theirs in people.items()
                for distance, template in [min(theirs)]
            ]
            found.append(sorted(names, key=GroupName.rank)[:most])
        return found

    def _suggest_in(self, photos: Collection[int]) -> None:
        """Suggest names for the faces of photos, each person once in a photo."""
        assert self._nearness is not None
        near, asked, (threshold, margin, gone) = self._nearness.near, self._asked, self._settings
        self.suggested = {face: one for face, one in self.suggested.items() if face in self._photo}
        if not photos:
            return
        faces: dict[int, list[int]] = {}
        for face, photo in self._photo.items():
            if photo in photos:
                self.suggested.pop(face, None)
                if near[face]:
                    faces.setdefault(photo, []).append(face)
        taken: dict[int, set[str]] = {}
        for face, photo in asked.photos.items():
            if photo in faces:
                taken.setdefault(photo, set()).add(asked.names[face])
        for photo, there in faces.items():
            decisions = []
            for face in there:
                barred = taken.get(photo, set()) | asked.refused.get(face, frozenset()) | {*gone}
                people = sorted((d, name) for name, (d, _) in near[face].items() if name not in barred)
                decisions.append(decide([Candidate(name, d) for d, name in people], threshold, margin))
            for face, one in zip(there, one_face_per_person(decisions), strict=True):
                if one.identity is not None and one.distance is not None:
                    template = near[face][one.identity][1]
                    self.suggested[face] = Suggestion(
                        one.identity, one.distance, threshold, one.second, template
                    )
