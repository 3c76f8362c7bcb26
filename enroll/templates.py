"""Hold templates: stored unit vectors with their people, and a growable array of them."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embedder.errors import UsageError

_UNIT = 1e-3  # how far from 1 the length of a stored vector may be

_FIRST = 256  # rows
_CHECKED = 4096  # vectors that are checked at once


@dataclass(frozen=True)
class NewTemplate:
    """Holds a template to store.

    Attributes:
        photo: path of the photo, for people.
        digest: SHA-256 of the photo's file, 32 bytes.
        vector: (dim,) float32, unit length.
    """

    photo: str
    digest: bytes
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class StoredTemplate:
    """Holds a template as it is stored: a `NewTemplate` and its id.

    Attributes:
        id: number that is never used for another template.
        photo: path of the photo, for people.
        digest: SHA-256 of the photo's file, 32 bytes.
        vector: (dim,) float32, unit length.
    """

    id: int
    photo: str
    digest: bytes
    vector: NDArray[np.float32]


def as_new(template: StoredTemplate) -> NewTemplate:
    """Return a stored template without its id."""
    return NewTemplate(template.photo, template.digest, template.vector)


@dataclass(frozen=True)
class Templates:
    """Holds the templates of a gallery, by id.

    Attributes:
        ids: (n,) int64, rising.
        identities: (n,) object, names.
        vectors: (n, dim) float32, unit rows.
    """

    ids: NDArray[np.int64]
    identities: NDArray[np.object_]
    vectors: NDArray[np.float32]


def check_vectors(templates: Sequence[NewTemplate], dim: int) -> None:
    """Check that new templates can be stored.

    Args:
        templates: at least one.
        dim: vector length of the model.

    Raises:
        ValueError: no templates, or a vector of another length or not of unit length.
    """
    vectors = [np.asarray(template.vector, np.float32) for template in templates]  # as they will be stored
    shapes = {vector.shape for vector in vectors}
    if shapes != {(dim,)} or not dim or not are_unit(np.stack(vectors)):
        found = ", ".join(sorted(map(str, shapes))) or "none"
        raise ValueError(f"templates: expected unit vectors of {dim} numbers, got {found}")


def check_vectors_of(people: Iterable[Sequence[NewTemplate]], dim: int) -> None:
    """Check that new templates of several people can be stored: thousands together, which is faster.

    Args:
        people: the templates of each, at least one.
        dim: vector length of the model.

    Raises:
        ValueError: as `check_vectors`.
    """
    together: list[NewTemplate] = []
    for templates in people:
        if not templates:
            check_vectors(templates, dim)  # says that there are none
        together += templates
        if len(together) >= _CHECKED:
            check_vectors(together, dim)
            together = []
    if together:
        check_vectors(together, dim)


def are_unit(vectors: NDArray[np.floating]) -> bool:
    """Return whether all rows have unit length, the same on every processor.

    Processors add float32 in different orders, so what one accepts another could refuse: where rounding
    could decide, exact sums do.

    Args:
        vectors: (n, dim) float; a row with a NaN is not of unit length.
    """
    off = np.abs(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) - 1)
    rounding = (vectors.shape[1] + 4) * np.finfo(np.float32).eps
    doubtful = vectors[off >= _UNIT - rounding]
    return bool(np.all(off < _UNIT + rounding)) and all(
        (1 - _UNIT) ** 2 < math.fsum(np.square(row, dtype=np.float64)) < (1 + _UNIT) ** 2 for row in doubtful
    )


def checked_rows(
    vectors: ArrayLike, labels: ArrayLike | None = None
) -> tuple[NDArray[np.floating], NDArray[np.generic]]:
    """Check vectors and labels from a caller, and return them as arrays.

    Args:
        vectors: (n, dim) unit rows; float32 and float64 keep their dtype.
        labels: (n,) names or numbers; None: each row shows another person.

    Returns:
        (n, dim) rows and (n,) labels.

    Raises:
        ValueError: other shapes, rows that are not of length 1, or a label that is missing.
        UsageError: a vector is not finite.
    """
    rows = np.asarray(vectors)
    if not np.issubdtype(rows.dtype, np.floating):
        rows = rows.astype(np.float64)
    of = np.arange(len(rows)) if labels is None else np.asarray(labels)
    if rows.ndim != 2 or not rows.shape[1] or of.shape != rows.shape[:1]:
        raise ValueError(f"expected (n, dim) vectors and (n,) labels, got {rows.shape} and {of.shape}")
    if of.dtype.kind in "Of":
        missing = [row for row, label in enumerate(of) if label is None or label != label]
        if missing:
            raise ValueError(
                f"labels: expected a name or a number a row, got {of[missing[0]]} in row {missing[0]}"
            )
    if of.dtype == object:
        texts = {isinstance(label, str) for label in of}
        if texts == {True, False}:
            raise ValueError("labels: expected names or numbers, got both, which have no order")
        of = of.astype(str) if texts == {True} else of
    if not np.isfinite(rows).all():
        raise UsageError("a vector is not finite; the model is broken, train it again")
    if len(rows) and not are_unit(rows):
        raise ValueError(
            "vectors: expected rows of length 1, got others: divide each by its length, as "
            "sklearn.preprocessing.normalize does"
        )
    return rows, of


class GrowableTemplates:
    """Holds templates by row, in the order of their ids, and can be extended.

    The templates of the start are never copied. New ones are appended to arrays that double when they are
    full, so that adding a template moves two rows on average, however many there are.

    Attributes:
        start: the templates of the start.
        recent: those that were added since.
        moved: number of rows of `recent` that were copied so far, for tests of what adding costs.
    """

    def __init__(self, templates: Templates) -> None:
        self.start = templates
        self.recent = _part(templates, slice(0, 0))
        self.moved = 0
        self._room = self.recent
        self._names = set(templates.identities)

    def __len__(self) -> int:
        return len(self.start.ids) + len(self.recent.ids)

    @property
    def parts(self) -> tuple[Templates, Templates]:
        """The templates of the start, and those added since."""
        return self.start, self.recent

    @property
    def people(self) -> int:
        """The number of people."""
        return len(self._names)

    @property
    def last(self) -> int:
        """The highest id, 0 if there is none."""
        last = self.recent if len(self.recent.ids) else self.start
        return int(last.ids[-1]) if len(last.ids) else 0

    def extend(self, more: Templates) -> None:
        """Add templates with higher ids."""
        held, total = len(self.recent.ids), len(self.recent.ids) + len(more.ids)
        if total > len(self._room.ids):
            self._room = _room(max(2 * held, total, _FIRST), more)
            self._write(0, self.recent)
        self._write(held, more)
        self.recent = _part(self._room, slice(0, total))
        self._names.update(more.identities)

    def _write(self, at: int, rows: Templates) -> None:
        where = slice(at, at + len(rows.ids))
        self._room.ids[where], self._room.identities[where] = rows.ids, rows.identities
        self._room.vectors[where] = rows.vectors
        self.moved += len(rows.ids)

    def take(self, rows: NDArray[np.integer]) -> Templates:
        """Return the templates of some rows, in that order.

        Args:
            rows: (k,) int.
        """
        if not len(self.recent.ids):
            return _part(self.start, rows)
        border = len(self.start.ids)
        new = rows >= border
        taken = _room(len(rows), self.start)
        for part, chosen, shift in ((self.start, ~new, 0), (self.recent, new, border)):
            places = rows[chosen] - shift
            taken.ids[chosen], taken.identities[chosen] = part.ids[places], part.identities[places]
            taken.vectors[chosen] = part.vectors[places]
        return taken

    def of_people(self, names: Container[str]) -> Templates:
        """Return all templates of some people."""
        wanted = [[name in names for name in part.identities.tolist()] for part in self.parts]
        return self.take(np.flatnonzero(np.concatenate([np.array(part, bool) for part in wanted])))

    def everything(self) -> Templates:
        """Return all templates; a copy if any were added since the start."""
        if not len(self.recent.ids):
            return self.start
        return Templates(
            np.concatenate([part.ids for part in self.parts]),
            np.concatenate([part.identities for part in self.parts]),
            np.concatenate([part.vectors for part in self.parts]),
        )


def _part(templates: Templates, rows: slice | NDArray[np.integer]) -> Templates:
    return Templates(templates.ids[rows], templates.identities[rows], templates.vectors[rows])


def _room(rows: int, like: Templates) -> Templates:
    return Templates(
        np.empty(rows, np.int64), np.empty(rows, object), np.empty((rows, like.vectors.shape[1]), np.float32)
    )
