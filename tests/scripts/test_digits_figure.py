"""The picture of features in a plane: that it is drawn, and that what it says of them is measured."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import digits_figure
import keras
import numpy as np
import pytest

from embedder import load_image


def square(middle: tuple[float, float], reach: float) -> np.ndarray:
    """Four points, each `reach` from the middle."""
    return np.array(middle) + reach * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])


def test_spread_is_distance_to_the_own_mean_over_distance_between_means():
    features = np.concatenate([square((0, 0), 1), square((10, 0), 3)]).astype(np.float32)
    assert digits_figure.spread(features, np.repeat([0, 1], 4)) == pytest.approx(2 / 10)


def test_spread_takes_all_pairs_of_classes():
    features = np.concatenate([square(m, 1) for m in ((0, 0), (6, 0), (0, 8))]).astype(np.float32)
    assert digits_figure.spread(features, np.repeat([2, 5, 7], 4)) == pytest.approx(1 / 8)  # 6, 8 and 10


def test_spread_does_not_depend_on_scale_or_place():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 5)
    features = rng.normal(size=(50, 2)) + labels[:, None]
    first = digits_figure.spread(features, labels)
    assert digits_figure.spread(1000 * features - 7, labels) == pytest.approx(first)
    collapsed = digits_figure.class_means(features, labels)[labels]
    assert digits_figure.spread(collapsed, labels) == 0


def test_halves_are_disjoint_and_balanced():
    digits = digits_figure.read_digits(3)
    assert len(digits.train) + len(digits.test) == 1797
    assert not {picture.tobytes() for picture in digits.train} & {p.tobytes() for p in digits.test}
    counts = np.bincount(digits.train_labels) - np.bincount(digits.test_labels)
    assert abs(counts).max() <= 1


@dataclass
class Run:
    """A run of the script: what it wrote, its features, and each model's first weights and last accuracy."""

    picture: Path
    report: dict[str, Any]
    trained: dict[str, digits_figure.Trained]
    starts: list[list[np.ndarray]]
    accuracies: list[float]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    picture = tmp_path_factory.mktemp("digits") / "pictures" / "digits.png"
    trained, starts, accuracies, out = {}, [], [], io.StringIO()
    train_both, fit = digits_figure.train_both, keras.Model.fit

    def watched_fit(model: keras.Model, *args: Any, **options: Any) -> None:
        starts.append([weight.copy() for weight in model.get_weights()])
        fit(model, *args, **options)
        digits = digits_figure.read_digits(0)
        logits = model.predict({"image": digits.test, "label": digits.test_labels}, verbose=0)
        accuracies.append((logits.argmax(axis=1) == digits.test_labels).mean())

    def watched_train(*args: Any) -> dict[str, digits_figure.Trained]:
        trained.update(train_both(*args))
        return trained

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        options = ["--seeds", "1", "--epochs", "2", "--picture", str(picture)]
        patch.setattr("sys.argv", ["digits_figure.py", *options])
        patch.setattr(keras.Model, "fit", watched_fit)
        patch.setattr(digits_figure, "train_both", watched_train)
        digits_figure.main()
    return Run(picture, json.loads(out.getvalue().splitlines()[-1]), trained, starts, accuracies)


def test_both_heads_start_from_the_same_weights(run: Run):
    softmax, center = run.starts
    for weight in softmax:  # beside these the other has centers
        assert any(np.array_equal(weight, other) for other in center)


def test_figure_is_written(run: Run):
    assert run.picture.stat().st_size < 200_000
    left, right = np.array_split(load_image(run.picture), 2, axis=1)
    assert min((half.min(axis=2) < 200).mean() for half in (left, right)) > 0.02  # both panels show something


def test_numbers_come_from_the_features(run: Run):
    labels = digits_figure.read_digits(0).test_labels
    rows = run.report["rows"]
    assert [row["head"] for row in rows] == ["softmax", "dense-center"]
    for row in rows:
        features = run.trained[row["head"]].features.astype(np.float64)
        assert features.shape == (len(labels), 2)
        means = [features[labels == digit].mean(axis=0) for digit in range(10)]
        within = np.mean([np.hypot(*(x - means[y])) for x, y in zip(features, labels, strict=True)])
        between = np.mean([np.hypot(*(means[i] - means[j])) for i in range(10) for j in range(i)])
        assert row["within/between"] == pytest.approx(within / between, abs=1e-4)
    assert [row["accuracy"] for row in rows] == pytest.approx(run.accuracies, abs=1e-4)
    assert rows[0]["within/between"] != rows[1]["within/between"]
