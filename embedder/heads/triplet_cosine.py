"""Triplet loss, cosine form: a query shall point more to its right answers than to wrong ones."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.in_batch import loss_head, options_of
from embedder.heads.triplet import TripletLoss

MARGIN = 0.1


def build(config: TrainConfig, stem: Stem, _classes: int) -> Head:
    """Build a `CosineTripletLoss` on the trunk, with the encoders of queries and of answers as parts.

    One encoder serves both sides; `config.query_projection` multiplies the features of the query by one more
    matrix. It starts as the identity, so that a pretrained trunk starts where it was.
    """
    project = layers.Identity(name="query")
    if config.query_projection:
        project = layers.Dense(
            stem.features.shape[-1],
            use_bias=False,
            kernel_initializer="identity",
            dtype="float32",
            name="query_projection",
        )
    layer = CosineTripletLoss(**options_of(config, MARGIN), name="triplet_cosine")
    image, answer = stem.inputs["image"], stem.features if stem.clean is None else stem.clean
    return loss_head(
        stem,
        layer(stem.features, stem.label, project(stem.features)),
        query=keras.Model(image, project(answer), name="query"),
        answer=keras.Model(image, answer, name="answer"),
    )


@keras.saving.register_keras_serializable(package="embedder")
class CosineTripletLoss(TripletLoss):
    """max(0, m + cos(q, wrong) - cos(q, right)) over queries q of a batch.

    Right answers are the other photos of the query's person, wrong ones those of others. As |a - b|² is
    2 - 2 cos(a, b), it is half of `TripletLoss` at the margin 2 m, unless the queries are projected. See
    `InBatchLoss` for arguments, inputs and output, and `mine` for who is compared.

    Example:
        >>> loss = CosineTripletLoss(margin=0.1)(answers, labels, queries)
    """

    def distance(self, cosine: Any) -> Any:
        """-cos(q, answer): what right answers shall have less of."""
        return -cosine
