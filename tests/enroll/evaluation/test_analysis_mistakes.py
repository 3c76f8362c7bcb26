"""Who goes wrong most, counted one search after another."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from enroll.evaluation.analysis import (
    PersonMistakes,
    PhotoMistakes,
    confusions,
    mistakes,
    probable_duplicates,
)
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder

FOLDER = made_folder(noise=0.8, no_face=(3, 20), poor=(10, 50))


@pytest.mark.parametrize("fpir", [0.0, 0.1, 0.5])
def test_mistakes_are_what_plain_loops_count(fpir: float) -> None:
    evaluation = made_evaluation(FOLDER, splits=6)
    labels = FOLDER.labels.tolist()
    searches, missed, attracted = (defaultdict(int) for _ in range(3))
    searched, named = defaultdict(int), defaultdict(int)
    wrong: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for number, split in enumerate(evaluation.splits):
        limit = split.limit(fpir)
        mated = zip(split.mated, split.distance, split.nearest, split.rank == 1, strict=True)
        others = zip(split.non_mated, split.other_distance, split.other_nearest, strict=True)
        for row, distance, nearest, first in mated:
            searched[row] += 1
            searches[labels[row]] += 1
            if first and distance < limit:
                continue
            missed[labels[row]] += 1
            if distance < limit:
                named[row] += 1
                attracted[labels[nearest]] += 1
            wrong[row].append((distance, number, nearest))
        for row, distance, nearest in others:
            searched[row] += 1
            if distance < limit:
                named[row] += 1
                attracted[labels[nearest]] += 1
                wrong[row].append((distance, number, nearest))
    people = [
        PersonMistakes(FOLDER.identities[person], searches[person], missed[person], attracted[person])
        for person in range(12)
        if missed[person] or attracted[person]
    ]
    photos = [
        PhotoMistakes(row, searched[row], len(events), named[row], min(events)[2], min(events)[0])
        for row, events in wrong.items()
    ]
    found = mistakes(evaluation, fpir)
    assert found[0] == sorted(people, key=lambda entry: (-entry.missed - entry.attracted, entry.identity))
    assert found[1] == sorted(
        photos, key=lambda entry: (-entry.wrong / entry.searches, -entry.wrong, entry.row)
    )
    assert any(math.isinf(entry.distance) and entry.nearest == -1 for entry in found[1])


def test_a_search_at_the_distance_that_must_not_pass_is_missed() -> None:
    evaluation = made_evaluation(made_folder(noise=0.01), splits=1)
    (split,) = evaluation.splits
    limit = split.limit(0.5)
    at_limit = replace(evaluation, splits=(replace(split, distance=np.full_like(split.distance, limit)),))
    nearer = np.full_like(split.distance, np.nextafter(limit, 0))
    below = replace(evaluation, splits=(replace(split, distance=nearer),))
    assert sum(entry.missed for entry in mistakes(at_limit, 0.5)[0]) == len(split.mated)
    assert sum(entry.missed for entry in mistakes(below, 0.5)[0]) == 0


def test_confusions_as_frequent_and_as_near_are_in_the_order_of_their_names() -> None:
    """Everyone lies on an axis of their own but for three photos: all are at distance 0 or √2."""
    folder = made_folder(6, 4)
    axes = np.eye(6, dtype=np.float32)[folder.labels]
    axes[[0, 4, 8]] = axes[[4, 8, 0]]
    found = confusions(made_evaluation(replace(folder, vectors=axes), splits=12), 1.0)
    keys = [(-entry.times, entry.distance, entry.identity, entry.named) for entry in found]
    assert len({key[:2] for key in keys}) < len(keys)
    assert keys == sorted(keys)


def test_photos_without_a_face_make_no_one_a_double() -> None:
    folder = made_folder(12, 6, noise=0.15, no_face=(0, 7, 71))
    labels = folder.labels.copy()
    labels[[1, 2, 3]] = 12
    twice = replace(folder, labels=labels, identities=(*folder.identities, "again"))
    ((first, second, distance),) = probable_duplicates(twice)
    assert {first, second} == {"p00", "again"}
    away = [
        [np.linalg.norm(folder.vectors[one].astype(float) - folder.vectors[other]) for other in (4, 5)]
        for one in (1, 2, 3)
    ]
    assert np.min(away) <= distance <= np.max(away)
