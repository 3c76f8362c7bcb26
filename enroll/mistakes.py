"""Who goes wrong most: the people, the photos, and the pairs of folders that look like one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.embedded import EmbeddedFolder
    from enroll.evaluation import Evaluation

_APART = 3.0  # standard deviations that a probable duplicate stands out from the other pairs of people


@dataclass(frozen=True)
class PersonMistakes:
    """What happened to a person over all splits, at the threshold of each split.

    Attributes:
        identity: the name.
        searches: mated searches for them.
        missed: of these, not answered with their name, for any reason.
        attracted: searches for others that were answered with their name.
    """

    identity: str
    searches: int
    missed: int
    attracted: int


@dataclass(frozen=True)
class PhotoMistakes:
    """What happened to a photo over all splits.

    Attributes:
        row: of the photo in the folder.
        searches: how often it was searched for.
        wrong: how often it was missed, or its person was named although a stranger.
        named: of these, how often someone else was named.
        nearest: row of the template it was nearest to in the worst of these, or -1: no face was found.
        distance: of that template, infinite without a face.
    """

    row: int
    searches: int
    wrong: int
    named: int
    nearest: int
    distance: float


def mistakes(evaluation: Evaluation, fpir: float) -> tuple[list[PersonMistakes], list[PhotoMistakes]]:
    """Count mistakes at each split's threshold for an FPIR, the worst first; who made none is left out."""
    labels = evaluation.folder.labels
    people, rows = len(evaluation.folder.identities), len(labels)
    searches, missed, attracted = (np.zeros(people, int) for _ in range(3))
    searched, wrong, named = (np.zeros(rows, int) for _ in range(3))
    nearest, distance = np.full(rows, -1), np.full(rows, np.inf)
    for split in evaluation.splits:
        limit = split.limit(fpir)
        near = split.distance < limit
        lost = ~near | (split.rank != 1)
        mistaken = near & (split.rank != 1)
        strangers = split.other_distance < limit
        np.add.at(searches, labels[split.mated], 1)
        np.add.at(missed, labels[split.mated[lost]], 1)
        for probes, bad, as_another, templates, far in (
            (split.mated, lost, mistaken, split.nearest, split.distance),
            (split.non_mated, strangers, strangers, split.other_nearest, split.other_distance),
        ):
            np.add.at(searched, probes, 1)
            np.add.at(wrong, probes[bad], 1)
            np.add.at(named, probes[as_another], 1)
            np.add.at(attracted, labels[templates[as_another]], 1)
            closer = bad & (far < distance[probes])
            nearest[probes[closer]], distance[probes[closer]] = templates[closer], far[closer]
    by_person = [
        PersonMistakes(name, int(searches[i]), int(missed[i]), int(attracted[i]))
        for i, name in enumerate(evaluation.folder.identities)
        if missed[i] or attracted[i]
    ]
    by_photo = [
        PhotoMistakes(
            int(row),
            int(searched[row]),
            int(wrong[row]),
            int(named[row]),
            int(nearest[row]),
            float(distance[row]),
        )
        for row in np.flatnonzero(wrong)
    ]
    by_person.sort(key=lambda entry: (-(entry.missed + entry.attracted), entry.identity))
    by_photo.sort(key=lambda entry: (-entry.wrong / entry.searches, -entry.wrong, entry.row))
    return by_person, by_photo


def probable_duplicates(folder: EmbeddedFolder) -> list[tuple[str, str, float]]:
    """Find pairs of people whose photos are as near to each other as those of one person.

    The typical distance between two people is the median over the photos of one of the distance to the
    nearest photo of the other, the larger of both directions. A pair is reported if that is no larger than
    within the most varied single person, and far below that of the other pairs.

    Returns:
        Name, name and typical distance, the nearest pair first.
    """
    rows = np.flatnonzero(folder.found)
    labels, vectors = folder.labels[rows], folder.vectors[rows]
    people = np.unique(labels)
    if len(people) < 3:
        return []
    typical = typical_distances(vectors, labels, people)
    own = np.diag(typical)
    pairs = np.triu_indices(len(people), 1)
    between = np.maximum(typical, typical.T)[pairs]
    if not np.isfinite(own).any():
        return []
    logs = np.log(np.maximum(between, 1e-3))
    middle, spread = np.median(logs), 1.4826 * np.median(np.abs(logs - np.median(logs)))
    suspicious = (between <= own[np.isfinite(own)].max()) & (logs < middle - _APART * spread)
    found = [
        (folder.identities[people[pairs[0][i]]], folder.identities[people[pairs[1][i]]], float(between[i]))
        for i in np.flatnonzero(suspicious)
    ]
    return sorted(found, key=lambda pair: pair[2])


def typical_distances(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], people: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the median distance of each person's photos to the nearest photo of each other, (people, people).

    On the diagonal: to the nearest other photo of their own, infinite for a single photo.
    """
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], people)
    result = np.empty((len(people), len(people)))
    for index, person in enumerate(people):
        mine = np.flatnonzero(labels == person)
        squared = squared_distances(vectors[mine], vectors[order])
        squared[mine[:, None] == order[None]] = np.inf
        result[index] = np.sqrt(np.median(np.minimum.reduceat(squared, starts, axis=1), axis=0))
    return result
