"""Put a head on a trunk for training, from the layers and losses of Keras that `embed train --head` names.

A head turns features into a training model and is dropped afterwards. Its log says `loss`, the parts of it by
names that end in `_loss`, and, of a head that classifies, `accuracy`. Symbols: x features (batch, dim), y
labels (batch,), W (dim, classes) and b (classes,) the classifier, c (classes, dim) the centers.
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
from embedder.config.training import Schedule
from embedder.errors import UsageError
from embedder.layers.margin import ARCFACE_MARGIN, COSFACE_MARGIN, SCALE
from embedder.losses.classification import LossMean, one_hot_loss, scalar_variable

# Sharpness of the first classifier: at 20 the nearest class mean of the frozen face trunk gets a
# probability that leaves something to learn; the raw statistics would make it certain at once.
SHARPNESS = 20.0


@dataclass(frozen=True)
class HeadInputs:
    """What a head stands on.

    Attributes:
        inputs: inputs of the training model so far, by name; "image" (batch, size, size, 3) and "label"
            (batch,) int32 are among them.
        features: (batch, dim), what the head is given.
        clean: (batch, dim), made from the picture alone, without what training adds; None: `features`.
    """

    inputs: Mapping[str, keras.KerasTensor]
    features: keras.KerasTensor
    clean: keras.KerasTensor | None = None

    @property
    def label(self) -> keras.KerasTensor:
        """Whose picture each is, (batch,) int32."""
        return self.inputs["label"]

    @property
    def answer(self) -> keras.KerasTensor:
        """What the trunk gives in use, (batch, dim)."""
        return self.features if self.clean is None else self.clean


@dataclass(frozen=True)
class Head:
    """A trunk with a head on it, and how to train it.

    Attributes:
        model: takes the inputs of the stem; what it gives is compared with `targets`.
        compile: loss, weights and metrics for `keras.Model.compile`.
        targets: labels (batch,) -> what the outputs are compared with.
        init_from_class_means: sets classifier and centers from class means (classes, dim); None if there are
            none.
        parameters: variables of the loss that may move during training, by the option that sets them.
        parts: models that share weights with the training model, for use by themselves: "predict" gives
            probabilities (batch, classes) from pictures alone.
    """

    model: keras.Model
    compile: Mapping[str, Any]
    targets: Callable[[NDArray[np.int32]], Any]
    init_from_class_means: Callable[[NDArray[np.float32]], None] | None = None
    parameters: Mapping[str, keras.Variable] = field(default_factory=dict)
    parts: Mapping[str, keras.Model] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassifierLoss:
    """The classification term of a training model.

    Attributes:
        name: in the log, before `_loss`: "softmax" for cross-entropy, as softmax loss is what papers call it.
        function: (labels, logits) -> a number, or one per sample.
        parameters: variables of the loss that may move during training, by the option that sets them.
    """

    name: str
    function: keras.losses.Loss
    parameters: Mapping[str, keras.Variable] = field(default_factory=dict)


def build_head(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Put a head on features; `embedder.training.validation` says which options go with which head.

    Args:
        config: which head, and its options. `FILE.py:FUNCTION` is a function of the user's own that is called
            as this one is.
        stem: the features and what they are made from.
        classes: identities to tell apart.

    Raises:
        UsageError: there is no such head, or an option has a value that it cannot use.
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


def build_stem(config: FilledConfig, trunk: keras.Model) -> HeadInputs:
    """Put the inputs of training on a trunk.

    The penalty is taken of the trunk's own features. Noise (Gaussian, of a fixed standard deviation) is added
    after that, in training only, and only to what the head sees.

    Args:
        config: what is added: `rehearsal`, `activity_penalty`, `feature_noise`.
        trunk: (batch, size, size, 3) -> (batch, dim).
    """
    inputs = {"image": trunk.input, "label": keras.Input((), dtype="int32", name="label")}
    features = trunk.output
    if config.rehearsal:
        vector = trunk.output.shape[1:]
        inputs |= {
            "clean": keras.Input(trunk.input.shape[1:], name="clean"),
            "before": keras.Input(vector, name="before"),
            "target": keras.Input(vector, name="target"),
        }
        distances = [features, inputs["target"], trunk(inputs["clean"]), inputs["before"]]
        features = layers.Distillation(config.rehearsal, name="rehearsal")(distances)
    if config.activity_penalty:
        features = layers.ActivityPenalty(config.activity_penalty, name="penalty")(features)
    if config.feature_noise:
        features = keras.layers.GaussianNoise(config.feature_noise, name="noise")(features)
    return HeadInputs(inputs, features, clean=trunk.output)


def find_loss(config: TrainConfig) -> ClassifierLoss:
    """Find the loss that `config.loss` asks for.

    Raises:
        UsageError: there is no such loss, or it cannot stand in for the classification term.
    """
    if config.loss == "crossentropy":
        return ClassifierLoss("softmax", losses.get("crossentropy"))
    if config.loss == "softened":
        smoothed = losses.SmoothedCrossentropy(config.softening)
        return ClassifierLoss("softened", smoothed, {"softening": smoothed.smoothing})
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
    """Make the classifier whose softmax is that of -sharpness/2 · |x - mean|².

    It is the classifier of equal, round class densities (linear discriminant analysis); the part
    -sharpness/2 · |x|² is the same for all classes and falls out of the softmax.

    Args:
        means: (classes, dim).
        sharpness: inverse variance of the densities.

    Returns:
        Kernel (dim, classes) and bias (classes,).
    """
    return sharpness * means.T, -sharpness / 2 * (means**2).sum(axis=1)


def build_softmax(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build W x + b, trained by the classification loss alone: the control of center loss."""
    # Logits in float32 also under mixed precision: half would round the loss before it is taken.
    classifier = keras.layers.Dense(classes, dtype="float32", name="softmax")
    loss = find_loss(config)
    return _classifier_head(
        stem,
        classifier,
        loss,
        classifier(_track(loss.parameters, stem.features)),
        lambda means: classifier.set_weights(list(nearest_mean_classifier(means))),
    )


