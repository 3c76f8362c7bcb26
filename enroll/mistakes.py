"""Who goes wrong most: the people, the photos, and the pairs of folders that look like one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.doctor.examine import probable_twins
from enroll.once import computed_once
from enroll.store import Templates

if TYPE_CHECKING:
    from enroll.embedded import EmbeddedFolder
    from enroll.evaluation import Evaluation


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


@computed_once
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


@computed_once
def probable_duplicates(folder: EmbeddedFolder) -> list[tuple[str, str, float]]:
    """Find pairs of people who are probably one person, as `embed gallery doctor` does; see `doctor.twins`.

    Returns:
        Name, name and distance, the most probable pair first.
    """
    rows = np.flatnonzero(folder.found)
    names = np.array(folder.identities, object)[folder.labels[rows]]
    crowd, twins = probable_twins(Templates(rows.astype(np.int64), names, folder.vectors[rows]))
    return [(crowd.names[pair.first], crowd.names[pair.second], pair.distance) for pair in twins]
