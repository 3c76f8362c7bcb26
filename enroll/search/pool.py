"""The templates that are searched, in memory: those of the start, and those that have come since."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from enroll.store.contract import Templates

_FIRST = 256  # rows


class Pool:
    """Templates by row, in the order of their ids.

    What was there at the start is never copied or looked at again. What comes goes behind it into arrays that
    double when they are full, so that adding a template moves two rows on average, however many there are.

    Attributes:
        start: the templates of the start.
        recent: those that came since.
        moved: rows of `recent` that were copied so far, for tests of what adding costs.
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
        """Those of the start, and those behind them."""
        return self.start, self.recent

    @property
    def people(self) -> int:
        """How many identities there are."""
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
        """Give some rows, in that order."""
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

    def everything(self) -> Templates:
        """Give all rows; a copy if any came since the start."""
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
