"""Write the model folder of a trunk that was trained by the user's own code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.built_in import load_built_in
from embedder.config import CROPS
from embedder.errors import UsageError
from embedder.extractor import Extractor
from embedder.faces.crop import Cropping
from embedder.model_folder import MANIFEST, Manifest, save_bundle

if TYPE_CHECKING:
    import keras

    from embedder._internal.runtime import Progress
    from embedder.strangers import StrangerDistances

_TRIED = 8  # number of random pictures whose vectors by Keras and LiteRT are compared


def save_model(
    folder: str | Path,
    trunk: keras.Model,
    *,
    name: str,
    crop: str | None = None,
    mirror: bool | None = None,
    strangers: StrangerDistances | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Save a trained trunk as a model folder, for `Extractor.load` and the commands.

    Args:
        folder: path of the model folder, made if missing; an existing model is replaced once the new one is
            complete.
        trunk: network from (batch, size, size, 3) RGB in 0..255 to (batch, dim) float32, of `load_trunk`.
        name: name of the trunk for `load_trunk`; `embed export` builds the network again by this name.
        crop: `face`: faces are detected and aligned; `whole`: each picture is a sample. None: the default of
            the trunk.
        mirror: whether a vector is averaged with that of the mirror picture. None: the default of the trunk.
        strangers: distribution of strangers' distances (`embedder.stranger_fit.fit_strangers`, of held-out
            people); without it, identification needs `embed calibrate`.
        progress: gets a message when the face detector is made.

    Returns:
        Manifest of the model.

    Raises:
        UsageError: there is no such trunk or crop, the network has other shapes or does not compute in
            float32, or the folder cannot be used.
        EmbedError: the vectors of the compiled network differ from those of the trunk.

    Example:
        >>> save_model("embed-model", trunk, name="small-cnn").dim  # trunk: load_trunk("small-cnn"), trained
        128
    """
    from safetensors.numpy import save

    from embedder.export.litert import check_agreement
    from embedder.export.yunet import detector_record
    from embedder.trunks import embed_crops, find_trunk

    known, place = find_trunk(name), Path(folder)
    crop = known.crop if crop is None else crop
    mirror = known.mirror if mirror is None else mirror
    if crop not in CROPS:
        raise UsageError(f"crop: expected one of {', '.join(CROPS)}, got {crop!r}")
    size, dim = _check_trunk(trunk)
    _check_place(place)
    network = load_built_in(progress).parts["detector"] if crop == "face" else None
    cropping = Cropping(crop, size, known.landmarks if crop == "face" else None, network=network)
    weights = save({f"{i:04d}": np.ascontiguousarray(w) for i, w in enumerate(trunk.get_weights())})
    compiled = compile_saved(trunk, name, size, weights, known.weights_as)
    manifest = Manifest(
        trunk=name,
        head="none",
        input_size=size,
        crop=crop,
        landmarks=cropping.landmarks,
        detector=detector_record(cropping.network, cropping.finding) if cropping.network else None,
        mirror=mirror,
        dim=dim,
        extractor=hashlib.sha256(compiled).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
        strangers=strangers,
        weights_as=known.weights_as,
    )
    tried = np.random.default_rng(0).integers(0, 256, (_TRIED, size, size, 3), np.uint8)
    vectors = Extractor(manifest, compiled, network).embed(list(tried))
    check_agreement(embed_crops(trunk, tried, mirror), vectors, known.weights_as)
    save_bundle(place, manifest, compiled, weights, network)
    return manifest


def compile_saved(trunk: Any, name: str, size: int, weights: bytes, weights_as: str) -> bytes:
    """Compile a trunk to LiteRT, in another process if the back end is not TensorFlow.

    Args:
        trunk: trained Keras model.
        name: name of the trunk, by which the other process builds it.
        size: side of the square input in pixels.
        weights: tensors of the trunk in the format safetensors.
        weights_as: type of the stored weights of the compiled network.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        from embedder.export.litert import compile_trunk

        return compile_trunk(trunk, weights_as)
    from embedder.export.litert import compile_apart

    return compile_apart(name, size, weights)


def _check_trunk(trunk: Any) -> tuple[int, int]:
    """Return side of the input and length of the vectors of a trunk.

    Raises:
        UsageError: the trunk has other shapes, or layers that do not compute in float32.
    """
    into, out = getattr(trunk, "input_shape", None), getattr(trunk, "output_shape", None)
    if (
        not (isinstance(into, tuple) and len(into) == 4 and into[1] and into[1:] == (into[1], into[1], 3))
        or not (isinstance(out, tuple) and len(out) == 2)
        or not out[1]
    ):
        raise UsageError(
            "trunk: expected a keras.Model from (batch, size, size, 3) to (batch, dim), got "
            f"{type(trunk).__name__} from {into} to {out}; save the trunk alone, without its head"
        )
    half = sorted({layer.name for layer in trunk.layers if layer.compute_dtype != "float32"})
    if half:
        raise UsageError(
            f"trunk: expected layers that compute in float32, got others, such as {half[0]}; build it again "
            "without mixed precision and take over its weights with set_weights"
        )
    return int(into[1]), int(out[1])


def _check_place(folder: Path) -> None:
    """Check that a folder is new, empty, or a model folder.

    Raises:
        UsageError: it is none of these.
    """
    try:
        free = not folder.exists() or (folder / MANIFEST).exists() or not any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error
    if not free:
        raise UsageError(f"{folder}: expected a new or empty folder, or a model's; name another folder")
