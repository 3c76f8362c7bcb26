"""The nearest templates as Milvus finds them; how near they are is computed again, from their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from enroll.search.contract import Found
from enroll.store.milvus_templates import ENROLLED, counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store.milvus_connection import MilvusConnection
    from enroll.store.milvus_ledger import Ledger
    from enroll.store.milvus_templates import TemplateRows

_MOST = 16_384  # Milvus finds no more at once
_ANSWERS = 65_536  # rows found for all queries of one request
_ROUNDING = 1e-3  # distances of Milvus are off by less, near zero as well
_SPARE = 16  # rows that are found and do not count, ordinarily


class MilvusFinder:
    """Searches at one moment: what was acknowledged before is seen, by whomever it was written."""

    def __init__(self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows) -> None:
        """Begin searches among the templates of the people in the ledger."""
        self._connection, self._ledger, self._templates = connection, ledger, templates
        self._at = connection.now()
        self.templates = self.people = 0
        if templates.model() is None:
            return
        # At most so many: some that do not count are among them, and ranking asks for no more than there are.
        self.templates = connection.count(templates.collection, "", self._at, ENROLLED)
        self.people = connection.count(ledger.collection, 'kind == "name"', self._at)

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Found]:
        """Find the `count` nearest templates of each query; see `Finder`."""
        limit = min(count + _SPARE, _MOST)
        rows = max(1, _ANSWERS // limit)
        return [
            found
            for start in range(0, len(queries), rows)
            for found in self._found(queries[start : start + rows], count, limit)
        ]

    def _found(self, queries: NDArray[np.float32], count: int, limit: int) -> list[Found]:
        ids = self._search(queries, limit)
        known = self._read({one for some in ids for one in some})
        answers = []
        for query, some in zip(queries, ids, strict=True):
            whole = len(some) < limit
            # More than Milvus finds at once, or too many that do not count: leave out what was found.
            while not whole and sum(one in known for one in some) < count:
                more = self._search(query[None], _MOST, some)[0]
                known |= self._read(set(more))
                some, whole = some + more, len(more) < _MOST
            answers.append(self._answer(query, [known[one] for one in some if one in known], whole))
        return answers

    def _search(
        self, queries: NDArray[np.float32], limit: int, apart_from: list[int] | None = None
    ) -> list[list[int]]:
        searched: dict[str, Any] = {
            "flat": {},
            "hnsw": {"ef": min(32_768, max(128, 2 * limit))},
            "ivf_flat": {"nprobe": 64},
            "diskann": {"search_list": max(128, 2 * limit)},
        }
        answers = self._connection.search(
            self._templates.collection,
            self._templates.vector,
            queries,
            limit,
            self._at,
            ENROLLED,
            search_params={"metric_type": "L2", "params": searched[self._templates.index()]},
            filter=f"id not in {apart_from}" if apart_from else "",
        )
        return [[int(row["id"]) for row in answer] for answer in answers]

    def _read(self, ids: set[int]) -> dict[int, tuple[int, str, list[float]]]:
        """Give id, name and vector of the templates that count, by id."""
        rows = self._templates.with_ids(sorted(ids), [self._templates.vector], self._at)
        people = self._ledger.people(self._at, {row["person"] for row in rows})
        vector = self._templates.vector
        return {
            row["id"]: (row["id"], people[row["person"]].name, row[vector])
            for row in rows
            if counts(row, people)
        }

    def _answer(
        self, query: NDArray[np.float32], rows: list[tuple[int, str, list[float]]], whole: bool
    ) -> Found:
        vectors = np.array([row[2] for row in rows], np.float32).reshape(len(rows), len(query))
        reach = np.inf
        if not whole:
            away = vectors.astype(np.float64) - query.astype(np.float64)
            reach = float(np.sqrt((away**2).sum(axis=1)).max()) - _ROUNDING
        return Found(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], object),
            vectors,
            reach,
        )