def build_center(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build softmax + center loss, layer form: one Dense layer that owns its centers."""
    loss = find_loss(config)
    layer = layers.DenseWithCenterLoss(classes, _center_weight(config), config.center_rate, name="softmax")

    def init_from_class_means(means: NDArray[np.float32]) -> None:
        kernel, bias = nearest_mean_classifier(means)
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
        layer.centers.assign(means)

    logits = layer(_track(loss.parameters, stem.features), stem.label)
    return _classifier_head(stem, layer, loss, logits, init_from_class_means, {"center_weight": layer.factor})


def build_center_embedding(config: FilledConfig, stem: HeadInputs, classes: int) -> Head:
    """Build softmax + center loss, Embedding form: two outputs, so that the log shows both losses apart."""
    loss = find_loss(config)
    weight = scalar_variable(_center_weight(config), "center_weight")
    parameters = {**loss.parameters, "center_weight": weight}
    features = _track(parameters, stem.features)
    classifier = keras.layers.Dense(classes, dtype="float32", name=loss.name)
    distance = layers.CenterDistance(classes, config.center_rate, name="center")

    def init_from_class_means(means: NDArray[np.float32]) -> None:
        classifier.set_weights(list(nearest_mean_classifier(means)))
        distance.centers.embeddings.assign(means)

    return Head(
        model=keras.Model(
            dict(stem.inputs),
            {loss.name: classifier(features), "center": distance(features, stem.label)},
        ),
        compile={
            "loss": {loss.name: loss.function, "center": layers.mean_of_output},
            "loss_weights": {loss.name: 1.0, "center": weight},
            "metrics": {loss.name: keras.metrics.SparseCategoricalAccuracy(name="accuracy")},
        },
        targets=lambda labels: {loss.name: labels, "center": np.zeros(len(labels), np.float32)},
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
    """Build a `CosineTripletLoss`, with the encoders of queries and of answers as parts.

    One encoder serves both sides; `config.query_projection` multiplies the features of the query by one more
    matrix. It starts as the identity, so that a pretrained trunk starts where it was.
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
    "center-embedding": build_center_embedding,
    "arcface": build_arcface,
    "cosface": build_cosface,
    "subcenter-arcface": build_subcenter_arcface,
    "triplet": build_triplet,
    "triplet-cosine": build_triplet_cosine,
    "quadruplet": build_quadruplet,
    "contrastive": build_contrastive,
}


def _classifier_head(
    stem: HeadInputs,
    classifier: keras.layers.Layer,
    loss: ClassifierLoss,
    logits: keras.KerasTensor,
    init_from_class_means: Callable[[NDArray[np.float32]], None],
    parameters: Mapping[str, keras.Variable] | None = None,
) -> Head:
    """Make a head of a model whose only output is its logits."""
    unseen = bool(loss.parameters) and keras.backend.backend() == "jax"  # metrics see no variable but theirs
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
    """Put a classifier with a margin on the trunk; to predict it leaves the margin out."""
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
    """Put a loss of embeddings on the trunk, as a layer whose output is the loss."""
    loss = kind(mining=config.mining) if config.margin is None else kind(config.margin, config.mining)
    layer = layers.MetricLossLayer(loss, config.memory, name=name)
    given = (stem.features, stem.label) if queries is None else (stem.features, stem.label, queries)
    return Head(
        model=keras.Model(dict(stem.inputs), layer(*given)),
        compile={"loss": layers.mean_of_output},
        targets=lambda labels: np.zeros(len(labels), np.float32),
        parts=parts,
    )


def _predictor(stem: HeadInputs, classifier: keras.layers.Layer) -> keras.Model:
    """Make the model picture -> probabilities (batch, classes); it shares the classifier and the trunk."""
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(classifier(stem.answer))
    return keras.Model(stem.inputs["image"], probabilities, name="predict")


def _track(parameters: Mapping[str, keras.Variable], features: Any) -> Any:
    """Make the variables of a loss known to the model; features pass through."""
    return layers.TrackedVariables(parameters, name="numbers")(features) if parameters else features


def _center_weight(config: FilledConfig) -> float:
    """Give λ; that of `Schedule` if neither the user nor the trunk has one."""
    return Schedule.center_weight if config.center_weight is None else config.center_weight
