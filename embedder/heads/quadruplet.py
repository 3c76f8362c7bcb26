"""Quadruplet loss: the triplet loss, and people apart from each other by more than a person from itself."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.in_batch import InBatchLoss, loss_head, options_of
from embedder.heads.mining import FAR, mine
from embedder.heads.triplet import MARGIN, triplet_loss


def build(config: TrainConfig, stem: Stem, _classes: int) -> Head:
    """Build a `QuadrupletLoss` on the trunk."""
    layer = QuadrupletLoss(**options_of(config, MARGIN), name="quadruplet")
    return loss_head(stem, layer(stem.features, stem.label))


@keras.saving.register_keras_serializable(package="embedder")
class QuadrupletLoss(InBatchLoss):
    """max(0, |a - p|² - |a - n|² + α) + max(0, |a - p|² - |n - o|² + β); a, n and o are three people.

    Chen, Chen, Zhang and Huang 2017, "Beyond triplet loss: a deep quadruplet network for person
    re-identification". The second term has no anchor in common on its two sides: it asks that any two
    people are farther apart than any two photos of one, which is what a single threshold for all needs. The
    second negative o is the nearest to n that is of a third person, so that a batch has as many of these
    comparisons as of the first; `mining` chooses n in either term. See `InBatchLoss` for the other arguments,
    inputs and output.

    Args:
        margin: α.
        second_margin: β, or None: α / 2; as in the paper, the second term is to count for less.
    """

    def __init__(self, margin: float, *args: Any, second_margin: float | None = None, **kwargs: Any) -> None:
        super().__init__(margin, *args, **kwargs)
        self.second_margin = margin / 2 if second_margin is None else second_margin

    def batch_loss(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Add the two terms; `active` is of the first; see `InBatchLoss.batch_loss`."""
        first, active = triplet_loss(
            mine(positive, is_positive, negative, is_negative, self.mining), self.margin, self.mining
        )
        count = ops.shape(positive)[0]
        third = ops.logical_and(is_negative[:, None], is_negative[None])  # (anchor, n, o): o is neither's
        second = ops.min(ops.where(third, negative[None], FAR), axis=2)  # far enough if there is no third
        mined = mine(positive, is_positive, second, is_negative[:, :count], self.mining)
        return first + triplet_loss(mined, self.second_margin, self.mining)[0], active

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "second_margin": self.second_margin}
