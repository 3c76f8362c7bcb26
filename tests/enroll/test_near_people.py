from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from embedder.errors import UsageError
from embedder.moments import Moments, limit_of_strangers, middle_and_spread
from embedder.stranger_fit import fit_strangers
from embedder.strangers import StrangerDistances
from enroll import near_people
from enroll.calibration import calibrate
from enroll.near_people import NearPeople, find_near_people, left_out_of, pairs_of, robust_moments
from enroll.probes import Probes
from tests.enroll.test_calibration import people


def known(seed: int = 100) -> StrangerDistances:
    found = fit_strangers([people(60, 4, seed)])
    assert found is not None
    return found


KNOWN = known()


def near(
    vectors: NDArray, labels: NDArray, prior: StrangerDistances | None, *others: Any
) -> tuple[NearPeople, ...]:
    return Probes.of(vectors, labels, *others).near_people(prior)


@pytest.mark.parametrize("prior", [KNOWN, None])
@pytest.mark.parametrize("seed", range(5))
def test_nobody_is_near_in_a_clean_gallery(prior: StrangerDistances | None, seed: int) -> None:
    assert near(*people(12, 4, seed), prior) == ()


@pytest.mark.parametrize("prior", [KNOWN, None])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_photo_under_another_name(prior: StrangerDistances | None, size: int) -> None:
    if prior is None and size < 8:
        return
    vectors, labels = people(size, 4)
    mixed = labels.copy()
    mixed[3] = 1  # the last photo of person 0
    (found,) = near(vectors, mixed, prior)
    assert (found.first, found.second, found.kind, found.odd) == (1, 0, "photo", 3)
    distances = [np.linalg.norm(vectors[3] - vectors[row]) for row in range(3)]
    ((row, like, distance),) = found.photos
    assert (row, like) == (3, int(np.argmin(distances)))
    assert distance == pytest.approx(min(distances), abs=1e-6)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_same_picture_under_two_names(noise: float) -> None:
    vectors, labels = people(6, 3)
    copy = vectors[[4]] + noise * np.random.default_rng(0).normal(size=(1, 40)) / math.sqrt(40)
    vectors = np.concatenate([vectors, copy / np.linalg.norm(copy)]).astype(np.float32)
    (found,) = near(vectors, np.append(labels, 3), KNOWN)
    assert (found.first, found.second, found.kind, found.odd) == (3, 1, "copy", 18)
    assert found.photos[0][:2] == (18, 4) and found.photos[0][2] <= 2 * noise


def test_one_person_under_two_names() -> None:
    vectors, labels = people(8, 6)
    halves = labels.copy()
    halves[:3] = 8
    (found,) = near(vectors, halves, KNOWN)
    assert (found.first, found.second, found.kind, found.odd) == (0, 8, "people", None)
    assert [row for row, _, _ in found.photos] != [] and {row for row, _, _ in found.photos} <= {3, 4, 5}
    distances = [distance for _, _, distance in found.photos]
    assert distances == sorted(distances)


def test_one_photo_is_set_aside_where_it_is_unlike_its_own_name() -> None:
    vectors, labels = people(6, 3)
    wrong = np.array([0, 3, 17])  # of persons 0, 1 and 5
    (alone,) = near(vectors[np.r_[0:15, 15]], np.append(labels[:15], 5), KNOWN, vectors[[16]], ["x"])
    assert alone.kind == "people" and alone.odd is None  # both have no other photo
    mixed = labels.copy()
    mixed[wrong] = 2
    found = near(vectors, mixed, KNOWN)
    assert sorted((pair.second, pair.odd) for pair in found) == [(0, 0), (1, 3), (5, 17)]
    odd, pairs = left_out_of(found, mixed)
    assert odd.tolist() == [0, 3, 17] and pairs.shape == (0, 2)
    # Two photos of one person under another name, and a photo that is also like its own name: the pair is.
    mixed = labels.copy()
    mixed[:2] = 2
    (two,) = near(vectors, mixed, KNOWN)
    assert {two.first, two.second} == {0, 2} and two.odd is None
    between = vectors[0] + vectors[6]
    both = np.concatenate([vectors, [between / np.linalg.norm(between)]]).astype(np.float32)
    (like,) = near(both, np.append(labels, 2), KNOWN)
    assert {like.first, like.second} == {0, 2} and like.odd is None
    for one in (two, like):
        assert left_out_of((one,), np.append(labels, 2))[1].tolist() == [[one.first, one.second]]


