"""Score people held out of training, and from that choose the best epoch.

All of it is computed outside the training graph; arrays in, figures out.
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

_NO_DISTANCE = 1e-3  # two copies of one picture; their logarithm would be infinite

Weights = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Score:
    """Open-set figures of held-out people.

    Attributes:
        tpir: share of mated searches answered rightly at the target FPIR.
        rank1: share of mated searches whose nearest template is the right person's.
        separation: mean over photos of ln(distance to the nearest other person / distance to the nearest
            own photo); it goes on telling models apart where the shares are all 1.
        searches: mated searches behind the shares.
    """

    tpir: float
    rank1: float
    separation: float
    searches: int

    @property
    def shares(self) -> tuple[float, float]:
        """TPIR and rank-1, what a user feels."""
        return self.tpir, self.rank1


def score(vectors: NDArray[np.float32], labels: NDArray[np.int32], target_fpir: float) -> Score:
    """Score unit vectors (n, dim) of people with at least two photos each, one photo left out at a time."""
    nearest = nearest_own_and_other(vectors, labels)
    searches = OpenSetScores.of_nearest(*nearest)
    return Score(searches.tpir(target_fpir), searches.rank1, separation(*nearest), len(searches.correct))


def separation(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Average ln(other / own) over (n,) distances of photos to the nearest of another and the own person."""
    own, other = (np.log(np.maximum(distances, _NO_DISTANCE)) for distances in (own, other))
    return float((other - own).mean())


def mean_score(scores: Sequence[Score]) -> Score:
    """Give the mean of scores of the same people; as many searches as one of them has stand behind it."""
    tpir, rank1, separation = (
        sum(getattr(entry, name) for entry in scores) / len(scores)
        for name in ("tpir", "rank1", "separation")
    )
    return Score(tpir, rank1, separation, scores[0].searches)


def is_better(now: Score, earlier: Sequence[Score], best: Score) -> bool:
    """Say whether an epoch is better than the best one before it.

    With a few dozen searches TPIR jumps by chance from epoch to epoch. So an epoch qualifies if its TPIR is
    at most one standard error below the highest so far (the rule of Breiman et al. 1984 for pruning trees),
    and among those the separation decides; see docs/decisions/004.

    Args:
        now: the score of this epoch.
        earlier: the scores of all epochs before it.
        best: the one of them that was best.
    """
    highest = max(entry.tpir for entry in [*earlier, now])
    share = (highest * now.searches + 1) / (now.searches + 2)  # no share is certain (Laplace)
    bar = highest - math.sqrt(share * (1 - share) / now.searches) - 1e-9
    if best.tpir < bar:
        return True
    return now.tpir >= bar and now.separation > best.separation


def blended(before: Weights, after: Weights, share: float) -> list[NDArray[np.float32]]:
    """Give weights on the line between two sets of them (Wortsman et al. 2022, WiSE-FT).

    Args:
        before: of a trunk.
        after: of the same trunk, trained further.
        share: of the trained ones.
    """
    return [a + np.float32(share) * (b - a) for a, b in zip(before, after, strict=True)]


@contextmanager
def weights_of(trunk: keras.Model, weights: Weights) -> Iterator[None]:
    """Lend a trunk other weights."""
    own = trunk.get_weights()
    trunk.set_weights(weights)
    try:
        yield
    finally:
        trunk.set_weights(own)


class HeldOut:
    """People who are not learned from: as their photos are, and with distillation as poor views of them too.

    Args:
        photos: of this process.
        split: which people are held out.
        config: filled.
        group: other processes, which have photos of others; all score together. None: there are none.
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
                self._group.gather_rows(crops.map(lambda block: embed_crops(trunk, block, config.mirror)))
                for crops in self._sets
            ]
        except ModelError as error:
            from embedder.callbacks import ADVICE

            raise DivergedError(f"training diverged: {error}; {ADVICE}") from error
        mean = mean_score([score(some, self._labels, config.target_fpir) for some in vectors])
        return Score(**self._group.first_json(asdict(mean)))  # they must not differ in a last digit


def _poor_copies(crops: Crops, config: FilledConfig) -> Crops:
    """The same copies at every epoch and in every run of a seed."""
    rng = np.random.default_rng([config.seed, 4])
    file = CropFile(crops.shape[1], len(crops))
    for row in range(len(crops)):
        file.append(poor_views(crops.take([row]), config.degrade_to, rng)[0])
    return file.crops()
