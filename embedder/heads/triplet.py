"""Triplet loss, distance form: a photo shall be nearer to its own person than to others, by a margin."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.in_batch import InBatchLoss, loss_head, options_of
from embedder.heads.mining import Mined, mean_where, mine

MARGIN = 0.2  # of FaceNet, of squared distances between unit vectors


def build(config: TrainConfig, stem: Stem, _classes: int) -> Head:
    """Build a `TripletLoss` on the trunk."""
    layer = TripletLoss(**options_of(config, MARGIN), name="triplet")
    return loss_head(stem, layer(stem.features, stem.label))


@keras.saving.register_keras_serializable(package="embedder")
class TripletLoss(InBatchLoss):
    """max(0, |a - p|² - |a - n|² + α) over anchors a, positives p and negatives n of a batch.

    Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
    Clustering". See `InBatchLoss` for arguments, inputs and output, and `mine` for who is compared.

    Example:
        >>> loss = TripletLoss(margin=0.2, mining="semi-hard")(features, labels)
    """

    def batch_loss(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Mine triplets and average them; see `InBatchLoss.batch_loss`."""
        mined = mine(positive, is_positive, negative, is_negative, self.mining)
        return triplet_loss(mined, self.margin, self.mining)


def triplet_loss(mined: Mined, margin: float, mining: str) -> tuple[Any, Any]:
    """Average max(0, positive - negative + margin).

    Under `all`, over the triplets that are not yet satisfied: soon these are few among the thousands of a
    batch, and an average over all would let what they teach fade away (Hermans, Beyer and Leibe 2017). Under
    the other two, over all that were mined.

    Args:
        mined: what is compared.
        margin: α.
        mining: how it was mined.

    Returns:
        The loss and the share of triplets that are not yet satisfied, two float32 scalars.
    """
    losses = ops.relu(mined.positive - mined.negative + margin)
    valid = ops.logical_and(mined.has_positive, mined.has_negative)
    active = ops.logical_and(valid, losses > 0)
    share = mean_where(ops.cast(active, "float32"), valid)
    return mean_where(losses, active if mining == "all" else valid), share
