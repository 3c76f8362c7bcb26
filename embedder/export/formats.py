"""Export a model folder to ONNX, LiteRT or a SavedModel of TensorFlow, for other programs.

`rebuild_trunk` builds the Keras network from the raw tensors of the folder; `export_model` checks that its
vectors are those of the extractor, and converts it.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.outputs import Inputs, check_output, is_side_file, write_output
from embedder._internal.plugins import is_function
from embedder._internal.runtime import quiet
from embedder.backend import load_backend
from embedder.config import FORMATS
from embedder.config.devices import DeviceConfig
from embedder.errors import MissingPackageError, ModelError, UsageError
from embedder.export.litert import AGREEMENT, compile_trunk
from embedder.extractor import Extractor
from embedder.model_folder import FLOAT32, Manifest, read_model
from embedder.trunks import find_trunk

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

_OPSET = 17  # operator set of ONNX, which runtimes support since 2022
_TRIED = 4  # number of random pictures whose vectors are compared


def refuse_quantized(model: object, manifest: Manifest) -> None:
    """Refuse a quantized model, whose weights before rounding are not stored.

    A network that is compiled in float16 by default is not quantized: its raw tensors are float32.

    Raises:
        UsageError: the model is quantized.
    """
    own = FLOAT32 if is_function(manifest.trunk) else find_trunk(manifest.trunk).weights_as
    if manifest.weights_as not in (FLOAT32, own):
        raise UsageError(
            f"--model: {model} is quantized, its weights are stored as {manifest.weights_as}; give the "
            "model that it was made from"
        )


def trunk_to_build(model: object, manifest: Manifest, given: str | None) -> str:
    """Return the name of the trunk to build for a model.

    Code is run only if the user names it, never because a model folder does.

    Args:
        model: path of the model folder, for messages.
        manifest: manifest of the model.
        given: FILE.py:FUNCTION of the user, which may have moved since training; None: not given.

    Raises:
        UsageError: the model has a trunk of the user's own code and `given` is None, or `given` is another
            trunk than the model's.
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
    """Build the trunk of a model with its weights, on TensorFlow, as the converters need.

    No file of starting weights that a manifest names is opened.

    Args:
        manifest: manifest of a model that is not quantized.
        weights: raw tensors of the model, in the format safetensors.
        name: name of the trunk, from `trunk_to_build`.

    Raises:
        ModelError: the tensors do not fit the trunk.
        UsageError: the trunk cannot be built, or this process has loaded Keras with another back end.
    """
    load_backend(DeviceConfig(backend="tensorflow"))
    from safetensors.numpy import load

    trunk = find_trunk(name).build(manifest.input_size, load_weights=False)
    tensors = load(weights)
    try:
        trunk.set_weights([tensors[name] for name in sorted(tensors)])
    except ValueError as error:
        raise ModelError(f"the weights do not fit the trunk {name}: {error}") from error
    return trunk


def check_rebuilt(
    rebuilt: NDArray[np.float32], vectors: NDArray[np.float32], weights_as: str = FLOAT32
) -> None:
    """Check that a rebuilt network computes the same vectors as the extractor.

    Args:
        rebuilt: (n, dim) float32 unit vectors of pictures by the rebuilt network.
        vectors: (n, dim) float32 unit vectors of the same pictures by the extractor.
        weights_as: type of the extractor's stored weights, `float32` or `float16`.

    Raises:
        ModelError: two numbers differ by more than `litert.AGREEMENT`.
    """
    difference, limit = float(np.abs(rebuilt - vectors).max()), AGREEMENT[weights_as]
    if not difference <= limit:
        raise ModelError(
            f"the network built from the weights differs from the extractor by {difference:.2g} (rounding is "
            f"at most {limit:g}); the trunk's code is another than in training"
        )


