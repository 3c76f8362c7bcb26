"""Photos to vectors in a pipeline of scikit-learn."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline

from embedder.errors import ImageError, ModelError, UsageError
from embedder.extractor import Extractor
from enroll.classifier import OpenSetNeighborsClassifier
from enroll.photo_embedder import PhotoEmbedder
from tests.conftest import ToyExtractor, pattern, save_people


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = save_people(tmp_path_factory.mktemp("photos"), 6, 4)
    return sorted(map(str, folder.rglob("*.png")))


def test_every_form_of_a_photo_gives_the_same_vector(photos: list[str], toy: ToyExtractor) -> None:
    path = photos[0]
    pixels = np.asarray(Image.open(path))
    forms = [
        *(path, Path(path), Path(path).read_bytes(), BytesIO(Path(path).read_bytes()), Image.open(path)),
        *(pixels, pixels / 255.0),
    ]
    vectors = PhotoEmbedder(toy).fit_transform(forms)
    assert vectors.shape == (7, 48) and vectors.dtype == np.float32
    assert np.array_equal(vectors[:6], np.repeat(toy.embed([pixels]), 6, axis=0))
    assert vectors[6] == pytest.approx(vectors[0], abs=1e-6)


@pytest.mark.parametrize(
    "made", [list, np.array, pd.Series, pd.DataFrame, lambda x: np.array(x)[:, None], tuple]
)
def test_lists_and_columns_of_photos(made: Any, photos: list[str], toy: ToyExtractor) -> None:
    expected = PhotoEmbedder(toy).transform(photos)
    assert np.array_equal(PhotoEmbedder(toy).transform(made(photos)), expected)
    assert len(toy.embedded) > 1  # side by side, not one call for all


def test_a_stack_of_pictures_is_a_list(toy: ToyExtractor) -> None:
    stack = np.array([pattern(0, n) for n in range(3)])
    assert np.array_equal(PhotoEmbedder(toy).transform(stack), toy.embed(list(stack)))
    assert PhotoEmbedder(toy).transform([]).shape == (0, 48)


def test_it_starts_a_pipeline(photos: list[str], toy: ToyExtractor, tmp_path: Path) -> None:
    names = [Path(photo).parent.name for photo in photos]
    pipe = make_pipeline(PhotoEmbedder(toy), OpenSetNeighborsClassifier(fpir=0.05)).fit(photos, names)
    assert pipe.predict(photos).tolist() == names
    frame = pd.DataFrame({"photo": photos, "year": np.arange(len(photos))})
    columns = ColumnTransformer([("vector", PhotoEmbedder(toy), "photo"), ("keep", "passthrough", ["year"])])
    assert columns.fit_transform(frame).shape == (24, 49)
    named = PhotoEmbedder(toy).set_output(transform="pandas").fit(photos).transform(photos)
    assert named.columns[0] == "photoembedder0" and named.shape == (24, 48)


def test_a_model_is_loaded_once_and_left_out_of_a_pickle(
    photos: list[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = PhotoEmbedder(str(model)).fit()
    expected = embedder.transform(photos)
    assert np.array_equal(expected, Extractor.load(model).embed([pattern(n // 4, n % 4) for n in range(24)]))
    data = pickle.dumps(embedder)
    assert len(data) < 1000
    loads = []
    load = Extractor.load
    monkeypatch.setattr(Extractor, "load", lambda *given: loads.append(given) or load(*given))
    again = pickle.loads(data)
    for _ in range(2):
        assert np.array_equal(again.transform(photos), expected)
    assert loads == [(str(model),)]
    assert np.array_equal(clone(embedder).transform(photos[:2]), expected[:2])
    parts = joblib.Parallel(2)(joblib.delayed(embedder.transform)(photos[start::2]) for start in (0, 1))
    assert np.array_equal(parts[1], expected[1::2])


def test_what_cannot_be_embedded_is_an_error_or_nan(
    photos: list[str], toy: ToyExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    with pytest.raises(
        ImageError, match=r"broken\.jpg: photo 1: .*; on_failure='nan' gives a row of NaN instead"
    ):
        PhotoEmbedder(toy).transform([photos[0], broken, photos[1]])
    vectors = PhotoEmbedder(toy, on_failure="nan").transform([photos[0], broken, photos[1]])
    assert np.isnan(vectors[1]).all() and np.isfinite(vectors[[0, 2]]).all()
    assert np.isnan(PhotoEmbedder(toy, on_failure="nan").transform([broken])).all()
    monkeypatch.setattr(toy, "crops", lambda image: [])
    with pytest.raises(ImageError, match=r"photo 0: .*no face"):
        PhotoEmbedder(toy).transform(photos[:1])


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ("photo.jpg", "expected a list of photos, got str; put it into a list"),
        (b"", "expected a list of photos, got bytes"),
        (Path("photo.jpg"), "expected a list of photos, got PosixPath"),
        (np.array([["a", "b"]]), "expected one column of photos, got 2; choose one"),
    ],
)
def test_what_is_no_list_of_photos_is_refused(photos: Any, message: str, toy: ToyExtractor) -> None:
    with pytest.raises(UsageError, match=message):
        PhotoEmbedder(toy).transform(photos)


def test_parameters_are_checked(tmp_path: Path, toy: ToyExtractor) -> None:
    with pytest.raises(UsageError, match="on_failure: expected one of raise, nan, got 'skip'"):
        PhotoEmbedder(toy, on_failure="skip").transform([])
    with pytest.raises(ModelError, match="expected a model folder"):
        PhotoEmbedder(str(tmp_path)).fit()
