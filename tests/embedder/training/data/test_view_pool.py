from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder._internal.runtime import Progress
from embedder.config import FROM_SCRATCH, TrainConfig
from embedder.training.data import view_pool
from embedder.training.data.crop_store import Crops
from embedder.training.data.degradation import PIXELS, Degradation, clean_view, degraded_view, varied_view
from embedder.training.data.photos import HeldOutSplit, Photos
from embedder.training.data.view_cache import ViewCache, view_recipe
from embedder.training.data.view_pool import (
    CLEAN,
    DEGRADED,
    VARIED,
    VIEWS,
    PooledViews,
    ViewPool,
    fits_on_disk,
    from_views,
    unit,
)

PLAN = Degradation((PIXELS,), 4, 6)
CROPS = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)


def early(pictures: np.ndarray) -> np.ndarray:
    return pictures[:, ::4, ::4].astype(np.float32) / 8


def features(given: np.ndarray) -> np.ndarray:
    return unit(given.reshape(len(given), -1)[:, :5].astype(np.float32) + 1)


@pytest.fixture(scope="module")
def pool() -> ViewPool:
    return ViewPool(Crops.of(CROPS), PLAN, 3, False, early, features, Progress())


def test_pool_has_what_the_frozen_layers_give_for_each_view(pool: ViewPool):
    rows = np.array([5, 0, 2])
    expected = [
        degraded_view(CROPS[row], PLAN, np.random.default_rng([3, 7, DEGRADED, number, row]))
        for row, number in zip(rows, (1, 0, 3), strict=True)
    ]
    given = pool.take(DEGRADED, np.array([1, 0, 3]), rows)
    assert given.dtype == np.float16
    np.testing.assert_array_equal(given, early(np.stack(expected)).astype(np.float16))
    mirrored = np.stack([clean_view(CROPS[row], 1) for row in rows])
    np.testing.assert_array_equal(pool.take(CLEAN, np.ones(3, int), rows), early(mirrored).astype(np.float16))
    varied = [varied_view(CROPS[row], np.random.default_rng([3, 7, VARIED, 1, row])) for row in rows]
    np.testing.assert_array_equal(
        pool.take(VARIED, np.ones(3, int), rows), early(np.stack(varied)).astype(np.float16)
    )


def test_pool_knows_the_vectors_of_clean_and_varied_views_before_training(pool: ViewPool):
    for kind in (CLEAN, VARIED):
        for number in range(VIEWS[kind]):
            shown = pool.take(kind, np.full(6, number), np.arange(6))
            np.testing.assert_array_equal(pool.before[kind][number], features(shown))
    assert DEGRADED not in pool.before
    expected = unit(pool.before[CLEAN][:, [1, 4]].mean(axis=0))
    np.testing.assert_allclose(pool.means(np.array([1, 4])), expected, rtol=1e-6)


def test_frozen_layers_run_once_a_view_and_never_again():
    ran = []

    def counted(pictures: np.ndarray) -> np.ndarray:
        ran.append(len(pictures))
        return early(pictures)

    pool = ViewPool(Crops.of(CROPS), PLAN, 0, False, counted, features, Progress())
    views = PooledViews(pool, np.arange(6), 3, True)
    for seed in range(5):
        views(np.arange(6), np.random.default_rng(seed))
    assert sum(ran) == 6 * sum(VIEWS)


def test_without_frozen_layers_the_views_themselves_are_kept():
    pool = ViewPool(Crops.of(CROPS), PLAN, 0, False, None, features, Progress())
    shown = pool.take(CLEAN, np.array([0]), np.array([2]))
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[0], CROPS[2])


def test_outputs_beyond_16_bits_are_cut_off():
    pool = ViewPool(Crops.of(CROPS), PLAN, 0, False, lambda x: early(x) * 1e6, features, Progress())
    assert np.isfinite(pool.take(CLEAN, np.array([0]), np.array([0]))).all()


@pytest.mark.parametrize(
    ("each", "kept", "kinds"),
    [
        (4, True, [DEGRADED, DEGRADED, CLEAN, VARIED]),
        (3, True, [DEGRADED, CLEAN, VARIED]),
        (3, False, [DEGRADED, DEGRADED, CLEAN]),
        (2, True, [DEGRADED, VARIED]),
    ],
)
def test_a_person_is_shown_degraded_clean_and_varied(each: int, kept: bool, kinds: list[int], pool: ViewPool):
    given = PooledViews(pool, np.arange(6), each, kept)(np.zeros(each, int), np.random.default_rng(0))
    for row, kind in enumerate(kinds):
        some = [pool.take(kind, np.array([number]), np.array([0]))[0] for number in range(VIEWS[kind])]
        assert any(np.array_equal(given["image"][row], one.astype(np.float32)) for one in some)
    assert given["image"].dtype == np.float32
    assert set(given) == ({"image", "before", "kept"} if kept else {"image"})
    if kept:
        assert given["kept"].tolist() == [float(kind != DEGRADED) for kind in kinds]


