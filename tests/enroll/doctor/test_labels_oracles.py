"""Who is suspected, and who is probably one person, by Bayes' rule in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.doctor.evidence import (
    DistanceEvidence,
    LabeledTemplates,
    fit_evidence,
    nearest_others,
    typical_distances,
)
from enroll.doctor.labels import DuplicatePeople, Judged, find_duplicates, find_mislabeled
from enroll.search.exact import ExactIndex
from tests.enroll.doctor.people import DIM, evidence_of, labeled_of, made_people, templates_of, unit

EVIDENCE = DistanceEvidence(same=-1.2, same_spread=0.3, other=-0.1, other_spread=0.2)


def slow_twins(
    labeled: LabeledTemplates, near: dict[tuple[int, int], float], evidence: DistanceEvidence
) -> list[DuplicatePeople]:
    """Of each person the middle photo, by its distance to the other; all that are not near are far away."""
    people = len(labeled.names)
    middle = {}
    for one in range(people):
        for other in range(people):
            photos = np.flatnonzero(labeled.labels == one).tolist()
            away = sorted(near.get((row, other), math.inf) for row in photos)
            middle[one, other] = away[(len(away) - 1) // 2]
    found = []
    for one in range(people):
        for other in range(one + 1, people):
            distance = max(middle[one, other], middle[other, one])
            if distance < math.inf:
                odds = math.exp(evidence(np.array([distance]))[0]) * 0.05 / (people - 1)
                if odds > 1:
                    found.append(DuplicatePeople(one, other, distance, pytest.approx(odds / (1 + odds))))
    return found


@pytest.mark.parametrize("people", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_twins_are_what_plain_loops_find(people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(people), 3), rng.integers(0, people, 2 * people)])
    labeled = labeled_of(made_people(people, 5)[0], labels)
    entries = [(row, other) for row in range(len(labels)) for other in range(people) if other != labels[row]]
    kept = [entries[number] for number in rng.permutation(len(entries))[: math.ceil(0.8 * len(entries))]]
    near = {entry: float(math.exp(rng.normal(-0.9, 0.2))) for entry in kept}
    rows, others = (np.array(column) for column in zip(*near, strict=True))
    found = find_duplicates(labeled, rows, others, np.array(list(near.values())), EVIDENCE)
    expected = slow_twins(labeled, near, EVIDENCE)
    assert sorted(found, key=lambda pair: (pair.first, pair.second)) == expected
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)


def test_two_pairs_as_probable_are_in_the_order_of_their_names() -> None:
    labeled = labeled_of(made_people(4, 1)[0], np.arange(4))
    pairs = np.array([(2, 3), (3, 2), (0, 3), (3, 0), (0, 1), (1, 0)])
    found = find_duplicates(labeled, pairs[:, 0], pairs[:, 1], np.full(6, 0.2), EVIDENCE)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 3), (2, 3)]


def slow_judge(
    labeled: LabeledTemplates,
    near: set[tuple[int, int]],
    evidence: DistanceEvidence,
    believed: NDArray[np.bool_],
) -> tuple[list[float], list[int], list[int]]:
    """Probability that a photo is wrong, whom it is like, and who has no majority."""
    members, people = labeled.members(believed), len(labeled.names)

    def speaks(row: int, person: int) -> float | None:
        distance = typical_distances(labeled, members, np.array([row]), np.array([person]))
        return None if np.isnan(distance[0]) else float(evidence(distance)[0])

    odds, like, unclaimed = [], [], []
    for row, label in enumerate(labeled.labels.tolist()):
        right = math.exp(speaks(row, label) or 0.0) * 0.95
        claims = {person: speaks(row, person) for photo, person in sorted(near) if photo == row}
        claims = {person: math.exp(claim) for person, claim in claims.items() if claim is not None}
        someone, no_one = sum(claims.values()) * 0.05 * 0.9 / (people - 1), 0.05 * 0.1
        odds.append((someone + no_one) / right)
        unclaimed.append(someone <= max(right, no_one))
        like.append(-1 if unclaimed[-1] else max(claims, key=lambda person: claims[person]))
    divided = []
    for person in range(people):
        left = [row for row in np.flatnonzero(labeled.labels == person).tolist() if unclaimed[row]]
        alone = [row for row in left if odds[row] > 1]
        if alone and 2 * len(alone) >= len(left):
            divided.append(person)
            for row in left:
                odds[row] = 0.0
    return [value / (1 + value) for value in odds], like, divided


def slow_mistaken(
    labeled: LabeledTemplates, near: set[tuple[int, int]], evidence: DistanceEvidence
) -> tuple[dict[int, tuple[int, float]], list[int], list[bool]]:
    """Suspects with whom they are like, who is divided, who is kept.

    Five times the worst photo of each person who has another one no longer stands for them.
    """
    believed = np.ones(len(labeled.labels), bool)
    for number in range(6):
        wrong, like, divided = slow_judge(labeled, near, evidence, believed)
        worst = []
        for person in range(len(labeled.names)):
            photos = [row for row in np.flatnonzero(labeled.labels == person).tolist() if believed[row]]
            if len(photos) > 1 and wrong[max(photos, key=lambda row: wrong[row])] > 0.5:
                worst.append(max(photos, key=lambda row: wrong[row]))
        if not worst or number == 5:
            break
        believed[worst] = False
        evidence = fit_evidence(labeled, labeled.members(believed), believed) or evidence
    mislabeled = {row: (like[row], share) for row, share in enumerate(wrong) if share > 0.5}
    return mislabeled, divided, [share <= 0.5 for share in wrong]


def agree(found: Judged, expected: tuple[dict[int, tuple[int, float]], list[int], list[bool]]) -> None:
    mislabeled, divided, kept = expected
    assert {entry.row: entry.like for entry in found.mislabeled} == {
        row: like for row, (like, _) in mislabeled.items()
    }
    for entry in found.mislabeled:
        assert entry.probability == pytest.approx(mislabeled[entry.row][1], abs=1e-9)
    order = [(-entry.probability, entry.row) for entry in found.mislabeled]
    assert order == sorted(order)
    assert (list(found.divided), found.kept.tolist()) == (divided, kept)


def given_wrongly(people: int, photos: int, noise: float, seed: int, share: float) -> LabeledTemplates:
    rng = np.random.default_rng(seed)
    vectors, labels = made_people(people, photos, noise, seed)
    wrong = rng.random(len(labels)) < share
    return labeled_of(vectors, np.where(wrong, rng.integers(0, people, len(labels)), labels))


@pytest.mark.parametrize(
    ("people", "photos", "noise", "share"),
    [
        (12, 6, 0.1, 0.1),
        (12, 6, 0.3, 0.15),
        (8, 4, 0.25, 0.25),
        (5, 12, 0.2, 0.4),  # more wrong photos of a person than rounds
        (6, 2, 0.2, 0.2),
        (8, 3, 0.2, 0.25),
        (2, 6, 0.2, 0.15),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 4, 5])
def test_suspects_are_what_plain_loops_find(
    people: int, photos: int, noise: float, share: float, seed: int
) -> None:
    labeled = given_wrongly(people, photos, noise, seed, share)
    rows, others = nearest_others(labeled, ExactIndex(templates_of(labeled))).pairs(labeled.labels)
    evidence = evidence_of(labeled)
    found = find_mislabeled(labeled, rows, others, evidence)
    near = set(zip(rows.tolist(), others.tolist(), strict=True))
    agree(found, slow_mistaken(labeled, near, evidence))


@pytest.mark.parametrize(
    ("photos", "poor", "noise", "own", "seed"),
    [
        (4, 2, 0.1, 0.5, 1),
        (4, 2, 0.1, 0.75, 2),
        (5, 3, 0.2, 0.25, 1),
        (6, 3, 0.1, 0.25, 1),
        (3, 2, 0.1, 0.5, 2),
    ],
)
def test_half_of_a_persons_photos_are_more_or_less_like_them(
    photos: int, poor: int, noise: float, own: float, seed: int
) -> None:
    vectors, labels = made_people(20, photos, noise, seed)
    elsewhere = unit(np.random.default_rng(seed + 50).normal(size=(poor, DIM)))
    vectors[:poor] = unit(elsewhere + own * vectors[:poor])
    labeled = labeled_of(vectors, labels)
    rows, others = nearest_others(labeled, ExactIndex(templates_of(labeled))).pairs(labeled.labels)
    near = set(zip(rows.tolist(), others.tolist(), strict=True))
    evidence = evidence_of(labeled)
    agree(find_mislabeled(labeled, rows, others, evidence), slow_mistaken(labeled, near, evidence))


@pytest.mark.parametrize("labelled", [12, 0])
def test_the_only_photo_of_someone_is_someone_elses(labelled: int) -> None:
    """Of the first person or the last one: who has no other photo is not divided."""
    vectors, labels = made_people(12, 6)
    one_more = unit(vectors[18:19] + 0.1 * np.random.default_rng(0).normal(size=(1, DIM)))
    vectors, labels = np.concatenate([vectors, one_more]), np.append(labels + (labelled == 0), labelled)
    labeled = labeled_of(vectors, labels)
    rows, others = nearest_others(labeled, ExactIndex(templates_of(labeled))).pairs(labeled.labels)
    near = set(zip(rows.tolist(), others.tolist(), strict=True))
    found = find_mislabeled(labeled, rows, others, evidence_of(labeled))
    agree(found, slow_mistaken(labeled, near, evidence_of(labeled)))
    assert 72 in {entry.row for entry in found.mislabeled} and found.divided == ()


@pytest.mark.parametrize("names", [(0, 3), (3, 0)])
def test_a_photo_is_not_wrong_for_looking_like_its_persons_other_name(names: tuple[int, int]) -> None:
    vectors, labels = made_people(12, 6)
    labeled = labeled_of(vectors, np.where((labels == 0) & (np.arange(72) > 1), 3, labels))
    rows, others = nearest_others(labeled, ExactIndex(templates_of(labeled))).pairs(labeled.labels)
    duplicates = [DuplicatePeople(*names, 0.1, 1.0)]
    near = {
        (row, person)
        for row, person in zip(rows.tolist(), others.tolist(), strict=True)
        if {int(labeled.labels[row]), person} != {0, 3}
    }
    agree(
        find_mislabeled(labeled, rows, others, EVIDENCE, duplicates), slow_mistaken(labeled, near, EVIDENCE)
    )
