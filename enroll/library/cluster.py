"""Group unknown faces, so that one name can be given to many at once.

Arrays in, arrays out.

Average linkage by scikit-learn, on the parts of the sparse graph of near pairs: two groups can come nearer
than the threshold on average only if two of their faces do, so faces that no path of such pairs joins are
never compared. Measured against DBSCAN, HDBSCAN and Chinese whispers: docs/library.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.templates import are_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = 32  # of a face, beside which it is put where a part is too large to be grouped at once
LARGEST_PART = 2500  # faces compared with each other at once: 50 MB; larger parts are grouped in steps
MARGIN = 0.02  # mean cosine by which a poor face must be nearer to one group than to the next
_ROWS = 1024  # faces whose cosines to all others are in memory together: 200 MB for 50,000
_NEVER = 1e6  # distance of two that must not share a group; it stays above any threshold on average


@dataclass(eq=False)
class _Items:
    """Holds the groups so far.

    Attributes:
        members: rows of the faces of each.
        means: (n, dim) float64 mean of the unit vectors of each: the product of two is their mean cosine.
        fixed: (n,) bool, whether each was a group before; no two of them are joined.
    """

    members: list[NDArray[np.intp]]
    means: NDArray[np.float64]
    fixed: NDArray[np.bool_]


def group_faces(
    vectors: NDArray[np.float32],
    threshold: float,
    photos: NDArray[np.integer] | None = None,
    good: NDArray[np.bool_] | None = None,
    before: NDArray[np.integer] | None = None,
    together: Iterable[tuple[int, int]] = (),
    apart: Iterable[tuple[int, int]] = (),
) -> NDArray[np.int64]:
    """Group faces of unknown people; the same input gives the same groups.

    Args:
        vectors: (n, dim) float32 of unit length.
        threshold: largest mean distance of two groups that are joined, Euclidean between unit vectors: the
            distance that belongs to the mean cosine of all pairs.
        photos: (n,) int, the photo of each face; two faces of one photo are never in one group.
        good: (n,) bool, faces that may start a group; a poor one may only join one. None: all.
        before: (n,) int, the group that a face was in before, -1 for none: these groups stay, and grow. None:
            no face was in one.
        together: rows of two faces of one person, by a user's decision; `apart` has priority.
        apart: rows of two faces of two people, by a user's decision.

    Returns:
        (n,) int64 group of each face from 0, the largest first; every face is in one, many alone.

    Raises:
        ValueError: arrays of other shapes or lengths, or vectors that are not of unit length.

    Example:
        >>> vectors = np.eye(4, dtype=np.float32)[[0, 1, 0, 2]]
        >>> group_faces(vectors, 1.0).tolist()
        [0, 1, 0, 2]
    """
    count = len(vectors)
    if vectors.ndim != 2 or not are_unit(vectors):
        raise ValueError(f"vectors: expected (n, dim) rows of unit length, got shape {vectors.shape}")
    for name, given in (("photos", photos), ("good", good), ("before", before)):
        if given is not None and given.shape != (count,):
            raise ValueError(f"{name}: expected one entry a face, {count}, got shape {given.shape}")
    photos = np.arange(count) if photos is None else photos
    good = np.ones(count, bool) if good is None else good
    before = np.full(count, -1) if before is None else before
    forbidden = Forbidden(photos, apart)
    items = _first_items(vectors, good, before, together, forbidden)
    while True:
        joined = _joined(items, threshold, forbidden, vectors)
        if len(joined.members) == len(items.members):
            break
        items = joined
    labels = np.full(count, -1)
    for number, members in enumerate(items.members):
        labels[members] = number
    _join_poor(vectors, labels, items, threshold, forbidden)
    alone = labels < 0
    labels[alone] = len(items.members) + np.arange(alone.sum())
    return _largest_first(labels)


class Forbidden:
    """Holds which faces must not share a group."""

    def __init__(self, photos: NDArray[np.integer], apart: Iterable[tuple[int, int]]) -> None:
        self.photos = photos
        self.others: dict[int, set[int]] = {}
        for one, other in apart:
            self.others.setdefault(int(one), set()).add(int(other))
            self.others.setdefault(int(other), set()).add(int(one))

    def pairs(self, members: Sequence[NDArray[np.intp]]) -> list[tuple[int, int]]:
        """List the pairs of groups that must not be joined.

        Args:
            members: rows of the faces of each group.
        """
        owner: dict[int, int] = {}
        holders: dict[int, list[int]] = {}
        for number, rows in enumerate(members):
            for row in rows.tolist():
                owner[row] = number
            for photo in {*self.photos[rows].tolist()}:
                holders.setdefault(photo, []).append(number)
        found = {
            (one, other)
            for numbers in holders.values()
            for i, one in enumerate(numbers)
            for other in numbers[i + 1 :]
        }
        for row, others in self.others.items():
            found |= {
                (owner[row], owner[other])
                for other in others
                if row in owner and other in owner and owner[row] != owner[other]
            }
        return sorted(found)

    def allow(self, one: NDArray[np.intp], other: NDArray[np.intp]) -> bool:
        """Return whether two groups may be joined.

        Args:
            one: rows of the faces of a group.
            other: likewise.
        """
        if np.isin(self.photos[one], self.photos[other]).any():
            return False
        rows = {*other.tolist()}
        return not any(self.others.get(row, set()) & rows for row in one.tolist())


def _first_items(
    vectors: NDArray[np.float32],
    good: NDArray[np.bool_],
    before: NDArray[np.integer],
    together: Iterable[tuple[int, int]],
    forbidden: Forbidden,
) -> _Items:
    """Start with the earlier groups and each good face alone, and join what a user joined."""
    rows = np.flatnonzero(good | (before >= 0))
    groups: dict[int, list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(int(before[row]) if before[row] >= 0 else -1 - row, []).append(row)
    members = [np.array(group) for group in groups.values()]
    fixed = [key >= 0 for key in groups]
    owner = {int(row): number for number, group in enumerate(members) for row in group}
    place = list(range(len(members)))
    for one, other in together:
        if one not in owner or other not in owner:
            continue
        first, second = sorted((_root(place, owner[one]), _root(place, owner[other])))
        if first != second and forbidden.allow(members[first], members[second]):
            members[first] = np.concatenate([members[first], members[second]])
            fixed[first] |= fixed[second]
            place[second] = first
    kept = [number for number in range(len(members)) if place[number] == number]
    return _items([members[number] for number in kept], [fixed[number] for number in kept], vectors)


def _root(place: list[int], number: int) -> int:
    while place[number] != number:
        number = place[number]
    return number


def _items(members: list[NDArray[np.intp]], fixed: Sequence[bool], vectors: NDArray[np.float32]) -> _Items:
    means = np.empty((len(members), vectors.shape[1]))
    for number, rows in enumerate(members):
        means[number] = vectors[rows].mean(axis=0, dtype=np.float64)
    return _Items(members, means, np.array(fixed, bool))


def _joined(items: _Items, threshold: float, forbidden: Forbidden, vectors: NDArray[np.float32]) -> _Items:
    """Join groups whose mean distance is below the threshold, part by part of the graph."""
    members: list[NDArray[np.intp]] = []
    fixed: list[bool] = []
    for part in _parts(items.means, threshold):
        labels = _linked(items, part, threshold, forbidden) if len(part) > 1 else np.zeros(1, int)
        for label in range(labels.max() + 1):
            chosen = part[labels == label]
            members.append(np.concatenate([items.members[number] for number in chosen]))
            fixed.append(bool(items.fixed[chosen].any()))
    return _items(members, fixed, vectors)


def _parts(means: NDArray[np.float64], threshold: float) -> list[NDArray[np.intp]]:
    """Return the connected parts of the graph of groups within the threshold, none above `LARGEST_PART`."""
    count = len(means)
    if count < 2:
        return [np.arange(count)] if count else []
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    units = (means / np.maximum(lengths, 1e-9)).astype(np.float32)
    labels = _connected(units, 1 - threshold**2 / 2)
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    small: list[NDArray[np.intp]] = []
    for part in parts:
        if len(part) > LARGEST_PART:  # near faces beside each other, so that they are in one block
            part = part[_in_line(units[part])]
        small += np.array_split(part, -(-len(part) // LARGEST_PART))
    return small


def _connected(units: NDArray[np.float32], least: float) -> NDArray[np.integer]:
    """Label the connected parts of the graph whose edges are pairs with at least a cosine.

    All pairs are compared, 1,024 rows at a time; only as many edges are kept as are needed to tell what is
    connected.

    Args:
        units: (n, dim) float32 unit rows.
        least: the cosine.

    Returns:
        (n,) int.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(units)
    labels: NDArray[np.integer] = np.arange(count)
    for start in range(0, count, _ROWS):
        cosines = units[start : start + _ROWS] @ units[start:].T
        rows, columns = np.nonzero(cosines >= least)
        ends = labels[rows + start], labels[columns + start]
        table = coo_matrix((np.ones(len(rows), bool), ends), shape=(count, count))
        labels = connected_components(table, directed=False)[1][labels]
    return labels


