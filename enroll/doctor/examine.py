"""A gallery to everything that may be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import UsageError
from enroll.doctor.confused import Confused, find_confused
from enroll.doctor.crowd import Crowd, nearest_others
from enroll.doctor.growth import Growth, expect
from enroll.doctor.likeness import learn, typical_distances
from enroll.doctor.mistaken import Judged, find_mistaken
from enroll.doctor.twins import Twins, find_twins
from enroll.promise import Calibration

if TYPE_CHECKING:
    from embedder.progress import Progress
    from enroll.search.contract import Finder
    from enroll.store import Store, Templates

ENOUGH_PHOTOS = 3  # of two that differ no one can say which is wrong
_NOT_JUDGED = (
    "too few people with several photos to learn how photos of one person differ, or the model tells no one "
    "apart: photos and double names are not judged"
)


@dataclass(frozen=True, eq=False)
class Examination:
    """What was found.

    Attributes:
        crowd: the templates that were looked at.
        twins: the same person under two names.
        judged: photos that do not look like their person.
        confused: people who may be named for each other.
        near: photos that come within the threshold of another person.
        few: people with fewer than `ENOUGH_PHOTOS` photos, and how many they have.
        growth: the FPIR to expect, None if `notes` say why not.
        notes: what could not be found out, and why.
    """

    crowd: Crowd
    twins: tuple[Twins, ...]
    judged: Judged
    confused: tuple[Confused, ...]
    near: int
    few: tuple[tuple[int, int], ...]
    growth: Growth | None
    notes: tuple[str, ...]


def examine(store: Store, progress: Progress | None = None) -> Examination:
    """Examine a gallery.

    Args:
        store: the gallery.
        progress: hears of each template.

    Raises:
        UsageError: no one is enrolled.
        GalleryError: the gallery is broken.
    """
    templates = store.templates()
    if not len(templates.ids):
        raise UsageError(f"{store.location}: no one is enrolled; nothing to examine")
    crowd = Crowd.of(templates)
    finder = store.finder() or _exact(templates)
    nearest = nearest_others(crowd, finder, progress)
    rows, people = nearest.pairs(crowd.labels)
    notes: list[str] = []
    everyone = np.ones(len(crowd.labels), bool)
    twins: Sequence[Twins] = ()
    judged = Judged((), (), everyone)
    members = crowd.members(everyone)
    if (evidence := learn(crowd, members, everyone)) is None:
        notes.append(_NOT_JUDGED)
    else:
        distances = typical_distances(crowd, members, rows, people)
        twins = find_twins(crowd, rows, people, distances, evidence)
        judged = find_mistaken(crowd, rows, people, evidence, twins)
    confused: list[Confused] = []
    growth, near = None, 0
    try:
        growth = expect(crowd, judged.kept, *_calibration(store))
        confused, near = find_confused(crowd, nearest, growth.threshold, judged.kept, twins)
    except UsageError as error:
        notes.append(f"the FPIR to expect is not known, nor who is easily confused: {error}")
    few = [(label, size) for label, size in enumerate(crowd.sizes().tolist()) if size < ENOUGH_PHOTOS]
    return Examination(crowd, tuple(twins), judged, tuple(confused), near, tuple(few), growth, tuple(notes))


def probable_twins(templates: Templates) -> tuple[Crowd, list[Twins]]:
    """Find only the same person under two names; none where too little is known."""
    crowd = Crowd.of(templates)
    everyone = np.ones(len(crowd.labels), bool)
    members = crowd.members(everyone)
    evidence = learn(crowd, members, everyone)
    if evidence is None:
        return crowd, []
    rows, people = nearest_others(crowd, _exact(templates)).pairs(crowd.labels)
    distances = typical_distances(crowd, members, rows, people)
    return crowd, find_twins(crowd, rows, people, distances, evidence)


def _exact(templates: Templates) -> Finder:
    from enroll.search.exact import ExactFinder

    return ExactFinder(templates)


def _calibration(store: Store) -> tuple[Calibration | None, str | None]:
    """Give the gallery's calibration and why it is in doubt."""
    kept, model = store.calibration(), store.model()
    if kept is None or model is None:
        return None, None
    calibration = Calibration.from_text(kept[0], store.location)
    if calibration.fingerprint != model[0]:
        return None, None
    return calibration, calibration.outdated(kept[1])
