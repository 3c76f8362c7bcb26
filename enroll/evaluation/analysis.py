"""Find confused people, the worst people and photos, and the FPIR by gallery size.

FPIR (false positive identification rate) is given against the number of enrolled people, at one threshold
for all. No sub-gallery is drawn: of n enrolled people, let m be within the threshold of a stranger's photo.
A random part of k people has none of the m with probability C(n - m, k) / C(n, k), which gives the mean over
all sub-galleries of k people exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import squared_distances
from enroll.doctor.examine import find_probable_duplicates
from enroll.evaluation.estimates import Estimate, figure
from enroll.evaluation.once import computed_once
from enroll.templates import Templates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.evaluation.protocol import Evaluation
    from enroll.evaluation.samples import EmbeddedSamples
    from enroll.evaluation.splits import SearchSplit


_PAIRS_AT_ONCE = 4_000_000  # distances in memory: 32 MB


@dataclass(frozen=True)
class Confusion:
    """Holds how often photos of one person were answered with another name.

    Attributes:
        identity: name of the person the photos show.
        named: the name that was given.
        times: how often, over all splits.
        searches: number of searches with photos of `identity` while `named` was enrolled.
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


def confusions(evaluation: Evaluation[EmbeddedSamples], fpir: float) -> list[Confusion]:
    """Count how often each person was named as another, the most frequent pair first.

    Args:
        evaluation: the splits.
        fpir: each split has its own threshold, that for this FPIR.
    """
    samples = evaluation.samples
    people = len(samples.identities)
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
            searches[number] += np.bincount(samples.labels[rows], minlength=people)
            wrong = (distance < limit) & (samples.labels[rows] != samples.labels[nearest])
            probes.append(rows[wrong])
            templates.append(nearest[wrong])
            distances.append(distance[wrong])
    probe, template, apart = map(np.concatenate, (probes, templates, distances))
    pairs = samples.labels[probe] * people + samples.labels[template]
    order = np.lexsort((template, probe, apart, pairs))
    codes, first, times = np.unique(pairs[order], return_index=True, return_counts=True)
    found = []
    for code, start, count in zip(codes.tolist(), order[first].tolist(), times.tolist(), strict=True):
        who, whom = divmod(code, people)
        found.append(
            Confusion(
                identity=samples.identities[who],
                named=samples.identities[whom],
                times=count,
                searches=int(searches[:, who] @ enrolled[:, whom]),
                probe=int(probe[start]),
                template=int(template[start]),
                distance=float(apart[start]),
            )
        )
    return sorted(found, key=lambda entry: (-entry.times, entry.distance, entry.identity, entry.named))


@dataclass(frozen=True)
class PersonMistakes:
    """Counts the mistakes with one person over all splits, at the threshold of each split.

    Attributes:
        identity: the name.
        searches: number of mated searches for them.
        missed: number of these that were not answered with their name, for any reason.
        attracted: number of searches for others that were answered with their name.
    """

    identity: str
    searches: int
    missed: int
    attracted: int


