"""The photo library of a gallery: its faces, who they are, what people decide about them.

What the command line does, and the web page: no method prints or asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.config import QualityLimits
from embedder.errors import GalleryError, UnknownIdentityError, UsageError
from embedder.faces.quality import Quality, problem
from enroll.gallery.gallery import checked_name
from enroll.gallery.places import home_of, photo_file, with_box
from enroll.library import review
from enroll.library.cluster import group_faces
from enroll.library.grouping import Group, group_ids, odd_first, places_of, rows_of
from enroll.store import Terms
from enroll.store.library import SeenFace
from enroll.templates import NewTemplate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store import Store
    from enroll.store.library import LibraryStore, SeenFace, SeenPhoto, Step


def library_of(store: Store) -> LibraryStore:
    """Give the library part of a gallery.

    Raises:
        UsageError: the gallery is no file.
    """
    from enroll.store.sqlite.store import SqliteStore

    if not isinstance(store, SqliteStore):
        raise UsageError(
            f"{store.location}: a photo library is kept in a gallery that is a file; name one by --gallery"
        )
    return store.library()


class Library:
    """Reads and changes what is known of the faces of a photo library.

    It is read once; methods that decide something read it again.

    Attributes:
        photos: by number.
        faces: by number; those past their last day and of another model are left out.
        stale: faces of another model than the gallery's: scan again.
        reviewed: what people decided.
    """

    def __init__(self, store: Store, today: date | None = None) -> None:
        """Read it.

        Raises:
            UsageError: the gallery is no file.
            GalleryError: it cannot be read.
        """
        self.store, self.rows = store, library_of(store)
        self._today = today or date.today()
        self.read()

    def read(self) -> None:
        """Read it again."""
        model = (self.store.model() or ("", 0))[0]
        self.photos = {photo.number: photo for photo in self.rows.photos()}
        self.reviewed = review.reviewed(self.rows.steps())
        named = self.rows.names()
        # What the gallery says counts: a person who was erased has no faces.
        self.reviewed.names = {face: person for face, (person, _) in named.items()}
        self.names = {face: name for face, (_, name) in named.items()}
        everything = self.rows.faces()
        self.stale = sum(face.model != model for face in everything)
        self.faces = {
            face.number: face
            for face in everything
            if face.model == model
            and face.photo in self.photos
            and (face.number in named or face.expires is None or face.expires >= self._today)
        }

    def path(self, face: SeenFace | SeenPhoto) -> Path:
        """Give where a photo lies, or the photo of a face."""
        photo = self.photos[face.photo] if isinstance(face, SeenFace) else face
        return photo_file(photo.there or photo.files[0].path, home_of(self.store))

    def when(self, photo: SeenPhoto) -> str:
        """Give when a photo was taken, else when its file was last changed: ISO 8601."""
        if photo.taken:
            return photo.taken
        modified = min(file.modified for file in photo.files) / 1e9
        return datetime.fromtimestamp(modified).isoformat(timespec="seconds")

    def quality_problem(self, face: SeenFace) -> str | None:
        """Say why a face is poor, None if it is good."""
        if not face.quality:
            return None
        try:
            quality = Quality(**face.quality)
        except TypeError as error:
            raise GalleryError(
                f"{self.store.location}: broken: face f{face.number} has other figures of quality than are "
                "known; restore a copy"
            ) from error
        return problem(quality, QualityLimits())

    def unknown(self) -> list[SeenFace]:
        """Give the faces that wait for a name, in photos that are there."""
        return [
            face
            for face in self.faces.values()
            if self.reviewed.is_unknown(face.number) and self.photos[face.photo].there
        ]

    # Groups

    def group(self, threshold: float, again: bool = False) -> list[Group]:
        """Group the unknown faces; groups that were given before stay and grow, unless `again`.

        Args:
            threshold: see `cluster.group_faces`.
            again: forget the groups of before.

        Returns:
            All groups, the largest first, faces that are alone last.
        """
        faces = self.unknown()
        if not faces:
            self.rows.set_groups({})
            return []
        row = {face.number: index for index, face in enumerate(faces)}
        stored = {} if again else self.rows.groups()
        before = np.array([stored.get(face.number, -1) for face in faces])
        sizes = dict(zip(*np.unique(before, return_counts=True), strict=True))
        before[[sizes[group] == 1 for group in before]] = -1  # who was alone is free
        places, at_once = places_of(faces)
        labels = group_faces(
            np.stack([face.vector for face in faces]),
            threshold,
            places,
            np.array([self.quality_problem(face) is None for face in faces]),
            self._without_parted(before, row),
            rows_of(self.reviewed.together, row),
            [*rows_of(self.reviewed.apart, row), *at_once],
        )
        members: dict[int, list[SeenFace]] = {}
        for face, label in zip(faces, labels.tolist(), strict=True):
            members.setdefault(label, []).append(face)
        ids = group_ids([[face.number for face in group] for _, group in sorted(members.items())], stored)
        groups = [
            Group(number, odd_first(group))
            for number, (_, group) in zip(ids, sorted(members.items()), strict=True)
        ]
        self.rows.set_groups({face: group.id for group in groups for face in group.faces})
        return groups

    def _without_parted(self, before: NDArray[np.integer], row: Mapping[int, int]) -> NDArray[np.integer]:
        """Let the groups go in which faces are that someone has parted since."""
        before = before.copy()
        for one, other in rows_of(self.reviewed.apart, row):
            if before[one] == before[other] >= 0:
                before[before == before[one]] = -1
        return before

    def groups(self) -> list[Group]:
        """Give the groups as they were last made, without faces that have a name by now."""
        members: dict[int, list[SeenFace]] = {}
        waiting = {face.number: face for face in self.unknown()}
        for number, group in self.rows.groups().items():
            if number in waiting:
                members.setdefault(group, []).append(waiting[number])
        groups = [Group(number, odd_first(faces)) for number, faces in members.items()]
        return sorted(groups, key=lambda group: (-len(group.faces), group.id))

    # Decisions

    def confirm(
        self,
        name: str,
        faces: Sequence[int],
        terms: Terms | None = None,
        source: str = review.USER,
        new: Sequence[SeenFace] = (),
    ) -> int:
        """Say who faces are. Good ones become templates of the person, who is enrolled if they are new.

        Args:
            name: of the person.
            faces: numbers.
            terms: of the person; None leaves them.
            source: who says so.
            new: faces that were not known, as a program of another maker marked them.

        Returns:
            How many templates were added. Of a new person of whom there are only poor faces, the best one
            is taken.

        Raises:
            UsageError: a name that cannot be stored, or no such face.
        """
        name = checked_name(name)
        chosen = [*self._chosen(faces), *new]
        if not chosen:
            raise UsageError("confirm: expected faces or groups, got none")
        templates = [self._template(face) for face in chosen if self.quality_problem(face) is None]
        known = self.rows.person(name) is not None
        if not templates and not known:
            templates = [self._template(max(chosen, key=_size))]
        with self.store.together():
            added = 0
            fresh = self._free(templates, name)
            if not fresh and not known:  # all are someone else's by now
                self._release(chosen)
                fresh = templates
            if fresh:
                added = self.store.add(name, fresh, terms)
            person = self.rows.person(name)
            assert person is not None
            numbers = [face.number for face in chosen if face.number]
            self._decide({"do": review.CONFIRM, "faces": numbers, "person": person, "source": source}, new)
        self.read()
        return added

    def reject(self, name: str, faces: Sequence[int]) -> int:
        """Say who faces are not: it is never suggested again. Gives the number of the step."""
        person = self._person(name)
        chosen = [face.number for face in self._chosen(faces)]
        return self._step({"do": review.REJECT, "faces": chosen, "person": person})

    def mark(self, action: str, faces: Sequence[int]) -> int:
        """Ignore faces, say that they are none, or make them unknown again; gives the number of the step."""
        return self._step({"do": action, "faces": [face.number for face in self._chosen(faces)]})

    def join(self, faces: Sequence[int]) -> int:
        """Say that unknown faces are one person; gives the number of the step."""
        return self._step({"do": review.TOGETHER, "faces": [face.number for face in self._chosen(faces)]})

    def part(self, faces: Sequence[int], others: Sequence[int]) -> int:
        """Say that faces are not the person that others are; gives the number of the step."""
        content = {"do": review.APART, "faces": list(faces), "others": [n for n in others if n not in faces]}
        return self._step(content)

    def merge(self, kept: str, other: str) -> int:
        """Join two people who are one; gives how many templates went over. `undo` takes them apart again."""
        moved = self.store.merge_people(checked_name(kept), checked_name(other))
        self.read()
        return moved

    def undo(self) -> str | None:
        """Take the last step back; gives what that was, None if there is none."""
        self.read()
        if not self.reviewed.open:
            return None
        step = self.reviewed.open[-1]
        said = self.in_words(step)
        content: dict[str, Any] = {"do": review.UNDO, "of": step.number}
        with self.store.together():
            if step.content["do"] == review.MERGE:
                content |= {"other": step.content["other"], "person": self._take_apart(step.content)}
            self._decide(content)
        self.read()
        return said

    def in_words(self, step: Step) -> str:
        """Say what a step decided, in one line."""
        people = self.people()
        merged = {old: people.get(self.reviewed.person(old), "") for old in self.reviewed.merged}
        return review.in_words(step.content, {**merged, **people})

    def people(self) -> dict[int, str]:
        """Give the names of everyone who is enrolled, by id."""
        return self.rows.people()

    def _step(self, content: dict[str, Any]) -> int:
        with self.store.together():
            number = self._decide(content)
        self.read()
        return number

    def _decide(self, content: dict[str, Any], new: Sequence[SeenFace] = ()) -> int:
        """Write a step, and bring names and templates to what follows from it, inside a transaction."""
        before = {face: person for face, (person, _) in self.rows.names().items()}
        content["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        number = self.rows.decide(content, new)
        steps = self.rows.steps()
        people = self.people()
        after = {f: p for f, p in review.reviewed(steps).names.items() if p in people}
        there = {face.number: face for face in self.rows.faces()}
        changed: dict[int, int | None] = {
            face: after.get(face)
            for face in {*before, *after}
            if face in there and before.get(face) != after.get(face)
        }
        if not changed:
            return number
        self.rows.set_names(changed)
        self._follow(changed, there, people)
        return number

    def _follow(
        self, changed: Mapping[int, int | None], there: Mapping[int, SeenFace], people: Mapping[int, str]
    ) -> None:
        """Let the templates of faces be those of the people they are of now."""
        for face, person in changed.items():
            template = self._template(there[face])
            (owner,) = self.store.owners([template.digest])
            name = people.get(person) if person is not None else None
            if owner is not None and owner != name:
                self._drop(owner, template.digest, there)
                owner = None
            if name is not None and owner is None and self.quality_problem(there[face]) is None:
                self.store.add(name, [template])

    def _drop(self, owner: str, digest: bytes, there: Mapping[int, SeenFace]) -> None:
        """Drop a template; of someone who has no other one but poor faces, the best of these becomes one."""
        stored = self.store.stored(owner)
        if len(stored) == 1:
            rest = [there[face] for face, (_, name) in self.rows.names().items() if name == owner]
            if rest:
                best = max(rest, key=_size)
                self.store.add(owner, [self._template(best)])
        self.store.drop([entry.id for entry in stored if entry.digest == digest])

    def _release(self, faces: Sequence[SeenFace]) -> None:
        """Take faces, and their templates, from whoever has them."""
        self.rows.set_names({face.number: None for face in faces if face.number})
        there = {face.number: face for face in self.rows.faces()}
        for face in faces:
            (owner,) = self.store.owners([face.key])
            if owner is not None:
                self._drop(owner, face.key, there)

    def _take_apart(self, content: Mapping[str, Any]) -> int:
        """Enroll someone again who was merged into another, with the templates that were theirs."""
        people = self.people()
        kept, name = people.get(content["kept"]), content["name"]
        digests = {bytes.fromhex(digest) for digest in content["digests"]}
        if kept is None:
            raise UsageError("undo: the person of that merge was removed since")
        theirs = [stored for stored in self.store.stored(kept) if stored.digest in digests]
        if not theirs:
            raise UsageError(f"undo: no photo of {name} is left with {kept}")
        consent, given, expires = content["terms"]
        terms = Terms(consent, given and date.fromisoformat(given), expires and date.fromisoformat(expires))
        self.store.drop([stored.id for stored in theirs])
        self.store.add(name, [NewTemplate(s.photo, s.digest, s.vector) for s in theirs], terms)
        person = self.rows.person(name)
        assert person is not None
        return person

    def _chosen(self, faces: Sequence[int]) -> list[SeenFace]:
        missing = [number for number in faces if number not in self.faces]
        if missing:
            raise UsageError(f"f{missing[0]}: no such face; see `embed library groups`")
        return [self.faces[number] for number in dict.fromkeys(faces)]

    def _person(self, name: str) -> int:
        person = self.rows.person(checked_name(name))
        if person is None:
            raise UnknownIdentityError(f"{name!r}: no one is enrolled by that name; see `embed gallery list`")
        return person

    def _template(self, face: SeenFace) -> NewTemplate:
        """Give a face as a template: its picture is a part of the photo, so it has a digest of its own."""
        photo = self.photos[face.photo]
        path = photo.there or photo.files[0].path
        return NewTemplate(with_box(path, face.box, face.seconds), face.key, face.vector)

    def _free(self, templates: Sequence[NewTemplate], name: str) -> list[NewTemplate]:
        """Leave out what is the person's already, also as a photo of theirs that was enrolled whole."""
        owners = self.store.owners([template.digest for template in templates])
        return [template for template, owner in zip(templates, owners, strict=True) if owner in (None, name)]


def _size(face: SeenFace) -> tuple[float, int]:
    return face.quality.get("size", 0.0), -face.number
