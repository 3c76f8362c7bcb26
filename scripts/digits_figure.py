"""What center loss does to features, in a picture: scikit-learn's digits in a plane, after Wen et al. 2016.

A small network with an embedding of 2 units is trained twice from the same weights on half of the 1797
digits: with the head `softmax` and with `dense-center`. Drawn are the features of the other half. How
compact they are is measured by how far a feature lies from the mean of its class, on average, divided by how
far apart two class means lie, on average: 0 when each class is a point, the same at any scale. All this once
a seed; the first seed is drawn. Prints a table and, last, one JSON line.

    python scripts/digits_figure.py [--seeds 3] [--epochs 60] [--picture docs/pictures/digits-center-loss.png]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from PIL import Image

from embedder._internal.runtime import import_keras
from embedder.config import FROM_SCRATCH, TrainConfig

Features = np.ndarray[Any, np.dtype[np.float32]]
Labels = np.ndarray[Any, np.dtype[np.int32]]

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "digits-center-loss.png"
HEADS = {"softmax": "softmax alone", "dense-center": "softmax + center loss"}
DIGITS = 10
EPOCHS = 60
BATCH = 32
# Ten colours that people with any kind of colour vision can tell apart: the eight of Okabe and Ito 2008, and
# two darker than those. By the simulation of Machado et al. 2009 no two come closer than .076 in OKLab.
COLOURS = (
    *("#56b4e9", "#e69f00", "#d55e00", "#009e73", "#332288"),
    *("#cc79a7", "#000000", "#f0e442", "#661100", "#0072b2"),
)


@dataclass(frozen=True, eq=False)
class Digits:
    """Pictures (n, 8, 8, 1) float32 in 0..1 and their digits (n,), to train on and to test on."""

    train: Features
    train_labels: Labels
    test: Features
    test_labels: Labels


@dataclass(frozen=True, eq=False)
class Trained:
    """Test features of a trained network, (n, 2), and the share of them classified rightly."""

    features: Features
    accuracy: float


def main() -> None:
    """Train, draw, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()

    rows = []
    for seed in range(options.seeds):
        digits = read_digits(seed)
        trained = train_both(digits, options.epochs, seed)
        if not seed:
            draw(options.picture, trained, digits.test_labels)
        for head, result in trained.items():
            rows.append({"head": head, "seed": seed, **figures(result, digits.test_labels)})
            print(f"seed {seed}, {head}: {rows[-1]}", flush=True)

    print("\n" + "\n".join(table(rows)) + "\n")
    about = surroundings()
    about["versions"]["matplotlib"] = version("matplotlib")
    facts = {"seeds": options.seeds, "epochs": options.epochs, "center_weight": FROM_SCRATCH.center_weight}
    print(json.dumps({"script": "digits_figure", **about, **facts, "rows": rows}))


def read_digits(seed: int) -> Digits:
    """Divide the digits into halves with equally many of each."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pictures, labels = load_digits(return_X_y=True)
    pictures = (pictures.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(
        pictures, labels.astype(np.int32), test_size=0.5, stratify=labels, random_state=seed
    )
    return Digits(train, train_labels, test, test_labels)


def train_both(digits: Digits, epochs: int, seed: int) -> dict[str, Trained]:
    """Train with each head, from the same weights and with the batches in the same order."""
    import_keras()
    import keras

    from embedder.heads import build_head, build_stem

    keras.utils.set_random_seed(seed)
    trunk = network()
    start = trunk.get_weights()
    trained = {}
    for name in HEADS:
        keras.utils.set_random_seed(seed)  # of the classifier's weights and of the order
        trunk.set_weights(start)
        config = TrainConfig(head=name).filled(FROM_SCRATCH, 64, "whole", True)  # heads do not read the size
        head = build_head(config, build_stem(config, trunk), DIGITS)
        layer = head.model.get_layer("softmax")
        head.model.compile(
            optimizer=keras.optimizers.Adam(FROM_SCRATCH.learning_rate), jit_compile=False, **head.compile
        )
        head.model.fit(
            {"image": digits.train, "label": digits.train_labels},
            head.targets(digits.train_labels),
            batch_size=BATCH,
            epochs=epochs,
            verbose=0,
        )
        features = trunk.predict(digits.test, verbose=0)
        logits = features @ layer.kernel.numpy() + layer.bias.numpy()
        trained[name] = Trained(features, float((logits.argmax(axis=1) == digits.test_labels).mean()))
    return trained


def network() -> Any:
    """Build the trunk: (batch, 8, 8, 1) in 0..1 -> (batch, 2), random weights."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 1), name="image")
    x = image
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(2, use_bias=False)(x))


