"""Layers beside the classifier: losses added to the total, a memory of earlier batches, a split vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from embedder.losses.classification import scalar_variable
from embedder.losses.labels import check_features, check_labels
from embedder.losses.metric import NOBODY, MetricLoss, unit

Shape = tuple[int | None, ...]


class AuxiliaryLoss(layers.Layer):  # type: ignore[misc]
    """Base class of layers that add λ · mean_i v_i of a batch to the model's loss, and log mean_i v_i.

    λ is the layer's variable `factor`, not trainable: assigning to it takes effect in the next batch without
    compiling again. The mean over the batch lets λ mean the same at every batch size (docs/decisions/001).

    On the JAX back end the log has only the total: Keras (3.15) gives a layer no state there in which a
    metric could be kept.

    Args:
        factor: λ, at least 0.
        shown: name in the log; it ends in `_loss`. None: the layer's name and `_loss`.

    Raises:
        ValueError: λ is negative.
    """

    def __init__(self, factor: float, shown: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not factor >= 0:
            raise ValueError(f"{type(self).__name__}: expected a weight of at least 0, got {factor}")
        self._first = factor
        silent = keras.backend.backend() == "jax"
        self.shown = None if silent else keras.metrics.Mean(name=shown or f"{self.name}_loss")

    def build(self, _shape: Any, *_: object) -> None:
        """Make λ."""
        self.factor = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self._first), trainable=False, name="factor"
        )

    def add_mean(self, values: Any) -> None:
        """Add λ · mean of the values (batch,) to the total."""
        self.add_loss(self.factor * ops.mean(values))
        if self.shown is not None:
            self.shown.update_state(values)


@keras.saving.register_keras_serializable(package="embedder")
class ActivityPenalty(AuxiliaryLoss):
    """Passes its input on and adds λ · mean_i Σ_d |x_id| to the total, shown as `<name>_loss`.

    It draws features towards zeros (Tibshirani 1996, "Regression Shrinkage and Selection via the Lasso", on
    activations). The sum runs over the feature, the mean over the batch.

    Args:
        weight: λ.

    Input shape:
        (batch, ...), any float dtype.

    Output shape:
        The same, float32.

    Example:
        >>> import numpy as np
        >>> layer = ActivityPenalty(0.5)
        >>> features = layer(np.ones((4, 3), "float32"))
        >>> float(layer.losses[0])
        1.5
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(weight, **kwargs)
        self.weight = weight

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        axes = tuple(range(1, len(inputs.shape)))
        self.add_mean(ops.sum(ops.abs(inputs), axis=axes))
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="embedder")
class Distillation(AuxiliaryLoss):
    """Passes features x on and adds their distance to those before training, shown as `<name>_loss`.

    Of x, t, w it adds μ · mean_i w_i |x_i - t_i|²: t are features of the same views before training, w says
    which are to stay (Li and Hoiem 2016, "Learning without Forgetting"). Of x, t, x', t' it adds μ · mean_i
    (|x_i - t_i|² + |x'_i - t'_i|²): x' and t' are of the same views; x, of degraded ones, are drawn to t.

    Args:
        weight: μ.

    Input shape:
        A list: x and t, (batch, dim), and w, (batch,) or (batch, 1); or four (batch, dim); any float dtype.

    Output shape:
        (batch, dim) float32: x.

    Raises:
        ValueError: it is another list.

    Example:
        >>> import numpy as np
        >>> layer, now, before = Distillation(0.5), np.ones((4, 3), "float32"), np.zeros((4, 3), "float32")
        >>> features = layer([now, before, np.ones(4, "float32")])
        >>> float(layer.losses[0])
        1.5
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(weight, **kwargs)
        self.weight = weight

    def build(self, shapes: Any, *_: object) -> None:
        """Make μ, and check the shapes."""
        rows = shapes[: 2 if len(shapes) == 3 else 4]
        weights = len(shapes) == 4 or (len(shapes) == 3 and tuple(shapes[2][1:]) in ((), (1,)))
        if not weights or len({r[-1] for r in rows}) > 1 or {len(r) for r in rows} != {2}:
            raise ValueError(f"Distillation: expected 4 inputs (batch, dim) or 2 and (batch,), got {shapes}")
        super().build(shapes)

    def call(self, inputs: list[Any]) -> Any:
        """Return x."""
        first = ops.sum(ops.square(inputs[0] - inputs[1]), axis=-1)
        second = None if len(inputs) == 3 else ops.sum(ops.square(inputs[2] - inputs[3]), axis=-1)
        self.add_mean(first * ops.reshape(inputs[2], (-1,)) if second is None else first + second)
        return inputs[0]

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        """The shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="embedder")
class CrossBatchMemory(layers.Layer):  # type: ignore[misc]
    """Keeps the features and labels of the last photos, first in, first out.

    Wang, Zhang, Huang and Scott 2020, "Cross-Batch Memory for Embedding Learning": features change slowly,
    so those of the last batches are nearly what the trunk would give now, and cost nothing. No gradient flows
    through them; they are weights that no optimizer sees, so a resumed run remembers what an unbroken one
    would. On several replicas (`tf.distribute`) each remembers its own part of the batches.

    Args:
        size: photos to remember, at least 1.

    Input shape:
        features (batch, dim), any float dtype, and labels (batch,) or (batch, 1), integers from 0.

    Output shape:
        Features (batch + size, dim) float32 and labels (batch + size,) int32, the batch first; the label of a
        place that is still empty is -1. In training the batch is remembered for the next one.

    Raises:
        ValueError: the size, a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> memory = CrossBatchMemory(2)
        >>> features, whose = memory(np.ones((1, 3), "float32"), np.array([7]), training=True)
        >>> [int(label) for label in whose]
        [7, -1, -1]
        >>> [int(label) for label in memory(np.ones((1, 3), "float32"), np.array([8]))[1]]
        [8, 7, -1]
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if size < 1:
            raise ValueError(f"CrossBatchMemory: expected a size of at least 1, got {size}")
        self.size = size

    def build(self, features_shape: Shape, *_: object) -> None:
        """Make features (size, dim) and labels (size,), all empty."""
        self.features = self.add_weight(
            shape=(self.size, features_shape[-1]), initializer="zeros", trainable=False, name="features"
        )
        self.labels = self.add_weight(
            shape=(self.size,),
            dtype="int32",
            initializer=keras.initializers.Constant(NOBODY),
            trainable=False,
            name="labels",
        )

    def call(self, features: Any, labels: Any, training: bool | None = False) -> tuple[Any, Any]:
        """Put the remembered behind the batch; in training, remember the batch."""
        labels, _ = check_labels(labels, features, "CrossBatchMemory")
        every_feature = ops.concatenate([features, ops.convert_to_tensor(self.features)])
        every_label = ops.concatenate([labels, ops.convert_to_tensor(self.labels)])
        if training:
            self.features.assign(ops.stop_gradient(every_feature[: self.size]))
            self.labels.assign(every_label[: self.size])
        return every_feature, every_label

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="embedder")
class MetricLossLayer(layers.Layer):  # type: ignore[misc]
    """Computes a `MetricLoss` as the output of a model, with a memory or queries of their own if wanted.

    A layer rather than a loss where the loss needs more than labels and embeddings. Its output is the loss:
    train it by `model.compile(loss=embedder.layers.mean_of_output)`. Logs the loss as `<name>_loss`, and the
    share of comparisons that still teach something as `active`; on JAX the log has only the total, as of
    `AuxiliaryLoss`.

    Args:
        loss: a loss of embeddings, as `embedder.losses.TripletLoss`.
        memory_size: photos of earlier batches that are negatives too; they are never positives, as an old
            feature would hold its person where it was. 0: none.

    Input shape:
        features (batch, dim), labels (batch,) or (batch, 1) and, if the anchors have features of their own,
        queries (batch, dim).

    Output shape:
        (batch,) float32: the loss of the batch in every row, so that any average over photos is right. A
        batch with nothing to compare gives 0.

    Raises:
        ValueError: it is another kind of loss; a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> from embedder.losses import TripletLoss
        >>> layer = MetricLossLayer(TripletLoss(margin=0.2), memory_size=64)
        >>> loss = layer(np.eye(3, dtype="float32"), np.array([0, 0, 1]))
        >>> [round(float(row), 3) for row in loss]
        [0.2, 0.2, 0.2]
    """

    def __init__(self, loss: MetricLoss, memory_size: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not isinstance(loss, MetricLoss):
            raise ValueError(
                f"MetricLossLayer: expected a loss of embeddings, as TripletLoss, got {type(loss).__name__}"
            )
        self.loss = loss
        self.memory_size = memory_size
        self.memory = CrossBatchMemory(memory_size, name="memory") if memory_size else None
        silent = keras.backend.backend() == "jax"
        self.logged_loss = None if silent else keras.metrics.Mean(name=f"{self.name}_loss")
        self.logged_active = None if silent else keras.metrics.Mean(name="active")

    def build(self, features_shape: Shape, *_: object) -> None:
        """Make the memory."""
        if self.memory:
            self.memory.build(features_shape)

    def call(self, features: Any, labels: Any, queries: Any = None, training: bool | None = False) -> Any:
        """Return the loss; in training, remember the batch."""
        labels, outside = check_labels(labels, features, "MetricLossLayer")
        if queries is not None:
            check_features(queries, "MetricLossLayer, queries")
        candidates = whose = None
        if self.memory:
            candidates, whose = self.memory(unit(features), labels, training=training)
        loss, active = self.loss.batch_loss(features, labels, candidates, whose, queries)
        rows = ops.ones_like(features[:, 0])
        if self.logged_loss is not None:
            self.logged_loss.update_state(loss * rows)  # a short last batch counts for less
        if self.logged_active is not None:
            self.logged_active.update_state(active * rows)
        return loss * rows + outside

    def compute_output_shape(self, features_shape: Shape, *_: object) -> tuple[int | None]:
        """(batch, dim) -> (batch,)."""
        return (features_shape[0],)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": loss, "memory_size": self.memory_size}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MetricLossLayer:
        """Make the same layer."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


