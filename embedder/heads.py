"""Build training models: the heads of `embed train --head` on the features of a trunk.

A head is dropped after training. Its log has `loss`, the parts of the loss by names that end in `_loss`, and,
with a head that classifies, `accuracy`. Symbols: x features (batch, dim), y labels (batch,), W (dim, classes)
and b (classes,) the classifier, c (classes, dim) the centers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from embedder import layers, losses
from embedder._internal.plugins import is_function, load_function
from embedder.config import FilledConfig, TrainConfig
from embedder.config.schedule import TrunkDefaults
from embedder.errors import UsageError
from embedder.head_inputs import HeadInputs, build_stem
from embedder.layers.margin import ARCFACE_MARGIN, COSFACE_MARGIN, SCALE
from embedder.losses.classification import LossMean, one_hot_loss, scalar_variable

UNIT_SCALE = 16.0  # factor of the cosines of unit features before the softmax
TRIPLET_MARGIN = 0.3  # of squared distances of unit vectors, which are about 1.7 for two people
# Inverse variance of the first classifier: at 20 the probability of the nearest class mean, with the frozen
# face trunk, is below 1; with the measured variance it would be 1, and its gradient 0.
SHARPNESS = 20.0


@dataclass(frozen=True)
class Head:
    """Holds a training model, a trunk with a head, and the arguments of its training.

    Attributes:
        model: training model, from the inputs of `HeadInputs` to the outputs that losses are computed from.
        compile: loss, loss weights and metrics for `keras.Model.compile`.
        targets: function of labels (batch,) int32 that returns the targets of the outputs.
        init_from_class_means: function that sets classifier and centers from class means (classes, dim)
            float32; None if the head has neither.
        parameters: variables of the loss that may change during training, by the name of their option.
        parts: models that share weights with the training model, by name: "predict" computes probabilities
            (batch, classes) from pictures alone.
    """

    model: keras.Model
    compile: Mapping[str, Any]
    targets: Callable[[NDArray[np.int32]], Any]
    init_from_class_means: Callable[[NDArray[np.float32]], None] | None = None
    parameters: Mapping[str, keras.Variable] = field(default_factory=dict)
    parts: Mapping[str, keras.Model] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassifierLoss:
    """Holds the classification loss of a training model.

    Attributes:
        name: name in the log, before `_loss`; "softmax" for cross-entropy, which papers call softmax loss.
        function: loss of labels (batch,) and logits (batch, classes).
        parameters: variables of the loss that may change during training, by the name of their option.
    """

    name: str
    function: keras.losses.Loss
    parameters: Mapping[str, keras.Variable] = field(default_factory=dict)


__all__ = ["HEADS", "ClassifierLoss", "Head", "HeadInputs", "build_head", "build_stem", "find_loss"]


def build_head(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build the head of a run; `embedder.training.validation` checks its options before.

    Args:
        config: options of the run; `config.head` is one of `HEADS`, or FILE.py:FUNCTION, the user's function
            with the arguments and the result of this one.
        stem: inputs and features to put the head on.
        classes: number of people to classify.

    Raises:
        UsageError: there is no such head, or an option has a value that the head cannot use.
    """
    if is_function(config.head):
        head = load_function(config.head, "--head")(config, stem, classes)
        if not isinstance(head, Head):
            made = type(head).__name__
            raise UsageError(f"--head: expected {config.head} to return an embedder.heads.Head, got a {made}")
        return head
    if config.head not in HEADS:
        raise UsageError(f"--head: expected {', '.join(HEADS)} or FILE.py:FUNCTION, got {config.head!r}")
    return HEADS[config.head](config, stem, classes)


def find_loss(config: TrainConfig) -> ClassifierLoss:
    """Make the classification loss of the option `loss`.

    Raises:
        UsageError: there is no such loss, or it cannot train a classifier.
    """
    if config.loss == "crossentropy":
        return ClassifierLoss("softmax", losses.get("crossentropy"))
    if config.loss == "softened":
        smoothed = losses.SmoothedCrossentropy(config.label_smoothing)
        return ClassifierLoss("softened", smoothed, {"label_smoothing": smoothed.smoothing})
    if config.loss == "f-beta":
        return ClassifierLoss("f_beta", losses.SoftFBeta(config.beta))
    try:
        loss = one_hot_loss(config.loss)
    except UsageError as error:
        message = str(error)
        raise UsageError(message if message.startswith("--loss") else f"--loss: {message}") from error
    return ClassifierLoss(loss.name, loss)


