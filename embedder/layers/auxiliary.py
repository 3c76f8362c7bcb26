"""Define layers that add losses to the total, keep earlier batches, or split features."""

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
    """Base class of layers that add λ · mean_i v_i of a batch to the loss, and log mean_i v_i.

    λ is the layer's variable `factor`, not trainable: assigning to it takes effect in the next batch without
    compiling again. With the mean over the batch, λ does not depend on the batch size (docs/decisions/001).

    On the JAX back end only the total is logged: there Keras 3.15 keeps no state of a metric in a layer.

    Args:
        factor: λ, at least 0.
        shown: name in the log, which ends in `_loss`; None: the layer's name and `_loss`.

    Raises:
        ValueError: λ is negative.

    Example:
        >>> class LengthPenalty(AuxiliaryLoss):
        ...     def call(self, inputs):
        ...         self.add_mean(ops.norm(inputs, axis=-1))
        ...         return inputs
        >>> layer = LengthPenalty(0.5)
        >>> features = layer(ops.ones((4, 1)))
        >>> float(layer.losses[0])
        0.5
    """

    def __init__(self, factor: float, shown: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not factor >= 0:
            raise ValueError(f"{type(self).__name__}: expected a weight of at least 0, got {factor}")
        self._first = factor
        silent = keras.backend.backend() == "jax"
        self.shown = None if silent else keras.metrics.Mean(name=shown or f"{self.name}_loss")

    def build(self, _shape: Any, *_: object) -> None:
        """Create the variable of λ."""
        self.factor = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self._first), trainable=False, name="factor"
        )

    def add_mean(self, values: Any) -> None:
        """Add λ · mean of the values (batch,) to the model's loss."""
        self.add_loss(self.factor * ops.mean(values))
        if self.shown is not None:
            self.shown.update_state(values)


