"""Review the faces of a gallery's photo library: who they are, and what users decide about them.

It serves the command line and the web page: no method prints or asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder.errors import UnknownIdentityError, UsageError
from enroll.gallery.gallery import checked_name
from enroll.gallery.places import home_of, photo_file
from enroll.library import review
from enroll.library.enrolled import FaceTemplates, quality_problem
from enroll.library.grouping import Group, free_id, in_order
from enroll.library.known import Known
from enroll.library.regrouping import as_stored, held_groups, regrouped
from enroll.library.suggest import current_templates, near_someone, refused_names
from enroll.store.actor import current_actor
from enroll.store.library import SeenFace

if TYPE_CHECKING:
    from enroll.store import Store, Terms
    from enroll.store.library import LibraryStore, PhotoFile, SeenFace, SeenPhoto, Step


def library_of(store: Store) -> LibraryStore:
    """Return the library part of a gallery.

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
    """Reads and changes what is known of the faces of a photo library; later reads read only changes.

    Attributes:
        store: the gallery.
        rows: its part about the library.
        known: that part in memory.
        photos: by number.
        faces: by number; those past their last day and of another model are left out.
        stale: number of faces of another model than the gallery's: scan again.
        missing: number of photos that the last scan did not find any more.
        reviewed: the state after all decisions.
    """

    def __init__(self, store: Store, today: date | None = None) -> None:
        """Read the library.

        Args:
            store: the gallery.
            today: faces whose last day is before it are left out; None: the current day.

        Raises:
            UsageError: the gallery is no file.
            GalleryError: it cannot be read.
        """
        self.store, self.rows = store, library_of(store)
        self.known = Known(self.rows)
        self._templates = FaceTemplates(store, self.known)
        self._today = today
        self._seen: tuple[int, date] | None = None
        self._scanned: tuple[int, date] | None = None
        self._waiting: list[SeenFace] | None = None
        self._likely: dict[int, int] | None = None
        self._sorted: list[Group] | None = None
        self._ordered: dict[int, tuple[list[int], Group]] = {}
        self.read()

    def read(self) -> None:
        """Update to the changes of any process since the last read."""
        self.known.read()
        today = self._today or date.today()
        if self._seen == (self.known.version, today):
            return
        known = self.known
        self.photos, self.reviewed = known.photos, known.reviewed
        # Names come from the gallery: a person who was erased has no faces.
        names, people = self.reviewed.names, known.people
        self.names = {face: people[person] for face, person in names.items() if person in people}
        if self._scanned != (known.scanned, today):
            self._take_faces(today)
            self._scanned = known.scanned, today
        late = {number for number in self._late if number not in names}
        self.faces = self._all if not late else {n: face for n, face in self._all.items() if n not in late}
        self._waiting = self._likely = self._sorted = None
        self._seen = known.version, today

    def _take_faces(self, today: date) -> None:
        known = self.known
        self._there = {number for number, photo in known.photos.items() if photo.there}
        self._all = {
            number: face
            for number, face in known.faces.items()
            if face.model == known.model and face.photo in known.photos
        }
        self.stale = sum(face.model != known.model for face in known.faces.values())
        self.missing = len(known.photos) - len(self._there)
        self._late = [n for n, face in self._all.items() if face.expires is not None and face.expires < today]

    def path(self, face: SeenFace | SeenPhoto) -> Path:
        """Return the path of a photo, or of the photo of a face."""
        photo = self.photos[face.photo] if isinstance(face, SeenFace) else face
        return photo_file(photo.there or photo.files[0].path, home_of(self.store))

    def file(self, file: PhotoFile) -> Path:
        """Return the path of a file of a photo, which may be gone."""
        return photo_file(file.path, home_of(self.store))

    def when(self, photo: SeenPhoto) -> str:
        """Return when a photo was taken, else when its file was last changed: ISO 8601."""
        if photo.taken:
            return photo.taken
        modified = min(file.modified for file in photo.files) / 1e9
        return datetime.fromtimestamp(modified).isoformat(timespec="seconds")

    def quality_problem(self, face: SeenFace) -> str | None:
        """Return why a face is poor, None if it is good."""
        return quality_problem(face)

    def unknown(self) -> list[SeenFace]:
        """List the faces without a name, in photos that are there."""
        if self._waiting is None:
            there = self._there
            decided = self.reviewed.names.keys() | self.reviewed.ignored | self.reviewed.objects
            self._waiting = [
                face for number, face in self.faces.items() if number not in decided and face.photo in there
            ]
        return self._waiting

    # Groups

    def group(self, threshold: float, again: bool = False, naming: float | None = None) -> list[Group]:
        """Group the unknown faces; earlier groups stay and grow, unless `again`.

        Faces that would have joined a group that a user ignored are left out: see `probably_ignored`.

        Args:
            threshold: see `cluster.group_faces`.
            again: forget the earlier groups.
            naming: largest distance at which a name is given; faces so near to a person are not left out.
                None: the threshold.

        Returns:
            All groups, the largest first, faces that are alone last.
        """
        while True:
            self.read()
            said = self._group_state()
            before = {face.number: self.group_of(face.number) for face in self.unknown()}
            held = held_groups(self.known.groups, self.reviewed.ignored, {*before.values()})
            groups, likely = regrouped(
                self.unknown(),
                [face for number, face in self.faces.items() if self.state(number) == "ignored"],
                self.reviewed,
                {face: group for face, group in before.items() if group is not None and not again},
                held,
                threshold,
                lambda faces: self._near_someone(faces, threshold if naming is None else naming),
            )
            with self._together():
                self.known.read()
                if self._group_state() == said:  # otherwise another process decided about groups
                    self.rows.set_groups(held | as_stored(groups, likely))
                    break
        self.read()
        return groups

    def _group_state(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return list(self.known.reviewed.together), list(self.known.reviewed.apart)

    def _near_someone(self, faces: Sequence[SeenFace], threshold: float) -> set[int]:
        templates = current_templates(self.store, self._today or date.today())
        return near_someone(faces, templates, threshold, refused_names(faces, self.reviewed, self.people()))

    def groups(self) -> list[Group]:
        """Return the groups as they were last made, without faces that have got a name."""
        if self._sorted is None:
            members: dict[int, list[int]] = {}
            for face in self.unknown():
                if (group := self.group_of(face.number)) is not None:
                    members.setdefault(group, []).append(face.number)
            self._ordered = in_order(members, self.faces, self._ordered)
            found = [group for _, group in self._ordered.values()]
            self._sorted = sorted(found, key=lambda group: (-len(group.faces), group.id))
        return self._sorted

    def group_of(self, face: int) -> int | None:
        """Return the number of the group that a face waits in, also after being left out; None for none."""
        known = self.known
        if (group := known.groups.get(face)) is not None or face not in known.likely:
            return group
        return None if face in self.probably_ignored() else known.groups.get(known.likely[face])

    def probably_ignored(self) -> dict[int, int]:
        """Return the waiting faces that groups leave out, each with the ignored face that it is like.

        Decisions about either count at once: no face is left out for one that is not ignored any more.
        """
        if self._likely is None:
            ignored = self.reviewed.ignored & self.faces.keys()
            likely = {face: like for face, like in self.known.likely.items() if like in ignored}
            waiting = {face.number for face in self.unknown()} - self.reviewed.kept if likely else ()
            self._likely = {face: like for face, like in likely.items() if face in waiting}
        return self._likely

    def state(self, face: int) -> review.State:
        """Return the state of a face."""
        return "probably-ignored" if face in self.probably_ignored() else self.reviewed.state(face)

    # Decisions

    def confirm(
        self,
        name: str,
        faces: Sequence[int],
        terms: Terms | None = None,
        source: str = review.USER,
        new: Sequence[SeenFace] = (),
    ) -> int:
        """Assign faces to a person. Good ones become templates; a new person is enrolled.

        Args:
            name: of the person.
            faces: numbers.
            terms: of the person; None leaves them.
            source: who assigned them: `USER` or `IMPORTED` of `enroll.library.review`.
            new: faces that were not known, as another program marked them.

        Returns:
            Number of templates that were added. If the person is new and all faces are poor, the best one is
            enrolled.

        Raises:
            UsageError: a name that cannot be stored, or no such face.
        """
        name = checked_name(name)
        if not faces and not new:
            raise UsageError("confirm: expected faces or groups, got none")
        with self._together():
            self.read()  # another process may have erased faces, or embedded them by another model
            chosen = [*self._chosen(faces), *new]
            added = self._templates.enroll(name, chosen, terms)
            person = self.rows.person(name)
            assert person is not None
            numbers = [face.number for face in chosen if face.number]
            self._decide({"do": review.CONFIRM, "faces": numbers, "person": person, "source": source}, new)
        self.read()
        return added

    def reject(self, name: str, faces: Sequence[int]) -> int:
        """Refuse a name for faces, so that it is never suggested again; return the number of the step."""
        person = self.number_of(name)
        chosen = [face.number for face in self._chosen(faces)]
        return self._step({"do": review.REJECT, "faces": chosen, "person": person})

    def mark(self, action: str, faces: Sequence[int]) -> int:
        """Ignore faces, mark them as no faces, or make them unknown again; return the number of the step."""
        return self._step({"do": action, "faces": [face.number for face in self._chosen(faces)]})

    def join(self, faces: Sequence[int]) -> int:
        """Mark unknown faces as one person; return the number of the step.

        They are in one group from now on, unless two of them are in one photo.
        """
        chosen = self._chosen(faces)
        content = {"do": review.TOGETHER, "faces": [face.number for face in chosen]}
        groups = [group for face in chosen if (group := self.group_of(face.number)) is not None]
        if not groups or len({face.photo for face in chosen}) < len(chosen):
            return self._step(content)
        largest = max(sorted(set(groups)), key=groups.count)
        return self._step(content, {face.number: largest for face in chosen})

    def part(self, faces: Sequence[int], others: Sequence[int]) -> int:
        """Mark faces as another person than others; return the number of the step."""
        content = {"do": review.APART, "faces": list(faces), "others": [n for n in others if n not in faces]}
        grouped = [face for face in faces if self.group_of(face) is not None]
        return self._step(content, dict.fromkeys(grouped, free_id(grouped, self.known.groups)))

    def merge(self, kept: str, other: str) -> int:
        """Join two people who are one, and return the number of templates moved; `undo` separates them."""
        moved = self.store.merge_people(checked_name(kept), checked_name(other))
        self.read()
        return moved

    def undo(self) -> str | None:
        """Take back the last step, and return its description, None if there is none."""
        self.read()
        if not self.reviewed.open:
            return None
        step = self.reviewed.open[-1]
        said = self.describe(step)
        content: dict[str, Any] = {"do": review.UNDO, "of": step.number}
        before = dict(step.content.get("groups", ()))
        with self._together():
            if step.content["do"] == review.MERGE:
                content |= {
                    "other": step.content["other"],
                    "person": self._templates.take_apart(step.content),
                }
            self._decide(
                content, groups={face: group for face, group in before.items() if face in self.faces}
            )
        self.read()
        return said

    def describe(self, step: Step) -> str:
        """Describe a step in one line."""
        people = self.people()
        merged = {old: people.get(self.reviewed.person(old), "") for old in self.reviewed.merged}
        return review.describe(step.content, {**merged, **people})

    def people(self) -> dict[int, str]:
        """Return the names of everyone who is enrolled, by id."""
        return self.known.people

    def _step(self, content: dict[str, Any], groups: Mapping[int, int | None] | None = None) -> int:
        with self._together():
            number = self._decide(content, groups=groups)
        self.read()
        return number

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Change the gallery in one transaction; a rollback also restores what is in memory."""
        try:
            with self.store.together():
                yield
        except BaseException:
            self.known.forget()
            raise

    def _decide(
        self,
        content: dict[str, Any],
        new: Sequence[SeenFace] = (),
        groups: Mapping[int, int | None] | None = None,
    ) -> int:
        """Write a step, and update names, groups and templates, inside a transaction.

        Args:
            content: of the step.
            new: faces that were not known before.
            groups: new groups of faces.
        """
        known = self.known
        known.read()  # apply the decisions of others first
        before = known.reviewed.names
        content["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        if actor := current_actor():
            content["by"] = actor
        if groups and content["do"] != review.UNDO:
            content["groups"] = [[face, known.grouped.get(face)] for face in groups]
        number = self.rows.decide(content, new)
        known.read()
        if groups:
            known.group(groups)
        one_by_one = content["do"] != review.UNDO and not new
        about = content.get("faces", ()) if one_by_one else {*before, *known.decided}
        changed: dict[int, int | None] = {}
        for face in about:
            person = known.decided.get(face)
            person = person if person in known.people else None
            if face in known.faces and before.get(face) != person:
                changed[face] = person
        if changed:
            known.name(changed)
            self._templates.follow(changed)
        return number

    def _chosen(self, faces: Sequence[int]) -> list[SeenFace]:
        missing = [number for number in faces if number not in self.faces]
        if missing:
            raise UsageError(f"f{missing[0]}: no such face; see `embed library groups`")
        return [self.faces[number] for number in dict.fromkeys(faces)]

    def number_of(self, name: str) -> int:
        """Return the id of a person.

        Raises:
            UnknownIdentityError: no one is enrolled by that name.
        """
        person = self.rows.person(checked_name(name))
        if person is None:
            raise UnknownIdentityError(f"{name!r}: no one is enrolled by that name; see `embed gallery list`")
        return person
