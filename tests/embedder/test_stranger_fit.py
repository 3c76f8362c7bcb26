from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import skew

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