def class_means(features: Features, labels: Labels) -> Features:
    """Mean feature (classes, dim) of each class, in the order of the labels."""
    return np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])


def spread(features: Features, labels: Labels) -> float:
    """Mean distance to the own class mean, divided by the mean distance between two class means.

    Args:
        features: (n, dim), of at least two classes.
        labels: (n,)
    """
    means = class_means(features, labels)
    own = means[np.searchsorted(np.unique(labels), labels)]
    one, other = np.triu_indices(len(means), k=1)
    within = np.linalg.norm(features - own, axis=1).mean()
    between = np.linalg.norm(means[one] - means[other], axis=1).mean()
    return float(within / between)


def figures(trained: Trained, labels: Labels) -> dict[str, float]:
    """Accuracy and spread of the test features."""
    return {
        "accuracy": round(trained.accuracy, 4),
        "within/between": round(spread(trained.features, labels), 4),
    }


def draw(path: Path, trained: Mapping[str, Trained], labels: Labels) -> None:
    """Draw the features of each head in a square of its own, at one scale for both directions.

    Args:
        path: the PNG file.
        trained: features by head.
        labels: (n,) the digit of each feature.
    """
    from matplotlib import patheffects
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(10, 5.4), dpi=140, layout=ConstrainedLayoutEngine(wspace=0.05))
    for axes, (head, result) in zip(figure.subplots(1, len(trained)), trained.items(), strict=True):
        found = figures(result, labels)
        low, high = result.features.min(axis=0), result.features.max(axis=0)
        middle, half = (low + high) / 2, (high - low).max() / 2 * 1.08
        axes.set(
            xlim=(middle[0] - half, middle[0] + half),
            ylim=(middle[1] - half, middle[1] + half),
            aspect="equal",
            xlabel="first unit",
            ylabel="" if figure.axes[0] is not axes else "second unit",
        )
        axes.grid(color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"{HEADS[head]}\n", fontsize=14, fontweight="bold")
        axes.text(
            0.5,
            1.02,
            f"test accuracy {100 * found['accuracy']:.1f} %, within / between {found['within/between']:.3f}",
            ha="center",
            transform=axes.transAxes,
            fontsize=11,
        )
        for digit, mean in enumerate(class_means(result.features, labels)):
            points = result.features[labels == digit]
            axes.scatter(
                *points.T, s=20, color=COLOURS[digit], alpha=0.8, edgecolors="#333333", linewidths=0.25
            )
            axes.text(
                *mean,
                str(digit),
                ha="center",
                va="center",
                fontsize=15,
                fontweight="bold",
                color="black",
                path_effects=[patheffects.withStroke(linewidth=3.5, foreground="white")],
            )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).quantize(256).save(path, optimize=True)  # a third of the bytes, alike to the eye


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: median over seeds, and the lowest and highest seed in parentheses."""
    columns = ["head", "test accuracy", "within / between"]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for head in HEADS:
        cells = []
        for name in ("accuracy", "within/between"):
            values = [row[name] for row in rows if row["head"] == head]
            cells.append(f"{np.median(values):.3f} ({min(values):.3f} … {max(values):.3f})")
        lines.append("| " + " | ".join([head, *cells]) + " |")
    return lines


if __name__ == "__main__":
    main()
