"""Keep the library part of a gallery in memory, and read only what changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from enroll.library import review

if TYPE_CHECKING:
    from enroll.store.library import Changes, LibraryStore, SeenFace, SeenPhoto, Step


class Known:
    """Holds the rows of a library; rows that this process writes are not read again.

    Attributes:
        rows: where they are kept.
        version: increases with any change.
        scanned: increases when photos, faces or the model change.
        model: fingerprint of the gallery's model, "" without one.
        photos: by number.
        faces: by number, all of them.
        steps: all decisions, oldest first.
        reviewed: the state after them; `names` as the gallery has them.
        decided: names by the decisions alone, also of people who were erased since.
        grouped: stored groups: see `LibraryStore.groups`.
        groups: number of the group of each face that is in one.
        likely: number of the ignored face that a face was like when faces were grouped.
        people: names of everyone who is enrolled, by id.
    """

    def __init__(self, rows: LibraryStore) -> None:
        """Start empty; see `read`."""
        self.rows, self.version, self.scanned, self.model = rows, 0, 0, ""
        self.photos: dict[int, SeenPhoto] = {}
        self.faces: dict[int, SeenFace] = {}
        self.steps: list[Step] = []
        self.reviewed = review.Reviewed()
        self.decided: dict[int, int] = {}
        self.grouped: dict[int, int] = {}
        self.groups: dict[int, int] = {}
        self.likely: dict[int, int] = {}
        self.people: dict[int, str] = {}
        self._names: dict[int, int] = {}
        self._state: dict[str, tuple[int, ...]] | None = None

    def read(self) -> bool:
        """Read what changed, and return whether anything did."""
        found = self.rows.changes(self._state)
        if found.state == self._state:
            return False
        self.version += 1
        self.scanned += found.photos is not None or found.faces is not None or found.model != self.model
        self._state, self.model = dict(found.state), found.model
        if found.photos is not None:
            new_photos = {photo.number: photo for photo in found.photos}
            self.photos = self.photos | new_photos if "photo" in found.grown else new_photos
        if found.faces is not None:
            new_faces = {face.number: face for face in found.faces}
            self.faces = self.faces | new_faces if "face" in found.grown else new_faces
        self._names = self._names if found.names is None else found.names
        if found.groups is not None:
            self._take_groups(found.groups)
        self.people = self.people if found.people is None else found.people
        self._decide(found)
        self.reviewed.names = self._names
        return True

    def _decide(self, found: Changes) -> None:
        """Apply the decisions that are new."""
        if found.steps is None:
            return
        grown = "step" in found.grown
        self.steps = self.steps + found.steps if grown else found.steps
        self.reviewed.names = self.decided
        if not grown or not all(review.follow(self.reviewed, step) for step in found.steps):
            self.reviewed = review.reviewed(self.steps)
        self.decided = self.reviewed.names

    def name(self, names: Mapping[int, int | None]) -> None:
        """Write the ids of the people of faces, None for no one."""
        self.rows.set_names(names)
        self._names = _changed(self._names, names)
        self.reviewed.names = self._names
        self._wrote("named")

    def group(self, groups: Mapping[int, int | None]) -> None:
        """Write the groups of faces, as they are stored; None for none."""
        self.rows.move_groups(groups)
        self._take_groups(_changed(self.grouped, groups))
        self._wrote("grouped")

    def _take_groups(self, grouped: dict[int, int]) -> None:
        self.grouped = grouped
        self.groups = {face: group for face, group in grouped.items() if group > 0}
        self.likely = {face: -group for face, group in grouped.items() if group < 0}

    def _wrote(self, table: str) -> None:
        """Mark a table as up to date in memory after writing it."""
        if self._state is not None:
            self._state[table] = self.rows.state()[table]
        self.version += 1

    def forget(self) -> None:
        """Read everything the next time, because a change was rolled back."""
        self._state = None


def _changed(old: Mapping[int, int], new: Mapping[int, int | None]) -> dict[int, int]:
    kept = {face: value for face, value in old.items() if face not in new}
    return kept | {face: value for face, value in new.items() if value is not None}
