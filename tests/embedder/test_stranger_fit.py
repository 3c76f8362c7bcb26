from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import skew

from embedder.moments import limit_of_strangers, reach_of
from embedder.stranger_fit import fit_strangers


def people(count: int, photos: int, seed: int = 0, noise: float = 0.5) -> tuple[NDArray, NDArray]:
    """Unit rows of people around directions of their own in 40 dimensions."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(count, 40)), photos, axis=0) + noise * rng.normal(
        size=(count * photos, 40)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(count), photos)


def strangers(vectors: NDArray, labels: NDArray) -> NDArray:
    """Give ln d of all photos of different people."""
    distances = np.linalg.norm(vectors[:, None].astype(float) - vectors[None], axis=2)
    return np.log(distances[labels[:, None] != labels[None]])


def test_moments_of_one_large_set() -> None:
    vectors, labels = people(60, 4)
    known = fit_strangers([(vectors, labels)])
    assert known is not None
    logs = strangers(vectors, labels)
    assert known.mean == pytest.approx(logs.mean(), abs=1e-6)
    assert math.exp(known.log_spread) == pytest.approx(logs.std(), rel=1e-5)
    assert known.skewness == pytest.approx(skew(logs), abs=1e-4)
    assert (known.people, known.photos, known.sets) == (60, 240, 1)


def test_shrinking_is_that_of_the_nearest_of_three() -> None:
    vectors, labels = people(30, 3)
    known = fit_strangers([(vectors, labels)])
    assert known is not None
    distances = np.linalg.norm(vectors[:, None].astype(float) - vectors[None], axis=2)
    falls = []
    for person in range(30):
        rows = np.log(distances[labels != person][:, labels == person])
        falls.append((rows.mean() - rows.min(axis=1).mean()) / math.log(3))
    assert known.shrink == pytest.approx(np.mean(falls), rel=1e-4)
    nearest_of_many = fit_strangers([people(30, 6)])
    assert nearest_of_many is not None
    assert nearest_of_many.shrink == pytest.approx(known.shrink, rel=0.15)  # of three of six, all drawings


def test_people_with_one_photo_do_not_shrink_by_nothing() -> None:
    known = fit_strangers([people(30, 1)])
    assert known is not None
    assert known.shrink == pytest.approx(0.4 * math.exp(known.log_spread))


def test_fewer_people_are_less_sure() -> None:
    found = [fit_strangers([people(count, 3, seed=count)]) for count in (4, 10, 60)]
    for name in ("mean_sd", "log_spread_sd", "skewness_sd"):
        deviations = [
            getattr(one, name) / (math.exp(one.log_spread) if name == "mean_sd" else 1)
            for one in found
            if one
        ]
        assert min(deviations[:2]) > 1.05 * deviations[2], name


def test_sets_that_differ_are_less_sure() -> None:
    """The shift stands for photos of another kind: all of a set's people resemble each other more."""
    one, other = people(40, 3), people(40, 3, seed=1)
    shifted = other[0] + 3 * np.ones(40) / math.sqrt(40) / 3
    shifted = (shifted / np.linalg.norm(shifted, axis=1, keepdims=True)).astype(np.float32)
    same, unlike = fit_strangers([one, other]), fit_strangers([one, (shifted, other[1])])
    alone = fit_strangers([one])
    assert same is not None and unlike is not None and alone is not None
    assert unlike.mean_sd > 1.2 * same.mean_sd
    assert same.mean_sd < alone.mean_sd and same.freedom > alone.freedom
    assert (same.people, same.photos, same.sets) == (80, 240, 2)
    apart = [strangers(*one).mean(), strangers(shifted, other[1]).mean()]
    assert unlike.mean == pytest.approx(np.mean(apart), abs=0.02)


def test_wrong_labels_and_copies_are_left_out() -> None:
    vectors, labels = people(30, 4)
    clean = fit_strangers([(vectors, labels)])
    mixed = labels.copy()
    mixed[0] = 1  # a photo of the first person under the second
    copied = vectors.copy()
    copied[8] = copied[40]
    wrong = fit_strangers([(copied, mixed)])
    assert clean is not None and wrong is not None
    assert wrong.mean == pytest.approx(clean.mean, abs=0.003)
    assert wrong.log_spread == pytest.approx(clean.log_spread, abs=0.02)
    assert wrong.skewness == pytest.approx(clean.skewness, abs=0.1)


def test_order_does_not_matter() -> None:
    vectors, labels = people(12, 3)
    order = np.random.default_rng(0).permutation(36)
    one, other = fit_strangers([(vectors, labels)]), fit_strangers([(vectors[order], 7 - labels[order])])
    assert one is not None and other is not None
    for name, value in one.to_json().items():
        assert other.to_json()[name] == pytest.approx(value, rel=1e-6), name


def test_too_few_people() -> None:
    assert fit_strangers([]) is None
    assert fit_strangers([people(1, 5)]) is None
    found = fit_strangers([people(1, 5), people(3, 2)])
    assert found is not None and (found.people, found.sets) == (3, 1)
    two = fit_strangers([people(2, 5)])
    assert two is not None and 0 < two.threshold(0.01, 5) < found.threshold(0.01, 5)


def test_one_picture_for_all_says_nothing_and_is_no_error() -> None:
    vectors = np.tile(np.float32([1, 0]), (12, 1))
    known = fit_strangers([(vectors, np.repeat(np.arange(6), 2))])
    assert known is None or known.threshold(0.01, 5) < 0.01