@keras.saving.register_keras_serializable(package="embedder")
class ActivityPenalty(AuxiliaryLoss):
    """Returns its input and adds λ · mean_i Σ_d |x_id| to the loss, logged as `<name>_loss`.

    It makes features sparse (Tibshirani 1996, "Regression Shrinkage and Selection via the Lasso", applied to
    activations). The sum runs over the dimensions of a feature vector, the mean over the batch.

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
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="embedder")
class Distillation(AuxiliaryLoss):
    """Returns features x and adds their distance to those before training to the loss.

    With x, t, w it adds μ · mean_i w_i |x_i - t_i|²: t are features of the same views before training, w are
    weights of the photos (Li and Hoiem 2016, "Learning without Forgetting"). With x, t, x', t' it adds
    μ · mean_i (|x_i - t_i|² + |x'_i - t'_i|²): x are features of degraded views, x' of clean ones, t and t'
    the features of clean views before training. The mean is logged as `<name>_loss`.

    Args:
        weight: μ.

    Input shape:
        A list of x and t, (batch, dim), and w, (batch,) or (batch, 1); or of four arrays (batch, dim); any
        float dtype.

    Output shape:
        (batch, dim) float32: x.

    Raises:
        ValueError: the shapes of the list are others.

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
        """Check the shapes, and create the variable of μ."""
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
        """Return the shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="embedder")
class CrossBatchMemory(layers.Layer):  # type: ignore[misc]
    """Keeps the features and labels of the most recent photos, first in, first out.

    Wang, Zhang, Huang and Scott 2020, "Cross-Batch Memory for Embedding Learning": features change slowly,
    so those of recent batches are close to the trunk's current ones, and need no computation. No gradient
    flows through them. They are weights that are not trainable, so a checkpoint holds them. On several
    replicas (`tf.distribute`) each keeps its own part of the batches.

    Args:
        size: number of photos to keep, at least 1.

    Input shape:
        features (batch, dim), any float dtype, and labels (batch,) or (batch, 1), integers from 0.

    Output shape:
        Features (batch + size, dim) float32 and labels (batch + size,) int32, the batch first; the label of a
        place that is still empty is -1. In training the batch is kept for the next call.

    Raises:
        ValueError: the size, a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> memory = CrossBatchMemory(2)
        >>> features, labels = memory(np.ones((1, 3), "float32"), np.array([7]), training=True)
        >>> [int(label) for label in labels]
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
        """Create features (size, dim) and labels (size,), all empty."""
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
        """Return the batch and the kept photos behind it; in training, keep the batch."""
        labels, _ = check_labels(labels, features, "CrossBatchMemory")
        all_features = ops.concatenate([features, ops.convert_to_tensor(self.features)])
        all_labels = ops.concatenate([labels, ops.convert_to_tensor(self.labels)])
        if training:
            self.features.assign(ops.stop_gradient(all_features[: self.size]))
            self.labels.assign(all_labels[: self.size])
        return all_features, all_labels

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="embedder")
class MetricLossLayer(layers.Layer):  # type: ignore[misc]
    """Computes a `MetricLoss` as the output of a model, with a memory or separate queries.

    A layer, because a loss of Keras gets no more than labels and embeddings. Its output is the loss: train it
    by `model.compile(loss=embedder.layers.mean_of_output)`. It logs the loss as `<name>_loss`, and the share
    of comparisons with a loss above 0 as `active`; on JAX only the total is logged, see `AuxiliaryLoss`.

    Args:
        loss: loss of embeddings, such as `embedder.losses.TripletLoss`.
        memory_size: number of photos of earlier batches to use as negatives; they are never positives, since
            older features would hold a person's features back. 0: none.

    Input shape:
        features (batch, dim), any float dtype; labels (batch,) or (batch, 1), integers from 0; and optionally
        queries (batch, dim), the features of the anchors.

    Output shape:
        (batch,) float32: the loss of the batch in every row, so that any average over photos is right. A
        batch without a pair to compare gives 0.

    Raises:
        ValueError: `loss` is no `MetricLoss`; a shape or a label is wrong.

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
        """Create the weights of the memory."""
        if self.memory:
            self.memory.build(features_shape)

    def call(self, features: Any, labels: Any, queries: Any = None, training: bool | None = False) -> Any:
        """Return the loss of the batch in every row; in training, keep the batch in the memory."""
        labels, outside = check_labels(labels, features, "MetricLossLayer")
        if queries is not None:
            check_features(queries, "MetricLossLayer, queries")
        candidates = whose = None
        if self.memory:
            candidates, whose = self.memory(unit(features), labels, training=training)
        loss, active = self.loss.batch_loss(features, labels, candidates, whose, queries)
        rows = ops.ones_like(features[:, 0])
        if self.logged_loss is not None:
            self.logged_loss.update_state(loss * rows)  # by rows, so that a short last batch counts for less
        if self.logged_active is not None:
            self.logged_active.update_state(active * rows)
        return loss * rows + outside

    def compute_output_shape(self, features_shape: Shape, *_: object) -> tuple[int | None]:
        """Return (batch,) for (batch, dim)."""
        return (features_shape[0],)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": loss, "memory_size": self.memory_size}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MetricLossLayer:
        """Make the layer of `get_config`."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


@keras.saving.register_keras_serializable(package="embedder")  # type: ignore[untyped-decorator]
def mean_of_output(_target: Any, output: Any) -> Any:
    """Return the mean of an output that is a loss itself; the target is not used.

    Args:
        _target: ignored, any shape.
        output: (batch,) output of a layer such as `MetricLossLayer`, float32.

    Example:
        >>> float(mean_of_output(ops.zeros(2), ops.array([1.0, 3.0])))
        2.0
    """
    return ops.mean(output)


@keras.saving.register_keras_serializable(package="embedder")
class TrackedVariables(layers.Layer):  # type: ignore[misc]
    """Returns its input and makes variables of a loss, such as ε or λ, part of the model.

    They then are in the model's checkpoints; and JAX, which compiles other variables as constants, reads
    their current values.

    Args:
        variables: variables by name; a number makes a new variable with this value.

    Input shape:
        Any shape and dtype.

    Output shape:
        That of the input.

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
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`, with the current values of the variables."""
        values = {name: float(ops.convert_to_numpy(value)) for name, value in self.tracked.items()}
        return {**super().get_config(), "variables": values}
