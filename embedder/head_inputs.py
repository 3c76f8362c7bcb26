"""Put the inputs of training on a trunk: what every head stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras

from embedder import layers
from embedder.config import FilledConfig


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


def build_stem(config: FilledConfig, trunk: keras.Model) -> HeadInputs:
    """Put the inputs of training on a trunk.

    The penalty is taken of the trunk's own features. Noise (Gaussian, of a fixed standard deviation) is added
    after that, in training only, and only to what the head sees.

    Args:
        config: what is added: `unit_features`, `distillation`, `activity_penalty`, `feature_noise`.
        trunk: (batch, size, size, 3) -> (batch, dim), or its layers that are trained, from what those before
            them give.
    """
    inputs = {"image": trunk.input, "label": keras.Input((), dtype="int32", name="label")}
    features = answer = trunk.output
    if config.unit_features:
        features = answer = keras.layers.UnitNormalization(dtype="float32", name="unit")(features)
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
    return HeadInputs(inputs, features, clean=answer)
