"""A model with rounded weights is a model of its own, near the one it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy
from typer.testing import CliRunner

from embedder import Extractor
from embedder.config import WEIGHTS
from embedder.errors import ForeignModelError, ModelError, UsageError
from embedder.export import quantize as quantize_module
from embedder.export.formats import export_model, rebuild_trunk, refuse_quantized
from embedder.export.quantize import QuantizeResult, quantize_model
from embedder.images import load_image
from embedder.model_folder import MANIFEST, load_manifest, read_part
from embedder.training.run import train
from embedder.trunks import find_trunk
from enroll import Gallery
from enroll.cli import app
from tests.conftest import SMALL, pattern

PICTURES = [pattern(i, j, 24 + 4 * i) for i in range(5) for j in range(4)]


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, QuantizeResult]]:
    """`model` in every form; read it, do not change it."""
    folder = tmp_path_factory.mktemp("quantized")
    return {
        weights: (folder / f"klein {weights}", quantize_model(model, folder / f"klein {weights}", weights))
        for weights in WEIGHTS
    }


@pytest.fixture(params=WEIGHTS)
def small(
    request: pytest.FixtureRequest, made: dict[str, tuple[Path, QuantizeResult]]
) -> tuple[Path, QuantizeResult]:
    return made[request.param]


def test_only_the_weights_differ(model: Path, small: tuple[Path, QuantizeResult]):
    folder, quantized = small
    before, after = load_manifest(model), load_manifest(folder)
    assert after == quantized.manifest
    assert after.weights_as in WEIGHTS and before.weights_as == "float32"
    assert after.fingerprint != before.fingerprint
    assert after.training.pop("quantized_from") == before.fingerprint
    same = {"extractor": "", "weights": "", "weights_as": ""}
    assert replace(after, **same) == replace(before, **same)
    assert len(list(folder.iterdir())) == 3


# Errors of a share e in each of k layers turn a vector by about e·√k; 1 − cosine is half the square of that.
# In half precision e is 2⁻¹²; in int8 about a hundredth, of weights and of activations.
@pytest.mark.parametrize(("weights", "least"), [("float16", 1 - 1e-6), ("int8", 1 - 2e-3)])
def test_vectors_are_near_and_not_the_same(
    weights: str, least: float, model: Path, made: dict[str, tuple[Path, QuantizeResult]]
):
    before, after = (Extractor.load(folder).embed(PICTURES) for folder in (model, made[weights][0]))
    cosines = (before * after).sum(axis=1)
    assert cosines.min() >= least
    assert np.abs(before - after).max() > 1e-6
    assert least <= made[weights][1].cosine <= 1.000001


@pytest.mark.parametrize(("weights", "share"), [("float16", 0.55), ("int8", 0.35)])
def test_it_is_smaller(weights: str, share: float, model: Path, made: dict[str, tuple[Path, QuantizeResult]]):
    folder, quantized = made[weights]
    sizes = {part: len(read_part(folder, quantized.manifest, part)) for part in ("extractor", "weights")}
    assert sizes["extractor"] == quantized.bytes_after <= share * quantized.bytes_before
    before = load_manifest(model)
    assert quantized.bytes_before == len(read_part(model, before, "extractor"))
    assert sizes["weights"] <= 0.55 * len(read_part(model, before, "weights"))


def test_raw_kernels_are_the_same_numbers_in_half_precision(model: Path, small: tuple[Path, QuantizeResult]):
    before, after = (
        safetensors.numpy.load(read_part(folder, load_manifest(folder), "weights"))
        for folder in (model, small[0])
    )
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        expected = tensor.astype(np.float16) if tensor.ndim > 1 else tensor
        assert after[name].dtype == expected.dtype
        np.testing.assert_array_equal(after[name], expected)


def test_neighbours_in_a_batch_and_threads_change_nothing(small: tuple[Path, QuantizeResult]):
    together = Extractor.load(small[0], threads=2).embed(PICTURES)
    extractor = Extractor.load(small[0], threads=1)
    alone = np.concatenate([extractor.embed([picture]) for picture in PICTURES])
    np.testing.assert_array_equal(alone, together)


def test_mirror_pictures_are_averaged_as_before(small: tuple[Path, QuantizeResult]):
    extractor = Extractor.load(small[0])
    mirrored = extractor.embed([picture[:, ::-1] for picture in PICTURES])
    np.testing.assert_allclose(mirrored, extractor.embed(PICTURES), atol=1e-6)


def test_gallery_of_the_model_it_was_made_from_is_refused(
    model: Path, small: tuple[Path, QuantizeResult], people: Path, tmp_path: Path
):
    with Gallery.open(tmp_path / "g.db", Extractor.load(model)) as gallery:
        gallery.enroll("ada", sorted((people / "p00").iterdir()))
    with pytest.raises(ForeignModelError, match="made with another model"):
        Gallery.open(tmp_path / "g.db", Extractor.load(small[0]))


def test_a_quantized_model_is_neither_quantized_nor_exported(
    small: tuple[Path, QuantizeResult], tmp_path: Path
):
    for what in (
        lambda: quantize_model(small[0], tmp_path / "new", "int8"),
        lambda: export_model(small[0], tmp_path / "new", "litert"),
    ):
        with pytest.raises(UsageError, match=r"is quantized.*; give the model that it was made from"):
            what()
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_done_is_refused(model: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--weights: expected float16 or int8, got 'int4'"):
        quantize_model(model, tmp_path / "new", "int4")
    with pytest.raises(ModelError, match=MANIFEST):
        quantize_model(tmp_path / "nothing", tmp_path / "new", "int8")
    with pytest.raises(UsageError, match="expected a folder that is not there yet, or an empty one"):
        quantize_model(model, model, "int8")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="expected a folder that is not there yet, or an empty one"):
        quantize_model(model, tmp_path / "file", "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_vectors_that_turn_too_far_are_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from embedder.export import litert as compiling

    convert = compiling.compile_trunk

    def coarse(trunk: keras.Model, weights: str) -> bytes:
        other = keras.models.clone_model(trunk)
        other.set_weights([np.sign(tensor) * np.abs(tensor).mean() for tensor in trunk.get_weights()])
        return convert(other)

    monkeypatch.setattr(compiling, "compile_trunk", coarse)
    with pytest.raises(UsageError, match=r"--weights int8: not written, .* turn too far: cosine"):
        quantize_model(model, tmp_path / "new", "int8")
    assert not (tmp_path / "new").exists()


def test_weights_that_are_not_the_extractors_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def other(*given: object) -> keras.Model:
        trunk = rebuild_trunk(*given)  # type: ignore[arg-type]
        trunk.set_weights([2 * tensor + 0.1 for tensor in trunk.get_weights()])
        return trunk

    monkeypatch.setattr(quantize_module, "rebuild_trunk", other)
    with pytest.raises(ModelError, match="differs from the extractor"):
        quantize_model(model, tmp_path / "new", "float16")


def test_command_says_what_to_do_next_and_info_what_it_is(model: Path, tmp_path: Path):
    new, run = tmp_path / "größe 16", CliRunner().invoke
    done = run(app, ["quantize", str(new), "--weights", "float16", "--model", str(model)])
    assert done.exit_code == 0, done.output
    assert f"embed gallery re-embed --model '{new}'" in done.stdout
    assert f"embed calibrate --model '{new}'" in done.stdout
    told = {folder: run(app, ["info", "--model", str(folder)]).stdout for folder in (model, new)}
    assert "weights stored as float32\n" in told[model]
    origin = load_manifest(model).fingerprint[:12]
    assert f"weights stored as float16, rounded from model {origin}\n" in told[new]
    found = "found before its weights were rounded"
    assert (found in told[new], found in told[model]) == (True, False)


OWN = """
import keras
def net(size):
    image = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(16, 3, strides=2)(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(24)(keras.layers.Flatten()(x)))