def test_two_photos_that_are_unlike_each_other_are_not_one_wrong_photo() -> None:
    vectors, labels = people(6, 3)
    looks, _ = people(4, 1, seed=9)
    more = np.concatenate([looks[[0, 1, 2]], looks[[0, 1, 3]]])
    (found,) = near(np.concatenate([vectors, more]), np.append(labels, [6, 6, 6, 7, 7, 7]), KNOWN)
    assert ({found.first, found.second}, len(found.photos), found.odd) == ({6, 7}, 2, None)


@pytest.mark.parametrize(("apart", "odd"), [(0.95, None), (1.2, 18)])
def test_one_near_photo_of_two_people_who_are_alike_is_no_wrong_photo(apart: float, odd: int | None) -> None:
    """Their other photos are nearer to each other than strangers usually are, though not suspiciously."""
    vectors, labels = people(6, 3)
    looks, _ = people(3, 1, seed=9)
    across = looks[2] - (looks[2] @ looks[1]) * looks[1]
    cosine = 1 - apart**2 / 2
    second = cosine * looks[1] + math.sqrt(1 - cosine**2) * across / np.linalg.norm(across)
    more = np.concatenate([looks[[0, 1]], looks[[0]], [second]]).astype(np.float32)
    (found,) = near(np.concatenate([vectors, more]), np.append(labels, [6, 6, 7, 7]), KNOWN)
    assert len(found.photos) == 1 and found.odd == odd


@pytest.mark.parametrize(("both", "one"), [(0, 1), (1, 0)])
def test_everyone_keeps_a_photo(both: int, one: int) -> None:
    """Both photos of one person would be set aside, and one photo of another."""
    owners = np.array([0, 0, 1, 1, 2, 2])
    found = (
        NearPeople(both, one, "photo", ((2 * both, 2 * one, 0.1),), odd=2 * both),
        NearPeople(both, 2, "photo", ((2 * both + 1, 4, 0.1),), odd=2 * both + 1),
        NearPeople(one, 2, "photo", ((2 * one + 1, 5, 0.1),), odd=2 * one + 1),
    )
    odd, pairs = left_out_of(found, owners)
    assert odd.tolist() == [2 * one + 1] and pairs.tolist() == [[both, one], [both, 2]]
    odd, pairs = left_out_of((), owners)
    assert not len(odd) and pairs.shape == (0, 2)


def test_stranger_who_is_enrolled() -> None:
    vectors, labels = people(7, 4)
    enrolled, given = labels < 6, np.r_[0:2, 24:28]
    (found,) = near(vectors[2:24], labels[2:24], KNOWN, vectors[given], np.array([9, 9, 5, 5, 5, 5]))
    assert enrolled.sum() == 24
    # Strangers come behind the six people, in the order of their labels: 5, then 9.
    assert {found.first, found.second} == {0, 7}
    row, like, _ = found.photos[0]
    assert {row, like} <= {0, 1, 22, 23} and (row < 22) != (like < 22)


def test_gallery_of_another_kind_is_no_gallery_of_twins() -> None:
    """All people resemble each other: what the model is known for is contradicted, nobody is set aside."""
    rng = np.random.default_rng(0)
    vectors, labels = people(20, 3)
    shifted = vectors + 3 * rng.normal(size=40) / math.sqrt(40)
    shifted = (shifted / np.linalg.norm(shifted, axis=1, keepdims=True)).astype(np.float32)
    assert near(shifted, labels, KNOWN) == ()
    promise = calibrate(shifted, labels, 0.01, known=KNOWN)
    assert promise.contradicted and promise.agreement < 0.01
    assert promise.distance < 0.6 * calibrate(vectors, labels, 0.01, known=KNOWN).distance
    assert not calibrate(vectors, labels, 0.01, known=KNOWN).contradicted


