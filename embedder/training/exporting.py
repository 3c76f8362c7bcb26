"""A model folder to one file for other programs: ONNX, LiteRT or a SavedModel of TensorFlow."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import Manifest, load_manifest, read_part
from embedder.config.exports import FORMATS
from embedder.errors import MissingPackageError, UsageError
from embedder.extractor import Extractor
from embedder.outputs import Inputs, check_output, is_side_file, write_output
from embedder.quiet import quiet
from embedder.training.rebuilding import check_rebuilt, rebuild_trunk, refuse_quantized, trunk_to_build

if TYPE_CHECKING:
    import keras

_OPSET = 17  # of ONNX; every runtime since 2022 has it
_TRIED = 4  # random pictures that are compared


def export(
    model: str | Path, to: str | Path, kind: str, force: bool = False, trunk: str | None = None
) -> Manifest:
    """Write the whole way from chip to vector, mirror picture and unit length included, as one network.

    Input `chips`: (n, size, size, 3) float32 RGB from 0 to 255. Output `vectors`: (n, dim) float32, unit
    rows. Before it is written it is run and compared with the extractor.

    Args:
        model: the model folder.
        to: the file, or for `saved-model` a new folder.
        kind: one of `FORMATS`.
        force: replace a file that exists; see `outputs.check_output` for those that are never replaced.
        trunk: FILE.py:FUNCTION, if the model was trained with a trunk of one's own.

    Raises:
        ModelError: the folder is no model, or what was converted gives other vectors.
        MissingPackageError: the packages of the format are not installed.
        UsageError: an unknown format, a quantized model, or `to` cannot be written.
    """
    if kind not in FORMATS:
        raise UsageError(f"--format: expected {', '.join(FORMATS)}, got {kind!r}")
    if kind == "onnx" and not importlib.util.find_spec("tf2onnx"):
        raise MissingPackageError("--format onnx: needs tf2onnx; pip install 'embedder-enroll[export]'")
    manifest = load_manifest(model)
    refuse_quantized(model, manifest)
    name = trunk_to_build(model, manifest, trunk)
    inputs = Inputs([model])
    _check_target(Path(to), kind, inputs, force)
    extractor = Extractor(manifest, read_part(model, manifest, "extractor"))
    network = _network(manifest, rebuild_trunk(manifest, read_part(model, manifest, "weights"), name))
    size = manifest.input_size
    tried = np.random.default_rng(0).integers(0, 256, (_TRIED, size, size, 3), np.uint8)
    check_rebuilt(network.predict(tried.astype(np.float32), verbose=0), extractor.embed(list(tried)))
    if kind == "saved-model":
        try:
            _saved_model(network, Path(to))
        except OSError as error:
            raise UsageError(f"{to}: cannot be written: {error.strerror or error}") from error
    else:
        write_output(to, (_onnx if kind == "onnx" else _litert)(network, manifest), inputs, force)
    return manifest


def _check_target(to: Path, kind: str, inputs: Inputs, force: bool) -> None:
    """Refuse at once what would be refused once all is computed."""
    if not to.parent.is_dir():
        raise UsageError(f"{to}: cannot be written: there is no folder {to.parent}; make it first")
    if kind != "saved-model":
        check_output(to, inputs, force)
    elif os.path.lexists(to) or is_side_file(to):
        raise UsageError(f"{to}: expected a folder that is not there yet, and no file of a gallery")


def _network(manifest: Manifest, trunk: keras.Model) -> keras.Model:
    import keras

    unit = keras.layers.UnitNormalization(axis=-1)
    chips = keras.Input((manifest.input_size, manifest.input_size, 3), name="chips")
    vectors = unit(trunk(chips))
    if manifest.mirror:
        vectors = unit(vectors + unit(trunk(chips[:, :, ::-1])))
    return keras.Model(chips, keras.layers.Identity(name="vectors")(vectors))


def _litert(network: keras.Model, _: Manifest) -> bytes:
    from embedder.training.compile import compile_trunk

    return compile_trunk(network)


def _onnx(network: keras.Model, manifest: Manifest) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    size = manifest.input_size
    signature = (tf.TensorSpec((None, size, size, 3), tf.float32, name="chips"),)

    def run(chips: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"vectors": network(chips, training=False)}

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
