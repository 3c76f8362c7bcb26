from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t

from embedder.errors import UsageError
from embedder.metrics import upper_bound
from embedder.moments import Moments, normal_quantile
from embedder.stranger_fit import fit_strangers
from embedder.strangers import StrangerDistances
from enroll.calibration import (
    calibrate,
    empirical_threshold,
    lognormal_threshold,
)
from enroll.distances import LogSums, person_distances
from enroll.near_people import NearPeople
from enroll.posterior import estimated, posterior_threshold


def people(count: int, photos: int, seed: int = 0, noise: float = 0.5) -> tuple[NDArray, NDArray]:
    """Unit rows of people around directions of their own in 40 dimensions."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(count, 40)), photos, axis=0) + noise * rng.normal(
        size=(count * photos, 40)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(count), photos)


def slow_model(distances: NDArray, owners: NDArray, target: float, bound: float) -> float:
    """The same by plain loops: quantile by three moments, jackknife over people, Student's t."""
    enrolled = distances.shape[1]

    def quantile(without: int | None) -> float:
        logs = np.array(
            [
                np.log(max(distances[row, person], 1e-3))  # copies of one picture
                for row in range(len(distances))
                for person in range(enrolled)
                if owners[row] != person and without not in (owners[row], person)
            ]
        )
        z = norm.ppf(1 - (1 - target) ** (1 / enrolled))
        skewness = ((logs - logs.mean()) ** 3).mean() / logs.std() ** 3
        corrected = z + (z**2 - 1) * np.clip(skewness, -2, 2) / 6
        return logs.mean() + logs.std() * min(corrected, z / 2)

    everyone = sorted({*owners.tolist(), *range(enrolled)})
    left_out = np.array([quantile(person) for person in everyone])
    error = np.sqrt((len(everyone) - 1) / len(everyone) * ((left_out - left_out.mean()) ** 2).sum())
    pairs = {
        tuple(sorted((owner, person))) for owner in owners for person in range(enrolled) if owner != person
    }
    strange = owners[:, None] != np.arange(enrolled)
    z = norm.ppf(1 - (1 - target) ** (1 / enrolled))
    least = np.log(np.maximum(distances[strange], 1e-3)).std() * np.sqrt((1 + z**2 / 2) / len(pairs))
    return float(np.exp(quantile(None) - t.ppf(bound, len(everyone) - 3) * max(error, least)))


@pytest.mark.parametrize("strangers", [0, 3])
def test_the_model_is_what_plain_loops_give(strangers: int) -> None:
    vectors, labels = people(7, 3)
    others, whose = people(3, 2, seed=1)
    probes, owners = vectors, labels
    if strangers:
        probes, owners = np.concatenate([vectors, others]), np.concatenate([labels, whose + 7])
    distances = person_distances(probes, vectors, labels)
    expected = slow_model(distances, owners, 0.02, 0.985)
    given = (others, whose + 100) if strangers else (None, None)
    assert calibrate(vectors, labels, 0.02, *given).distance == pytest.approx(min(expected, 2.0), rel=1e-9)
    assert expected < 2


LOGS = {
    "independent": lambda rng: 0.2 * rng.normal(size=(21, 5)),
    "by person": lambda rng: 0.05 * rng.normal(size=(21, 5)) + np.repeat(rng.normal(size=7), 3)[:, None],
    "a few near": lambda rng: np.where(np.arange(105) % 26 == 3, -3.0, 0.02 * rng.normal(size=105)).reshape(
        21, 5
    ),
    "a few far": lambda rng: np.where(np.arange(105) % 26 == 3, 3.0, 0.02 * rng.normal(size=105)).reshape(
        21, 5
    ),
    "copies": lambda rng: np.where(np.arange(105) % 17 == 3, -np.inf, 0.3 * rng.normal(size=105)).reshape(
        21, 5
    ),
    "hardly different": lambda rng: 1e-5 * rng.exponential(size=(21, 5)),
}


