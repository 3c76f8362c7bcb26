"""What every engine that keeps a gallery does: SQLite here, a cluster elsewhere.

Every change is durable when its method returns, and whole: after any failure the old state is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from embedder.errors import ForeignModelError, UnknownIdentityError
from enroll.templates import NewTemplate, StoredTemplate, Templates

_COMPARED = 20_000  # names that a mistyped one is compared with, in half a second

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from enroll.search.base import SearchIndex


@dataclass(frozen=True)
class Terms:
    """On what terms a person is in the gallery.

    Attributes:
        consent: reference to where their consent is kept.
        consent_date: when it was given.
        expires: the last day on which they may be identified.
    """

    consent: str | None = None
    consent_date: date | None = None
    expires: date | None = None


@dataclass(frozen=True)
class NewPerson:
    """Templates to add to one person, new or known.

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
    """Someone who is enrolled: name, number of templates, and on what terms."""

    name: str
    templates: int
    terms: Terms


@dataclass(frozen=True)
class Event:
    """An entry of the audit log; it holds no names and no templates.

    Attributes:
        at: when, ISO 8601 in UTC, seconds.
        action: what was done: enroll, terms, rename, merge people, drop, remove, purge, strangers, ...
        subject: id of the person, None if it was about no single one.
        count: templates it was about.
    """

    at: str
    action: str
    subject: int | None
    count: int


_ACTOR: ContextVar[str] = ContextVar("actor", default="")


@contextmanager
def acting(actor: str) -> Iterator[None]:
    """Let what is done to galleries inside be logged with who does it.

    Args:
        actor: such as the name of a key; it is not erased with the people it was about.
    """
    before = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(before)


def current_actor() -> str:
    """Give who does it, as `acting` was told; "" if it was not."""
    return _ACTOR.get()


def signed(action: str) -> str:
    """Give an action of the audit log with who does it, if that is known."""
    actor = _ACTOR.get()
    return f"{action} by {actor}" if actor else action


@dataclass(frozen=True)
class Changed:
    """What a gallery has become since it was calibrated.

    Attributes:
        added: people who are new.
        removed: people who are gone.
        templates: photos there are now.
    """

    added: int
    removed: int
    templates: int


