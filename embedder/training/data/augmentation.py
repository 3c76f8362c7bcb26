"""Draw random views of crops, the inputs of the training model.

A view is mirrored and shifted (`Augmented`), or degraded like photos of a poor camera (`DistillationViews`).
`prepare_training_data` chooses the photos to train on. Keras is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.config import FilledConfig
from embedder.images import resize_to_square
from embedder.training.data.photos import HeldOutSplit, Photos

Pixels = NDArray[np.uint8]

SHIFT = 0.05  # largest shift in shares of the side, as of a hand-held camera or a loose crop
POOR_SHIFT = 0.08  # likewise of degraded views: landmarks of poor photos are less exact
POOR_SCALE = 0.16  # largest change of scale of degraded views
LARGEST = 3  # ratio of the largest to the smallest side that is drawn
AS_IS = 0.15  # share of degraded views that keep their resolution
SQUEEZED = 0.5  # share of degraded views that are stretched to a square, as some cameras and programs do
FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


class Pictures(Protocol):
    """Gives pictures by their row numbers, read when they are needed."""

    def take(self, rows: NDArray[np.intp], /) -> Pixels:
        """Read the pictures of (k,) row numbers, which may repeat: (k, size, size, 3) uint8 RGB."""


class Views(Protocol):
    """Draws the inputs of a training model from photos."""

    def __call__(self, rows: NDArray[np.intp], rng: np.random.Generator, /) -> dict[str, NDArray[np.float32]]:
        """Draw the inputs of (k,) photos: arrays (k, ...) float32 by name."""


@dataclass(frozen=True, eq=False)
class Augmented:
    """Draws one view of each photo, shifted and, for half of them, mirrored.

    Attributes:
        crops: n pictures.
    """

    crops: Pictures

    def __call__(self, rows: NDArray[np.intp], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        """Draw views of (k,) photos: {"image": (k, size, size, 3) float32}."""
        return {"image": augment(self.crops.take(rows), rng).astype(np.float32)}


@dataclass(frozen=True, eq=False)
class DistillationViews:
    """Draws a degraded and a clean view of each photo, for `layers.Distillation`.

    Attributes:
        crops: n pictures to degrade.
        clean: n pictures of the same photos, aligned for the trunk.
        before: (2, n, dim) float32 features before training, of the clean pictures and of their mirror
            pictures.
        smallest: side of the smallest view in pixels; 0 keeps the resolution.
        photometric: strength of changes of light and colour of degraded views, 0 to 1.
    """

    crops: Pictures
    clean: Pictures
    before: NDArray[np.float32]
    smallest: int
    photometric: float = 0.0

    def __call__(self, rows: NDArray[np.intp], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        """Draw views of (k,) photos: "image", "target", "clean", "before" for `Distillation`."""
        mirrored = (rng.random(len(rows)) < 0.5).astype(np.intp)
        clean = self.clean.take(rows)
        kept = [crop[:, ::-1] if mirror else crop for crop, mirror in zip(clean, mirrored, strict=True)]
        poor = poor_views(self.crops.take(rows), self.smallest, rng)
        if self.photometric:
            poor = relit(poor, self.photometric, rng)
        return {
            "image": poor.astype(np.float32),
            "target": self.before[:, rows].mean(axis=0),
            "clean": np.stack(kept).astype(np.float32),
            "before": self.before[mirrored, rows],
        }


def augment(crops: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirror half of the pictures, and shift each by up to `SHIFT` of its side.

    Pixels beyond the border repeat those at the border.

    Args:
        crops: (n, size, size, 3) uint8 RGB.
        rng: generator that draws.

    Returns:
        A new array of the same shape.
    """
    count, size = crops.shape[:2]
    most = math.ceil(SHIFT * size)
    mirrored = rng.random(size=(count,)) < 0.5
    shifts = rng.integers(-most, most + 1, (count, 2))
    bordered = np.pad(crops, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    out = np.empty_like(crops)
    for i, (row, column) in enumerate(shifts + most):
        shifted = bordered[i, row : row + size, column : column + size]
        out[i] = shifted[:, ::-1] if mirrored[i] else shifted
    return out


def poor_views(crops: Pixels, smallest: int, rng: np.random.Generator) -> Pixels:
    """Degrade pictures like a poor camera: shifted, scaled, squeezed, of few pixels, mirrored.

    Args:
        crops: (n, size, size, 3) uint8 RGB.
        smallest: side of the smallest view in pixels; sides are drawn log-uniformly from it to `LARGEST`
            times as many. 0 keeps the resolution.
        rng: generator that draws.

    Returns:
        A new array of the same shape.
    """
    return np.stack([_poor_view(crop, smallest, rng) for crop in crops])


def _poor_view(crop: Pixels, smallest: int, rng: np.random.Generator) -> Pixels:
    size = len(crop)
    picture = without_bars(crop)
    height, width = picture.shape[:2]
    margin = round((POOR_SHIFT + POOR_SCALE) * max(height, width))
    bordered = Image.fromarray(np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))
    scale = 1 + rng.uniform(-POOR_SCALE, POOR_SCALE)
    down, right = rng.uniform(-POOR_SHIFT, POOR_SHIFT, 2) * (height, width)
    top, left = (margin + move + (1 - scale) * side / 2 for move, side in ((down, height), (right, width)))
    box = (left, top, left + scale * width, top + scale * height)
    side = float(max(height, width))
    if smallest and rng.random() >= AS_IS:
        side = smallest * LARGEST ** rng.random()
    proportions = np.ones(2) if rng.random() < SQUEEZED else np.array([width, height]) / max(height, width)
    across, along = np.maximum(1, np.rint(side * proportions).astype(int)).tolist()
    small = bordered.resize((across, along), FILTERS[rng.integers(len(FILTERS))], box=box)
    view = resize_to_square(np.asarray(small), size)
    return view[:, ::-1] if rng.random() < 0.5 else view


