"""What a head learns from, and the people that it is measured on."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from embedder.config import FilledConfig
from embedder.errors import DivergedError, ModelError
from embedder.training.callbacks import ADVICE
from embedder.training.chips import ChipFile, Chips
from embedder.training.features import embed_chips, features_of
from embedder.training.held_out import Score, mean_score, score
from embedder.training.peers import Peers
from embedder.training.photos import Photos, Split
from embedder.training.shares import numbered
from embedder.training.views import Augmented, Rehearsed, Views, poor_views


@dataclass(frozen=True, eq=False)
class Material:
    """The photos that are learned from.

    Attributes:
        views: makes the inputs of the training model.
        labels: (n,) int32, numbers of the people from 0.
        people: how many.
        means: (people, dim), mean features of each before training; None if those mean nothing yet.
    """

    views: Views
    labels: NDArray[np.int32]
    people: int
    means: NDArray[np.float32] | None


def prepare(
    trunk: keras.Model, photos: Photos, split: Split, config: FilledConfig, pretrained: bool
) -> Material:
    """Take what is to be learned from, and what the trunk makes of it before training.

    Args:
        trunk: as it is before training.
        photos: all photos.
        split: which of them to learn from.
        config: filled.
        pretrained: whether the trunk's features mean something already.
    """
    people, classes = np.unique(photos.labels[split.train], return_inverse=True)
    labels = classes.astype(np.int32)
    chips, clean = photos.chips.select(split.train), photos.clean.select(split.train)
    views: Views = Augmented(chips)
    means = None
    if config.rehearsal:
        before = np.stack(
            [
                clean.map(lambda block: features_of(trunk, block)),
                clean.map(lambda block: features_of(trunk, block[:, :, ::-1])),
            ]
        )
        views = Rehearsed(chips, clean, before, config.poor_views, config.photometric)
        means = class_means(before.mean(axis=0), labels)
    elif pretrained:
        means = class_means(chips.map(lambda block: features_of(trunk, block)), labels)
    return Material(views, labels, len(people), means)


def class_means(features: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Mean features (classes, dim) of each class, from (n, dim) and labels (n,) from 0."""
    totals = np.zeros((labels.max() + 1, features.shape[1]), np.float64)
    np.add.at(totals, labels, features)
    means: NDArray[np.float32] = (totals / np.bincount(labels)[:, None]).astype(np.float32)
    return means


class HeldOut:
    """People who are not learned from: as their photos are, and in rehearsal as poor views of them too.

    Args:
        photos: of this process.
        split: which people are held out.
        config: filled.
        peers: other processes, which have photos of others; all score together. None: there are none.
    """

    def __init__(
        self, photos: Photos, split: Split, config: FilledConfig, peers: Peers | None = None
    ) -> None:
        self._peers = peers or Peers()
        self._config = config
        labels, _ = numbered(photos.labels[split.held_out], len(photos.identities), self._peers)
        self._labels = self._peers.gather_rows(labels)
        self._sets = [photos.chips.select(split.held_out)]
        if len(self) and config.rehearsal:
            self._sets.append(_poor_copies(self._sets[0], config))

    def __len__(self) -> int:
        """Photos of all processes."""
        return len(self._labels)

    def score(self, trunk: keras.Model) -> Score:
        """Score a trunk; the mean over both kinds of photos.

        Raises:
            DivergedError: its features are no numbers.
        """
        config = self._config
        try:
            vectors = [
                self._peers.gather_rows(chips.map(lambda block: embed_chips(trunk, block, config.mirror)))
                for chips in self._sets
            ]
        except ModelError as error:
            raise DivergedError(f"training diverged: {error}; {ADVICE}") from error
        mean = mean_score([score(some, self._labels, config.target_fpir) for some in vectors])
        return Score(**self._peers.first_json(asdict(mean)))  # they must not differ in a last digit


def _poor_copies(chips: Chips, config: FilledConfig) -> Chips:
    """The same copies at every epoch and in every run of a seed."""
    rng = np.random.default_rng([config.seed, 4])
    file = ChipFile(chips.shape[1], len(chips))
    for row in range(len(chips)):
        file.append(poor_views(chips.take([row]), config.poor_views, rng)[0])
    return file.chips()
