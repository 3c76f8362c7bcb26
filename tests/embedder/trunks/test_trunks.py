from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from embedder.errors import MissingPackageError, UsageError
from embedder.trunks import find_trunk


def test_small_cnn_maps_pictures_to_vectors():
    trunk = find_trunk("small-cnn").build(32)
    features = trunk.predict(np.zeros((2, 32, 32, 3), "float32"), verbose=0)
    assert features.shape == (2, 128)
    assert not find_trunk("small-cnn").pretrained


def test_small_cnn_takes_no_file():
    with pytest.raises(UsageError, match="--trunk-weights"):
        find_trunk("small-cnn").build(32, "weights.h5")


@pytest.mark.parametrize("name", ["resnet", "imagenet:", "", "face_resnet"])
def test_unknown_trunk_is_refused_with_what_there_is(name: str):
    with pytest.raises(
        UsageError, match=r"face-resnet, sface, small-cnn, imagenet:<name> or FILE\.py:FUNCTION"
    ):
        find_trunk(name)


def test_unknown_imagenet_network_is_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"MobileNetV2.*got 'nope'"):
        find_trunk("imagenet:nope").build(96)


# One network for each kind of preprocessing in keras.applications: "tf", "caffe" and none.
@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ResNet50", "EfficientNetV2-B0")),
    ],
)
def test_imagenet_network_takes_its_weights_from_a_file(name: str, tmp_path: Path):
    class_name = {"mobilenet_v2": "MobileNetV2", "EfficientNetV2-B0": "EfficientNetV2B0"}.get(name, name)
    constructor = getattr(keras.applications, class_name)
    module = {
        "mobilenet_v2": keras.applications.mobilenet_v2,
        "ResNet50": keras.applications.resnet50,
        "EfficientNetV2-B0": keras.applications.efficientnet_v2,
    }[name]
    network = constructor(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    network.save_weights(tmp_path / "own_notop.weights.h5")
    trunk = find_trunk(f"imagenet:{name}").build(64, str(tmp_path / "own_notop.weights.h5"))
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")
    expected = network.predict(module.preprocess_input(picture.copy()), verbose=0)
    features = trunk.predict(picture, verbose=0) * np.sqrt(expected.shape[1])
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    normalizations = [
        layer for layer in trunk._flatten_layers() if isinstance(layer, layers.BatchNormalization)
    ]
    assert normalizations
    assert not any(layer.trainable for layer in normalizations)


def test_weights_that_cannot_be_fetched_say_how_to_provide_them(monkeypatch: pytest.MonkeyPatch):
    def no_network(*_: object, **__: object) -> str:
        raise Exception("URL fetch failure on http://example: None -- Name or service not known")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", no_network)
    with pytest.raises(MissingPackageError, match=r"could not be fetched.*--trunk-weights FILE"):
        find_trunk("imagenet:MobileNetV2").build(96)


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_file_that_is_no_weights_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "own.weights.h5").write_bytes(content)
    with pytest.raises(UsageError, match="does not fit"):
        find_trunk("imagenet:MobileNetV2").build(96, str(tmp_path / "own.weights.h5"))


def test_weights_of_another_network_are_refused(tmp_path: Path):
    other = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
    other.save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(UsageError, match="does not fit"):
        find_trunk("imagenet:MobileNetV2").build(64, str(tmp_path / "own.weights.h5"))


def test_missing_file_of_weights_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="expected a file of weights"):
        find_trunk("imagenet:MobileNetV2").build(96, str(tmp_path / "none.h5"))


def test_too_small_an_input_is_refused():
    with pytest.raises(UsageError, match="--input-size"):
        find_trunk("imagenet:InceptionV3").build(32)


def test_face_trunks_say_how_a_vector_is_made():
    assert [find_trunk(name).mirror for name in ("face-resnet", "sface", "small-cnn")] == [True, False, True]
    points = find_trunk("sface").landmarks
    assert points is not None and len(points) == 5
    left, right, nose, mouth_left, mouth_right = np.array(points) * 112
    np.testing.assert_allclose(left, (38.2946, 51.6963))
    assert left[0] < nose[0] < right[0] and mouth_left[0] < nose[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    # Faces for a trunk that has no template of its own are aligned to the common one.
    assert find_trunk("small-cnn").landmarks == points != find_trunk("face-resnet").landmarks
