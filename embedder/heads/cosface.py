"""CosFace: a margin of the cosine."""

from __future__ import annotations

from typing import Any

import keras

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import Head, Stem
from embedder.heads.arcface import SCALE
from embedder.heads.cosine import CosineClassifier, build_cosine_head
from embedder.losses import find_loss

# Where the face trunk starts about as hard as the .1 of ArcFace (see there): a cross-entropy of 2, where the
# paper's .35 has 22. For a trunk from nothing, or with thousands of people, try .35.
MARGIN = 0.03


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build a `CosFace` layer on the trunk.

    Raises:
        UsageError: a margin that no two directions have, or a loss that cannot be used.
    """
    margin = MARGIN if config.margin is None else config.margin
    if margin > 1:
        raise UsageError(
            f"--margin: with --head cosface expected a difference of cosines of at most 1, got {margin}"
        )
    layer = CosFace(classes, config.scale or SCALE, margin, name="softmax")
    return build_cosine_head(stem, layer, find_loss(config))


@keras.saving.register_keras_serializable(package="embedder")
class CosFace(CosineClassifier):
    """s · (cos θ - m) of the own class, s · cos θ of others (Wang et al. 2018, "CosFace").

    See `CosineClassifier` for arguments and shapes.

    Example:
        >>> logits = CosFace(20, scale=64.0, margin=0.03)(features, labels)
    """

    def with_margin(self, cosines: Any) -> Any:
        """Cos θ -> cos θ - m."""
        return cosines - self.margin
