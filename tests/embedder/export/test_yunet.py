"""The compiled YuNet beside the published file in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from embedder._internal.wheels import read_from_wheel
from embedder.export import yunet
from embedder.faces.yunet import YuNet, decode


@pytest.fixture(scope="module")
def published():
    """The file, run on (640, 640, 3) RGB: maps as the compiled network gives them."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    data = read_from_wheel(yunet.MODULE, yunet.FILE, yunet.SHA256, yunet.DISTRIBUTION)
    model = onnx.load_from_string(data)
    image = [entry for entry in model.graph.input if entry.name == "input"]
    del model.graph.input[:]
    model.graph.input.extend(image)
    single = {entry.name for entry in model.graph.initializer if list(entry.dims) in ([], [1])}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[1] in single:
            del node.attribute[:]  # ONNX Runtime refuses blocks where one scale is for all
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(picture):
        given = picture[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        names = [entry.name for entry in session.get_outputs()]
        found = dict(zip(names, session.run(names, {"input": given}), strict=True))
        maps = {}
        for stride in (8, 16, 32):
            cls, obj, bbox, kps = (found[f"{head}_{stride}"][0] for head in yunet.HEADS)
            logits = [
                np.log(share) - np.log1p(-share)
                for share in (cls.clip(1e-7, 1 - 1e-7), obj.clip(1e-7, 1 - 1e-7))
            ]
            side = 640 // stride
            maps[stride] = np.concatenate([*logits, bbox, kps], axis=1).reshape(1, side, side, 16)
        return maps

    return run


def test_places_and_scores_are_those_of_the_published_file(published, yunet_network, heads):
    picture = np.full((640, 640, 3), 90, np.uint8)
    for index, head in enumerate(heads[:20]):
        top, left = divmod(index, 5)
        picture[top * 150 + 10 : top * 150 + 122, left * 125 + 5 : left * 125 + 97] = head[:, :, None]
    picture[..., 0] //= 2  # the order of the colours matters
    (expected,), seen = decode(published(picture), 0.3), YuNet(yunet_network).look(picture, 0.3)
    assert len(expected.scores) == len(seen.scores) > 20
    np.testing.assert_allclose(seen.scores, expected.scores, atol=1e-4)
    order, other = (np.lexsort(one.boxes.round(1).T) for one in (seen, expected))
    np.testing.assert_allclose(seen.boxes[order], expected.boxes[other], atol=1e-2)
    np.testing.assert_allclose(seen.points[order], expected.points[other], atol=1e-2)