class Store(Protocol):
    """An open gallery. Threads may share it.

    Attributes:
        location: the file or the address, for messages.
    """

    location: str

    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> Store: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def together(self) -> AbstractContextManager[None]:
        """Make all that is added inside one change, whole or not at all; in Milvus each is one of its own."""

    def model(self) -> tuple[str, int] | None:
        """Fingerprint and vector length of the model the templates were made with, None in a new gallery."""

    def bind(self, fingerprint: str, dim: int) -> None:
        """Tie a new gallery to a model, or check that it is tied to this one; so is all that is added later.

        Raises:
            ForeignModelError: it was made with another model.
        """

    def remake(
        self, model: tuple[str, int], templates: Sequence[tuple[str, NewTemplate]], since: tuple[int, int]
    ) -> bool:
        """Put the templates of another model in the place of all that are there, strangers' too.

        Names and terms stay. Whoever has no template then is erased, and so is the calibration.

        Args:
            model: fingerprint and vector length.
            templates: with the names of the people, or strangers, they are of.
            since: `changes()` when they were made of what was there.

        Returns:
            Whether it was done; not if the gallery changed since.

        Raises:
            UsageError: the engine cannot, as a gallery of it is of one model forever.
            ValueError: as `add`.
        """

    def owners(self, digests: Sequence[bytes]) -> list[str | None]:
        """Whose templates the photos with these digests are, in their order; None: it is not enrolled."""

    def add(self, name: str, templates: Sequence[NewTemplate], terms: Terms | None = None) -> int:
        """Add templates to an identity, new or known; a photo that is already theirs changes nothing.

        Args:
            name: of the identity.
            templates: unit vectors of the model's length.
            terms: replace those there; None leaves them.

        Returns:
            How many were added.

        Raises:
            PhotoConflictError: a photo is enrolled under another name; nothing was added.
            UsageError: a field holds what `limits` refuses.
            ValueError: no templates, a vector of another length or not of unit length, or no model yet.
        """

    def add_many(self, people: Sequence[NewPerson]) -> list[int]:
        """Add templates of several people, all or none: as `add` would one after the other, and faster.

        A name may be there more than once. Milvus has no change of any size: more than 10,000 templates count
        some thousands at a time, each person whole; after a failure in the middle, ask again.

        Returns:
            How many of each were added.

        Raises:
            PhotoConflictError: a photo is enrolled under another name, or given under two; nothing was added.
            UsageError: as `add`.
            ValueError: as `add`.
        """

    def identities(self) -> list[tuple[str, int]]:
        """Names with their number of templates, sorted by name."""

    def people(self) -> list[Person]:
        """Everyone who is enrolled, sorted by name."""

    def set_terms(self, name: str, terms: Terms) -> None:
        """Replace on what terms a person is in the gallery.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: a field holds what `limits` refuses.
        """

    def stored(self, name: str) -> list[StoredTemplate]:
        """All templates of a person, by id.

        Raises:
            UnknownIdentityError: no such name.
        """

    def drop(self, ids: Sequence[int]) -> int:
        """Erase single templates, and everyone who has none left; ids that are not there change nothing.

        Returns:
            How many templates were erased.
        """

    def expired(self, today: date) -> list[str]:
        """Names of the people who expired before `today`, sorted; quick, since every search asks."""

    def purge(self, today: date) -> list[str]:
        """Erase the people who expired before `today`; gives their names."""

    def events(self) -> list[Event]:
        """The audit log, oldest first."""

    def verify(self) -> None:
        """Read and check everything that is stored.

        Raises:
            GalleryError: what is broken.
        """

    def remove(self, name: str) -> int:
        """Erase an identity and its templates.

        Returns:
            How many templates were erased.

        Raises:
            UnknownIdentityError: no such name.
        """

    def rename(self, old: str, new: str) -> None:
        """Give an identity another name.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: the new name is taken, or cannot be stored.
        """

    def merge_people(self, kept: str, other: str) -> int:
        """Join two people who are one: all photos of the second become the first's, whose name stays.

        The terms of the first stay, unless it has none: then it gets those of the second. Of two last days
        the earlier one holds, since no one agreed to more.

        Args:
            kept: name that stays.
            other: name that goes.

        Returns:
            How many photos went over.

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
        """Give where the pictures of templates came from, in the order of the ids; "" if it is gone."""

    def changes(self) -> tuple[int, int]:
        """Generation and last template id.

        In one generation templates are only added, with ids above the last; every erasing, renaming or change
        of terms begins another.
        """

    def revision(self) -> tuple[int, ...]:
        """Give what is another after any change of people, photos or calibration, by whichever process.

        Quick, since every answer asks; a server is asked twice a second at most.
        """

    def search_index(self) -> SearchIndex | None:
        """Give the engine's own search, None if `templates` are to be searched here."""

    def add_strangers(self, people: Sequence[tuple[str, NewTemplate]]) -> int:
        """Add photos of people who are known not to be enrolled; gives how many are new.

        Photos of templates, and of people with an enrolled name, are not taken.
        """

    def remove_strangers(self) -> int:
        """Erase all strangers; gives how many photos that were."""

    def stored_strangers(self) -> list[tuple[str, StoredTemplate]]:
        """All that is kept of strangers, by id, with the names of the people they are of."""

    def strangers(self) -> Templates:
        """Read all photos of strangers; `identities` are the people they are of."""

    def set_calibration(self, content: str, identities: int, templates: int) -> bool:
        """Keep a calibration of the gallery as it is.

        Args:
            content: what was found.
            identities: people it was made from.
            templates: photos it was made from.

        Returns:
            Whether it was kept; not if the gallery has other people or photos by now.
        """

    def calibration(self) -> tuple[str, Changed] | None:
        """Give the calibration and what changed since, or None if there is none."""


def check_model(store: Store, fingerprint: str, dim: int) -> None:
    """Refuse a gallery that was made with another model; a new one is of any.

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


def unknown_identity(location: object, name: str, names: Iterable[str]) -> UnknownIdentityError:
    """Give the error of a name that no one has; it names the one that is written most like it."""
    import difflib

    wanted, by_case = name.casefold(), {entry.casefold(): entry for entry in names}
    several = [wanted] if wanted in by_case else list(islice(by_case, _COMPARED))
    near = [by_case[entry] for entry in difflib.get_close_matches(wanted, several, n=1, cutoff=0.7)]
    hint = f"; did you mean {near[0]!r}?" if near else "; see `embed gallery list`"
    return UnknownIdentityError(f"{location}: no one is called {name!r}{hint}")


def joined_terms(kept: Terms, other: Terms) -> Terms:
    """Give the terms of two people who are one; see `Store.merge_people`."""
    days = [terms.expires for terms in (kept, other) if terms.expires is not None]
    source = other if kept.consent is None and kept.consent_date is None else kept
    return Terms(source.consent, source.consent_date, min(days, default=None))


def conflict_reason(owner: str, photo: str = "") -> str:
    """Say why a photo that is another person's is refused, and which of theirs it is, if that is known."""
    where = f" from {photo}" if photo else ""
    return f"already enrolled as {owner!r}{where}; a photo belongs to one person: remove it there first"