def test_all_photos_the_same() -> None:
    vectors = np.tile(np.float32([1, 0]), (12, 1))
    for prior in (KNOWN, None):
        with pytest.raises(UsageError, match="the same vector"):
            near(vectors, np.repeat(np.arange(6), 2), prior)


def test_most_photos_the_same() -> None:
    """Of the 56 comparisons 30 are of the same vector: their median says so, their mean would not."""
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 0, 0, 0, 0, 1, 2]]
    for prior in (KNOWN, None):
        with pytest.raises(UsageError, match="the same vector"):
            near(vectors, np.arange(8), prior)


@pytest.mark.parametrize(
    ("first", "second", "order"), [((0, 0, 0, 2), (0, 0, 1), (1, 0)), ((0, 0, 1), (0, 0, 0, 2), (0, 1))]
)
def test_of_copies_the_name_with_fewer_of_them_comes_first(
    first: tuple[int, ...], second: tuple[int, ...], order: tuple[int, int]
) -> None:
    vectors = np.eye(11, dtype=np.float32)[[*first, *second, *range(3, 11)]]
    labels = np.repeat(np.arange(10), [len(first), len(second), *[1] * 8])
    (found,) = near(vectors, labels, None)
    assert (found.first, found.second, found.kind, len(found.photos)) == (*order, "copy", 2)


def test_a_single_comparison() -> None:
    vectors, _ = people(1, 2)
    (found,) = near(vectors[:1], np.zeros(1), KNOWN, vectors[1:], np.zeros(1))
    assert (found.first, found.second, found.kind, found.odd) == (0, 1, "people", None)


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_is_found_where_no_comparison_is_drawn(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One person with very many photos, and few strangers: only what is no distance at all is near."""
    monkeypatch.setattr("enroll.near_people._MOST_SEARCHES", 1)  # of row 2, a template
    vectors, labels = people(1, 4, seed)
    others = np.stack([vectors[2], vectors[0] - 0.7 * vectors[2], vectors[2] - 0.3 * vectors[1]])
    others[1:] /= np.linalg.norm(others[1:], axis=1, keepdims=True)
    (found,) = near(vectors, labels, None, others.astype(np.float32), np.array([7, 7, 8]))
    assert (found.first, found.second, found.kind, found.odd) == (1, 0, "copy", 4)
    assert [photo[:2] for photo in found.photos] == [(4, 2)]


def test_one_person_is_near_no_one() -> None:
    assert near(*people(1, 5), KNOWN) == ()


def test_robust_moments_is_moved_by_a_shift_and_not_by_a_few() -> None:
    prior = Moments(np.array([0.3, math.log(0.05), -0.4]), np.diag([0.02, 0.1, 0.2]) ** 2, 6.0)
    logs = np.random.default_rng(0).normal(0.31, 0.05, 300)
    clean = robust_moments(logs, 0.5, prior)[:2]
    assert clean == pytest.approx((0.31, 0.05), abs=0.01)
    mixed = np.concatenate([logs, np.linspace(-2, -0.5, 30)])
    assert robust_moments(mixed, 0.5, prior)[:2] == pytest.approx(clean, abs=0.003)
    assert robust_moments(logs - 0.5, 0.5, prior)[:2] == pytest.approx((-0.19, 0.05), abs=0.02)
    assert robust_moments(np.array([-0.5]), 1.0, prior)[0] == pytest.approx(0.3, abs=1e-3)
    few = robust_moments(np.array([0.34]), 1.0, prior)[0]
    assert 0.3 < few < 0.34  # between what is known and what is seen


def test_robust_moments_of_what_is_certain_or_says_nothing() -> None:
    certain = Moments(np.array([0.3, math.log(0.05), -0.4]), np.zeros((3, 3)), 6.0)
    logs = np.random.default_rng(0).normal(0.31, 0.1, 100)
    assert robust_moments(logs, 1.0, certain) == pytest.approx((0.3, 0.05, -0.4), abs=1e-5)
    prior = Moments(certain.values, np.diag([0.02, 0.1, 0.2]) ** 2, 6.0)
    alone = robust_moments(np.array([math.log(1e-3)]), 1.0, prior)  # a copy, which has no share at all
    assert alone == pytest.approx((0.3, 0.05, -0.4 - 0.2))


def test_robust_skewness_is_a_deviation_lower() -> None:
    prior = Moments(np.array([0.3, math.log(0.05), -0.4]), np.diag([0.02, 0.1, 0.2]) ** 2, 6.0)
    logs = np.random.default_rng(0).normal(0.3, 0.05, 600)
    mean, spread, found = robust_moments(logs, 0.5, prior)
    bent = ((logs - mean) ** 3).mean() / spread**3
    expected = (25 * -0.4 + 50 * bent) / 75 - 75**-0.5
    assert found == pytest.approx(expected, abs=0.04)
    unsure = Moments(prior.values, np.diag([0.02, 0.1, 3.0]) ** 2, 6.0)
    assert robust_moments(np.array([0.34]), 1.0, unsure)[2] == -1.0


def on_a_circle(*degrees: float) -> NDArray:
    """Unit rows of three numbers; d is 2 sin of half the angle between two."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles), np.zeros(len(angles))], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("mine", "theirs", "kind"),
    [
        ((0, 40, 80, 120), (2, 42, 200, 240), "photo"),  # half of both
        ((0, 40, 80, 120, 160), (2, 42, 82, 200, 240), "people"),  # three of five
        ((0, 40, 80), (2, 42, 82), "people"),  # each is near one, and none all
        ((0, 40, 80, 120, 160), (2, 42, 200), "photo"),  # two of five, and two of three
        ((0, 40, 44, 120, 160), (2, 42, 200), "people"),  # three of five, and two of three
        ((0.0, 40), (0.5, 43), "copy"),  # the nearest decides
    ],
)
def test_most_photos_of_both_make_one_person(
    mine: tuple[float, ...], theirs: tuple[float, ...], kind: str
) -> None:
    probes = on_a_circle(*mine, *theirs)
    rows = np.arange(len(probes))
    limit = 2 * math.sin(math.radians(4) / 2)
    for one, other in ((rows[: len(mine)], rows[len(mine) :]), (rows[len(mine) :], rows[: len(mine)])):
        assert near_people._judged(0, 1, one, other, probes, limit, 0.1).kind == kind


