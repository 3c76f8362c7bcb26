"""What the heads share that compare the photos of a batch with each other, without a classifier."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.center_embedding import mean_distance
from embedder.heads.memory import NOBODY, Memory


class InBatchLoss(layers.Layer):  # type: ignore[misc]
    """A loss of the photos of a batch, as a layer whose output is the loss.

    Compares features scaled to length 1, as the extractor gives them: what is trained is what is used, a
    margin means the same for every trunk, and shrinking all features does not lower the loss. Logs the loss
    as `<name>_loss`, and the share of comparisons that still teach something as `active`.

    Positives always come from the batch, as an old feature would hold its person where it was; a `memory`
    gives further negatives.

    On the JAX back end the log has only the total, as of `AddedLoss`.

    Args:
        margin: by how much a negative must be farther.
        mining: see `embedder.heads.mining.mine`.
        memory: photos of earlier batches that are negatives too.

    Input shape:
        features (batch, dim), labels (batch,) integer and, if the anchors have features of their own,
        those (batch, dim).

    Output shape:
        (batch,) float32: the loss of the batch in every row, so that any average over photos is right. A
        batch with nothing to compare gives 0.
    """

    def __init__(self, margin: float, mining: str = "batch-hard", memory: int = 0, **kwargs: Any) -> None:
        # In float32 also under mixed precision: half of it cannot tell near distances apart.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.margin = margin
        self.mining = mining
        self.memory = memory
        self.earlier = Memory(memory, name="memory") if memory else None
        silent = keras.backend.backend() == "jax"
        self.logged_loss = None if silent else keras.metrics.Mean(name=f"{self.name}_loss")
        self.logged_active = None if silent else keras.metrics.Mean(name="active")

    def distance(self, cosine: Any) -> Any:
        """Turn cosines into what positives shall have less of: here |a - b|² = 2 - 2 cos(a, b)."""
        return 2.0 - 2.0 * cosine

    def batch_loss(self, positive: Any, is_positive: Any, negative: Any, is_negative: Any) -> tuple[Any, Any]:
        """Give the loss of a batch and the share of its comparisons that are not yet as they shall be.

        Args:
            positive: (batch, batch) float32 distances.
            is_positive: (batch, batch) bool, whether two photos are different ones of the same person.
            negative: (batch, batch + memory) float32 distances; the first (batch, batch) are those above.
            is_negative: (batch, batch + memory) bool, whether two photos are of different people.

        Returns:
            Two float32 scalars.
        """
        raise NotImplementedError

    def build(self, features_shape: tuple[int | None, ...], *_: object) -> None:
        """Make the memory."""
        if self.earlier:
            self.earlier.build(features_shape)

    def call(self, features: Any, labels: Any, anchors: Any = None, training: bool | None = False) -> Any:
        """Return the loss; in training, remember the batch."""
        features = unit(features)
        candidates, whose = features, labels
        if self.earlier:
            candidates, whose = self.earlier(features, labels, training=training)
        cosine = ops.matmul(features if anchors is None else unit(anchors), ops.transpose(candidates))
        count = ops.shape(features)[0]
        numbers = ops.arange(count)
        same = ops.equal(labels[:, None], whose[None])
        distance = self.distance(cosine)
        loss, active = self.batch_loss(
            distance[:, :count],
            ops.logical_and(same[:, :count], ops.not_equal(numbers[:, None], numbers[None])),
            distance,
            ops.logical_and(ops.logical_not(same), ops.not_equal(whose, NOBODY)[None]),
        )
        rows = ops.ones_like(features[:, 0])
        if self.logged_loss is not None:
            self.logged_loss.update_state(loss * rows)  # a short last batch counts for less
        if self.logged_active is not None:
            self.logged_active.update_state(active * rows)
        return loss * rows

    def compute_output_shape(self, features_shape: tuple[int | None, ...], *_: object) -> tuple[int | None]:
        """(batch, dim) -> (batch,)."""
        return (features_shape[0],)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {
            **super().get_config(),
            "margin": self.margin,
            "mining": self.mining,
            "memory": self.memory,
        }


def unit(vectors: Any) -> Any:
    """Scale rows (n, dim) to length 1; zero stays zero, with a finite gradient."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))


def options_of(config: TrainConfig, margin: float) -> dict[str, Any]:
    """Give the arguments of an `InBatchLoss` that options set.

    Args:
        config: the options.
        margin: if none was asked for.
    """
    return {
        "margin": margin if config.margin is None else config.margin,
        "mining": config.mining,
        "memory": config.memory,
    }


def loss_head(stem: Stem, loss: Any, **parts: keras.Model) -> Head:
    """Make a head of a model whose output is its loss.

    Args:
        stem: what it stands on.
        loss: (batch,), the output.
        **parts: see `Head.parts`.
    """
    return Head(
        model=keras.Model(dict(stem.inputs), loss),
        compile={"loss": mean_distance},
        targets=lambda labels: np.zeros(len(labels), np.float32),
        parts=parts,
    )