"""


@pytest.mark.slow
def test_a_trunk_of_the_users_own(small_people: Path, tmp_path: Path):
    (tmp_path / "own.py").write_text(OWN)
    config = replace(SMALL, trunk=f"{tmp_path / 'own.py'}:net", epochs=0, mirror=False)
    train(small_people, tmp_path / "model", config)
    assert quantize_model(tmp_path / "model", tmp_path / "small", "int8", config.trunk).cosine > 0.99
    before, after = (
        Extractor.load(folder).embed(PICTURES) for folder in (tmp_path / "model", tmp_path / "small")
    )
    assert (before * after).sum(axis=1).min() > 0.99


@pytest.mark.slow
def test_the_face_trunk(orl: Path, tmp_path: Path):
    train(
        orl, tmp_path / "model", replace(SMALL, trunk="face-resnet", input_size=None, epochs=0, crop="face")
    )
    before = Extractor.load(tmp_path / "model")
    photos = [load_image(sorted(person.iterdir())[0]) for person in sorted(orl.iterdir())]
    crops = [before.crops(photo)[0].pixels for photo in photos]
    for weights, least in (("float16", 1 - 1e-5), ("int8", 0.999)):
        quantize_model(tmp_path / "model", tmp_path / weights, weights)
        after = Extractor.load(tmp_path / weights)
        assert (before.embed(crops) * after.embed(crops)).sum(axis=1).min() >= least


@pytest.mark.slow
def test_a_trunk_in_float16_by_default(small_people: Path, tmp_path: Path):
    model = tmp_path / "model"
    train(
        small_people,
        model,
        replace(SMALL, trunk="sface", input_size=None, epochs=0, crop="whole", mirror=False),
    )
    manifest = load_manifest(model)
    assert manifest.weights_as == "float16"
    assert len(read_part(model, manifest, "extractor")) < 0.55 * len(read_part(model, manifest, "weights"))
    with pytest.raises(UsageError, match=r"--weights float16: .*is stored so already"):
        quantize_model(model, tmp_path / "16", "float16")
    refuse_quantized(model, manifest)
    with pytest.raises(UsageError, match="is quantized"):
        refuse_quantized(model, replace(manifest, weights_as="int8"))
    with pytest.raises(UsageError, match="is quantized"):
        refuse_quantized(model, replace(manifest, trunk="face-resnet"))
    export_model(model, tmp_path / "net.tflite", "litert")
    assert (tmp_path / "net.tflite").stat().st_size > 38_000_000  # whole weights, for other programs


def test_a_trunk_of_ones_own_is_named_again(small_people: Path, tmp_path: Path):
    source = tmp_path / "mine é.py"
    source.write_text(
        "import keras\ndef mine(size):\n    image = keras.Input((size, size, 3))\n"
        "    x = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(image))\n"
        "    return keras.Model(image, keras.layers.Dense(8)(keras.layers.Flatten()(x)))\n",
        encoding="utf-8",
    )
    own = f"{source}:mine"
    train(small_people, tmp_path / "m", replace(SMALL, trunk=own, epochs=0))
    source = source.rename(tmp_path / "moved.py")
    with pytest.raises(UsageError, match=r"not taken from a model folder.* add --trunk '.*mine é\.py:mine'$"):
        quantize_model(tmp_path / "m", tmp_path / "small", "float16")
    with pytest.raises(UsageError, match=r"--trunk: expected FILE\.py:FUNCTION, got 'small-cnn'"):
        quantize_model(tmp_path / "m", tmp_path / "small", "float16", "small-cnn")
    for command, *more in (["quantize", "--weights", "float16"], ["export", "--format", "litert"]):
        to = str(tmp_path / command)
        told = [command, to, *more, "--model", str(tmp_path / "m"), "--trunk", f"{source}:mine"]
        result = CliRunner().invoke(app, told)
        assert result.exit_code == 0, result.output
        assert Path(to).exists()


@pytest.mark.parametrize(
    ("trunk", "config"),
    [
        ("imagenet:MobileNetV2", {"trunk_weights": "none.h5"}),
        *(
            ("small-cnn", config)
            for config in ({"trunk_weights": "none.h5"}, "none.h5", ["trunk_weights"], None)
        ),
    ],
)
def test_no_file_that_a_manifest_names_is_opened(
    trunk: str, config: object, model: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its own tensors are all that a model is rebuilt from; nothing is fetched either."""
    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", None)
    manifest = replace(load_manifest(model), trunk=trunk, input_size=32, training={"config": config})
    alike = (
        keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
        if trunk != "small-cnn"
        else find_trunk(trunk).build(32)
    )
    tensors = [np.full(tensor.shape, i, np.float32) for i, tensor in enumerate(alike.get_weights())]
    data = safetensors.numpy.save({f"{i:04d}": tensor for i, tensor in enumerate(tensors)})
    rebuilt = rebuild_trunk(manifest, data, trunk).get_weights()
    assert all(map(np.array_equal, rebuilt, tensors))


def test_another_trunk_than_the_models_is_refused(model: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"--trunk: expected .*, the trunk of .*, got 'e\.py:f'"):
        quantize_model(model, tmp_path / "small", "int8", "e.py:f")
