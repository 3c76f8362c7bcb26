"""Score held-out people, and choose the best epoch by their scores.

Scores are computed with numpy, outside of the training graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedder.config import FilledConfig
from embedder.errors import DivergedError, ModelError
from embedder.metrics import OpenSetScores, nearest_own_and_other
from embedder.training.data.augmentation import poor_views
from embedder.training.data.crop_store import CropFile, Crops
from embedder.training.data.photos import HeldOutSplit, Photos
from embedder.training.processes import ProcessGroup, numbered
from embedder.trunks import embed_crops

if TYPE_CHECKING:
    import keras

_NO_DISTANCE = 1e-3  # least distance; at 0, of two copies of a picture, the logarithm would be infinite

Weights = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Score:
    """Holds the open-set scores of held-out people.

    Attributes:
        tpir: true positive identification rate (TPIR), the share of mated searches that name the right person
            at the target FPIR (false positive identification rate, the share of strangers who are named).
        rank1: share of mated searches whose nearest template is of the right person.
        separation: mean over photos of ln(distance to the nearest other person / distance to the nearest
            photo of the same person); it differs between models whose other scores are 1.
        searches: number of mated searches.
    """

    tpir: float
    rank1: float
    separation: float
    searches: int

    @property
    def shares(self) -> tuple[float, float]:
        """TPIR and rank-1."""
        return self.tpir, self.rank1


def score(vectors: NDArray[np.float32], labels: NDArray[np.int32], target_fpir: float) -> Score:
    """Score people by leave-one-out searches of their photos.

    Args:
        vectors: (n, dim) float32 rows of unit length.
        labels: (n,) label of each row's person; at least two rows of each.
        target_fpir: share of strangers who may be named, 0 to 1.
    """
    nearest = nearest_own_and_other(vectors, labels)
    searches = OpenSetScores.of_nearest(*nearest)
    return Score(searches.tpir(target_fpir), searches.rank1, separation(*nearest), len(searches.correct))


def separation(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Compute the mean of ln(other / own) over photos.

    Args:
        own: (n,) distance of each photo to the nearest other photo of its person.
        other: (n,) distance of each photo to the nearest photo of another person.
    """
    own, other = (np.log(np.maximum(distances, _NO_DISTANCE)) for distances in (own, other))
    return float((other - own).mean())


def mean_score(scores: Sequence[Score]) -> Score:
    """Compute the mean of scores of the same people; `searches` is that of one of them."""
    tpir, rank1, separation = (
        sum(getattr(entry, name) for entry in scores) / len(scores)
        for name in ("tpir", "rank1", "separation")
    )
    return Score(tpir, rank1, separation, scores[0].searches)


def is_better(now: Score, earlier: Sequence[Score], best: Score) -> bool:
    """Return whether an epoch is better than the best one before it.

    With a few dozen searches the TPIR varies by chance between epochs. So an epoch qualifies if its TPIR is
    at most one standard error below the highest so far (Breiman, Friedman, Olshen and Stone 1984,
    "Classification and Regression Trees", prune trees so), and among these the largest separation is best;
    see docs/decisions/004.

    Args:
        now: score of this epoch.
        earlier: scores of all epochs before it.
        best: score of the best epoch before it.
    """
    highest = max(entry.tpir for entry in [*earlier, now])
    share = (highest * now.searches + 1) / (now.searches + 2)  # Laplace's estimate: the error is never 0
    lowest = highest - math.sqrt(share * (1 - share) / now.searches) - 1e-9
    if best.tpir < lowest:
        return True
    return now.tpir >= lowest and now.separation > best.separation


def interpolated(before: Weights, after: Weights, share: float) -> list[NDArray[np.float32]]:
    """Interpolate linearly between the weights of a trunk before and after training.

    Wortsman et al. 2022, "Robust fine-tuning of zero-shot models".

    Args:
        before: weights before training.
        after: weights after training, in the same order.
        share: share of `after`, 0 to 1.
    """
    return [a + np.float32(share) * (b - a) for a, b in zip(before, after, strict=True)]


@contextmanager
def weights_of(trunk: keras.Model, weights: Weights) -> Iterator[None]:
    """Set other weights of a trunk for the length of a block."""
    own = trunk.get_weights()
    trunk.set_weights(weights)
    try:
        yield
    finally:
        trunk.set_weights(own)


class HeldOut:
    """Scores trunks on photos of held-out people and, with distillation, on degraded copies.

    Args:
        photos: photos of this process.
        split: split into photos to train on and photos of held-out people.
        config: options of the run.
        group: processes of the run, whose photos are scored together; None: this process alone.
    """

    def __init__(
        self, photos: Photos, split: HeldOutSplit, config: FilledConfig, group: ProcessGroup | None = None
    ) -> None:
        self._group = group or ProcessGroup()
        self._config = config
        labels, _ = numbered(photos.labels[split.held_out], len(photos.identities), self._group)
        self._labels = self._group.gather_rows(labels)
        self._sets = [photos.crops.select(split.held_out)]
        if len(self) and config.distillation:
            self._sets.append(_poor_copies(self._sets[0], config))

    def __len__(self) -> int:
        """Return the number of photos of all processes."""
        return len(self._labels)

    def score(self, trunk: keras.Model) -> Score:
        """Score a trunk, as a mean over original and degraded photos.

        Raises:
            DivergedError: the trunk's features are not finite.
        """
        config = self._config
        try:
            vectors = [
                self._group.gather_rows(crops.map(lambda block: embed_crops(trunk, block, config.mirror)))
                for crops in self._sets
            ]
        except ModelError as error:
            from embedder.callbacks import ADVICE

            raise DivergedError(f"training diverged: {error}; {ADVICE}") from error
        mean = mean_score([score(rows, self._labels, config.target_fpir) for rows in vectors])
        return Score(**self._group.first_json(asdict(mean)))  # processes may differ in the last digit


def _poor_copies(crops: Crops, config: FilledConfig) -> Crops:
    """Draw degraded copies of crops, the same in every run with the same seed."""
    rng = np.random.default_rng([config.seed, 4])
    file = CropFile(crops.shape[1], len(crops))
    for row in range(len(crops)):
        file.append(poor_views(crops.take([row]), config.degrade_to, rng)[0])
    return file.crops()