@pytest.mark.parametrize(("own", "odd"), [(25, 0), (15, None)])
def test_a_wrong_photo_is_as_far_from_its_own_name_as_strangers_are(own: float, odd: int | None) -> None:
    # 20 degrees are a distance of .347, and its square is .12.
    probes = on_a_circle(0, own, own + 1, -2, -7)
    limit, usual = (2 * math.sin(math.radians(angle) / 2) for angle in (3, 20))
    found = near_people._judged(0, 1, np.arange(3), np.arange(3, 5), probes, limit, usual)
    assert [photo[:2] for photo in found.photos] == [(0, 3)]
    assert found.odd == odd


def test_no_comparison_of_two_people_weighs_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    fit = near_people.robust_moments

    def listening(logs: NDArray, weight: float, prior: Moments) -> tuple[float, float, float]:
        weights.append((len(logs), weight))
        return fit(logs, weight, prior)

    monkeypatch.setattr(near_people, "robust_moments", listening)
    for searches in (4, 100):
        monkeypatch.setattr(near_people, "_MOST_SEARCHES", searches)
        near(*people(9, 1), KNOWN)
    assert weights == [(4 * 8, 1.0), (9 * 8, 0.5)]  # 36 pairs of people


def test_pairs_of() -> None:
    assert pairs_of(()).shape == (0, 2)
    near = (NearPeople(1, 2, "copy", ()), NearPeople(5, 0, "photo", ()), NearPeople(3, 4, "people", ()))
    assert pairs_of(near).tolist() == [[1, 2], [5, 0], [3, 4]]