def nearest_mean_classifier(
    means: NDArray[np.float32], sharpness: float = SHARPNESS
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the linear classifier whose softmax is that of -sharpness/2 · |x - mean|².

    It is optimal for normal class densities with equal variances (linear discriminant analysis); the term
    -sharpness/2 · |x|² is the same for all classes and cancels in the softmax.

    Args:
        means: (classes, dim) float32 class means.
        sharpness: inverse variance of the densities.

    Returns:
        Kernel (dim, classes) and bias (classes,), float32.
    """
    return sharpness * means.T, -sharpness / 2 * (means**2).sum(axis=1)


def build_softmax(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build a classifier W x + b with the classification loss alone, to compare others with."""
    classifier = _Classifier(config, classes, "softmax")
    loss = find_loss(config)
    return _classifier_head(
        stem,
        classifier,
        loss,
        classifier(_track(loss.parameters, stem.features)),
        classifier.init_from_class_means,
    )


def build_dense_center(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build softmax + center loss in one layer, a Dense layer with centers."""
    loss = find_loss(config)
    weight, rate = _center_options(config)
    layer = layers.DenseWithCenterLoss(classes, weight, rate, name="softmax")
    sharpness = UNIT_SCALE if config.unit_features else SHARPNESS

    def init_from_class_means(means: NDArray[np.float32]) -> None:
        kernel, bias = nearest_mean_classifier(means, sharpness)
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
        layer.centers.assign(means)

    logits = layer(_track(loss.parameters, stem.features), stem.label)
    return _classifier_head(stem, layer, loss, logits, init_from_class_means, {"center_weight": layer.factor})


def build_center(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build softmax + center loss with two outputs: logits, and distances to the centers.

    With `triplet_weight` a third output is a batch-hard triplet loss: centers draw the photos of a person
    together, and triplets separate the people whom the classifier confuses.
    """
    loss = find_loss(config)
    center_weight, rate = _center_options(config)
    weight = scalar_variable(center_weight, "center_weight")
    parameters = {**loss.parameters, "center_weight": weight}
    features = _track(parameters, stem.features)
    classifier = _Classifier(config, classes, loss.name)
    distance = layers.CenterDistance(classes, rate, name="center")

    def init_from_class_means(means: NDArray[np.float32]) -> None:
        classifier.init_from_class_means(means)
        distance.centers.embeddings.assign(means)

    outputs = {loss.name: classifier(features), "center": distance(features, stem.label)}
    terms = {loss.name: loss.function, "center": layers.mean_of_output}
    weights = {loss.name: 1.0, "center": weight}
    if config.triplet_weight:
        margin = TRIPLET_MARGIN if config.margin is None else config.margin
        triplets = layers.MetricLossLayer(losses.TripletLoss(margin, "batch-hard"), name="triplet")
        outputs["triplet"] = triplets(features, stem.label)
        terms["triplet"], weights["triplet"] = layers.mean_of_output, config.triplet_weight
    zeros = [name for name in outputs if name != loss.name]
    return Head(
        model=keras.Model(dict(stem.inputs), outputs),
        compile={
            "loss": terms,
            "loss_weights": weights,
            "metrics": {loss.name: keras.metrics.SparseCategoricalAccuracy(name="accuracy")},
        },
        targets=lambda labels: {
            loss.name: labels,
            **{name: np.zeros(len(labels), np.float32) for name in zeros},
        },
        init_from_class_means=init_from_class_means,
        parameters=parameters,
        parts={"predict": _predictor(stem, classifier)},
    )


def build_arcface(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build an `ArcFace` layer, with one center a class."""
    return _margin_head(config, stem, layers.ArcFace, classes, ARCFACE_MARGIN, 1)


def build_subcenter_arcface(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build an `ArcFace` layer with several sub-centers a class."""
    return _margin_head(config, stem, layers.ArcFace, classes, ARCFACE_MARGIN, config.sub_centers)


def build_cosface(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build a `CosFace` layer."""
    return _margin_head(config, stem, layers.CosFace, classes, COSFACE_MARGIN, 1)


def build_triplet(config: FilledConfig, stem: HeadInputs, _classes: int) -> Head:
    """Build a `TripletLoss` of the features."""
    return _metric_head(config, stem, losses.TripletLoss, "triplet")


def build_triplet_cosine(config: FilledConfig, stem: HeadInputs, _classes: int) -> Head:
    """Build a `CosineTripletLoss` of the features, with models of query and answer as parts.

    Both share the trunk; `config.query_projection` multiplies the features of the query by one more matrix.
    This starts as the identity, so that training starts from the vectors of a pretrained trunk.
    """
    project = keras.layers.Identity(name="query")
    if config.query_projection:
        project = keras.layers.Dense(
            stem.features.shape[-1],
            use_bias=False,
            kernel_initializer="identity",
            dtype="float32",
            name="query_projection",
        )
    image = stem.inputs["image"]
    return _metric_head(
        config,
        stem,
        losses.CosineTripletLoss,
        "triplet_cosine",
        project(stem.features),
        query=keras.Model(image, project(stem.answer), name="query"),
        answer=keras.Model(image, stem.answer, name="answer"),
    )


def build_quadruplet(config: FilledConfig, stem: HeadInputs, _classes: int) -> Head:
    """Build a `QuadrupletLoss` of the features."""
    return _metric_head(config, stem, losses.QuadrupletLoss, "quadruplet")


def build_contrastive(config: FilledConfig, stem: HeadInputs, _classes: int) -> Head:
    """Build a `ContrastiveLoss` of the features."""
    return _metric_head(config, stem, losses.ContrastiveLoss, "contrastive")


HEADS: Mapping[str, Callable[[FilledConfig, HeadInputs, int], Head]] = {
    "softmax": build_softmax,
    "center": build_center,
    "dense-center": build_dense_center,
    "arcface": build_arcface,
    "cosface": build_cosface,
    "subcenter-arcface": build_subcenter_arcface,
    "triplet": build_triplet,
    "triplet-cosine": build_triplet_cosine,
    "quadruplet": build_quadruplet,
    "contrastive": build_contrastive,
}


class _Classifier:
    """Classifies by a Dense layer that starts from class means."""

    def __init__(self, config: FilledConfig, classes: int, name: str) -> None:
        # Logits in float32 also under mixed precision: float16 would round them before the loss is computed.
        self._dense = keras.layers.Dense(classes, dtype="float32", name=name)
        # With unit features logits are cosines times a scale. The kernel holds the directions without the
        # scale, so that Adam turns them as fast as the centers.
        self._scale = keras.layers.Rescaling(UNIT_SCALE, name="scale") if config.unit_features else None

    def __call__(self, features: Any) -> Any:
        return self._dense(features if self._scale is None else self._scale(features))

    def init_from_class_means(self, means: NDArray[np.float32]) -> None:
        kernel, bias = nearest_mean_classifier(means)
        self._dense.set_weights([kernel, bias] if self._scale is None else [means.T, 0 * bias])


def _classifier_head(
    stem: HeadInputs,
    classifier: Callable[[Any], Any],
    loss: ClassifierLoss,
    logits: keras.KerasTensor,
    init_from_class_means: Callable[[NDArray[np.float32]], None],
    parameters: Mapping[str, keras.Variable] | None = None,
) -> Head:
    """Build the `Head` of a model whose only output is the logits."""
    # On JAX a metric reads current values of its own variables only, not of those of a loss.
    unseen = bool(loss.parameters) and keras.backend.backend() == "jax"
    shown = [] if unseen else [LossMean(loss.function, name=f"{loss.name}_loss")]
    return Head(
        model=keras.Model(dict(stem.inputs), logits),
        compile={
            "loss": loss.function,
            "metrics": [*shown, keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        },
        targets=lambda labels: labels,
        init_from_class_means=init_from_class_means,
        parameters={**loss.parameters, **(parameters or {})},
        parts={"predict": _predictor(stem, classifier)},
    )


def _margin_head(
    config: FilledConfig, stem: HeadInputs, kind: Any, classes: int, default: float, sub_centers: int
) -> Head:
    """Build the `Head` of a classifier with a margin; its "predict" has no margin."""
    margin = default if config.margin is None else config.margin
    if kind is layers.CosFace and margin > 1:
        raise UsageError(
            f"--margin: with --head {config.head} expected a difference of cosines of at most 1, got {margin}"
        )
    if kind is layers.ArcFace and margin > math.pi / 2:
        raise UsageError(
            f"--margin: with --head {config.head} expected an angle of at most {math.pi / 2:.2f} radians, "
            f"got {margin}"
        )
    loss = find_loss(config)
    layer = kind(classes, config.scale or SCALE, margin, sub_centers, name="softmax")
    logits = layer(_track(loss.parameters, stem.features), stem.label)
    return _classifier_head(stem, layer, loss, logits, layer.init_from_class_means)


def _metric_head(
    config: FilledConfig,
    stem: HeadInputs,
    kind: Any,
    name: str,
    queries: keras.KerasTensor | None = None,
    **parts: keras.Model,
) -> Head:
    """Build the `Head` of a loss of embeddings, as a layer whose output is the loss."""
    loss = kind(mining=config.mining) if config.margin is None else kind(config.margin, config.mining)
    layer = layers.MetricLossLayer(loss, config.memory, name=name)
    layer_inputs = (stem.features, stem.label) if queries is None else (stem.features, stem.label, queries)
    return Head(
        model=keras.Model(dict(stem.inputs), layer(*layer_inputs)),
        compile={"loss": layers.mean_of_output},
        targets=lambda labels: np.zeros(len(labels), np.float32),
        parts=parts,
    )


def _predictor(stem: HeadInputs, classifier: Callable[[Any], Any]) -> keras.Model:
    """Build the model from pictures to probabilities (batch, classes), with shared weights."""
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(classifier(stem.answer))
    return keras.Model(stem.inputs["image"], probabilities, name="predict")


def _track(parameters: Mapping[str, keras.Variable], features: Any) -> Any:
    """Return features through a layer that makes the variables of a loss part of the model."""
    return layers.TrackedVariables(parameters, name="numbers")(features) if parameters else features


def _center_options(config: FilledConfig) -> tuple[float, float]:
    """Return λ and α, with the defaults of `TrunkDefaults` where the options are None."""
    weight = TrunkDefaults.center_weight if config.center_weight is None else config.center_weight
    return weight, TrunkDefaults.center_rate if config.center_rate is None else config.center_rate
