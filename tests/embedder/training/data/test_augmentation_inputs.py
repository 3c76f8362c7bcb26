from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from embedder.config import FROM_SCRATCH, TrainConfig
from embedder.heads import build_stem
from embedder.layers import Distillation
from embedder.training.data.augmentation import (
    Augmented,
    DistillationViews,
    class_means,
    poor_views,
    prepare_training_data,
)
from embedder.training.data.crop_store import Crops
from embedder.training.data.photos import HeldOutSplit, Photos
from embedder.training.heldout import HeldOut, Score, interpolated, mean_score, score, weights_of
from embedder.trunks import embed_crops, features_of

CONFIG = TrainConfig(mirror=False).filled(FROM_SCRATCH, 32, "whole", False)
DISTILLING = TrainConfig(mirror=False, distillation=0.5, degrade_to=4).filled(
    FROM_SCRATCH, 32, "whole", False
)


@pytest.fixture(scope="module")
def trunk() -> keras.Model:
    image = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    return keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(x)))


@pytest.fixture(scope="module")
def photos() -> Photos:
    rng = np.random.default_rng(0)
    crops, clean = (Crops.of(rng.integers(1, 256, (12, 12, 12, 3), np.uint8)) for _ in range(2))
    labels = np.repeat(np.arange(4, dtype=np.int32), 3)
    return Photos(
        crops, clean, labels, tuple("abcd"), tuple(Path(f"{i}.png") for i in range(12)), (), {}, "x"
    )


SPLIT = HeldOutSplit(train=np.array([3, 4, 5, 9, 10, 11]), held_out=np.array([0, 1, 2, 6, 7, 8]))


def test_class_means_are_means_of_classes():
    features, labels = np.arange(10.0, dtype=np.float32).reshape(5, 2), np.array([1, 0, 1, 1, 0], np.int32)
    expected = [features[labels == label].mean(axis=0) for label in (0, 1)]
    np.testing.assert_allclose(class_means(features, labels), expected)


def test_material_of_a_run_without_distillation(trunk: keras.Model, photos: Photos):
    training_data = prepare_training_data(partial(features_of, trunk), photos, SPLIT, CONFIG, pretrained=True)
    assert isinstance(training_data.views, Augmented)
    assert (training_data.people, training_data.labels.tolist()) == (2, [0, 0, 0, 1, 1, 1])
    features = trunk.predict(photos.crops.take(SPLIT.train).astype(np.float32), verbose=0)
    np.testing.assert_allclose(training_data.means, features.reshape(2, 3, 4).mean(axis=1), rtol=1e-5)
    assert (
        prepare_training_data(partial(features_of, trunk), photos, SPLIT, CONFIG, pretrained=False).means
        is None
    )


def test_distillation_takes_features_of_clean_crops_and_their_mirror_pictures(
    trunk: keras.Model, photos: Photos
):
    training_data = prepare_training_data(
        partial(features_of, trunk), photos, SPLIT, DISTILLING, pretrained=True
    )
    assert isinstance(training_data.views, DistillationViews)
    clean = photos.clean.take(SPLIT.train).astype(np.float32)
    expected = [trunk.predict(pictures, verbose=0) for pictures in (clean, clean[:, :, ::-1])]
    np.testing.assert_allclose(training_data.views.before, expected, rtol=1e-5)
    means = np.mean(expected, axis=0).reshape(2, 3, 4).mean(axis=1)
    np.testing.assert_allclose(training_data.means, means, rtol=1e-5)
    assert training_data.views.smallest == 4


def test_held_out_people_are_scored_as_they_are_and_with_distillation_poor_too(
    trunk: keras.Model, photos: Photos
):
    labels, crops = photos.labels[SPLIT.held_out], photos.crops.take(SPLIT.held_out)
    plain = score(embed_crops(trunk, crops, False), labels, CONFIG.target_fpir)
    assert HeldOut(photos, SPLIT, CONFIG).score(trunk) == plain
    rng = np.random.default_rng([0, 4])
    copies = np.concatenate([poor_views(crop[None], 4, rng) for crop in crops])
    poor = score(embed_crops(trunk, copies, False), labels, CONFIG.target_fpir)
    assert poor != plain
    assert HeldOut(photos, SPLIT, DISTILLING).score(trunk) == mean_score([plain, poor])
    no_one = HeldOut(photos, HeldOutSplit(np.arange(12), np.empty(0, np.intp)), DISTILLING)
    assert len(no_one) == 0


def test_mean_of_scores():
    assert mean_score([Score(0.5, 0.8, 0.1, 9), Score(0.7, 1.0, 0.3, 9)]) == Score(0.6, 0.9, 0.2, 9)


def test_distillation_is_the_distance_of_both_views_and_nothing_else(trunk: keras.Model):
    """The total of the stem is μ · mean(|x - t|² + |x' - t'|²), by numpy, in double precision."""
    stem = build_stem(DISTILLING, trunk)
    model = keras.Model(dict(stem.inputs), stem.features)
    rng = np.random.default_rng(1)
    images, clean = rng.uniform(0, 255, (2, 5, 12, 12, 3)).astype(np.float32)
    target, before = rng.normal(size=(2, 5, 4)).astype(np.float32)
    inputs = {
        "image": images,
        "label": np.zeros(5, np.int32),
        "clean": clean,
        "target": target,
        "before": before,
    }
    features = np.asarray(model(inputs), float)
    x, kept = (np.asarray(trunk(pictures), float) for pictures in (images, clean))
    np.testing.assert_allclose(features, x, rtol=1e-5)
    expected = 0.5 * np.mean(((x - target) ** 2).sum(1) + ((kept - before) ** 2).sum(1))
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_distillation_layer_survives_serialization():
    layer = Distillation(0.25, name="distillation")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()


def test_weights_can_be_lent_and_interpolated(trunk: keras.Model):
    before = trunk.get_weights()
    other = [weight + 1 for weight in before]
    with weights_of(trunk, interpolated(before, other, 0.25)):
        np.testing.assert_allclose(trunk.get_weights()[0], before[0] + 0.25, rtol=1e-5)
    for after, weight in zip(trunk.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, weight)
    for share, end in ((0.0, before), (1.0, other)):
        np.testing.assert_allclose(interpolated(before, other, share)[0], end[0], rtol=1e-6)


def test_only_views_that_are_to_stay_are_compared_with_those_before_training():
    rng = np.random.default_rng(2)
    now, before = rng.normal(size=(2, 5, 4)).astype(np.float32)
    kept = np.array([0, 1, 1, 0, 1], np.float32)
    layer = Distillation(0.5)
    np.testing.assert_array_equal(np.asarray(layer([now, before, kept])), now)
    expected = 0.5 * np.mean(kept * ((now.astype(float) - before) ** 2).sum(axis=1))
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)
    column = Distillation(0.5)
    column([now, before, kept[:, None]])
    assert float(column.losses[0]) == pytest.approx(expected, rel=1e-5)
