"""The trunk as a head sees it: its features, with what training adds to them."""

from __future__ import annotations

import keras

from embedder.config import FilledConfig
from embedder.heads import Stem
from embedder.layers.penalty import ActivityPenalty
from embedder.layers.rehearsal import Rehearsal


def build_stem(config: FilledConfig, trunk: keras.Model) -> Stem:
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
        features = Rehearsal(config.rehearsal, name="rehearsal")(distances)
    if config.activity_penalty:
        features = ActivityPenalty(config.activity_penalty, name="penalty")(features)
    if config.feature_noise:
        features = keras.layers.GaussianNoise(config.feature_noise, name="noise")(features)
    return Stem(inputs, features, clean=trunk.output)
