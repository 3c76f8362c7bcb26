"""Who is taken for whom, and the two photos that look most alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from enroll.evaluation import Evaluation


@dataclass(frozen=True)
class Confusion:
    """A person whose photos were answered with another name.

    Attributes:
        identity: whom the photos show.
        named: the name that was given.
        times: how often, over all splits.
        searches: searches with photos of `identity` while `named` was enrolled.
        probe, template: rows of the photo and of the template that were nearest to each other.
        distance: of these two.
    """

    identity: str
    named: str
    times: int
    searches: int
    probe: int
    template: int
    distance: float


def confusions(evaluation: Evaluation, fpir: float) -> list[Confusion]:
    """List who was taken for whom at each split's threshold for an FPIR, the most frequent first."""
    folder = evaluation.folder
    people = len(folder.identities)
    searches = np.zeros((len(evaluation.splits), people))
    enrolled = np.zeros((len(evaluation.splits), people))
    probes, templates, distances = [], [], []
    for number, split in enumerate(evaluation.splits):
        limit = split.limit(fpir)
        enrolled[number, split.known] = 1
        for rows, nearest, distance in (
            (split.mated, split.nearest, split.distance),
            (split.non_mated, split.other_nearest, split.other_distance),
        ):
            searches[number] += np.bincount(folder.labels[rows], minlength=people)
            wrong = (distance < limit) & (folder.labels[rows] != folder.labels[nearest])
            probes.append(rows[wrong])
            templates.append(nearest[wrong])
            distances.append(distance[wrong])
    probe, template, apart = map(np.concatenate, (probes, templates, distances))
    pairs = folder.labels[probe] * people + folder.labels[template]
    order = np.lexsort((template, probe, apart, pairs))
    codes, first, times = np.unique(pairs[order], return_index=True, return_counts=True)
    found = []
    for code, start, count in zip(codes.tolist(), order[first].tolist(), times.tolist(), strict=True):
        who, whom = divmod(code, people)
        found.append(
            Confusion(
                identity=folder.identities[who],
                named=folder.identities[whom],
                times=count,
                searches=int(searches[:, who] @ enrolled[:, whom]),
                probe=int(probe[start]),
                template=int(template[start]),
                distance=float(apart[start]),
            )
        )
    return sorted(found, key=lambda entry: (-entry.times, entry.distance, entry.identity, entry.named))
