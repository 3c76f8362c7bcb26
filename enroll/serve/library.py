"""Review the photo library of a gallery for requests: its faces, and decisions about them.

All of it runs in a thread of the engine. The library stays in memory and follows the changes of any process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from embedder.errors import UsageError
from enroll.gallery.gallery import checked_name
from enroll.library import review
from enroll.library.face_pictures import place_of
from enroll.library.find import sightings
from enroll.library.grouping import usual_threshold
from enroll.library.people import Library
from enroll.library.suggesting import Asked, FollowedTemplates, GroupName, Suggester
from enroll.serve.engine import Options
from enroll.serve.limits import retry_after
from enroll.serve.problems import ProblemError
from enroll.serve.scanned import Crops, whole
from enroll.store.actor import acting

if TYPE_CHECKING:
    from enroll.library.face_pictures import FacePlace
    from enroll.library.find import Sighting
    from enroll.library.grouping import Group
    from enroll.library.suggest import Suggestion
    from enroll.serve.access import Access, Caller
    from enroll.serve.engine import Engine
    from enroll.store import Terms
    from enroll.store.library import Step

_PATIENCE = 2.0  # seconds that suggestions are waited for while another request works them out


@dataclass(frozen=True)
class Chosen:
    """Holds the faces that a decision is about.

    Attributes:
        faces: numbers.
        groups: numbers of groups, whose faces are included.
        left_out: numbers of faces of these groups that are not included.
    """

    faces: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


class Reviewing:
    """Lends a library to one thread after another."""

    def __init__(self, engine: Engine, access: Access) -> None:
        self._engine, self._access = engine, access
        self._library: Library | None = None
        self._templates: FollowedTemplates | None = None
        self._suggester = Suggester()
        self._lock, self._suggesting = threading.RLock(), threading.Lock()
        self._crops = Crops()

    @contextmanager
    def reading(self) -> Iterator[Library]:
        """Lend the current library to this thread alone.

        Raises:
            UsageError: the gallery is no file.
        """
        with self._lock:
            if self._library is None:
                self._library = Library(self._engine.session().store)
            else:
                self._library.read()
            yield self._library

    def threshold(self) -> float:
        """Return the largest distance at which a name is given, as for identify."""
        return self._engine.session().identifier(Options()).threshold

    def suggestions(self) -> dict[int, Suggestion]:
        """Suggest names for all unknown faces, by number.

        Raises:
            ProblemError: another request is computing them for the first time.
        """
        with self._followed() as suggester:
            return dict(suggester.suggested)

    def names_of(self, groups: Sequence[Sequence[int]], most: int) -> list[list[GroupName]]:
        """Suggest names for whole groups of unknown faces, the most likely first.

        Args:
            groups: numbers of faces.
            most: largest number of names per group.

        Raises:
            ProblemError: another request is computing them for the first time.
        """
        if not most:
            return [[] for _ in groups]
        with self._followed() as suggester:
            return suggester.names_of(groups, most)

    @contextmanager
    def _followed(self) -> Iterator[Suggester]:
        threshold, store = self.threshold(), self._engine.session().store
        if not self._suggesting.acquire(timeout=_PATIENCE):
            raise ProblemError("busy", "suggestions are being worked out", retry_after(_PATIENCE))
        try:
            with self.reading() as library:
                asked = Asked.of(library)
            self._templates = self._templates or FollowedTemplates(store)
            gone = store.expired(date.today())
            self._suggester.follow(asked, self._templates.read(), threshold, gone=gone)
            yield self._suggester
        finally:
            self._suggesting.release()

    def photos_of(self, name: str, confirmed: bool) -> list[Sighting]:
        """List the photos of a person, by date.

        Args:
            name: of the person.
            confirmed: leave out suggestions.

        Raises:
            UnknownIdentityError: no such name.
        """
        name = checked_name(name)
        suggested = {} if confirmed else self.suggestions()
        threshold = None if confirmed else self.threshold()
        with self.reading() as library:
            library.number_of(name)
            there = {face: one for face, one in suggested.items() if face in library.faces}
            return sightings(library, threshold, name=name, suggested=there)

    def group(self, again: bool) -> dict[str, int]:
        """Group the unknown faces that are in no group yet, and return how many there are of each kind.

        Args:
            again: forget the earlier groups.

        Raises:
            UsageError: nothing is known of the model's distances.
        """
        threshold = usual_threshold(self._engine.extractor.manifest.strangers)
        if threshold is None:
            raise UsageError(
                "nothing is known of the model's distances between strangers; `embed library groups "
                "--threshold` groups faces"
            )
        library = Library(self._engine.session().store)  # this takes long: outside of the lock
        groups = library.group(threshold, again, self._naming(library))
        return {
            "groups": len(groups),
            "faces": sum(len(group.faces) for group in groups),
            "probably_ignored": len(library.probably_ignored()),
        }

    def _naming(self, library: Library) -> float | None:
        return self.threshold() if library.reviewed.ignored else None

    # Decisions

    def decide(
        self, do: str, chosen: Chosen, name: str | None, terms: Terms | None, caller: Caller
    ) -> tuple[str, int]:
        """Decide about faces.

        Args:
            do: confirm, reject, ignore, not-a-face, unknown, merge or split.
            chosen: faces and groups.
            name: of the person, for confirm and reject.
            terms: of the person, for confirm.
            caller: who decides. Taking a face from someone who is enrolled needs the scope administer.

        Returns:
            A description, and the number of templates that were added.

        Raises:
            UsageError: it cannot be decided so.
            UnknownIdentityError: no one is enrolled by that name.
            ProblemError: no such face, too small a scope, or it contradicts an earlier decision.
        """
        with self.reading() as library, acting(caller.journal):
            faces = self._chosen(library, chosen)
            kept = checked_name(_needed(name, do)) if do == review.CONFIRM else None
            if any(library.names.get(face) not in (None, kept) for face in faces):
                self._access.check(caller, "administer")
            added = 0
            if do == review.CONFIRM:
                added = library.confirm(_needed(name, do), faces, terms)
            elif do == review.REJECT:
                library.reject(_needed(name, do), faces)
            elif do == "merge":
                self._merge(library, faces)
            elif do == "split":
                self._split(library, faces)
            else:
                library.mark(do, faces)
            return library.describe(library.reviewed.open[-1]), added

    def _merge(self, library: Library, faces: Sequence[int]) -> None:
        photos: dict[int, int] = {}
        for number in faces:
            if not library.reviewed.is_unknown(number):
                raise UsageError(f"merge: expected unknown faces, got face {number}, which is decided about")
            if (photo := library.faces[number].photo) in photos:
                both = f"faces {photos[photo]} and {number} are in one photo"
                raise ProblemError("conflict", f"{both}, so they are two people; leave one of them out")
            photos[photo] = number
        if len(faces) < 2:
            raise UsageError("merge: expected two faces or groups, got one")
        library.join(faces)

    def _split(self, library: Library, faces: Sequence[int]) -> None:
        groups = {library.known.groups.get(face) for face in faces}
        members = [group.faces for group in library.groups() if group.id in groups]
        if len(groups) != 1 or len(members) != 1 or not {*faces} < {*members[0]}:
            raise UsageError("split: expected some, not all, of the faces of one group")
        library.part(faces, [face for face in members[0] if face not in {*faces}])

    def undo(self, steps: int, caller: Caller) -> list[str]:
        """Take decisions back, the last first, and return their descriptions.

        Those of another caller, and merges of two people, need the scope administer.

        Args:
            steps: number of decisions.
            caller: who undoes them.

        Raises:
            ProblemError: too small a scope.
        """
        done: list[str] = []
        with self.reading() as library, acting(caller.journal):
            for _ in range(steps):
                if not library.reviewed.open:
                    break
                content = library.reviewed.open[-1].content
                if content["do"] == review.MERGE or content.get("by") != caller.journal:
                    self._access.check(caller, "administer")
                done.append(library.undo() or "")
        return done

    def _chosen(self, library: Library, chosen: Chosen) -> list[int]:
        found: dict[int, None] = {}
        if chosen.groups:
            members = {group.id: group.faces for group in library.groups()}
            for number in chosen.groups:
                if number not in members:
                    raise ProblemError("unknown-face", f"group {number}: none of that number")
                found |= dict.fromkeys(members[number])
        found |= dict.fromkeys(chosen.faces)
        faces = [number for number in found if number not in chosen.left_out]
        for number in faces:
            self.check_face(library, number)
        if not faces:
            raise UsageError("expected faces or groups, got none")
        return faces

    # Pictures

    def crop(self, number: int) -> bytes:
        """Return a face as a JPEG file.

        Raises:
            ProblemError: no such face, or its photo cannot be shown.
        """
        return self._crops.crop(self._place(number))

    def photo(self, number: int) -> bytes:
        """Return the photo of a face as a JPEG file.

        Raises:
            ProblemError: no such face, or its photo cannot be shown.
        """
        return whole(self._place(number))

    def _place(self, number: int) -> FacePlace:
        with self.reading() as library:
            self.check_face(library, number)
            return place_of(library, number)

    @staticmethod
    def check_face(library: Library, number: int) -> None:
        """Check that a number is a face's.

        Raises:
            ProblemError: there is none.
        """
        if number not in library.faces:
            raise ProblemError("unknown-face", f"face {number}: none of that number")


def last_step(library: Library) -> Step | None:
    """Return the decision that undo would take back."""
    return library.reviewed.open[-1] if library.reviewed.open else None


def group_of(library: Library, number: int) -> Group:
    """Return a group.

    Raises:
        ProblemError: there is none of that number.
    """
    for group in library.groups():
        if group.id == number:
            return group
    raise ProblemError("unknown-face", f"group {number}: none of that number")


def _needed(name: str | None, do: str) -> str:
    if name is None:
        raise UsageError(f"{do}: expected a name, got none")
    return name