def slow_moments(logs: list[float], weight: float, prior: Moments) -> tuple[float, float, float]:
    """The same as `robust_moments`, distance by distance."""
    center, known = float(prior.values[0]), math.exp(2 * prior.values[1])
    variance, of_spread, of_skewness = (float(prior.covariance[place, place]) for place in range(3))
    worth, sureness = 1 / (2 * of_spread), 1 / of_skewness
    ends = []
    for start in (center, float(np.median(logs))):
        mean, squared = start, known
        for _ in range(30):
            height = 0.99 / math.sqrt(2 * math.pi * squared)
            normal = [height * math.exp(-((one - mean) ** 2) / 2 / squared) for one in logs]
            anything = 0.01 / math.log(2000)
            share = [weight * one / (one + anything) for one in normal]
            wider = (prior.freedom * variance + (mean - center) ** 2) / (prior.freedom + 1)
            total = sum(share)
            seen = sum(a * b for a, b in zip(share, logs, strict=True))
            mean = (center / wider + seen / squared) / (1 / wider + total / squared)
            moment = sum(a * (b - mean) ** 2 for a, b in zip(share, logs, strict=True))
            squared = (worth * known + moment) / (worth + total)
        bent = sum(a * (b - mean) ** 3 for a, b in zip(share, logs, strict=True)) / total / squared**1.5
        likelihood = weight * sum(math.log(one + anything) for one in normal)
        likelihood += t.logpdf(mean, prior.freedom, center, math.sqrt(variance))
        ends.append((likelihood, mean, math.sqrt(squared), bent, total / 6))
    _, mean, spread, bent, seen = max(ends)
    skewness = (sureness * prior.values[2] + seen * bent) / (sureness + seen)
    return mean, spread, max(skewness - 1 / math.sqrt(sureness + seen), -1.0)


@pytest.mark.parametrize("freedom", [1.5, 6.0])
@pytest.mark.parametrize("weight", [0.2, 1.0])
@pytest.mark.parametrize(
    ("shift", "far"), [(0.0, False), (0.03, False), (-0.2, False), (-0.6, False), (-0.9, True)]
)
def test_robust_moments_are_what_plain_loops_give(
    shift: float, far: bool, weight: float, freedom: float
) -> None:
    rng = np.random.default_rng(3)
    prior = Moments(np.array([0.3, math.log(0.05), -0.4]), np.diag([0.03, 0.2, 0.3]) ** 2, freedom)
    few, many = [-1.5, -0.1, 0.1, 0.6], rng.uniform(-7, -3, 45)
    logs = np.concatenate([rng.normal(0.3 + shift, 0.07, 60), many if far else few])
    expected = slow_moments(logs.tolist(), weight, prior)
    assert robust_moments(logs, weight, prior) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("shift", "another"), [(0.5, True), (0.61, True), (0.65, False), (0.8, False)])
def test_a_few_distances_far_off_are_of_another_gallery_until_they_are_too_far(
    shift: float, another: bool
) -> None:
    prior = Moments(np.array([0.3, math.log(0.05), -0.4]), np.diag([0.03, 0.2, 0.3]) ** 2, 6.0)
    logs = 0.3 - shift + np.random.default_rng(3).normal(0, 0.05, 4)
    found = robust_moments(logs, 0.5, prior)
    assert found == pytest.approx(slow_moments(logs.tolist(), 0.5, prior), rel=1e-8)
    assert (found[0] < 0.3 - shift / 2) == another


def slow_near(
    probes: NDArray, owners: NDArray, enrolled: int, prior: Moments | None
) -> tuple[list[tuple[Any, ...]], tuple[float, ...]]:
    """The same as `find_near_people`, photo by photo, and limits; templates come before strangers' photos."""
    apart = np.linalg.norm(probes[:, None].astype(float) - probes[None], axis=2)
    photos = [np.flatnonzero(owners == person) for person in range(owners.max() + 1)]
    searched = [
        (row, person) for row in range(len(probes)) for person in range(enrolled) if owners[row] != person
    ]
    rows = set(np.random.default_rng(0).permutation(len(probes))[:512].tolist())
    logs = [math.log(max(apart[row, photos[person]].min(), 1e-3)) for row, person in searched if row in rows]
    if prior is None:
        moments: tuple[float, float, float | None] = (*middle_and_spread(np.array(logs)), None)
    else:
        pairs = {frozenset((int(owners[row]), person)) for row, person in searched}
        moments = slow_moments(logs, min(1.0, len(pairs) / len(logs)), prior)
    limit = limit_of_strangers(*moments, len(searched))
    found = {
        tuple(sorted((int(owners[row]), person)))
        for row, person in searched
        if apart[row, photos[person]].min() <= limit
    }
    result = []
    for first, second in found:
        mine, theirs = photos[first], photos[second]
        _, row, column = min((apart[i, j], i, j) for i in mine for j in theirs)
        near = [
            [i for i in one if apart[i, other].min() <= limit]
            for one, other in ((mine, theirs), (theirs, mine))
        ]
        alone = [
            min((apart[i, j] for j in one if i != j), default=math.inf)
            for i, one in ((row, mine), (column, theirs))
        ]
        most = 2 * len(near[0]) > len(mine) and 2 * len(near[1]) > len(theirs)
        if alone[1] > alone[0] or (alone[1] == alone[0] and len(near[1]) < len(near[0])):
            first, second, mine, theirs, near = second, first, theirs, mine, near[::-1]
        like = sorted((apart[i, theirs].min(), i, theirs[apart[i, theirs].argmin()]) for i in near[0])
        kind = "copy" if like[0][0] <= 0.02 else "people" if most else "photo"
        result.append((first, second, kind, [(i, j) for _, i, j in like], [one for one, _, _ in like]))
    return sorted(result, key=lambda one: one[4][0]), (limit, limit_of_strangers(*moments, 1))