def relit(crops: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Change exposure, contrast and colour of each picture at random.

    Args:
        crops: (n, size, size, 3) uint8 RGB.
        strength: strength, 0 to 1; at 1 exposure varies by two stops up and down, contrast by a factor of 3,
            and colours by half.
        rng: generator that draws.

    Returns:
        A new array of the same shape.
    """
    spread = strength * rng.uniform(-1, 1, (5, len(crops), 1, 1, 1))
    gains = 2.0 ** (2 * spread[0]) * np.concatenate(list(1 + spread[1:4] / 2), axis=-1)
    means = crops.mean(axis=(1, 2, 3), keepdims=True)
    changed = means + 3.0 ** spread[4] * (crops - means)
    lit: Pixels = (changed * gains).clip(0, 255).astype(np.uint8)
    return lit


def without_bars(crop: Pixels) -> Pixels:
    """Cut off the black bars that fill a (size, size, 3) uint8 picture up to a square."""
    filled = crop.max(axis=2) > 0
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    if not len(rows):
        return crop
    return crop[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Holds the photos to train on.

    Attributes:
        views: function that draws the inputs of the training model.
        labels: (n,) int32 labels of the photos, from 0.
        people: number of people.
        means: (people, dim) float32 mean features of each person before training; None if the trunk is not
            pretrained.
    """

    views: Views
    labels: NDArray[np.int32]
    people: int
    means: NDArray[np.float32] | None


def prepare_training_data(
    features_of: Callable[[Pixels], NDArray[np.float32]],
    photos: Photos,
    split: HeldOutSplit,
    config: FilledConfig,
    pretrained: bool,
) -> TrainingData:
    """Choose the photos to train on, and compute their features before training.

    Args:
        features_of: trunk before training, from (n, size, size, 3) uint8 to (n, dim) float32.
        photos: photos of this process.
        split: split into photos to train on and photos of held-out people.
        config: options of the run.
        pretrained: whether the trunk is pretrained.
    """
    people, classes = np.unique(photos.labels[split.train], return_inverse=True)
    labels = classes.astype(np.int32)
    crops, clean = photos.crops.select(split.train), photos.clean.select(split.train)
    views: Views = Augmented(crops)
    means = None
    if config.distillation:
        before = np.stack(
            [
                clean.map(features_of),
                clean.map(lambda block: features_of(block[:, :, ::-1])),
            ]
        )
        views = DistillationViews(crops, clean, before, config.degrade_to, config.photometric)
        means = class_means(before.mean(axis=0), labels)
    elif pretrained:
        means = class_means(crops.map(features_of), labels)
    return TrainingData(views, labels, len(people), means)


def class_means(features: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Compute the mean features (classes, dim) of (n, dim) features by labels (n,) from 0."""
    totals = np.zeros((labels.max() + 1, features.shape[1]), np.float64)
    np.add.at(totals, labels, features)
    means: NDArray[np.float32] = (totals / np.bincount(labels)[:, None]).astype(np.float32)
    return means
