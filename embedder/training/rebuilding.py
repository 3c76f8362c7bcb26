"""A model folder back to a Keras network, from its raw tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import FLOAT32, Manifest
from embedder.config.machines import Machines
from embedder.errors import ModelError, UsageError
from embedder.training.backend import load_backend
from embedder.trunks import find_trunk

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

AGREEMENT = 1e-4  # largest difference from the extractor in any number of a unit vector


def refuse_quantized(model: object, manifest: Manifest) -> None:
    """Refuse what cannot be rebuilt: rounded weights do not give back what was rounded.

    Raises:
        UsageError: the model is quantized.
    """
    if manifest.weights_as != FLOAT32:
        raise UsageError(
            f"--model: {model} is quantized, its weights are stored as {manifest.weights_as}; give the "
            f"{FLOAT32} model that it was made from"
        )


def rebuild_trunk(manifest: Manifest, weights: bytes) -> keras.Model:
    """Build the trunk of a model on TensorFlow, whose converters need it, and give it its weights.

    Args:
        manifest: of a model that is not quantized.
        weights: its raw tensors.

    Raises:
        ModelError: they are not the trunk's.
        UsageError: the trunk cannot be built, or this process has loaded Keras with another back end.
    """
    load_backend(Machines(backend="tensorflow"))
    from safetensors.numpy import load

    trunk = find_trunk(manifest.trunk).build(
        manifest.input_size, manifest.training.get("config", {}).get("trunk_weights")
    )
    tensors = load(weights)
    try:
        trunk.set_weights([tensors[name] for name in sorted(tensors)])
    except ValueError as error:
        raise ModelError(f"the weights do not fit the trunk {manifest.trunk}: {error}") from error
    return trunk


def check_rebuilt(rebuilt: NDArray[np.float32], vectors: NDArray[np.float32]) -> None:
    """Refuse a rebuilt network that does not compute what the extractor does.

    Args:
        rebuilt: (n, dim) unit vectors of some pictures.
        vectors: the same by the extractor.

    Raises:
        ModelError: two differ by more than `AGREEMENT`.
    """
    difference = float(np.abs(rebuilt - vectors).max())
    if not difference <= AGREEMENT:
        raise ModelError(
            f"the network built from the weights differs from the extractor by {difference:.2g} (rounding is "
            f"at most {AGREEMENT:g}); the trunk's code is another than in training"
        )
