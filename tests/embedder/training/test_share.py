from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedder._internal.runtime import Progress
from embedder.config import FROM_SCRATCH, TrainConfig
from embedder.errors import DivergedError
from embedder.training.data.crop_store import Crops
from embedder.training.data.degradation import PIXELS, Degradation
from embedder.training.data.view_pool import CLEAN, DEGRADED, VARIED, ViewPool, unit
from embedder.training.heldout import score
from embedder.training.processes import ProcessGroup
from embedder.training.share import MOST_DRIFT, SHARES, Balance, HeldOutViews, choose_share, measure_shares

CONFIG = TrainConfig(degrade="auto").filled(FROM_SCRATCH, 16, "whole", False)


def balance(
    share: float, gained: float, clean: float = 1.0, varied: float = 1.0, drift: float = 0.0
) -> Balance:
    tpir = {"clean": clean, "degraded": gained, "crossed": gained, "varied": varied}
    return Balance(share, tpir, tpir, 1.0, drift, 50)


BEFORE = balance(0.0, 0.5)


def test_the_largest_gain_is_chosen_among_shares_that_lose_little():
    some = [balance(0.2, 0.6), balance(0.4, 0.8), balance(0.6, 0.7)]
    assert choose_share(BEFORE, some).share == 0.4


@pytest.mark.parametrize("lost", [{"clean": 0.98}, {"varied": 0.98}, {"drift": MOST_DRIFT + 0.01}])
def test_a_share_that_loses_more_is_not_chosen_whatever_it_gains(lost: dict[str, float]):
    some = [balance(0.2, 0.6), balance(0.4, 0.9, **lost)]
    assert choose_share(BEFORE, some).share == 0.2
    assert choose_share(BEFORE, [replace(entry, drift=1.0) for entry in some]).share == 0.2


def test_what_helps_gains_more_than_it_loses():
    assert balance(0.4, 0.6).helps(BEFORE)
    assert not balance(0.4, 0.5).helps(BEFORE)
    assert not balance(0.4, 0.6, clean=0.85).helps(BEFORE)


def test_both_are_in_the_words():
    words = balance(0.4, 0.625, clean=0.99, varied=0.97, drift=0.03).describe()
    assert words == "TPIR clean 0.990  degraded 0.625  crossed 0.625  varied 0.970, drift 0.030"


@pytest.fixture(scope="module")
def pool() -> ViewPool:
    base = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3))
    noise = np.random.default_rng(1).normal(0, 60, (9, 16, 16, 3))
    crops = (np.repeat(base, 3, axis=0) + noise).clip(0, 255).astype(np.uint8)
    return ViewPool(Crops.of(crops), Degradation((PIXELS,), 4, 8), 0, False, None, features, Progress())


def features(pictures: np.ndarray) -> np.ndarray:
    return unit(pictures[:, ::5, ::5].reshape(len(pictures), -1).astype(np.float32) - 127.5)


LABELS = np.repeat(np.arange(3, dtype=np.int32), 3)


def test_held_out_people_are_scored_by_kind_of_view(pool: ViewPool):
    rows = np.arange(9)
    held_out = HeldOutViews(pool, rows, LABELS, 3, CONFIG, ProcessGroup())
    assert len(held_out) == 9
    found = held_out.measure(features, 0.3)
    clean = pool.before[CLEAN][0]
    assert (found.share, found.searches) == (0.3, 9)
    assert found.tpir["clean"] == score(clean, LABELS, CONFIG.target_fpir).tpir
    poor = [features(pool.take(DEGRADED, np.full(9, number), rows)) for number in range(2)]
    expected = np.mean([score(vectors, LABELS, CONFIG.target_fpir).tpir for vectors in poor])
    assert found.tpir["degraded"] == pytest.approx(expected)
    assert found.drift == pytest.approx(0.0, abs=1e-6)


def test_crossed_searches_are_of_degraded_photos_among_clean_ones(pool: ViewPool):
    rows = np.arange(9)
    clean = pool.before[CLEAN][0]
    correct = []
    for number in range(2):
        poor = features(pool.take(DEGRADED, np.full(9, number), rows))
        distances = np.linalg.norm(poor[:, None] - clean[None], axis=2)
        distances[rows, rows] = np.inf  # the photo itself
        correct.append(LABELS[distances.argmin(axis=1)] == LABELS)
    found = HeldOutViews(pool, rows, LABELS, 3, CONFIG, ProcessGroup()).measure(features, 0.0)
    assert found.rank1["crossed"] == pytest.approx(np.mean(correct))


def test_drift_is_how_far_varied_views_have_moved(pool: ViewPool):
    def other(pictures: np.ndarray) -> np.ndarray:
        return unit(features(pictures) + 0.2 * np.eye(48, dtype=np.float32)[0])

    rows = np.arange(9)
    moved = HeldOutViews(pool, rows, LABELS, 3, CONFIG, ProcessGroup()).measure(other, 1.0)
    expected = [
        1 - (other(pool.take(VARIED, np.full(9, number), rows)) * pool.before[VARIED][number]).sum(axis=1)
        for number in range(2)
    ]
    assert moved.drift == pytest.approx(np.mean(expected), rel=1e-5)
    assert moved.drift > 0


def test_features_that_are_no_numbers_are_divergence(pool: ViewPool):
    held_out = HeldOutViews(pool, np.arange(9), LABELS, 3, CONFIG, ProcessGroup())
    with pytest.raises(DivergedError, match="training diverged: features are not finite numbers"):
        held_out.measure(lambda pictures: features(pictures) * np.float32(np.nan), 1.0)


def test_shares_are_measured_up_to_the_first_that_drifts_too_far():
    drifts = dict(zip(SHARES, (0.01, 0.02, MOST_DRIFT, 0.041, 0.06, 0.07, 0.08), strict=True))
    found = measure_shares(lambda share: balance(share, 0.5, drift=drifts[share]))
    assert [one.share for one in found] == list(SHARES[:4])
    assert [one.share for one in measure_shares(lambda share: balance(share, 0.5))] == list(SHARES)