@keras.saving.register_keras_serializable(package="embedder")  # type: ignore[untyped-decorator]
def mean_of_output(_target: Any, output: Any) -> Any:
    """Take an output as a loss as it is; there is nothing to compare it with."""
    return ops.mean(output)


@keras.saving.register_keras_serializable(package="embedder")
class TrackedVariables(layers.Layer):  # type: ignore[misc]
    """Passes its input on and holds variables that a loss outside of any layer reads, as ε or λ.

    So the model knows them: they are in its checkpoints, and JAX, which compiles in all that it does not
    know as constants, sees them move.

    Args:
        variables: by name, the variables themselves or, for a layer of its own, their values.

    Input shape:
        Any.

    Output shape:
        The same.

    Example:
        >>> import numpy as np
        >>> from embedder.losses import SmoothedCrossentropy
        >>> loss = SmoothedCrossentropy(0.1)
        >>> layer = TrackedVariables({"smoothing": loss.smoothing})
        >>> features = layer(np.ones((4, 3), "float32"))
        >>> len(layer.non_trainable_variables)
        1
    """

    def __init__(self, variables: Mapping[str, float | keras.Variable], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tracked = {
            name: value if isinstance(value, keras.Variable) else scalar_variable(value, name)
            for name, value in variables.items()
        }

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make a layer with the same values."""
        values = {name: float(ops.convert_to_numpy(value)) for name, value in self.tracked.items()}
        return {**super().get_config(), "variables": values}


@keras.saving.register_keras_serializable(package="embedder")
class SplitHalves(layers.Layer):  # type: ignore[misc]
    """Cuts the last axis in the middle, for a head on each half of a feature.

    It lets one half learn identities while the other is free for something else (camera, pose), and only the
    first half is kept.

    Input shape:
        (batch, ..., 2 n).

    Output shape:
        Two of (batch, ..., n), of the input's dtype.

    Raises:
        ValueError: the last axis is odd or of unknown length.

    Example:
        >>> import numpy as np
        >>> identity, rest = SplitHalves()(np.ones((4, 6), "float32"))
        >>> tuple(identity.shape)
        (4, 3)
    """

    def build(self, input_shape: Shape) -> None:
        """Check that there are two halves."""
        _halves(input_shape)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return both halves."""
        middle = inputs.shape[-1] // 2
        return inputs[..., :middle], inputs[..., middle:]

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        """Give (..., 2 n) -> (..., n), (..., n)."""
        return _halves(input_shape)


def _halves(shape: Shape) -> tuple[Shape, Shape]:
    last = shape[-1]
    if last is None or last % 2:
        raise ValueError(f"SplitHalves: expected a last axis of even length, got shape {tuple(shape)}")
    half = (*shape[:-1], last // 2)
    return half, half