@pytest.mark.parametrize("target", [0.001, 0.2, 0.9])
@pytest.mark.parametrize("kind", LOGS)
def test_the_model_of_any_distances(kind: str, target: float) -> None:
    """Seven people with three photos, five of them enrolled."""
    distances, owners = 0.4 * np.exp(LOGS[kind](np.random.default_rng(7))), np.repeat(np.arange(7), 3)
    sums = LogSums(owners, 5)
    sums.add(slice(0, 21), slice(0, 5), distances)
    expected = slow_model(distances, owners, target, 0.9)
    assert lognormal_threshold(sums, target, 0.9) == pytest.approx(expected, rel=1e-9)


def test_two_enrolled_people_and_two_strangers_are_enough() -> None:
    vectors, labels = people(2, 3)
    others, whose = people(2, 3, seed=5)
    distances = person_distances(np.concatenate([vectors, others]), vectors, labels)
    expected = slow_model(distances, np.repeat(np.arange(4), 3), 0.05, 0.985)
    assert calibrate(vectors, labels, 0.05, others, whose).distance == pytest.approx(expected, rel=1e-9)
    with pytest.raises(UsageError, match="got 2 enrolled and 1 stranger:"):
        calibrate(vectors, labels, 0.05, others[:3], whose[:3])


@pytest.mark.parametrize("count", [11, 12, 26])
def test_people_who_are_all_equally_far(count: int) -> None:
    """Unit vectors of the axes are all √2 apart: nothing varies, and rounding can give less than nothing."""
    axes = np.eye(count, dtype=np.float32)
    promise = calibrate(axes, np.arange(count), 0.01)
    assert promise.distance == pytest.approx(math.sqrt(2), rel=1e-4)
    assert promise.distance < math.sqrt(2) and promise.named == 0


def test_no_strangers_are_as_if_none_were_given() -> None:
    vectors, labels = people(8, 4)
    assert calibrate(vectors, labels, 0.01, vectors[:0], labels[:0]) == calibrate(vectors, labels, 0.01)


def test_in_blocks_everything_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = people(12, 5)
    others, whose = people(4, 3, seed=1)
    at_once = calibrate(vectors, labels, 0.05, others, whose)
    distances = person_distances(vectors, vectors, labels)
    sums = LogSums(labels, 12)
    sums.add(slice(0, 60), slice(0, 12), distances)
    for rows, photos in ((7, 12), (1, 1), (13, 1000)):
        monkeypatch.setattr("enroll.distances._ROWS_AT_ONCE", rows)
        monkeypatch.setattr("enroll.distances._PHOTOS_AT_ONCE", photos)
        found = calibrate(vectors, labels, 0.05, others, whose)
        assert found.distance == pytest.approx(at_once.distance, rel=1e-9)
        assert found == replace(at_once, distance=found.distance)
        blocks = LogSums(labels, 12)
        for start in range(0, 60, rows):
            some = slice(start, min(start + rows, 60))
            blocks.add(some, slice(0, 5), distances[some, :5])
            blocks.add(some, slice(5, 12), distances[some, 5:])
        assert lognormal_threshold(blocks, 0.05) == pytest.approx(lognormal_threshold(sums, 0.05), rel=1e-9)


def test_the_promise_is_kept_against_fresh_strangers() -> None:
    kept = []
    for seed in range(60):
        vectors, labels = people(20, 4, seed)
        strangers, _ = people(1500, 1, seed + 1000)
        threshold = calibrate(vectors, labels, 0.05).distance
        named = person_distances(strangers, vectors, labels).min(axis=1) <= threshold
        kept.append(named.mean() <= 0.05)
    assert np.mean(kept) >= 0.95


def test_a_threshold_is_not_needlessly_small() -> None:
    vectors, labels = people(40, 4)
    strangers, _ = people(3000, 1, 1)
    nearest = np.sort(person_distances(strangers, vectors, labels).min(axis=1))
    best = nearest[int(0.01 * len(nearest))]
    assert 0.85 * best < calibrate(vectors, labels, 0.01).distance <= best


