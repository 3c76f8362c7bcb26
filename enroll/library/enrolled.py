"""Keep the templates of a gallery in step with decisions about faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from embedder.config import QualityLimits
from embedder.errors import GalleryError, UsageError
from embedder.faces.quality import Quality, rejection_reason
from enroll.gallery.places import with_box
from enroll.store import Terms
from enroll.templates import NewTemplate

if TYPE_CHECKING:
    from enroll.library.known import Known
    from enroll.store import Store
    from enroll.store.library import SeenFace


def quality_problem(face: SeenFace) -> str | None:
    """Return why a face is poor, None if it is good.

    Raises:
        GalleryError: its quality measures are unknown ones.
    """
    if not face.quality:
        return None
    try:
        quality = Quality(**face.quality)
    except TypeError as error:
        raise GalleryError(
            f"broken: face f{face.number} of the library has other figures of quality than are known; "
            "restore a copy"
        ) from error
    return rejection_reason(quality, QualityLimits())


class FaceTemplates:
    """Changes the templates that are faces of a library, inside a transaction of the store."""

    def __init__(self, store: Store, known: Known) -> None:
        self._store, self._known = store, known

    def enroll(self, name: str, faces: Sequence[SeenFace], terms: Terms | None) -> int:
        """Enroll the good ones of some faces for a person, new or known.

        If the person is new and all faces are poor, the best one is enrolled.

        Args:
            name: of the person.
            faces: of the library.
            terms: consent and last day; None leaves those there.

        Returns:
            Number of templates that were added.
        """
        templates = [self._template(face) for face in faces if quality_problem(face) is None]
        is_new = self._known.rows.person(name) is None
        if not templates and is_new:
            templates = [self._template(max(faces, key=_size))]
        # Faces that are the person's already are left out, also if the whole photo was enrolled.
        owners = self._store.owners([template.digest for template in templates])
        fresh = [one for one, owner in zip(templates, owners, strict=True) if owner in (None, name)]
        if not fresh and is_new:  # all are someone else's by now
            self._release(faces)
            fresh = templates
        return self._store.add(name, fresh, terms) if fresh else 0

    def _release(self, faces: Sequence[SeenFace]) -> None:
        """Remove faces, and their templates, from the people who have them."""
        self._known.name({face.number: None for face in faces if face.number in self._known.faces})
        owners = self._store.owners([face.key for face in faces])
        lost: dict[str, set[bytes]] = {}
        for face, owner in zip(faces, owners, strict=True):
            if owner is not None:
                lost.setdefault(owner, set()).add(face.key)
        for owner, digests in lost.items():
            self._drop(owner, digests)

    def follow(self, changed: Mapping[int, int | None]) -> None:
        """Move the templates of faces to the people they are assigned to now.

        Args:
            changed: id of the person by the face's number, None for no one.
        """
        there, people = self._known.faces, self._known.people
        templates = {face: self._template(there[face]) for face in changed}
        owners = self._store.owners([template.digest for template in templates.values()])
        lost: dict[str, list[bytes]] = {}
        won: dict[str, list[NewTemplate]] = {}
        for (face, person), owner in zip(changed.items(), owners, strict=True):
            name = people.get(person) if person is not None else None
            if owner is not None and owner != name:
                lost.setdefault(owner, []).append(templates[face].digest)
                owner = None
            if name is not None and owner is None and quality_problem(there[face]) is None:
                won.setdefault(name, []).append(templates[face])
        for owner, digests in lost.items():
            self._drop(owner, {*digests})
        for name, theirs in won.items():
            self._store.add(name, theirs)

    def _drop(self, owner: str, digests: set[bytes]) -> None:
        """Erase templates of a person; if only poor faces are left, enroll the best of these."""
        stored = self._store.stored(owner)
        gone = [entry for entry in stored if entry.digest in digests]
        if len(gone) == len(stored):
            known = self._known
            names = known.reviewed.names
            rest = [known.faces[face] for face, who in names.items() if known.people.get(who) == owner]
            if rest:
                self._store.add(owner, [self._template(max(rest, key=_size))])
        self._store.drop([entry.id for entry in gone])

    def take_apart(self, content: Mapping[str, Any]) -> int:
        """Enroll a person again who was merged into another, with their former templates.

        Args:
            content: of the step that merged them.

        Raises:
            UsageError: something it needs is gone.
        """
        kept, name = self._known.people.get(content["kept"]), content["name"]
        digests = {bytes.fromhex(digest) for digest in content["digests"]}
        if kept is None:
            raise UsageError("undo: the person of that merge was removed since")
        theirs = [stored for stored in self._store.stored(kept) if stored.digest in digests]
        if not theirs:
            raise UsageError(f"undo: no photo of {name} is left with {kept}")
        consent, given, expires = content["terms"]
        terms = Terms(consent, given and date.fromisoformat(given), expires and date.fromisoformat(expires))
        self._store.drop([stored.id for stored in theirs])
        self._store.add(name, [NewTemplate(s.photo, s.digest, s.vector) for s in theirs], terms)
        person = self._known.rows.person(name)
        assert person is not None
        return person

    def _template(self, face: SeenFace) -> NewTemplate:
        """Convert a face to a template, with a digest of its own, as its picture is part of a photo."""
        photo = self._known.photos[face.photo]
        path = photo.there or photo.files[0].path
        return NewTemplate(with_box(path, face.box, face.seconds), face.key, face.vector)


def _size(face: SeenFace) -> tuple[float, int]:
    return face.quality.get("size", 0.0), -face.number
