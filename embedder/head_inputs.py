"""Build the inputs of a training model, and the features that a head is put on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras

from embedder import layers
from embedder.config import FilledConfig


@dataclass(frozen=True)
class HeadInputs:
    """Holds the inputs and the features of a training model without a head.

    Attributes:
        inputs: inputs of the training model by name; "image" (batch, size, size, 3) and "label" (batch,)
            int32 are among them.
        features: (batch, dim) features to put the head on.
        clean: (batch, dim) features from the picture alone, without layers for training; None: `features`.
    """

    inputs: Mapping[str, keras.KerasTensor]
    features: keras.KerasTensor
    clean: keras.KerasTensor | None = None

    @property
    def label(self) -> keras.KerasTensor:
        """Labels of the pictures, (batch,) int32."""
        return self.inputs["label"]

    @property
    def answer(self) -> keras.KerasTensor:
        """Features that the extractor computes, (batch, dim)."""
        return self.features if self.clean is None else self.clean


def build_stem(config: FilledConfig, trunk: keras.Model) -> HeadInputs:
    """Build the inputs of training on a trunk, and the layers between trunk and head.

    The penalty is computed from the trunk's features. Gaussian noise is added afterwards, in training only,
    and only to the head's input.

    Args:
        config: options of the run; `unit_features`, `distillation`, `activity_penalty` and `feature_noise`
            add layers.
        trunk: network from (batch, size, size, 3) to (batch, dim); or its trained layers, from the output of
            the frozen ones to (batch, dim).
    """
    inputs = {"image": trunk.input, "label": keras.Input((), dtype="int32", name="label")}
    features = clean = trunk.output
    if config.unit_features:
        features = clean = keras.layers.UnitNormalization(dtype="float32", name="unit")(features)
    vector = trunk.output.shape[1:]
    if config.distillation and config.degrade not in (None, "none"):
        inputs |= {"before": keras.Input(vector, name="before"), "kept": keras.Input((), name="kept")}
        distances = [features, inputs["before"], inputs["kept"]]
        features = layers.Distillation(config.distillation, name="distillation")(distances)
    elif config.distillation:
        inputs |= {
            "clean": keras.Input(trunk.input.shape[1:], name="clean"),
            "before": keras.Input(vector, name="before"),
            "target": keras.Input(vector, name="target"),
        }
        distances = [features, inputs["target"], trunk(inputs["clean"]), inputs["before"]]
        features = layers.Distillation(config.distillation, name="distillation")(distances)
    if config.activity_penalty:
        features = layers.ActivityPenalty(config.activity_penalty, name="penalty")(features)
    if config.feature_noise:
        features = keras.layers.GaussianNoise(config.feature_noise, name="noise")(features)
    return HeadInputs(inputs, features, clean=clean)