@pytest.mark.parametrize("target", [0.001, 0.01, 0.05, 0.2])
def test_counting_is_never_outvoted_by_the_model(target: float) -> None:
    vectors, labels = people(12, 5, noise=1.0)
    promise = calibrate(vectors, labels, target)
    assert promise.named <= target * promise.searches
    distances = person_distances(vectors, vectors, labels)
    distances[np.arange(60), labels] = np.inf
    nearest = distances.min(axis=1)
    assert promise.named == (nearest <= promise.distance).sum()
    assert promise.counted_bound == upper_bound(len({*labels[nearest <= promise.distance]}), 12)
    assert (promise.target_fpir, promise.confidence) == (target, 0.95)


def test_people_who_look_alike_are_counted() -> None:
    """Of 20 people 4 resemble one other, as strangers may: counting allows less than the model does."""
    vectors, labels = people(20, 3)
    rng = np.random.default_rng(2)
    for one, other in ((0, 1), (2, 3)):
        near = vectors[labels == one] + 0.05 * rng.normal(size=(3, 40))
        vectors[labels == other] = near / np.linalg.norm(near, axis=1, keepdims=True)
    distances = person_distances(vectors, vectors, labels)
    model = slow_model(distances, labels, 0.275, 0.985)
    distances[np.arange(60), labels] = np.inf
    nearest = np.sort(distances.min(axis=1))
    # 12 of 60 searches are for someone who resembles another; 11 would only bound FPIR by 28.5 %.
    assert upper_bound(10, 60) <= 0.275 < upper_bound(11, 60)
    promise = calibrate(vectors, labels, 0.275, near=())
    assert (promise.named, promise.distance) == (10, np.nextafter(nearest[10], 0))
    assert promise.distance < model
    assert promise.counted_bound == upper_bound(4, 20)