def galleries() -> dict[str, tuple[NDArray, NDArray, int]]:
    """Photos, whose they are, and how many people are enrolled."""
    vectors, labels = people(9, 6)
    uneven = np.array([0, 1, 2, 3, 6, 7, 12, 13, 14, 18, 24, 25, 26, 27, 28, 30, 36, 37, 42, 43])
    few, whose = vectors[uneven], labels[uneven]
    shared = np.where(np.isin(np.arange(54), [0, 1, 8, 20, 33]), (labels + 1) % 9, labels)
    halves = np.where((labels == 4) & (np.arange(54) % 2 == 0), 0, labels)
    noise = np.random.default_rng(1).normal(size=vectors.shape) * 0.002
    nearly = vectors[[3, 20, 40]] + noise[:3] * np.array([[0.3], [0.9], [0.6]])
    copies = np.concatenate(
        [vectors, (nearly / np.linalg.norm(nearly, axis=1, keepdims=True)).astype(np.float32)]
    )
    twice = np.concatenate([vectors[:8], (vectors + noise)[6:7], vectors[20:48:6]])
    order = np.argsort(shared, kind="stable")
    return {
        "shared": (vectors, shared, 9),
        "halves": (vectors, halves, 9),
        "thirds": (vectors, np.where((labels == 4) & (np.arange(54) % 3 < 2), 5, labels), 9),
        "copies": (copies, np.append(labels, [5, 0, 1]), 9),
        "uneven": (few, np.where(np.arange(20) == 9, 1, np.unique(whose, return_inverse=True)[1]) % 9, 8),
        "one photo each": (twice, np.array([0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 10),
        "strangers": (vectors[order], shared[order], 6),
    }


GALLERIES = galleries()


@pytest.mark.parametrize("prior", [KNOWN, None])
@pytest.mark.parametrize("kind", GALLERIES)
def test_found_is_what_plain_loops_give(
    kind: str, prior: StrangerDistances | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, owners, enrolled = GALLERIES[kind]
    owners = np.unique(owners, return_inverse=True)[1]
    count = int((owners < enrolled).sum())
    known = None if prior is None else prior.prior(enrolled, 4.0)
    limits: list[tuple[float, float]] = []
    whole = near_people._limits

    def listening(*given: Any) -> tuple[float, float]:
        limits.append(whole(*given))
        return limits[-1]

    monkeypatch.setattr(near_people, "_limits", listening)
    found = find_near_people(vectors, owners, vectors[:count], owners[:count], known)
    expected, slow_limits = slow_near(vectors, owners, int(owners[:count].max()) + 1, known)
    assert limits == [pytest.approx(slow_limits, rel=1e-7)]
    assert [one[:4] for one in expected] == [
        (one.first, one.second, one.kind, [photo[:2] for photo in one.photos]) for one in found
    ]
    distances = [photo[2] for one in found for photo in one.photos]
    assert distances == pytest.approx([each for one in expected for each in one[4]], abs=1e-6)
    assert prior is None or kind == "uneven" or len(expected) >= 1