def test_many_photos_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedder.stranger_fit._MOST_PHOTOS", 60)
    known = fit_strangers([people(40, 3)])
    assert known is not None and known.photos == 60


def slow_set(vectors: NDArray, labels: NDArray) -> dict[str, Any]:
    """What `fit_strangers` sees of a set, by plain loops over people and photos."""
    names, total = sorted({*labels.tolist()}), len(labels)
    distances = np.linalg.norm(vectors[:, None].astype(float) - vectors[None], axis=2)
    logs = np.log(np.maximum(distances, 1e-3))
    other = [(i, j) for i in range(total) for j in range(total) if labels[i] != labels[j]]
    seen = np.array([logs[pair] for pair in other])
    middle = np.median(seen)
    spread = max(1.4826 * np.median(abs(seen - middle)), 1e-6)
    limit = math.log(limit_of_strangers(float(middle), float(spread), None, len(other) // 2))
    near = {(labels[i], labels[j]) for i, j in other if logs[i, j] < limit}
    apart = {(a, b) for a in names for b in names if a != b} - near
    counted = [pair for pair in other if (labels[pair[0]], labels[pair[1]]) in apart]
    values = np.array([logs[pair] for pair in counted])
    mean, deviation = values.mean(), max(values.std(), 1e-6)
    skewness = float(np.clip((((values - mean) / deviation) ** 3).mean(), -2, 2))
    means, tails, falls = [], [], []
    reach = float(reach_of(np.array([skewness]), -2.326)[0])
    for person in names:
        own = np.array([logs[pair] for pair in counted if labels[pair[1]] == person])
        if not len(own):
            continue
        means.append(own.mean())
        tails.append(own.mean() + reach * own.std())
        photos = np.flatnonzero(labels == person)
        rows = [i for i in range(total) if (labels[i], person) in apart]
        if len(photos) > 1:
            drawn = min(len(photos), 3)
            nearest = [
                min(logs[i, j] for j in chosen) for i in rows for chosen in combinations(photos, drawn)
            ]
            usual = np.mean([logs[i, j] for i in rows for j in photos])
            falls.append((usual - np.mean(nearest)) / math.log(drawn))
    pairs = len(apart) / 2
    of_mean = math.sqrt(4 * np.var(means, ddof=1) / len(names) + deviation**2 / pairs)
    return {
        "moments": (mean, math.log(deviation), skewness),
        "errors": (of_mean, math.sqrt(0.5 / pairs), math.sqrt(6 / pairs)),
        "shrink": np.mean(falls) if falls else None,
        "person_sd": np.std(tails, ddof=1),
        "people": len(names),
        "photos": total,
    }


def slow_fit(sets: list[tuple[NDArray, NDArray]]) -> dict[str, float]:
    """The same over sets, moment by moment."""
    seen = [slow_set(*one) for one in sets]
    usual = math.exp(np.median([one["moments"][1] for one in seen]))
    found: dict[str, float] = {}
    freedom = []
    for place, (name, before) in enumerate({"mean": 0.4 * usual, "log_spread": 0.1, "skewness": 0.2}.items()):
        values = np.array([one["moments"][place] for one in seen])
        errors = np.array([one["errors"][place] for one in seen])
        counts = 1 / (1 + (errors / before) ** 2)
        total = counts.sum()
        found[name] = middle = (counts * values).sum() / total
        freedom.append(4 + max(total - 1, 0))
        scatter = 4 * before**2 + (counts * (values - middle) ** 2).sum()
        found[f"{name}_sd"] = math.sqrt(scatter / freedom[-1] * (1 + 1 / total))
    spread = math.exp(found["log_spread"])
    shrinks = [one["shrink"] for one in seen if one["shrink"] is not None]
    people = sum(one["people"] for one in seen)
    return found | {
        "shrink": max(float(np.mean(shrinks)), 0) if shrinks else 0.4 * spread,
        "shrink_sd": 0.15 * spread,
        "person_sd": math.sqrt(sum(one["people"] * one["person_sd"] ** 2 for one in seen) / people),
        "freedom": freedom[0],
        "people": people,
        "photos": sum(one["photos"] for one in seen),
        "sets": len(seen),
    }


def uneven(count: int, seed: int) -> tuple[NDArray, NDArray]:
    """People with one to six photos, some of them nearer to others than is usual."""
    vectors, labels = people(count, 6, seed, noise=0.4)
    rng = np.random.default_rng(seed)
    kept = np.arange(6 * count) % 6 < np.repeat(rng.integers(1, 7, count), 6)
    return vectors[kept], labels[kept]


def with_errors(count: int, seed: int) -> tuple[NDArray, NDArray]:
    """People of whom two are one, one has another's photo, and two share a picture."""
    vectors, labels = people(count, 4, seed)
    vectors[8] = vectors[17]
    labels[labels == 3] = 2
    labels[24] = 0
    return vectors, labels


SETS = {
    "one": [people(9, 3)],
    "one photo each": [people(8, 1)],
    "uneven": [uneven(12, 5)],
    "with errors": [with_errors(12, 3)],
    "few": [people(2, 2), people(3, 1)],
    "of all kinds": [people(9, 3), people(14, 1, 2), uneven(12, 5), with_errors(12, 3), people(3, 5, 4)],
}


@pytest.mark.parametrize("kind", SETS)
def test_fit_is_what_plain_loops_give(kind: str) -> None:
    found = fit_strangers(SETS[kind])
    assert found is not None
    assert found.to_json() == pytest.approx(slow_fit(SETS[kind]), rel=1e-5, abs=1e-7)