def test_a_stricter_target_gives_a_smaller_threshold() -> None:
    vectors, labels = people(12, 5)
    found = [calibrate(vectors, labels, target).distance for target in (0.2, 0.05, 0.01, 0.001)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


def test_strangers_make_it_surer() -> None:
    vectors, labels = people(6, 5)
    alone = calibrate(vectors, labels, 0.01)
    helped = calibrate(vectors, labels, 0.01, *people(40, 5, seed=3))
    assert helped.distance > alone.distance
    assert (alone.searches, alone.strangers) == (30, 6)
    assert (helped.searches, helped.strangers, helped.identities, helped.templates) == (230, 46, 6, 30)
    assert helped.counted_bound < alone.counted_bound


def test_what_counting_alone_promises() -> None:
    promise = calibrate(*people(10, 3), 0.01)
    assert promise.named == 0
    assert promise.counted_bound == pytest.approx(1 - 0.05 ** (1 / 10))  # of ten people, not of thirty photos


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_people(count: int) -> None:
    with pytest.raises(UsageError, match=rf"at least 4 people.*got {count} enrolled and 0 strangers"):
        calibrate(*people(count, 3), 0.01)


def test_one_person_and_many_strangers_are_too_few_enrolled() -> None:
    with pytest.raises(UsageError, match="got 1 enrolled and 9 strangers"):
        calibrate(*people(1, 3), 0.01, *people(9, 2))


def test_vectors_that_are_not_finite() -> None:
    vectors, labels = people(6, 2)
    vectors[3, 2] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        calibrate(vectors, labels, 0.01)


def test_all_photos_the_same() -> None:
    vectors = np.tile(np.float32([1, 0]), (12, 1))
    with pytest.raises(UsageError, match="the same vector"):
        calibrate(vectors, np.repeat(np.arange(6), 2), 0.01)


def test_the_order_of_the_templates_does_not_matter() -> None:
    vectors, labels = people(8, 4)
    order = np.random.default_rng(0).permutation(32)
    assert calibrate(vectors[order], labels[order], 0.01).distance == pytest.approx(
        calibrate(vectors, labels, 0.01).distance, rel=1e-9
    )


def test_many_searches_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enroll.probes._MOST_SEARCHES", 50)
    vectors, labels = people(30, 5)
    promise = calibrate(vectors, labels, 0.01)
    assert (promise.searches, promise.templates) == (50, 150)
    assert promise == calibrate(vectors, labels, 0.01) == calibrate(vectors, labels, 0.01, seed=0)
    distances = person_distances(vectors, vectors, labels)
    for seed in (0, 7):
        drawn = np.random.default_rng(seed).permutation(150)[:50]
        promise = calibrate(vectors, labels, 0.01, seed=seed)
        assert promise.strangers == len({*labels[drawn]}) < 30
        sums = LogSums(labels[drawn], 30)
        sums.add(slice(0, 50), slice(0, 30), distances[drawn])
        assert promise.distance == pytest.approx(lognormal_threshold(sums, 0.01), rel=1e-9)


def test_person_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = people(5, 3)
    probes, _ = people(4, 2, seed=9)
    shuffled = np.random.default_rng(1).permutation(15)
    expected = [[min(np.linalg.norm(p - v) for v in vectors[labels == i]) for i in range(5)] for p in probes]
    for rows, photos in ((512, 8192), (3, 7), (1, 1)):
        monkeypatch.setattr("enroll.distances._ROWS_AT_ONCE", rows)
        monkeypatch.setattr("enroll.distances._PHOTOS_AT_ONCE", photos)
        found = person_distances(probes, vectors[shuffled], labels[shuffled])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_enough_searches_are_counted_with_their_bound() -> None:
    nearest = np.linspace(0.1, 1, 1000)
    # Of 1,000 searches, 4 may name someone: 5 would only bound FPIR by 1.05 %.
    assert (nearest <= empirical_threshold(nearest, 0.01)).sum() == 4
    assert upper_bound(4, 1000) <= 0.01 < upper_bound(5, 1000)
    few = nearest[:298]
    assert (few <= empirical_threshold(few, 0.01)).sum() == 2  # the share itself
    assert (nearest[:299] <= empirical_threshold(nearest[:299], 0.01)).sum() == 0


def known_of(*sets: tuple[NDArray, NDArray]) -> StrangerDistances:
    found = fit_strangers(sets)
    assert found is not None
    return found


KNOWN = known_of(people(60, 4, 100), people(50, 3, 101))


@pytest.mark.parametrize("count", [1, 2])
def test_one_person_has_the_threshold_of_what_is_known(count: int) -> None:
    vectors, labels = people(count, 3)
    promise = calibrate(vectors, labels, 0.01, known=KNOWN)
    assert (promise.identities, promise.templates, promise.known_people, promise.known_sets) == (
        count,
        3 * count,
        110,
        2,
    )
    if count == 1:
        assert promise.distance == pytest.approx(KNOWN.threshold(0.01, 1, 3))
        assert (promise.searches, promise.comparisons, promise.counted_bound, promise.agreement) == (
            0,
            0,
            1.0,
            1.0,
        )
    else:
        assert (promise.searches, promise.comparisons) == (6, 6)
        assert promise.distance != pytest.approx(KNOWN.threshold(0.01, 2, 3), rel=1e-3)


def test_many_people_outweigh_what_is_known() -> None:
    """What is known is wrong here: the gallery's people are nearer to each other."""
    vectors, labels = people(150, 3, noise=0.5)
    near = replace(KNOWN, mean=KNOWN.mean + 0.1)
    far = replace(KNOWN, mean=KNOWN.mean - 0.1)
    some = [calibrate(vectors[:15], labels[:15], 0.01, known=one).distance for one in (near, far)]
    many = [calibrate(vectors, labels, 0.01, known=one).distance for one in (near, far)]
    assert some[0] - some[1] > 3 * abs(many[0] - many[1])
    alone = calibrate(vectors, labels, 0.01).distance
    assert many == pytest.approx([alone, alone], rel=0.08)


def test_posterior_is_that_of_the_moments() -> None:
    vectors, labels = people(6, 3)
    sums = LogSums(labels, 6)
    distances = person_distances(vectors, vectors, labels)
    sums.add(slice(0, 18), slice(0, 6), distances)
    distances[np.arange(18), labels] = 1.0  # each one's own, which does not count
    logs = np.log(distances)[labels[:, None] != np.arange(6)]
    data = estimated(sums, 0.1, 0.03)
    assert data is not None
    blended = 90 / 91 * logs.var() + 0.1**2 / 91
    skewness = ((logs - logs.mean()) ** 3).mean() / logs.std() ** 3
    np.testing.assert_allclose(data.values, [logs.mean(), np.log(blended) / 2, skewness], rtol=1e-9)
    without = []
    for person in range(6):
        kept = (labels[:, None] != np.arange(6)) & (labels[:, None] != person) & (np.arange(6) != person)
        rest = np.log(distances)[kept]
        variance = len(rest) / (len(rest) + 1) * rest.var() + 0.1**2 / (len(rest) + 1)
        without.append(
            [rest.mean(), np.log(variance) / 2, ((rest - rest.mean()) ** 3).mean() / rest.std() ** 3]
        )
    away = np.array(without) - np.mean(without, axis=0)
    jackknife = 5 / 6 * away.T @ away
    pairs = np.diag([0.03**2 / 6 + 0.1**2 / 15, 1 / 30, 6 / 15])
    np.testing.assert_allclose(data.covariance, (10 * pairs + 3 * jackknife) / 13, rtol=1e-7, atol=1e-12)
    assert data.freedom == 13


def test_surprising_data_make_the_prior_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enroll.posterior._POOR_SHARE", 1e-200)  # tests/enroll/test_posterior.py has it
    vectors, labels = people(6, 3)
    sums = LogSums(labels, 6)
    sums.add(slice(0, 18), slice(0, 6), person_distances(vectors, vectors, labels))
    data = estimated(sums, 0.1, 0.03)
    assert data is not None
    for shift in ([0, 0, 0], [0.02, 0, 0], [-2, 0, 0], [0, -2, 0], [0, 0, 3]):
        prior = Moments(data.values - shift, np.diag([0.03, 0.1, 0.2]) ** 2, 5.0)
        data_then = estimated(sums, float(np.exp(prior.values[1])), 0.03)
        assert data_then is not None
        both = prior.covariance + data_then.covariance
        away = data_then.values - prior.values
        wider = max(1.0, (5 + away @ np.linalg.inv(both) @ away) / 8)
        assert (wider > 1) == (max(map(abs, shift)) > 1)
        posterior = replace(prior, covariance=prior.covariance * wider).updated(data_then)
        expected = posterior.lower_bound(normal_quantile(0.02, 6), 0.95, 6)
        found, agreement = posterior_threshold(sums, 0.02, prior, 0.03)
        assert found == pytest.approx(expected)
        surprise = max(abs(away[0]) / both[0, 0] ** 0.5, abs(away[1]) / both[1, 1] ** 0.5)
        assert agreement == pytest.approx(min(1.0, 4 * t.sf(surprise, 5)), abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_the_promise_is_kept_with_few_people(count: int) -> None:
    kept, bold = [], []
    for seed in range(60):
        vectors, labels = people(count, 3, seed)
        strangers, _ = people(1500, 1, seed + 1000)
        threshold = calibrate(vectors, labels, 0.01, known=KNOWN).distance
        nearest = person_distances(strangers, vectors, labels).min(axis=1)
        kept.append((nearest <= threshold).mean() <= 0.01)
        bold.append(threshold / np.quantile(nearest, 0.01))
    assert np.mean(kept) >= 0.95
    assert np.mean(bold) > 0.8  # of what would just have been allowed


CONTAMINATIONS = {
    "a photo under another name": lambda v, y: (v, np.where(np.arange(len(y)) == 3, 1, y)),
    "a copy": lambda v, y: (np.concatenate([v, v[[0]]]), np.append(y, 2)),
    "two photos of two people each": lambda v, y: (np.concatenate([v, v[[0, 5]]]), np.append(y, [2, 3])),
    "one person under two names": lambda v, y: (
        v,
        np.where(np.isin(np.arange(len(y)), [0, 1]), y.max() + 1, y),
    ),
}


@pytest.mark.parametrize("known", [KNOWN, None])
@pytest.mark.parametrize("kind", CONTAMINATIONS)
def test_a_few_wrong_photos_hardly_move_the_threshold(kind: str, known: StrangerDistances | None) -> None:
    for seed in range(5):
        vectors, labels = people(12, 4, seed, noise=0.3)
        clean = calibrate(vectors, labels, 0.01, known=known)
        mixed, named = CONTAMINATIONS[kind](vectors, labels)
        promise = calibrate(mixed, named, 0.01, known=known)
        assert promise.distance == pytest.approx(clean.distance, abs=0.04), seed
        assert promise.set_aside == (2 if "two photos" in kind else 1)
        assert promise.named == clean.named == 0  # nor are they counted
        collapsed = calibrate(mixed, named, 0.01, known=known, near=())
        assert collapsed.distance < clean.distance - 0.1
        assert not collapsed.set_aside


def test_a_wrong_photo_is_as_if_it_were_not_there() -> None:
    """It is neither searched for nor found, whether it is enrolled or a stranger's."""
    vectors, labels = people(8, 4, noise=0.3)
    others, whose = people(10, 3, noise=0.3)
    strange = whose >= 8
    clean = calibrate(vectors, labels, 0.02, others[strange], whose[strange])
    spoilt = np.concatenate([vectors[:5], vectors[9:10], vectors[5:]]), np.insert(labels, 5, 0)
    mixed = np.concatenate([others[strange], vectors[[21]]]), np.append(whose[strange], 9)
    for given, strangers, more in (
        (spoilt, (others[strange], whose[strange]), 1),
        ((vectors, labels), mixed, 0),
        (spoilt, mixed, 1),
    ):
        found = calibrate(*given, 0.02, *strangers)
        assert found.set_aside == 1 + (more and strangers is mixed)
        assert replace(found, distance=clean.distance, set_aside=0, templates=32) == clean
        assert found.distance == pytest.approx(clean.distance, rel=1e-9) and found.templates == 32 + more
        assert calibrate(*given, 0.02, *strangers, near=()).distance < clean.distance - 0.1


def test_everyone_set_aside_leaves_what_is_known() -> None:
    vectors, _ = people(1, 4)
    names = np.array([0, 0, 1, 1])
    promise = calibrate(vectors, names, 0.01, known=KNOWN)
    assert (promise.set_aside, promise.searches, promise.comparisons) == (1, 0, 0)
    assert promise.distance == pytest.approx(KNOWN.threshold(0.01, 2, 2))
    more, labels = people(4, 4)
    both = np.concatenate([vectors, more[4:]])
    with pytest.raises(UsageError, match="hardly anyone is left"):
        near = tuple(NearPeople(a, b, "people", ((0, 1, 0.1),)) for a in range(4) for b in range(a + 1, 4))
        calibrate(both, labels, 0.01, near=near)


def test_arrays_of_any_kind_are_taken() -> None:
    vectors, labels = people(8, 3)
    expected = calibrate(vectors, labels, 0.05)
    names = [f"p{label:02d}" for label in labels]
    for rows in (vectors.astype(np.float64), vectors.tolist()):
        assert calibrate(rows, names, fpir=0.05).threshold == pytest.approx(expected.threshold, rel=1e-6)
    assert calibrate(vectors, names).target_fpir == 0.01
    assert expected.threshold == expected.distance


def test_strangers_without_labels_are_each_another_person() -> None:
    vectors, labels = people(8, 3)
    others, _ = people(5, 2, seed=3)
    found = calibrate(vectors, labels, 0.05, others)
    assert found == calibrate(vectors, labels, 0.05, others, np.arange(10)) and found.strangers == 18


@pytest.mark.parametrize("fpir", [0, 1, -0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(fpir: float) -> None:
    with pytest.raises(UsageError, match="fpir: expected a share"):
        calibrate(*people(8, 3), fpir)


def test_arrays_that_are_no_templates_are_refused() -> None:
    vectors, labels = people(8, 3)
    for rows, of, message in (
        (2 * vectors, labels, "expected rows of length 1"),
        (vectors, labels[1:], r"expected \(n, dim\) vectors and \(n,\) labels"),
        (vectors[:0], labels[:0], "expected at least one template, got none"),
    ):
        with pytest.raises(ValueError, match=message):
            calibrate(rows, of, 0.05)
