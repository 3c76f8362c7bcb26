"""Reading all templates of a gallery in Milvus, and checking them.

Templates are read between two looks at the ledger, and only those that both speak of are taken. So whoever is
enrolled or erased meanwhile is there with all templates or with none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import GalleryError
from embedder.wording import count
from enroll.store.contract import StoredTemplate, Templates, are_unit
from enroll.store.milvus_templates import STRANGERS, counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store.milvus_connection import MilvusConnection, Row
    from enroll.store.milvus_ledger import Known, Ledger
    from enroll.store.milvus_templates import TemplateRows

_ALL = "id > 0"


class Reader:
    """Reads whole partitions."""

    def __init__(self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows) -> None:
        """Read the templates of the people in the ledger."""
        self._connection, self._ledger, self._templates = connection, ledger, templates

    def read(self, part: str, condition: str = _ALL) -> Templates:
        """Read templates, by id; see `Store.templates`."""
        rows, names, _ = self._rows(part, condition, [])
        ids = np.array([row["id"] for row in rows], np.int64)
        return Templates(ids, np.array(names, object), self._vectors(rows))

    def stored(self, part: str, condition: str = _ALL) -> list[tuple[str, StoredTemplate]]:
        """Read all that is stored of templates, by id, with names."""
        rows, names, _ = self._rows(part, condition, ["photo", "digest"])
        return [
            (
                name,
                StoredTemplate(
                    id=row["id"], photo=row["photo"], digest=bytes.fromhex(row["digest"]), vector=vector
                ),
            )
            for name, row, vector in zip(names, rows, self._vectors(rows), strict=True)
        ]

    def check(self, part: str) -> None:
        """Compare the templates of a partition with what the ledger says.

        Raises:
            GalleryError: a vector is not of unit length, a photo is there twice, or someone lacks templates.
        """
        rows, _, people = self._rows(part, _ALL, ["photo", "digest"])
        self._vectors(rows)
        photos = Counter(row["digest"] for row in rows)
        twice = [row["photo"] for row in rows if photos[row["digest"]] > 1]
        if twice:
            raise self._broken(f"the photo {twice[0]} is there twice")
        found = Counter(row["person"] for row in rows)
        for one in people:
            if one.stranger == (part == STRANGERS) and found[one.id] != one.templates:
                raise self._broken(
                    f"{one.name!r} should have {count(one.templates, 'template')} and has {found[one.id]}"
                )

    def _rows(self, part: str, condition: str, fields: list[str]) -> tuple[list[Row], list[str], list[Known]]:
        """Give the rows that count, whose they are, and the people who did not change meanwhile."""
        before = self._ledger.people(self._connection.now())
        at = self._connection.now()  # later, so that what the ledger speaks of has arrived
        rows = list(self._templates.rows(condition, [self._templates.vector, *fields], at, part))
        after = self._ledger.people(self._connection.now())
        rows = [row for row in rows if counts(row, before) and counts(row, after)]
        steady = [one for one in after.values() if one.id in before and before[one.id].latest == one.latest]
        return rows, [after[row["person"]].name for row in rows], steady

    def _vectors(self, rows: list[Row]) -> NDArray[np.float32]:
        dim = (self._templates.model() or ("", 0))[1]
        vectors = np.array([row[self._templates.vector] for row in rows], np.float32).reshape(len(rows), dim)
        if not are_unit(vectors):
            raise self._broken("a template is not of unit length")
        return vectors

    def _broken(self, problem: str) -> GalleryError:
        return GalleryError(f"{self._connection.address.shown}: broken: {problem}; restore a copy")
