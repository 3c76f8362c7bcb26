from __future__ import annotations

import keras
import numpy as np
import pytest

from embedder.optimizers import freeze_layers
from embedder.training.frozen import cut_trunk
from embedder.trunks import find_trunk


def network() -> keras.Model:
    """A chain, a branch that is joined again, and a layer."""
    image = keras.Input((6,), name="image")
    a = keras.layers.Dense(5, activation="relu", name="a")(image)
    b = keras.layers.Dense(5, activation="relu", name="b")(a)
    c = keras.layers.Add(name="join")([a, keras.layers.Dense(5, name="c")(b)])
    return keras.Model(image, keras.layers.Dense(2, name="d")(c))


def frozen(*names: str) -> keras.Model:
    model = network()
    for name in names:
        model.get_layer(name).trainable = False
    return model


@pytest.mark.parametrize(
    ("names", "at"),
    [("a", "a"), ("ab", "a"), ("abc", "join"), ("b", None), ("", None)],
    ids=lambda value: value or "none",
)
def test_the_cut_is_where_one_tensor_passes_and_nothing_before_it_is_trained(names: str, at: str | None):
    model = frozen(*names)
    cut = cut_trunk(model)
    assert (cut.early is not None) == (at is not None)
    assert [v.path for v in cut.late.trainable_variables] == [v.path for v in model.trainable_variables]
    if cut.early is None:
        assert cut.late is model
        assert cut.nbytes == 6
        return
    pictures = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    expected = keras.Model(model.input, model.get_layer(at).output)(pictures)
    np.testing.assert_array_equal(np.asarray(cut.early(pictures)), np.asarray(expected))
    np.testing.assert_allclose(
        np.asarray(cut.late(cut.early(pictures))), np.asarray(model(pictures)), rtol=1e-6
    )
    assert cut.nbytes == 10


def test_both_parts_share_the_weights_of_the_trunk():
    model = frozen("a")
    cut = cut_trunk(model)
    pictures = np.ones((2, 6), np.float32)
    model.set_weights([weight + 0.5 for weight in model.get_weights()])
    np.testing.assert_allclose(
        np.asarray(cut.late(cut.early(pictures))), np.asarray(model(pictures)), rtol=1e-6
    )


def test_face_trunk_is_cut_where_its_outputs_are_small():
    model = find_trunk("sface").build(load_weights=False)
    freeze_layers(model, find_trunk("sface").schedule.freeze)
    cut = cut_trunk(model)
    assert cut.early.output_shape == (None, 14, 14, 256)
    assert cut.nbytes == 2 * 14 * 14 * 256
