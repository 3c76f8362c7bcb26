"""Find the people near each face of a library, and update that with every change.

The nearest template of each person counts. Distances beyond the reach are not kept, so that it stays small:
nearly all pairs of a face and a person are far apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.templates import Templates

_PAIRS = 2**25  # cosines in memory at once: 128 MB
_SLACK = 1e-4  # of a cosine in single precision; nearer pairs are computed in double precision

Near = tuple[float, int]  # distance, id of the template


class Nearness:
    """Holds the people near each face.

    Attributes:
        reach: largest distance that is kept.
        near: for each face, the distance and the template of each person near it, by name.
    """

    def __init__(self, reach: float) -> None:
        """Start without faces.

        Args:
            reach: largest distance that is kept, Euclidean between unit vectors.
        """
        self.reach = reach
        self.near: dict[int, dict[str, Near]] = {}
        self._faces: NDArray[np.int64] = np.empty(0, np.int64)
        self._vectors: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._names: dict[int, str] = {}  # of each template
        self._of: dict[str, dict[int, NDArray[np.float32]]] = {}  # name -> its templates
        self._holders: dict[str, set[int]] = {}  # name -> faces near which they are

    def follow(self, faces: Mapping[int, NDArray[np.float32]], templates: Templates) -> set[int]:
        """Update to the current faces and templates, and return the faces that changed.

        Args:
            faces: (dim,) float32 unit vectors by number; a face keeps its vector as long as it is the same
                array.
            templates: of everyone who is enrolled.
        """
        changed = self._lose_faces(faces)
        changed |= self._follow_templates(templates)
        changed |= self._add_faces(faces)
        return changed

    def _lose_faces(self, faces: Mapping[int, NDArray[np.float32]]) -> set[int]:
        kept = np.array([n in faces for n in self._faces.tolist()], bool)
        if kept.all():
            return set()
        gone = {*self._faces[~kept].tolist()}
        self._faces, self._vectors = self._faces[kept], self._vectors[kept]
        for face in gone:
            for name in self.near.pop(face):
                self._holders[name].discard(face)
        return gone

    def _add_faces(self, faces: Mapping[int, NDArray[np.float32]]) -> set[int]:
        new = [face for face in faces if face not in self.near]
        if not new:
            return set()
        vectors = np.stack([faces[face] for face in new]).astype(np.float32)
        for face in new:
            self.near[face] = {}
        numbers = np.array(new, np.int64)
        self._compare(self._of, numbers, vectors)
        self._faces = np.concatenate([self._faces, numbers])
        self._vectors = np.concatenate([self._vectors, vectors]) if len(self._vectors) else vectors
        return {*new}

    def _follow_templates(self, templates: Templates) -> set[int]:
        names = dict(zip(templates.ids.tolist(), templates.identities.tolist(), strict=True))
        if names == self._names:
            return set()
        gone: dict[str, set[int]] = {}
        for number, name in self._names.items():
            if names.get(number) != name:
                gone.setdefault(name, set()).add(number)
                del self._of[name][number]
        added: dict[str, dict[int, NDArray[np.float32]]] = {}
        for row, (number, name) in enumerate(names.items()):
            if self._names.get(number) != name:
                added.setdefault(name, {})[number] = templates.vectors[row]
        self._names = names
        changed = set()
        for name, numbers in gone.items():
            changed |= self._measure_again(name, numbers)
        for name, theirs in added.items():
            self._of.setdefault(name, {}).update(theirs)
        return changed | self._compare(added, self._faces, self._vectors)

    def _measure_again(self, name: str, gone: set[int]) -> set[int]:
        """Compute the distances of faces whose nearest template is gone to the remaining ones."""
        hit = {face for face in self._holders.get(name, ()) if self.near[face][name][1] in gone}
        for face in hit:
            del self.near[face][name]
            self._holders[name].discard(face)
        if not self._of[name]:
            del self._of[name]
        elif hit:
            rows = np.flatnonzero(np.isin(self._faces, [*hit]))
            self._compare({name: self._of[name]}, self._faces[rows], self._vectors[rows])
        return hit

    def _compare(
        self,
        people: Mapping[str, Mapping[int, NDArray[np.float32]]],
        faces: NDArray[np.int64],
        vectors: NDArray[np.float32],
    ) -> set[int]:
        """Find the faces near templates of people, and return them.

        Args:
            people: templates by name and id, each (dim,) float32.
            faces: (n,) int64 numbers.
            vectors: (n, dim) float32 of these faces.
        """
        if not len(faces) or not people:
            return set()
        names = [*people]
        numbers = np.array([number for theirs in people.values() for number in theirs], np.int64)
        templates = np.stack([vector for theirs in people.values() for vector in theirs.values()])
        ends = np.cumsum([len(theirs) for theirs in people.values()])
        starts = np.concatenate([[0], ends[:-1]])
        least = 1 - self.reach**2 / 2 - _SLACK
        changed = set()
        step = max(1, _PAIRS // len(templates))
        for start in range(0, len(faces), step):
            cosines = vectors[start : start + step] @ templates.T
            best = np.maximum.reduceat(cosines, starts, axis=1)
            for row, person in np.argwhere(best >= least).tolist():
                theirs = slice(starts[person], ends[person])
                near = cosines[row, theirs] >= best[row, person] - 2 * _SLACK
                away = vectors[start + row].astype(np.float64) - templates[theirs][near]
                distances = np.sqrt((away**2).sum(axis=1))
                nearest = int(distances.argmin())
                found = float(distances[nearest]), int(numbers[theirs][near][nearest])
                if self._note(int(faces[start + row]), names[person], found):
                    changed.add(int(faces[start + row]))
        return changed

    def _note(self, face: int, name: str, found: Near) -> bool:
        if found[0] > self.reach or found >= self.near[face].get(name, (np.inf, 0)):
            return False
        self.near[face][name] = found
        self._holders.setdefault(name, set()).add(face)
        return True
