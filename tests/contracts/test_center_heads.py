"""Softmax + center loss on unit features, with triplets beside it: the default of the face trunks."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import TRIPLET_MARGIN, UNIT_SCALE
from embedder.training.validation import check_combination
from tests.contracts.cases import CLASSES, batch, build

pytestmark = pytest.mark.usefixtures("fresh_keras")


def test_unit_features_give_cosines_times_a_scale_and_start_at_class_means():
    config = TrainConfig(head="center", unit_features=True, triplet_weight=0.5, center_weight=2.0)
    head = build(config)
    x, y = batch()
    means = np.stack([x[y == k].mean(axis=0) for k in range(CLASSES)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    head.init_from_class_means(means)
    outputs = head.model({"image": x, "label": y})
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(
        np.asarray(outputs["softmax"]), UNIT_SCALE * unit @ means.T, rtol=1e-4, atol=1e-5
    )
    expected = ((unit - means[y]) ** 2).sum(axis=1)
    np.testing.assert_allclose(np.asarray(outputs["center"]), expected, rtol=1e-4)
    probabilities = np.asarray(head.parts["predict"](x))
    powers = np.exp(UNIT_SCALE * unit @ means.T)
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)


def test_triplets_beside_center_loss_are_batch_hard_and_weighed():
    """max(0, farthest of the own - nearest of others + margin), by numpy; the total adds its share."""
    config = TrainConfig(head="center", unit_features=True, triplet_weight=0.5, center_weight=2.0)
    head = build(config)
    x, y = batch()
    log = head.model.train_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)
    unit = x.astype(float) / np.linalg.norm(x, axis=1, keepdims=True)
    distance = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    same = y[:, None] == y[None]
    farthest = np.where(same & ~np.eye(len(y), dtype=bool), distance, -np.inf).max(axis=1)
    nearest = np.where(same, np.inf, distance).min(axis=1)
    expected = np.maximum(0, farthest - nearest + TRIPLET_MARGIN).mean()
    assert float(log["triplet_loss"]) == pytest.approx(expected, rel=1e-4)
    total = log["softmax_loss"] + 2.0 * log["center_loss"] + 0.5 * log["triplet_loss"]
    assert float(log["loss"]) == pytest.approx(float(total), rel=1e-4)


def test_the_old_name_of_the_two_output_form_says_the_new_one():
    with pytest.raises(UsageError, match=r"center-embedding is called center now.*dense-center"):
        check_combination(TrainConfig(head="center-embedding"))
