"""Sub-center ArcFace: a person has more than one look."""

from __future__ import annotations

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.arcface import SCALE, ArcFace, angle
from embedder.heads.cosine import build_cosine_head
from embedder.losses import find_loss


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build an `ArcFace` layer with several sub-centers of each class.

    Deng, Guo, Liu, Gong and Zafeiriou 2020, "Sub-center ArcFace: Boosting Face Recognition by Large-scale
    Noisy Web Faces": θ is the angle to the nearest of K sub-centers, so that a wrongly labelled photo, or an
    unlike one, does not spoil the center of the others.

    Raises:
        UsageError: a margin that is no sharp angle, or a loss that cannot be used.
    """
    layer = ArcFace(classes, config.scale or SCALE, angle(config), config.sub_centers, name="softmax")
    return build_cosine_head(stem, layer, find_loss(config))