@dataclass(frozen=True)
class PhotoMistakes:
    """Counts the mistakes with one photo over all splits.

    Attributes:
        row: of the photo.
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
def mistakes(
    evaluation: Evaluation[EmbeddedSamples], fpir: float
) -> tuple[list[PersonMistakes], list[PhotoMistakes]]:
    """Count the mistakes with each person and each photo, the worst first.

    People and photos without a mistake are left out.

    Args:
        evaluation: the splits.
        fpir: each split has its own threshold, that for this FPIR.
    """
    labels = evaluation.samples.labels
    people, rows = len(evaluation.samples.identities), len(labels)
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
        for i, name in enumerate(evaluation.samples.identities)
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
def probable_duplicates(samples: EmbeddedSamples) -> list[tuple[str, str, float]]:
    """Find pairs of people who are probably one person; see `enroll.doctor.labels`.

    Returns:
        Both names and the distance of each pair, the most probable pair first.
    """
    rows = np.flatnonzero(samples.found)
    names = np.array(samples.identities, object)[samples.labels[rows]]
    labeled, duplicates = find_probable_duplicates(
        Templates(rows.astype(np.int64), names, samples.vectors[rows])
    )
    return [(labeled.names[pair.first], labeled.names[pair.second], pair.distance) for pair in duplicates]


@dataclass(frozen=True)
class FpirByGallerySize:
    """Holds the FPIR in galleries of several sizes.

    Attributes:
        limit: a search names someone when its nearest template is nearer than this.
        people: number of enrolled people, rising; the last is the gallery of a split.
        fpir: of each size, 0 to 1.
        fmr: share of comparisons of a stranger's photo with an enrolled person that are within the limit.
    """

    limit: float
    people: tuple[int, ...]
    fpir: tuple[Estimate, ...]
    fmr: float

    def expected(self, people: NDArray[np.integer]) -> NDArray[np.float64]:
        """Compute the FPIR if comparisons were independent, 1 - (1 - FMR)^N.

        Args:
            people: (sizes,) integers N.

        Returns:
            (sizes,) float64.
        """
        return np.asarray(-np.expm1(people * np.log1p(-self.fmr))) if self.fmr < 1 else np.ones(len(people))


def fpir_by_size(evaluation: Evaluation[EmbeddedSamples], limit: float) -> FpirByGallerySize:
    """Compute the FPIR of smaller galleries, mean over all of a size and over the splits.

    Args:
        evaluation: the splits.
        limit: first distance that does not pass, as `SearchSplit.limit` gives it.
    """
    samples, known = evaluation.samples, len(evaluation.splits[0].known)
    sizes = gallery_sizes(known)
    weights = np.vstack([np.ones(len(samples.identities)), evaluation.weights()])
    total = np.zeros((len(weights), len(sizes)))
    splits = np.zeros((len(weights), 1))
    for split in evaluation.splits:
        named = _named(_near_people(samples, split, limit), known, sizes)
        drawn = weights[:, samples.labels[split.non_mated]]
        all_drawn = drawn.sum(axis=1, keepdims=True)
        total += drawn @ named / np.maximum(all_drawn, 1)
        splits += all_drawn > 0  # a replicate may have drawn no stranger of a split
    with np.errstate(invalid="ignore"):
        shares = total / splits
    figures = [figure(column[0], column[1:], len(samples.identities)) for column in shares.T]
    return FpirByGallerySize(limit, sizes, tuple(figures), float(shares[0, 0]))


def gallery_sizes(known: int) -> tuple[int, ...]:
    """List 1, 2, 5, 10, 20, 50, ... below a number of people, and that number."""
    steps = [step * 10**power for power in range(len(str(known))) for step in (1, 2, 5)]
    return (*(step for step in steps if step < known), known)


def _near_people(samples: EmbeddedSamples, split: SearchSplit, limit: float) -> NDArray[np.int64]:
    """Count the people within the limit of each non-mated search, (non_mated,)."""
    near = np.zeros(len(split.non_mated), np.int64)
    gallery = split.enrolled[samples.enrollable[split.enrolled]]
    if not len(gallery):
        return near
    gallery = gallery[np.argsort(samples.labels[gallery], kind="stable")]
    starts = np.unique(samples.labels[gallery], return_index=True)[1]
    found = np.flatnonzero(samples.found[split.non_mated])
    step = max(1, _PAIRS_AT_ONCE // len(gallery))
    for start in range(0, len(found), step):
        rows = found[start : start + step]
        squared = squared_distances(samples.vectors[split.non_mated[rows]], samples.vectors[gallery])
        near[rows] = (np.sqrt(np.minimum.reduceat(squared, starts, axis=1)) < limit).sum(axis=1)
    return near


def _named(near: NDArray[np.int64], known: int, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """Compute the share of the sub-galleries of each size in which a search names someone.

    Args:
        near: (searches,) number of people within the limit.
        known: number of people in the whole gallery.
        sizes: of the sub-galleries.

    Returns:
        (searches, sizes) float64.
    """
    counts, search = np.unique(near, return_inverse=True)
    people = np.arange(known)
    # C(n - m, k) / C(n, k), as a product over the k people drawn one after another.
    factors = np.clip((known - counts[:, None] - people) / (known - people), 0, None)
    return np.asarray(1 - np.cumprod(factors, axis=1)[:, np.array(sizes) - 1][search])
