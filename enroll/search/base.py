"""Define what a search index is, and rank its results by exact distances in a total order.

No batch, order or tie changes the order of results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from enroll.decision import Candidate

if TYPE_CHECKING:
    from enroll.templates import GrowableTemplates, Templates


INDEXES = ("exact", "approximate")

_ROWS_AT_ONCE = 65536  # templates in memory in double precision, and found for all queries together


@dataclass(frozen=True)
class Matches:
    """Holds templates near one query, in any order.

    Attributes:
        ids: (k,) int64.
        identities: (k,) object, names.
        vectors: (k, dim) float32 unit rows, from which exact distances are computed.
        reach: every template nearer than this is among them; infinite if all templates are. An approximate
            index may miss some, as often as its recall says.
    """

    ids: NDArray[np.int64]
    identities: NDArray[np.object_]
    vectors: NDArray[np.float32]
    reach: float


class SearchIndex(Protocol):
    """Finds nearest templates.

    The numbers of templates and people may cost a request to a server, so a search asks for them only where
    it depends on them.
    """

    @property
    def templates(self) -> int:
        """The number of templates."""

    @property
    def people(self) -> int:
        """The number of people they show."""

    def nearest(self, queries: NDArray[np.float32], count: int) -> Iterable[Matches]:
        """Find at least the `count` nearest templates of each query, or all if there are fewer.

        Args:
            queries: (n, dim) float32 unit rows.
            count: at least 1.

        Returns:
            Matches for each query, in their order.
        """


class GrowableIndex(SearchIndex, Protocol):
    """An index in the memory of this process, to which templates can be added."""

    @property
    def pool(self) -> GrowableTemplates:
        """The templates that are searched."""

    def extend(self, more: Templates) -> None:
        """Add templates with ids above all others.

        The cost does not grow with the index, amortized.
        """


@dataclass(frozen=True)
class TemplateMatch:
    """Holds a template near a query.

    Attributes:
        identity: name of the person.
        distance: Euclidean, 0 to 2.
        template: its id.
    """

    identity: str
    distance: float
    template: int


_Answer = TypeVar("_Answer", TemplateMatch, Candidate)


def nearest_templates(
    search_index: SearchIndex, queries: NDArray[np.float32], count: int
) -> list[list[TemplateMatch]]:
    """Find the nearest templates of each vector, nearest first, in a total order.

    Args:
        search_index: the templates.
        queries: (n, dim) float32 unit rows.
        count: number of templates per query.

    Returns:
        For each query up to `count` templates, by distance, identity and id.
    """
    # One more shows that none is missing.
    return _search(search_index, queries, count, count + 1, _templates, lambda: search_index.templates)


def nearest_people(
    search_index: SearchIndex, queries: NDArray[np.float32], people: int
) -> list[list[Candidate]]:
    """Find the nearest people of each vector, each by its nearest template.

    Distances are recomputed in double precision from the vectors themselves and sorted by distance,
    identity and template id, so that an answer depends on the query and the templates alone.

    Args:
        search_index: the templates.
        queries: (n, dim) float32 unit rows.
        people: number of people per query.

    Returns:
        For each query up to `people` candidates, nearest first.
    """
    return _search(search_index, queries, people, 4 * people, _people, lambda: search_index.people)


def _search(
    search_index: SearchIndex,
    queries: NDArray[np.float32],
    wanted: int,
    count: int,
    ranked: Callable[[NDArray[np.float64], Matches, int], list[_Answer]],
    there: Callable[[], int],
) -> list[list[_Answer]]:
    """Search for `count` templates, and for more where a missing one could matter.

    Args:
        search_index: the templates.
        queries: (n, dim) float32 unit rows.
        wanted: number of answers per query.
        count: number of templates to begin with.
        ranked: turns the matches of a query into answers.
        there: gives the number of answers that a query can have.
    """
    answers: list[list[_Answer]] = [[] for _ in queries]
    unsure = np.arange(len(queries) if wanted > 0 else 0)
    while len(unsure):
        if count * len(unsure) > _ROWS_AT_ONCE:
            count = min(count, max(1, search_index.templates))
        again = []
        step = max(1, _ROWS_AT_ONCE // count)
        for start in range(0, len(unsure), step):
            batch = unsure[start : start + step]
            for row, found in zip(batch, search_index.nearest(queries[batch], count), strict=True):
                answers[row] = ranked(_distances(queries[row], found.vectors), found, wanted)
                if found.reach == np.inf:
                    continue
                if len(answers[row]) < wanted:
                    wanted = max(1, min(wanted, there()))
                if len(answers[row]) < wanted or answers[row][-1].distance >= found.reach:
                    again.append(row)
        unsure = np.array(again, np.intp)
        count = 4 * count
    return answers


def _distances(query: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    distances = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        away = vectors[start : start + _ROWS_AT_ONCE].astype(np.float64) - query
        distances[start : start + _ROWS_AT_ONCE] = np.sqrt((away**2).sum(axis=1))
    return distances


def _templates(distances: NDArray[np.float64], found: Matches, wanted: int) -> list[TemplateMatch]:
    last = np.partition(distances, wanted - 1)[wanted - 1] if len(distances) >= wanted else np.inf
    rows = np.flatnonzero(distances <= last)
    order = sorted((float(distances[row]), found.identities[row], int(found.ids[row])) for row in rows)
    return [TemplateMatch(identity, distance, template) for distance, identity, template in order[:wanted]]


def _people(distances: NDArray[np.float64], found: Matches, wanted: int) -> list[Candidate]:
    nearest: dict[str, float] = {}
    last = np.inf
    order = np.argsort(distances)
    for distance, identity in zip(distances[order].tolist(), found.identities[order], strict=True):
        if distance > last:
            break
        nearest.setdefault(identity, distance)
        if len(nearest) == wanted:
            last = distance  # people at the same distance are ordered by name
    people = sorted((distance, identity) for identity, distance in nearest.items())
    return [Candidate(identity, distance) for distance, identity in people[:wanted]]
