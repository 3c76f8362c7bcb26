"""Contrastive loss: photos of one person together, those of two people apart by at least a margin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.in_batch import InBatchLoss, loss_head, options_of
from embedder.heads.mining import mean_where, mine

MARGIN = 1.0  # of distances between unit vectors: 60 degrees
_NEAREST = 1e-6  # least squared distance with a gradient; at 0 the root has none that is finite


def build(config: TrainConfig, stem: Stem, _classes: int) -> Head:
    """Build a `ContrastiveLoss` on the trunk."""
    layer = ContrastiveLoss(**options_of(config, MARGIN), name="contrastive")
    return loss_head(stem, layer(stem.features, stem.label))


def contrastive_loss(margin: float) -> Callable[[Any, Any], Any]:
    """Make the loss of pairs: y · d² + (1 - y) · max(margin - d, 0)².

    Hadsell, Chopra and LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping".

    Args:
        margin: how far apart two people shall be at least.

    Returns:
        A function of y, 1 for two photos of one person, 0 for those of two, and their distances d, of any one
        shape; gives the loss of each pair. It can be given to `keras.Model.compile`.
    """

    def loss(y: Any, d: Any) -> Any:
        y = ops.cast(y, d.dtype)
        return y * ops.square(d) + (1 - y) * ops.square(ops.relu(margin - d))

    return loss


@keras.saving.register_keras_serializable(package="embedder")
class ContrastiveLoss(InBatchLoss):
    """The mean of `contrastive_loss` over pairs of one person, plus that over pairs of two.

    Two means, as in a batch of 8 people with 4 photos each there are nine times as many pairs of two people
    as of one; a single mean would say little about the latter, and the more people a batch has the less. See
    `InBatchLoss` for arguments, inputs and output, and `mine` for which pairs: with `all` it is each pair.
    `active` is the share of pairs of two people that are nearer than the margin.

    Example:
        >>> loss = ContrastiveLoss(margin=1.0, mining="all")(features, labels)
    """

    def distance(self, cosine: Any) -> Any:
        """|a - b|."""
        return ops.sqrt(ops.maximum(super().distance(cosine), _NEAREST))

    def batch_loss(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Mine pairs and average them; see `InBatchLoss.batch_loss`."""
        mined = mine(positive, is_positive, negative, is_negative, self.mining)
        of_pairs = contrastive_loss(self.margin)
        together = mean_where(of_pairs(ops.ones_like(mined.positive), mined.positive), mined.has_positive)
        apart = mean_where(of_pairs(ops.zeros_like(mined.negative), mined.negative), mined.has_negative)
        near = ops.cast(mined.negative < self.margin, "float32")
        return together + apart, mean_where(near, mined.has_negative)
