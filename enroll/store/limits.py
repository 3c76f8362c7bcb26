"""Check the fields of a gallery, for every way in and for the export format.

Commands, Python, import, merge and both engines refuse the same, so that what is in a gallery can be exported
and imported again. Each function returns what is wrong with a value, or None.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from embedder.errors import UsageError
from embedder.names import name_problem, normal_name
from enroll.store.base import Terms

if TYPE_CHECKING:
    from enroll.store.base import NewPerson, Terms
    from enroll.templates import NewTemplate


DIGEST = 32  # bytes of SHA-256

CONSENT = 1000  # characters of a reference to a consent
PHOTO = 65_535  # bytes of a path in UTF-8, as Milvus keeps; Linux has paths of 4,096
FINGERPRINT = 1000  # characters
DIM = 1 << 16  # numbers of a vector
CALIBRATION = 100_000  # characters; we write some hundreds


def text_problem(value: Any, what: str, longest: int) -> str | None:
    """Return why a value is no text of a length that UTF-8 can hold, or None.

    Args:
        value: to be checked.
        what: name of the field, for the message.
        longest: number of characters.
    """
    if not isinstance(value, str):
        return f"{what}: expected text, got {type(value).__name__}"
    if len(value) > longest:
        return f"{what}: expected text of at most {longest} characters, got {len(value)}; shorten it"
    return _unstorable(value, what)


def stored_name_problem(value: Any) -> str | None:
    """Return why a value cannot be stored as a name, or None."""
    if not isinstance(value, str):
        return f"name: expected text, got {type(value).__name__}"
    problem = name_problem(value) or (
        None if normal_name(value) == value else "it is not in Unicode form NFC, or has space around it"
    )
    return problem and f"the name {value[:200]!r}: {problem}"


def photo_problem(value: Any) -> str | None:
    """Return why a value cannot be stored as the path of a photo, or None."""
    if not isinstance(value, str):
        return f"photo: expected text, got {type(value).__name__}"
    if problem := _unstorable(value, "photo"):
        return problem
    size = len(value.encode())
    return f"photo: expected a path of at most {PHOTO} bytes, got {size}" if size > PHOTO else None


def digest_problem(value: Any) -> str | None:
    """Return why a value is no digest, or None."""
    if isinstance(value, bytes) and len(value) == DIGEST:
        return None
    return f"digest: expected {DIGEST} bytes, got {str(value)[:80]}"


def terms_problem(terms: Terms) -> str | None:
    """Return why terms cannot be stored, or None."""
    if terms.consent is not None and (problem := text_problem(terms.consent, "consent", CONSENT)):
        return problem
    for what in ("consent_date", "expires"):
        day = getattr(terms, what)
        if day is not None and (not isinstance(day, date) or isinstance(day, datetime)):
            return f"{what}: expected a date, got {day!r:.80}"
    today = date.today()
    if terms.consent_date is not None and terms.consent_date > today + timedelta(days=1):  # time zones
        return f"consent_date: expected a day that has come, got {terms.consent_date}; today is {today}"
    return None


def new_terms_problem(terms: Terms) -> str | None:
    """Return why no one can be enrolled on such terms, or None.

    Terms of enrolled people may have expired.
    """
    today = date.today()
    if (problem := terms_problem(terms)) or terms.expires is None or terms.expires >= today:
        return problem
    return f"expires: expected a day that is not over, got {terms.expires}; today is {today}"


def model_problem(fingerprint: Any, dim: Any) -> str | None:
    """Return why a gallery cannot be of such a model, or None."""
    if problem := text_problem(fingerprint, "fingerprint", FINGERPRINT):
        return problem
    if type(dim) is not int or not 0 < dim <= DIM:
        return f"dim: expected a number from 1 to {DIM}, got {str(dim)[:20]}"
    return None


def check(*problems: str | None) -> None:
    """Raise the first problem, if there is one.

    Raises:
        UsageError: there is one.
    """
    for problem in problems:
        if problem:
            raise UsageError(problem)


def check_people(people: Iterable[NewPerson]) -> None:
    """Check that people can be stored; `enroll.templates.check_vectors` checks vectors.

    Raises:
        UsageError: what, and of whom.
    """
    for one in people:
        check(stored_name_problem(one.name))
        if one.terms is not None and (problem := terms_problem(one.terms)):
            raise UsageError(f"{one.name}: {problem}")
        check_templates(one.templates)


def check_templates(templates: Iterable[NewTemplate]) -> None:
    """Check that the paths and digests of templates can be stored.

    Raises:
        UsageError: what, and of which photo.
    """
    for template in templates:
        check(photo_problem(template.photo))
        if problem := digest_problem(template.digest):
            raise UsageError(f"{template.photo}: {problem}")


def _unstorable(value: str, what: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair: a byte that is not UTF-8, from the command line
        return f"{what}: expected text in UTF-8, got {value[:80]!a}, where surrogates not allowed"
    return None
