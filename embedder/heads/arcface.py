"""ArcFace: a margin of the angle."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import Head, Stem
from embedder.heads.cosine import CosineClassifier, build_cosine_head
from embedder.losses import find_loss

# The paper's. Features of a trunk that was trained with distances point almost the same way: of the face
# trunk, the means of people 1-20 of ORL have a median cosine of .95, and a photo has one of .985 with its own
# mean and of .970 with the next. 64 · .015 is about 1, a logit that says something; at 16 all are much alike.
SCALE = 64.0
# Radians. With the paper's .5 the cross-entropy of these photos is 13 at first, with .1 it is 1.8, without a
# margin .8. Trained on them for 5 epochs, at 24 pixels, one seed, TPIR at FPIR 1 % of people 21-40 was .69
# with .5 and .79 with .1, before .67. For a trunk from nothing, or with thousands of people, try .5.
MARGIN = 0.1


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build an `ArcFace` layer on the trunk.

    Raises:
        UsageError: a margin that is no sharp angle, or a loss that cannot be used.
    """
    layer = ArcFace(classes, config.scale or SCALE, angle(config), name="softmax")
    return build_cosine_head(stem, layer, find_loss(config))


def angle(config: TrainConfig, default: float = MARGIN) -> float:
    """Give the margin in radians.

    Raises:
        UsageError: it is more than a right angle.
    """
    if config.margin is not None and config.margin > math.pi / 2:
        raise UsageError(
            f"--margin: with --head {config.head} expected an angle of at most {math.pi / 2:.2f} radians, "
            f"got {config.margin}"
        )
    return default if config.margin is None else config.margin


@keras.saving.register_keras_serializable(package="embedder")
class ArcFace(CosineClassifier):
    """s · cos(θ + m) of the own class, s · cos θ of others (Deng, Guo, Xue and Zafeiriou 2019, "ArcFace").

    Beyond θ + m = π the cosine would rise again, and draw a photo away from its class; there the own logit
    goes on as s · (cos θ + cos m - 1), which meets it at -s and keeps falling with the angle. See
    `CosineClassifier` for arguments and shapes.

    Example:
        >>> logits = ArcFace(20, scale=64.0, margin=0.1)(features, labels)
    """

    def with_margin(self, cosines: Any) -> Any:
        """Cos θ -> cos(θ + m)."""
        # The sine's slope is infinite where a photo lies on its class, at sine 0.
        sines = ops.sqrt(ops.maximum(1 - ops.square(cosines), keras.config.epsilon()))
        turned = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines + math.cos(self.margin) - 1
        return ops.where(cosines > -math.cos(self.margin), turned, beyond)
