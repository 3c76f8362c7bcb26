"""Define the interface of every store of a gallery: an SQLite file, or Milvus.

Every change is durable when its method returns, and atomic: after any failure the old state is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol

from embedder.errors import ForeignModelError
from enroll.templates import NewTemplate, StoredTemplate, Templates

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from enroll.search.base import SearchIndex


@dataclass(frozen=True)
class Terms:
    """Holds the terms on which a person is in the gallery.

    Attributes:
        consent: reference to where their consent is kept.
        consent_date: when it was given.
        expires: the last day on which they may be identified; None: no limit.

    Example:
        >>> from datetime import date
        >>> Terms(consent="letter 12", expires=date(2030, 12, 31)).expires.year
        2030
    """

    consent: str | None = None
    consent_date: date | None = None
    expires: date | None = None


@dataclass(frozen=True)
class NewPerson:
    """Holds templates to add to one person, new or known.

    Attributes:
        name: of the person.
        templates: at least one; unit vectors of the model's length.
        terms: replace those there; None leaves them.
    """

    name: str
    templates: Sequence[NewTemplate]
    terms: Terms | None = None


@dataclass(frozen=True)
class Person:
    """Holds a person who is enrolled.

    Attributes:
        name: of the person.
        templates: number of templates.
        terms: consent and last day.
    """

    name: str
    templates: int
    terms: Terms


@dataclass(frozen=True)
class Event:
    """Holds an entry of the audit log, which has no names and no templates.

    Attributes:
        at: when, ISO 8601 in UTC, to the second.
        action: what was done: enroll, terms, rename, merge people, drop, remove, purge, strangers, ...
        subject: id of the person, None if it was about no single one.
        count: number of templates it was about.
    """

    at: str
    action: str
    subject: int | None
    count: int


@dataclass(frozen=True)
class Changed:
    """Holds how a gallery has changed since it was calibrated.

    Attributes:
        added: number of new people.
        removed: number of people who are gone.
        templates: number of photos there are now.
    """

    added: int
    removed: int
    templates: int


class Store(Protocol):
    """Defines the interface of an open gallery. Threads may share it.

    Attributes:
        location: the file or the address, for messages.
    """

    location: str

    def close(self) -> None:
        """Close the gallery."""

    def __enter__(self) -> Store: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def together(self) -> AbstractContextManager[None]:
        """Make all that is added inside the block one atomic change.

        In Milvus each addition is a change of its own.
        """

    def one_moment(self) -> AbstractContextManager[None]:
        """Let the reads of this thread inside the block belong to one answer.

        They see what was acknowledged before it began. In Milvus they wait for that together, or with
        `?staleness=` for nothing, and may miss what other clients changed in the last so many seconds.
        """

    def model(self) -> tuple[str, int] | None:
        """Return fingerprint and vector length of the model, None in a new gallery."""

    def bind(self, fingerprint: str, dim: int) -> None:
        """Bind a new gallery to a model, or check that it is bound to this one.

        The model is checked again with all that is added later.

        Args:
            fingerprint: of the model.
            dim: vector length.

        Raises:
            ForeignModelError: it was made with another model.
        """

    def remake(
        self, model: tuple[str, int], templates: Sequence[tuple[str, NewTemplate]], since: tuple[int, int]
    ) -> bool:
        """Replace all templates by those of another model, strangers' too.

        Names and terms stay. People without a template are erased, and so is the calibration.

        Args:
            model: fingerprint and vector length.
            templates: with the names of the people, or strangers, they show.
            since: `changes()` when the old content was read.

        Returns:
            Whether it was done; not if the gallery changed since.

        Raises:
            UsageError: the engine cannot, as a gallery of it is bound to one model forever.
            ValueError: as `add`.
        """

    def owners(self, digests: Sequence[bytes]) -> list[str | None]:
        """Return the name of the person of each photo digest, in their order; None: not enrolled.

        Args:
            digests: SHA-256 of the photos, 32 bytes each.
        """

    def add(self, name: str, templates: Sequence[NewTemplate], terms: Terms | None = None) -> int:
        """Add templates to a person, new or known; a photo that is already theirs changes nothing.

        Args:
            name: of the person.
            templates: unit vectors of the model's length.
            terms: replace those there; None leaves them.

        Returns:
            Number of templates that were added.

        Raises:
            PhotoConflictError: a photo is enrolled under another name; nothing was added.
            UsageError: a field holds what `limits` refuses.
            ValueError: no templates, a vector of another length or not of unit length, or no model yet.
        """

    def add_many(self, people: Sequence[NewPerson]) -> list[int]:
        """Add templates of several people, all or none, faster than one after the other.

        A name may be there more than once. Milvus cannot change everything at once: of more than 10,000
        templates some thousands are added at a time, each person whole; after a failure in the middle, call
        it again.

        Args:
            people: with their templates and terms.

        Returns:
            Number of templates added to each person.

        Raises:
            PhotoConflictError: a photo is enrolled under another name, or given under two; nothing was added.
            UsageError: as `add`.
            ValueError: as `add`.
        """

    def identities(self) -> list[tuple[str, int]]:
        """List names and their number of templates, sorted by name."""

    def people(self) -> list[Person]:
        """List everyone who is enrolled, sorted by name."""

    def set_terms(self, name: str, terms: Terms) -> None:
        """Replace the terms of a person.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: a field holds what `limits` refuses.
        """

    def stored(self, name: str) -> list[StoredTemplate]:
        """List all templates of a person, by id.

        Raises:
            UnknownIdentityError: no such name.
        """

    def drop(self, ids: Sequence[int]) -> int:
        """Erase single templates, and people who have none left; unknown ids change nothing.

        Args:
            ids: of the templates.

        Returns:
            Number of templates that were erased.
        """

    def expired(self, today: date) -> list[str]:
        """List the names of people who expired before `today`, sorted.

        It is fast, since every search asks.
        """

    def purge(self, today: date) -> list[str]:
        """Erase the people who expired before `today`, and return their names."""

    def events(self) -> list[Event]:
        """Return the audit log, oldest first."""

    def verify(self) -> None:
        """Read and check everything that is stored.

        Raises:
            GalleryError: something is broken.
        """

    def remove(self, name: str) -> int:
        """Erase a person and their templates.

        Returns:
            Number of templates that were erased.

        Raises:
            UnknownIdentityError: no such name.
        """

    def rename(self, old: str, new: str) -> None:
        """Change the name of a person.

        Args:
            old: the name.
            new: the new name.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: the new name is taken, or cannot be stored.
        """

    def merge_people(self, kept: str, other: str) -> int:
        """Join two people who are one: the first gets all photos of the second and keeps its name.

        The terms of the first stay, unless it has none: then it gets those of the second. Of two last days
        the earlier one holds, since no one agreed to more.

        Args:
            kept: name that stays.
            other: name that goes.

        Returns:
            Number of photos that were moved.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: the two names are one.
        """

    def templates(self, after: int = 0) -> Templates:
        """Read the templates whose id is above `after`.

        Raises:
            GalleryError: a vector is not of unit length or of the model's dimension.
        """

    def photos(self, ids: Sequence[int]) -> list[str]:
        """Return the paths of the photos of templates, in the order of the ids; "" if one is gone."""

    def changes(self) -> tuple[int, int]:
        """Return generation and last template id.

        In one generation templates are only added, with ids above the last; every erasure, renaming or change
        of terms begins a new one.
        """

    def revision(self) -> tuple[int, ...]:
        """Return a value that differs after any change by any process.

        It is fast, since every answer asks; a server is asked twice a second at most.
        """

    def search_index(self) -> SearchIndex | None:
        """Return the engine's own search, None if `templates` are to be searched in this process."""

    def add_strangers(self, people: Sequence[tuple[str, NewTemplate]]) -> int:
        """Add photos of people who are known not to be enrolled, and return how many are new.

        Photos that are templates, and photos of people with an enrolled name, are left out.

        Args:
            people: templates, each with the name of its person.
        """

    def remove_strangers(self) -> int:
        """Erase all strangers, and return the number of their photos."""

    def stored_strangers(self) -> list[tuple[str, StoredTemplate]]:
        """List all templates of strangers, by id, with the names of the people they show."""

    def strangers(self) -> Templates:
        """Read all templates of strangers; `identities` are the names of the people they show."""

    def set_calibration(self, content: str, identities: int, templates: int) -> bool:
        """Store a calibration of the gallery as it is.

        Args:
            content: the calibration, as text.
            identities: number of people it was made from.
            templates: number of photos it was made from.

        Returns:
            Whether it was stored; not if the gallery has other people or photos by now.
        """

    def calibration(self) -> tuple[str, Changed] | None:
        """Return the calibration and what changed since, or None if there is none."""


def check_model(store: Store, fingerprint: str, dim: int) -> None:
    """Check that a gallery is new or was made with this model.

    Args:
        store: the gallery.
        fingerprint: of the model.
        dim: vector length.

    Raises:
        ForeignModelError: it was made with another model.
    """
    model = store.model()
    if model is not None and model != (fingerprint, dim):
        raise ForeignModelError(
            f"{store.location}: made with another model (fingerprint {model[0][:12]}…, this one is "
            f"{fingerprint[:12]}…); vectors of two models cannot be compared. Use that model; or make the "
            "gallery again from its photos: `embed gallery re-embed --model THIS_ONE`",
            model[0],
        )


def joined_terms(kept: Terms, other: Terms) -> Terms:
    """Return the terms of two people who are one; see `Store.merge_people`."""
    days = [terms.expires for terms in (kept, other) if terms.expires is not None]
    source = other if kept.consent is None and kept.consent_date is None else kept
    return Terms(source.consent, source.consent_date, min(days, default=None))