def test_features_before_training_are_those_of_the_very_view_that_is_shown(pool: ViewPool):
    views = PooledViews(pool, np.array([1, 3, 5]), 4, True)
    given = views(np.array([0, 0, 0, 0, 2, 2, 2, 2]), np.random.default_rng(1))
    rows = np.flatnonzero(given["kept"])
    assert rows.tolist() == [2, 3, 6, 7]
    np.testing.assert_allclose(given["before"][rows], features(given["image"][rows]), rtol=1e-3)


def test_with_two_views_a_person_clean_and_varied_take_turns(pool: ViewPool):
    kinds = PooledViews(pool, np.arange(6), 2, True)._kinds(8)
    assert kinds.tolist() == [DEGRADED, VARIED, DEGRADED, CLEAN] * 2


def test_material_is_of_the_people_who_are_learned_from(pool: ViewPool):
    crops = Crops.of(CROPS)
    labels = np.array([0, 0, 1, 1, 2, 2], np.int32)
    paths = tuple(Path(f"{i}.png") for i in range(6))
    photos = Photos(crops, crops, labels, tuple("abc"), paths, (), {}, "x")
    config = TrainConfig(degrade="auto", distillation=1.0).filled(FROM_SCRATCH, 16, "whole", False)
    split = HeldOutSplit(np.array([0, 1, 4, 5]), np.array([2, 3]))
    training_data = from_views(pool, photos, split, config, pretrained=True)
    assert (training_data.people, training_data.labels.tolist()) == (2, [0, 0, 1, 1])
    expected = unit(np.stack([pool.means(np.array(rows)).mean(axis=0) for rows in ([0, 1], [4, 5])]))
    np.testing.assert_allclose(training_data.means, expected, rtol=1e-5)
    assert from_views(pool, photos, split, config, pretrained=False).means is None


def test_views_that_would_fill_the_disk_are_not_kept():
    assert fits_on_disk(10, 100, limit=10 * 100 * sum(VIEWS))
    assert not fits_on_disk(11, 100, limit=10 * 100 * sum(VIEWS))
    assert view_pool.LIMIT > 2**30


def test_views_of_an_earlier_run_are_taken_whole(tmp_path: Path):
    ran: list[int] = []

    def made(crops: np.ndarray, recipe: bytes, seed: int = 3) -> ViewPool:
        def counted(pictures: np.ndarray) -> np.ndarray:
            ran.append(len(pictures))
            return early(pictures)

        ran.clear()
        cache = ViewCache(recipe, tmp_path)
        return ViewPool(Crops.of(crops), PLAN, seed, False, counted, features, Progress(), cache)

    first, other = made(CROPS, b"a"), CROPS[::-1]
    assert sum(ran) == 6 * sum(VIEWS)
    again = made(CROPS, b"a")
    assert not ran
    rows = np.arange(6)
    for kind, views in enumerate(VIEWS):
        for number in range(views):
            place = (kind, np.full(6, number), rows)
            np.testing.assert_array_equal(again.take(*place), first.take(*place))
            if kind in first.before:
                np.testing.assert_array_equal(again.before[kind], first.before[kind])
    for crops, recipe in ((other, b"a"), (CROPS, b"b")):
        made(crops, recipe)
        assert sum(ran) == 6 * sum(VIEWS)
    for entry in (tmp_path / "views").glob("??/*"):
        entry.write_bytes(entry.read_bytes()[:-1])
    made(CROPS, b"a")
    assert sum(ran) == 6 * sum(VIEWS)  # cut short: made again


def test_what_decides_the_views_of_a_run(monkeypatch: pytest.MonkeyPatch):
    weights = [np.arange(3.0), np.ones((2, 2))]
    recipe = view_recipe(weights, {"seed": 0})
    assert recipe == view_recipe([tensor.copy() for tensor in weights], {"seed": 0})
    others = [view_recipe(weights, {"seed": 1}), view_recipe([weights[0], weights[1] * 2], {"seed": 0})]
    monkeypatch.setattr("embedder.training.data.view_cache.version", lambda name: "0")
    others.append(view_recipe(weights, {"seed": 0}))
    assert len({recipe, *others}) == 4