def _in_line(units: NDArray[np.float32]) -> NDArray[np.intp]:
    """Order the faces of a large part so that near ones are beside each other."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(units) - 1), algorithm="brute").fit(units)
    graph = search.kneighbors_graph()
    order: NDArray[np.intp] = reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True)
    return order


def _linked(
    items: _Items, part: NDArray[np.intp], threshold: float, forbidden: Forbidden
) -> NDArray[np.integer]:
    from sklearn.cluster import AgglomerativeClustering

    means = items.means[part]
    distances = np.maximum(1 - means @ means.T, 0)
    np.fill_diagonal(distances, 0)
    fixed = np.flatnonzero(items.fixed[part])
    distances[np.ix_(fixed, fixed)] += _NEVER
    for one, other in forbidden.pairs([items.members[number] for number in part]):
        distances[one, other] = distances[other, one] = _NEVER
    np.fill_diagonal(distances, 0)
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=threshold**2 / 2
    )
    labels: NDArray[np.integer] = model.fit(distances).labels_
    return labels


def _join_poor(
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer],
    items: _Items,
    threshold: float,
    forbidden: Forbidden,
) -> None:
    """Add each poor face to the group nearest on average, if no other one is nearly as near."""
    poor = np.flatnonzero(labels < 0)
    if not len(poor) or not len(items.members):
        return
    members = dict(enumerate(items.members))
    for start in range(0, len(poor), LARGEST_PART):
        rows = poor[start : start + LARGEST_PART]
        cosines = vectors[rows].astype(np.float64) @ items.means.T
        first = cosines.argmax(axis=1)
        best = cosines[np.arange(len(rows)), first]
        second = (
            np.partition(cosines, -2, axis=1)[:, -2] if cosines.shape[1] > 1 else np.full(len(rows), -1.0)
        )
        sure = (1 - best <= threshold**2 / 2) & (best - second >= MARGIN)
        for row, number in sorted(zip(rows[sure].tolist(), first[sure].tolist(), strict=True)):
            if forbidden.allow(np.array([row]), members[number]):
                labels[row] = number
                members[number] = np.append(members[number], row)


def _largest_first(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number groups by size; equally large ones by their first face."""
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[inverse]


def oddness(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute how far each face of a group is from the others, to show the odd ones first.

    Args:
        vectors: (n, dim) float32 of unit length, of one group.

    Returns:
        (n,) float64 mean cosine distance to the others, 0 for a face that is alone.

    Example:
        >>> oddness(np.eye(2, dtype=np.float32)).tolist()
        [1.0, 1.0]
    """
    if len(vectors) < 2:
        return np.zeros(len(vectors))
    wide = vectors.astype(np.float64)
    total = wide.sum(axis=0)
    others: NDArray[np.float64] = 1 - (wide @ total - (wide**2).sum(axis=1)) / (len(wide) - 1)
    return others
