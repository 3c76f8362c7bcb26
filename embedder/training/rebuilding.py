"""A model folder back to a Keras network, from its raw tensors."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import FLOAT32, Manifest
from embedder.config.machines import Machines
from embedder.errors import ModelError, UsageError
from embedder.plugins import is_function
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


def trunk_to_build(model: object, manifest: Manifest, given: str | None) -> str:
    """Say which trunk to build a model with; code is taken from the user, never from a model folder.

    Args:
        model: the model folder, for errors.
        manifest: its manifest.
        given: FILE.py:FUNCTION as the user named it; the file may have moved since training.

    Raises:
        UsageError: the model has a trunk of someone's own and none was given, or the other way round.
    """
    if is_function(manifest.trunk):
        if given is None:
            raise UsageError(
                f"--model: {model} has a trunk from a file of Python, {manifest.trunk!r}, and code is not "
                "taken from a model folder, which can come from elsewhere; if the file is yours, add "
                f"--trunk {shlex.quote(manifest.trunk)}"
            )
        if not is_function(given):
            raise UsageError(f"--trunk: expected FILE.py:FUNCTION, got {given!r}")
        return given
    if given not in (None, manifest.trunk):
        raise UsageError(f"--trunk: expected {manifest.trunk}, the trunk of {model}, got {given!r}")
    return manifest.trunk


def rebuild_trunk(manifest: Manifest, weights: bytes, name: str) -> keras.Model:
    """Build the trunk of a model on TensorFlow, whose converters need it, and give it its weights.

    Args:
        manifest: of a model that is not quantized.
        weights: its raw tensors.
        name: of the trunk, from `trunk_to_build`.

    Raises:
        ModelError: they are not the trunk's.
        UsageError: the trunk cannot be built, or this process has loaded Keras with another back end.
    """
    load_backend(Machines(backend="tensorflow"))
    from safetensors.numpy import load

    trunk = find_trunk(name).build(
        manifest.input_size, manifest.training.get("config", {}).get("trunk_weights")
    )
    tensors = load(weights)
    try:
        trunk.set_weights([tensors[name] for name in sorted(tensors)])
    except ValueError as error:
        raise ModelError(f"the weights do not fit the trunk {name}: {error}") from error
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
