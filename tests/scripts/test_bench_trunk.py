"""What is counted and written by the measurement of the trunk."""

from __future__ import annotations

from pathlib import Path

import bench_trunk
import keras
import numpy as np
import pytest
from keras import layers
from machine_limit import multiply_adds

from embedder.extractor import LiteRTNetwork
from embedder.model_folder import load_manifest, read_part


def test_multiply_adds_are_those_counted_by_hand():
    inner_image = keras.Input((4, 4, 8))
    inner = keras.Model(inner_image, layers.DepthwiseConv2D(3, padding="same")(inner_image))
    image = keras.Input((9, 9, 3))
    x = layers.Conv2D(8, 3, strides=2)(
        layers.Rescaling(1 / 255)(image)
    )  # 4 x 4 places, 3 x 3 x 3 each, 8 filters
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = inner(x)  # 4 x 4 places, 3 x 3 of one channel each, 8 channels
    x = layers.Conv2D(6, 1, groups=2)(x)  # 4 x 4 places, 4 of the channels each, 6 filters
    network = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))  # 6 to 10
    by_hand = 16 * 27 * 8 + 16 * 9 * 8 + 16 * 4 * 6 + 6 * 10
    assert multiply_adds(network) == by_hand


def test_a_layer_that_cannot_be_counted_is_not_left_out():
    image = keras.Input((9, 9, 3))
    network = keras.Model(image, layers.Conv2DTranspose(2, 3)(image))
    with pytest.raises(ValueError, match="expected convolutions and dense layers, got Conv2DTranspose"):
        multiply_adds(network)


def test_only_what_is_between_the_markers_is_replaced():
    page = f"# A\n{bench_trunk.BEGIN}\nold\n{bench_trunk.END}\nend\n"
    assert bench_trunk.replaced(page, "new") == f"# A\n{bench_trunk.BEGIN}\nnew\n{bench_trunk.END}\nend\n"
    assert bench_trunk.replaced(bench_trunk.replaced(page, "new"), "old") == page


@pytest.mark.parametrize("threads", [1, 3])
def test_a_network_runs_on_so_many_threads(threads: int, model: Path, monkeypatch: pytest.MonkeyPatch):
    loaded = []

    class Network(LiteRTNetwork):
        def __init__(self, content: bytes, size: int, dim: int, threads: int) -> None:
            loaded.append(threads)
            super().__init__(content, size, dim, threads)

    monkeypatch.setattr("embedder.extractor.LiteRTNetwork", Network)
    manifest = load_manifest(model)
    extractor = bench_trunk.extractor_of((manifest, read_part(model, manifest, "extractor")), threads)
    extractor.embed([np.zeros((32, 32, 3), np.uint8)])
    assert loaded == [threads]


def test_networks_take_turns():
    order: list[str] = []
    taken = bench_trunk.medians({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert order == list("abababab")
    assert set(taken) == {"a", "b"}