def export_model(
    model: str | Path, to: str | Path, kind: str = "onnx", force: bool = False, trunk: str | None = None
) -> Manifest:
    """Write a network from crops to unit vectors in a format of other programs.

    Mirror picture and scaling to unit length are part of the network. Its input `chips` is (n, size, size, 3)
    float32 RGB from 0 to 255, its output `vectors` (n, dim) float32, rows of unit length. Before it is
    written, its vectors are compared with those of the extractor.

    Args:
        model: path of the model folder.
        to: path of the file; for `saved-model`, of a new folder.
        kind: format, one of `FORMATS`.
        force: whether an existing file is replaced; see `outputs.check_output` for those that never are.
        trunk: FILE.py:FUNCTION, if the model was trained with a trunk of the user's own code.

    Returns:
        Manifest of the model.

    Raises:
        ModelError: the folder is no model folder, or the vectors differ.
        MissingPackageError: the packages of the format are not installed.
        UsageError: the format is unknown, the model is quantized, or `to` cannot be written.

    Example:
        >>> export_model("no-model", "face.onnx", "webp")
        Traceback (most recent call last):
            ...
        embedder.errors.UsageError: --format: expected onnx, litert, saved-model, got 'webp'
    """
    if kind not in FORMATS:
        raise UsageError(f"--format: expected {', '.join(FORMATS)}, got {kind!r}")
    if kind == "onnx" and not importlib.util.find_spec("tf2onnx"):
        raise MissingPackageError("--format onnx: needs tf2onnx; pip install 'embedder-enroll[export]'")
    manifest, parts = read_model(model, ["extractor", "weights"])
    refuse_quantized(model, manifest)
    name = trunk_to_build(model, manifest, trunk)
    inputs = Inputs([model])
    _check_target(Path(to), kind, inputs, force)
    extractor = Extractor(manifest, parts["extractor"])
    network = _network(manifest, rebuild_trunk(manifest, parts["weights"], name))
    size = manifest.input_size
    tried = np.random.default_rng(0).integers(0, 256, (_TRIED, size, size, 3), np.uint8)
    rebuilt = network.predict(tried.astype(np.float32), verbose=0)
    check_rebuilt(rebuilt, extractor.embed(list(tried)), manifest.weights_as)
    if kind == "saved-model":
        try:
            _saved_model(network, Path(to))
        except OSError as error:
            raise UsageError(f"{to}: cannot be written: {error.strerror or error}") from error
    else:
        write_output(to, (_onnx if kind == "onnx" else _litert)(network, manifest), inputs, force)
    return manifest


def _check_target(to: Path, kind: str, inputs: Inputs, force: bool) -> None:
    """Check the path of the export, before the network is built."""
    if not to.parent.is_dir():
        raise UsageError(f"{to}: cannot be written: there is no folder {to.parent}; make it first")
    if kind != "saved-model":
        check_output(to, inputs, force)
    elif os.path.lexists(to) or is_side_file(to):
        raise UsageError(f"{to}: expected a folder that is not there yet, and no file of a gallery")


def _network(manifest: Manifest, trunk: keras.Model) -> keras.Model:
    import keras

    unit = keras.layers.UnitNormalization(axis=-1)
    crops = keras.Input((manifest.input_size, manifest.input_size, 3), name="chips")
    vectors = unit(trunk(crops))
    if manifest.mirror:
        vectors = unit(vectors + unit(trunk(crops[:, :, ::-1])))
    return keras.Model(crops, keras.layers.Identity(name="vectors")(vectors))


def _litert(network: keras.Model, _: Manifest) -> bytes:
    return compile_trunk(network)


def _onnx(network: keras.Model, manifest: Manifest) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    size = manifest.input_size
    signature = (tf.TensorSpec((None, size, size, 3), tf.float32, name="chips"),)

    def run(crops: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"vectors": network(crops, training=False)}

    with quiet():
        made, _ = tf2onnx.convert.from_function(
            tf.function(run, input_signature=signature), input_signature=signature, opset=_OPSET
        )
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    facts = {
        "fingerprint": manifest.fingerprint,
        "crop": manifest.crop,
        "input": "RGB, 0 to 255",
        "output": "unit vectors; compare by euclidean distance",
    }
    onnx.helper.set_model_props(made, facts)
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def _saved_model(network: keras.Model, to: Path) -> None:
    with tempfile.TemporaryDirectory(dir=to.absolute().parent) as folder, quiet():
        network.export(f"{folder}/model", format="tf_saved_model", verbose=False)
        Path(folder, "model").rename(to)
