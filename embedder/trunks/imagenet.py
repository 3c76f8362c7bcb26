"""Build trunks of `keras.applications`, pretrained on ImageNet, for pictures of things."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import keras
from keras import layers

from embedder.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def build_trunk(
    name: str, input_size: int, weights: str | None = None, load_weights: bool = True
) -> keras.Model:
    """Build the trunk: (batch, input_size, input_size, 3) in 0..255 -> (batch, features).

    Batch normalization is frozen at ImageNet's statistics: those of a small folder's batches are less exact.

    Args:
        name: `imagenet:<name>` with the name of a network of `keras.applications`, whatever its case, - and
            _.
        input_size: side of the square input in pixels.
        weights: file as Keras publishes it (`*_notop.h5`) or saved by `save_weights`; None: Keras downloads
            it or takes it from its cache.
        load_weights: whether weights are read; False leaves random ones.

    Raises:
        UsageError: there is no such network, it cannot be built at this size, or the file is of another one.
        MissingPackageError: the weights are neither in the cache nor can they be downloaded.
    """
    wanted = name.partition(":")[2]
    constructor, preprocess = _find(wanted)
    if weights is not None and not Path(weights).is_file():
        raise UsageError(f"--trunk-weights: expected a file of weights, got {weights!r}, which is not one")
    image = keras.Input((input_size, input_size, 3), name="image")
    try:
        network = constructor(
            include_top=False, weights=None, input_shape=(input_size, input_size, 3), pooling="avg"
        )
    except ValueError as error:
        raise UsageError(f"--input-size: {name} cannot be built for {input_size} pixels: {error}") from error
    try:
        if weights is not None:
            network.load_weights(weights)
        elif load_weights:
            network = constructor(
                include_top=False, weights="imagenet", input_shape=(input_size, input_size, 3), pooling="avg"
            )
    except Exception as error:  # Keras raises bare Exception when a download fails
        if weights is not None:
            raise UsageError(f"--trunk-weights: {weights} does not fit {name}: {error}") from error
        raise MissingPackageError(
            f"{name}: its weights could not be fetched ({error}). Get the file ending in _notop on a machine "
            "with internet, where Keras keeps it in ~/.keras/models, and pass it as --trunk-weights FILE"
        ) from error
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    features = network(preprocess(image))
    # To a length near 1, as features of face-resnet: center loss and first classifier depend on distances.
    features = layers.Rescaling(1 / math.sqrt(features.shape[-1]))(features)
    return keras.Model(image, features, name=name.replace(":", "-"))


def _find(wanted: str) -> tuple[Callable[..., keras.Model], Callable[[keras.KerasTensor], keras.KerasTensor]]:
    names: list[str] = []
    for module_info in pkgutil.iter_modules(keras.applications.__path__):
        module = importlib.import_module(f"keras.applications.{module_info.name}")
        for network, constructor in inspect.getmembers(module, inspect.isfunction):
            if network[0].isupper():
                names.append(network)
                if _plain(network) == _plain(wanted):
                    return constructor, module.preprocess_input
    raise UsageError(
        f"--trunk: expected imagenet:<name> with one of {', '.join(sorted(set(names)))}; got {wanted!r}"
    )


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
