"""Quantize a model: write a smaller model folder, with rounded weights.

- float16 halves the size of the network; LiteRT converts weights to float32 when it loads them, so it is as
fast.
- int8 divides the size by four: each filter has a scale, and activations are rounded to 8 bits by the range
of
  each picture, so that no photos are needed to measure ranges, and vectors do not depend on the batch. Fixed
  ranges, measured on photos, were not faster and less exact (docs/trunk.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.config import WEIGHTS
from embedder.errors import UsageError
from embedder.export.formats import check_rebuilt, rebuild_trunk, refuse_quantized, trunk_to_build
from embedder.extractor import Extractor
from embedder.images import resize_to_square
from embedder.model_folder import Manifest, read_model, save_bundle

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

ALIKE = 0.99  # least cosine between vectors of a picture before and after; face-resnet in int8 has .9996
_GRAINS = (4, 16, 64)  # pixels: sides of the random pictures that are compared, before they are enlarged
_TRIED = 4  # number of pictures of each side


@dataclass(frozen=True)
class QuantizeResult:
    """Holds the result of a quantization.

    Attributes:
        manifest: manifest of the new model.
        bytes_before, bytes_after: size of the compiled network in bytes, before and after.
        cosine: least cosine between the vectors of a random picture before and after.
    """

    manifest: Manifest
    bytes_before: int
    bytes_after: int
    cosine: float


def quantize_model(
    model: str | Path, to: str | Path, weights: str = "int8", trunk: str | None = None
) -> QuantizeResult:
    """Write a model folder with rounded weights; vectors and fingerprint change.

    Kernels among its raw tensors are stored in float16. The distribution of strangers' distances is kept:
    rounding changes distances by less than its error (docs/trunk.md). Before the folder is written, vectors
    before and after are compared.

    Args:
        model: path of a model folder that is not quantized.
        to: path of the new model folder; it must not exist, or be empty.
        weights: type of the stored weights, one of `WEIGHTS`.
        trunk: FILE.py:FUNCTION, if the model was trained with a trunk of the user's own code.

    Raises:
        ModelError: `model` is no model folder, or the network built from its tensors computes other vectors.
        UsageError: `weights` is unknown or the type that the model has, the model is quantized, `to` cannot
            be written, or a cosine is below `ALIKE`.

    Example:
        >>> quantize_model("no-model", "small", "int4")
        Traceback (most recent call last):
            ...
        embedder.errors.UsageError: --weights: expected float16 or int8, got 'int4'
    """
    if weights not in WEIGHTS:
        raise UsageError(f"--weights: expected {' or '.join(WEIGHTS)}, got {weights!r}")
    manifest, parts = read_model(model)
    refuse_quantized(model, manifest)
    if weights == manifest.weights_as:
        raise UsageError(f"--weights {weights}: the network of {model} is stored so already; stay with it")
    name = trunk_to_build(model, manifest, trunk)
    _check_free(Path(to))
    network = parts["extractor"]
    built = rebuild_trunk(manifest, parts["weights"], name)
    tried = _pictures(manifest.input_size)
    before = Extractor(manifest, network).embed(tried)
    _check_same(built, manifest, tried, before)

    from safetensors.numpy import save

    from embedder.export.litert import compile_trunk

    made = compile_trunk(built, weights)
    tensors = save({f"{i:04d}": _halved(tensor) for i, tensor in enumerate(built.get_weights())})
    small = replace(
        manifest,
        extractor=hashlib.sha256(made).hexdigest(),
        weights=hashlib.sha256(tensors).hexdigest(),
        training={**manifest.training, "quantized_from": manifest.fingerprint},
        weights_as=weights,
    )
    cosine = float((Extractor(small, made).embed(tried) * before).sum(axis=1).min())
    if not cosine >= ALIKE:
        raise UsageError(
            f"--weights {weights}: not written, since the vectors of {manifest.trunk} turn too far: cosine "
            f"{cosine:.4f} to what they were, expected {ALIKE} or more; stay with the model as it is"
        )
    _check_free(Path(to))  # again, since files may have appeared meanwhile
    save_bundle(Path(to), small, made, tensors, parts.get("detector"))
    return QuantizeResult(small, len(network), len(made), cosine)


def _check_free(to: Path) -> None:
    try:
        free = not to.exists() or (to.is_dir() and not any(to.iterdir()))
    except OSError as error:
        raise UsageError(f"{to}: cannot be read: {error.strerror}") from error
    if not free:
        raise UsageError(f"{to}: expected a folder that is not there yet, or an empty one")


def _check_same(
    trunk: keras.Model, manifest: Manifest, tried: list[NDArray[np.uint8]], vectors: NDArray[np.float32]
) -> None:
    from embedder.trunks import embed_crops

    rebuilt = embed_crops(trunk, np.stack(tried), manifest.mirror)
    check_rebuilt(rebuilt, vectors, manifest.weights_as)


def _pictures(size: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    grains = [grain for grain in _GRAINS for _ in range(_TRIED)]
    return [resize_to_square(rng.integers(0, 256, (grain, grain, 3), np.uint8), size) for grain in grains]


def _halved(tensor: NDArray[Any]) -> NDArray[Any]:
    """Convert kernels to float16; vectors stay float32, as statistics may be beyond its range."""
    return np.ascontiguousarray(tensor, np.float16 if tensor.ndim > 1 else None)
