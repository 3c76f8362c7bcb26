"""Examine a gallery: find everything that may be wrong, from its templates alone.

Found are photos of someone else and one person under two names (`labels`), people who are near enough to each
other to be named for each other, and the FPIR (false positive identification rate) to expect at one threshold
as a gallery grows.

A calibration bounds the FPIR f of a gallery of N people by independent people (`enroll.calibration`), each of
whom a stranger is within the threshold of with one probability p: f = 1 - (1 - p)^N. So at M people, and the
same threshold, it is at most 1 - (1 - f)^(M / N), as sure as the calibration is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import UsageError
from enroll.calibration import calibrate
from enroll.distances import near_pairs
from enroll.doctor.evidence import LabeledTemplates, fit_evidence, nearest_others, typical_distances
from enroll.doctor.labels import (
    DuplicatePeople,
    Judged,
    doubt_of_two_names,
    find_duplicates,
    find_mislabeled,
)
from enroll.search.exact import ExactIndex
from enroll.templates import Templates, checked_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from embedder._internal.runtime import Progress
    from embedder.strangers import StrangerDistances
    from enroll.calibration import Calibration
    from enroll.doctor.evidence import NearestOthers
    from enroll.search.base import SearchIndex


_TARGET = 0.01  # FPIR to calibrate for if the gallery is not calibrated
_MOST_PEOPLE = 500  # drawn at random for that; more add little but time
_MANY = 10_000  # photos; of more, pairs within reach of each other are found several times as fast
_TIMES = (1, 2, 5, 10, 100)  # as many people as now

ENOUGH_PHOTOS = 3  # of two that differ it cannot be said which is wrong
_NOT_JUDGED = (
    "too few people with several photos to learn how photos of one person differ, or the model tells no one "
    "apart: photos and double names are not judged"
)


@dataclass(frozen=True)
class Lookalikes:
    """Holds two people, one of whom would be named as the other if that one alone were enrolled.

    Attributes:
        first, second: indices of the people, the lower one first.
        photos: number of photos of both that are within the threshold of the other.
        distance: of the two photos nearest to each other.
    """

    first: int
    second: int
    photos: int
    distance: float


def find_lookalikes(
    labeled: LabeledTemplates,
    nearest: NearestOthers,
    threshold: float,
    kept: NDArray[np.bool_],
    duplicates: Sequence[DuplicatePeople] = (),
) -> tuple[list[Lookalikes], int]:
    """Find pairs of people within a threshold, those with most photos first, then the nearest.

    Args:
        labeled: the templates.
        nearest: the templates of other people nearest to each.
        threshold: largest distance at which a name is given.
        kept: (n,) bool, photos that are not suspected of showing someone else.
        duplicates: pairs of names of one person, which are no lookalikes.

    Returns:
        The pairs, and the number of photos within the threshold of any other person.
    """
    people = len(labeled.names)
    near = (nearest.rows >= 0) & (nearest.distances <= threshold) & kept[:, None]
    near &= kept[nearest.rows]
    rows, places = np.nonzero(near)
    whose, others = labeled.labels[rows], labeled.labels[nearest.rows[rows, places]]
    pairs = np.minimum(whose, others) * people + np.maximum(whose, others)
    apart = ~np.isin(pairs, [pair.first * people + pair.second for pair in duplicates])
    rows, pairs, distances = rows[apart], pairs[apart], nearest.distances[rows, places][apart]
    codes, index = np.unique(pairs, return_inverse=True)
    closest = np.full(len(codes), np.inf)
    np.minimum.at(closest, index, distances)
    photos = np.bincount(np.unique(index * len(kept) + rows) // len(kept), minlength=len(codes))
    found = [
        Lookalikes(code // people, code % people, count, distance)
        for code, count, distance in zip(codes.tolist(), photos.tolist(), closest.tolist(), strict=True)
    ]
    found.sort(key=lambda pair: (-pair.photos, pair.distance, pair.first, pair.second))
    return found, len(np.unique(rows))


@dataclass(frozen=True)
class FpirForecast:
    """Holds the FPIR to expect of a threshold in galleries of several sizes.

    Attributes:
        threshold: largest distance at which a name is given.
        calibrated: whether it is the gallery's own; else it is about the one that calibrating for FPIR 1 %
            sets.
        warning: why the calibration is in doubt, or None.
        people: sizes of galleries, rising; the first is the gallery's own.
        fpir: upper limit for each size, 0 to 1.
    """

    threshold: float
    calibrated: bool
    warning: str | None
    people: tuple[int, ...]
    fpir: tuple[float, ...]


def forecast_fpir(
    labeled: LabeledTemplates,
    kept: NDArray[np.bool_],
    calibration: Calibration | None,
    warning: str | None,
    strangers: StrangerDistances | None = None,
) -> FpirForecast:
    """Forecast the FPIR as the gallery grows.

    Args:
        labeled: the templates.
        kept: (n,) bool, photos that are not suspected of showing someone else.
        calibration: the gallery's own, if it has one.
        warning: why that is in doubt.
        strangers: distances between strangers by the model, to calibrate with.

    Raises:
        UsageError: there is no calibration, and too few people to make one without the model's distances.
    """
    now = len(labeled.names)
    if calibration is not None:
        threshold, target, size = calibration.threshold, calibration.target_fpir, calibration.identities
    else:
        drawn = np.random.default_rng(0).permutation(now)[:_MOST_PEOPLE]
        rows = np.flatnonzero(kept & np.isin(labeled.labels, drawn))
        size = len(np.unique(labeled.labels[rows]))
        target = fpir_at(_TARGET, now, max(size, 1))
        threshold = calibrate(labeled.vectors[rows], labeled.labels[rows], target, known=strangers).threshold
    people = tuple(times * now for times in _TIMES)
    fpir = tuple(fpir_at(target, size, count) for count in people)
    return FpirForecast(threshold, calibration is not None, warning, people, fpir)


def fpir_at(fpir: float, people: int, others: int) -> float:
    """Compute the FPIR at one threshold in a gallery of another size.

    Args:
        fpir: the FPIR in a gallery of `people` people.
        people: number of people there.
        others: number of people in the other gallery.
    """
    return float(-np.expm1(others / people * np.log1p(-fpir)))


@dataclass(frozen=True, eq=False)
class Examination:
    """Holds what was found in a gallery.

    Attributes:
        templates: the templates that were examined.
        duplicates: pairs of names that are probably one person.
        judged: photos that probably do not show their person.
        lookalikes: pairs of people who may be named for each other.
        near: number of photos within the threshold of another person.
        few: people with fewer than `ENOUGH_PHOTOS` photos: index and number of photos.
        forecast: the FPIR to expect, None if `notes` say why not.
        notes: what could not be found out, and why.

    Example:
        >>> found = examine(np.eye(6), list("abcdef"))
        >>> len(found.few), found.lookalikes, found.judged.mislabeled
        (6, (), ())
    """

    templates: LabeledTemplates
    duplicates: tuple[DuplicatePeople, ...]
    judged: Judged
    lookalikes: tuple[Lookalikes, ...]
    near: int
    few: tuple[tuple[int, int], ...]
    forecast: FpirForecast | None
    notes: tuple[str, ...]


def examine(
    vectors: ArrayLike,
    labels: ArrayLike,
    *,
    ids: NDArray[np.int64] | None = None,
    calibration: Calibration | None = None,
    strangers: StrangerDistances | None = None,
    warning: str | None = None,
    search_index: SearchIndex | None = None,
    progress: Progress | None = None,
) -> Examination:
    """Examine the templates of a gallery: wrong photos, duplicate people, lookalikes, FPIR.

    Args:
        vectors: (n, dim) float unit rows.
        labels: (n,) names or numbers of the people.
        ids: (n,) int64 of the templates, rising; None: their rows.
        calibration: the gallery's own; None: it is calibrated to forecast the FPIR.
        strangers: distances between strangers by the model, for that calibration; None: unknown.
        warning: why that calibration is in doubt, for the result.
        search_index: searches the same templates by their ids; None: brute force.
        progress: progress bar, advanced with every template.

    Raises:
        ValueError: no templates, or arrays of other shapes or kinds.
        UsageError: a vector is not finite.

    Example:
        >>> people = np.repeat(np.eye(8, 16), 4, axis=0)
        >>> photos = people + np.random.default_rng(0).normal(0, 0.02, people.shape)
        >>> names = np.repeat(list("abcdefgh"), 4)
        >>> names[0] = "h"  # a photo of a under another name
        >>> found = examine(photos / np.linalg.norm(photos, axis=1, keepdims=True), names)
        >>> [photo.row for photo in found.judged.mislabeled]
        [0]
    """
    templates = _checked(vectors, labels, ids)
    labeled = LabeledTemplates.of(templates)
    nearest = nearest_others(labeled, search_index or ExactIndex(templates), progress)
    rows, people = nearest.pairs(labeled.labels)
    notes: list[str] = []
    everyone = np.ones(len(labeled.labels), bool)
    duplicates: Sequence[DuplicatePeople] = ()
    judged = Judged((), (), everyone)
    members = labeled.members(everyone)
    if (evidence := fit_evidence(labeled, members, everyone)) is None:
        notes.append(_NOT_JUDGED)
    else:
        distances = typical_distances(labeled, members, rows, people)
        duplicates = find_duplicates(labeled, rows, people, distances, evidence)
        judged = find_mislabeled(labeled, rows, people, evidence, duplicates)
    lookalikes: list[Lookalikes] = []
    forecast, near = None, 0
    try:
        forecast = forecast_fpir(labeled, judged.kept, calibration, warning, strangers)
        lookalikes, near = find_lookalikes(labeled, nearest, forecast.threshold, judged.kept, duplicates)
    except UsageError as error:
        notes.append(f"the FPIR to expect is not known, nor who is easily confused: {error}")
    few = [(label, size) for label, size in enumerate(labeled.sizes().tolist()) if size < ENOUGH_PHOTOS]
    return Examination(
        labeled, tuple(duplicates), judged, tuple(lookalikes), near, tuple(few), forecast, tuple(notes)
    )


def find_probable_duplicates(templates: Templates) -> tuple[LabeledTemplates, list[DuplicatePeople]]:
    """Find only pairs of names that are probably one person; none where too little is known.

    Returns:
        The templates by person, and the pairs.
    """
    labeled = LabeledTemplates.of(templates)
    everyone = np.ones(len(labeled.labels), bool)
    members = labeled.members(everyone)
    evidence = fit_evidence(labeled, members, everyone)
    if evidence is None:
        return labeled, []
    if len(labeled.labels) <= _MANY:
        rows, people = nearest_others(labeled, ExactIndex(templates)).pairs(labeled.labels)
    else:
        reach = evidence.reach(doubt_of_two_names(len(labeled.names)))
        rows, people = _within(labeled, reach)
    distances = typical_distances(labeled, members, rows, people)
    return labeled, find_duplicates(labeled, rows, people, distances, evidence)


def _within(labeled: LabeledTemplates, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair each photo with each other person of whom a photo is within a distance.

    A photo's typical distance to a person is no less than that of their nearest photo. So where two names
    are one person's, the photos that are evidence of it are among these.

    Args:
        labeled: the templates.
        reach: the distance.

    Returns:
        Rows and people, (m,) int64 each.
    """
    labels, people = labeled.labels, len(labeled.names)
    codes = [np.empty(0, np.int64)]
    for first, second in near_pairs(labeled.vectors, labels, len(labels), reach):
        codes += [first * people + labels[second], second * people + labels[first]]
    found = np.unique(np.concatenate(codes))
    return found // people, found % people


def _checked(vectors: ArrayLike, labels: ArrayLike, ids: NDArray[np.int64] | None) -> Templates:
    """Return arrays as templates, if they can be.

    Raises:
        ValueError, UsageError: they cannot.
    """
    rows, of = checked_rows(vectors, labels)
    if ids is None:
        ids = np.arange(len(rows))
    if not rows.size or ids.shape != rows.shape[:1]:
        raise ValueError(
            f"expected (n, dim) vectors and (n,) ids, n at least 1, got {rows.shape} and {ids.shape}"
        )
    if (np.diff(ids) <= 0).any():
        raise ValueError("ids: expected rising numbers, got others: sort the templates by them")
    return Templates(ids, np.asarray(of, object), rows.astype(np.float32, copy=False))
