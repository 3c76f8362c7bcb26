"""Read the weights of an ONNX file with protobuf, without `onnx` and ONNX Runtime.

Field numbers and the meaning of DequantizeLinear (opset 21) are those of the ONNX specification,
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MESSAGES = {  # fields that are read of each message: name -> (number, type), * for a repeated one
    "Attribute": {"name": (1, "string"), "i": (3, "int64")},
    "Node": {
        "input": (1, "string*"),
        "output": (2, "string*"),
        "op_type": (4, "string"),
        "attribute": (5, "Attribute*"),
    },
    "Tensor": {
        "dims": (1, "int64*"),
        "data_type": (2, "int32"),
        "float_data": (4, "float*"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
    },
    "Graph": {"node": (1, "Node*"), "initializer": (5, "Tensor*")},
    "Model": {"graph": (7, "Graph")},
}
_DTYPES = {1: "<f4", 3: "<i1", 7: "<i8"}  # float32, int8, int64: those of the networks read here


def read_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Read the tensors of an ONNX file, block-quantized ones as float32.

    A weight stored in blocks is the output of DequantizeLinear, (q - zero point) * scale, and of the Reshape
    that follows it; both are computed, under the output's name without `_dequantized` or `_reshaped`.

    Args:
        data: content of the file.

    Returns:
        Tensors by name, shaped as in the file: (filters, channels, rows, columns) for a convolution.

    Raises:
        ValueError: the file is no ONNX file, or has tensors of another type.
    """
    from google.protobuf.message import DecodeError

    model = _model_class()()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"expected an ONNX file: {error}") from error
    tensors = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
    if not tensors:
        raise ValueError("expected an ONNX file with tensors, found none")
    for node in model.graph.node:
        if not all(name in tensors for name in node.input):
            continue  # an operation on the image, not on weights
        given = [tensors[name] for name in node.input]
        (name,) = node.output
        if node.op_type == "DequantizeLinear":
            settings = {attribute.name: attribute.i for attribute in node.attribute}
            if len(given) != 3 or not settings.get("block_size"):
                raise ValueError(f"{name}: expected values in blocks, with scales and zero points")
            values, scales, zeros = given
            axis = settings.get("axis", 1)
            tensors[name] = _dequantize(values, scales, zeros, axis, settings["block_size"])
            tensors[name.removesuffix("_dequantized")] = tensors[name]
        elif node.op_type == "Reshape":
            tensors[name] = given[0].reshape(given[1])
            tensors[name.removesuffix("_reshaped")] = tensors[name]
    return tensors


def _dequantize(
    values: NDArray[Any], scales: NDArray[Any], zeros: NDArray[Any], axis: int, block: int
) -> NDArray[np.float32]:
    """Compute (values - zeros) * scales, with one scale for `block` values along an axis."""
    length = values.shape[axis]
    scale, zero = (np.repeat(part, block, axis).take(range(length), axis) for part in (scales, zeros))
    result: NDArray[np.float32] = ((values.astype(np.int32) - zero) * scale).astype(np.float32)
    return result


def _array(tensor: Any) -> NDArray[Any]:
    if tensor.data_type not in _DTYPES:
        raise ValueError(
            f"{tensor.name}: expected a tensor of float32, int8 or int64, got type {tensor.data_type}"
        )
    flat = np.frombuffer(tensor.raw_data, _DTYPES[tensor.data_type])
    if tensor.float_data:
        flat = np.array(tensor.float_data, np.float32)
    return flat.reshape(tuple(tensor.dims))


@cache
def _model_class() -> Any:
    """Make the protobuf class of an ONNX model, with the fields that are read."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="embedder/onnx.proto", package="embedder_onnx")
    for message, entries in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in entries.items():
            field = described.field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            if (single := kind.rstrip("*")) in _MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".embedder_onnx.{single}"
            else:
                field.type = getattr(kinds, f"TYPE_{single.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("embedder_onnx.Model"))
