"""Choose the share of the trained weights in interpolated ones, on held-out people.

Weights interpolated between those before and after training have most of the gain of training and little of
its loss on other photos (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). TPIR below is the
true positive identification rate, the share of mated searches that name the right person, at the target share
of strangers who are named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder.config import FilledConfig
from embedder.errors import DivergedError, ModelError
from embedder.metrics import OpenSetScores, nearest_own_and_other
from embedder.training.data.view_pool import CLEAN, DEGRADED, VARIED, VIEWS, ViewPool, unit
from embedder.training.heldout import Score, separation
from embedder.training.processes import ProcessGroup, numbered

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
EACH_EPOCH = 0.4  # share at which epochs are compared, before one is chosen
MOST_LOST = 0.01  # largest loss of TPIR on clean and on varied views
MOST_DRIFT = 0.04  # largest drift: mean of 1 - cosine between vectors of varied views before and after
_BLOCK = 128  # views embedded at a time
_SETS = ("clean", "degraded", "crossed", "varied")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Balance:
    """Holds the scores of a trunk on views of the held-out people.

    Attributes:
        share: share of the trained weights, 0 to 1; 0 is before training.
        tpir: TPIR by kind of search: `clean` photos among clean ones, `degraded` among degraded, `crossed`:
            degraded ones among clean, `varied`: tinted, turned, covered or in other light, among clean.
        rank1: share of mated searches with the right person nearest, by the same kinds of search.
        separation: mean separation of clean and degraded photos; see `heldout.Score`.
        drift: mean of 1 - cosine between the vectors of varied views now and before training.
        searches: number of mated searches of one kind.
    """

    share: float
    tpir: dict[str, float]
    rank1: dict[str, float]
    separation: float
    drift: float
    searches: int

    @property
    def score(self) -> Score:
        """Mean of clean, degraded and crossed searches, by which epochs are compared."""
        three = _SETS[:3]
        tpir, rank1 = (float(np.mean([part[name] for name in three])) for part in (self.tpir, self.rank1))
        return Score(tpir, rank1, self.separation, self.searches)

    @property
    def gained(self) -> float:
        """Mean TPIR of degraded photos, searched among degraded and among clean ones."""
        return (self.tpir["degraded"] + self.tpir["crossed"]) / 2

    def lost(self, before: Balance) -> float:
        """Compute the larger loss of TPIR, on clean or on varied photos."""
        return max(before.tpir[name] - self.tpir[name] for name in ("clean", "varied"))

    def helps(self, before: Balance) -> bool:
        """Return whether the gain on degraded photos is larger than the loss on others."""
        return self.gained - before.gained > max(0.0, self.lost(before))

    def describe(self) -> str:
        """Return TPIR and drift as a line of text."""
        sets = "  ".join(f"{name} {self.tpir[name]:.3f}" for name in _SETS)
        return f"TPIR {sets}, drift {self.drift:.3f}"


def choose_share(before: Balance, trained: Sequence[Balance]) -> Balance:
    """Choose the share with the largest gain among those with a small loss and drift.

    That is a loss of at most `MOST_LOST` of TPIR on clean and on varied views, and a drift of at most
    `MOST_DRIFT`: with the few held-out people of a small folder, TPIR stays high when it has fallen for
    photos of other cameras, and the drift shows that. If no share qualifies, the smallest is chosen.

    Args:
        before: scores before training.
        trained: scores by rising share.
    """
    little = [
        balance for balance in trained if balance.lost(before) <= MOST_LOST and balance.drift <= MOST_DRIFT
    ]
    return max(little, key=lambda balance: balance.gained) if little else trained[0]


def measure_shares(measure: Callable[[float], Balance]) -> list[Balance]:
    """Measure `SHARES` in rising order, up to the first with a drift above `MOST_DRIFT`."""
    balances: list[Balance] = []
    for share in SHARES:
        balances.append(measure(share))
        if balances[-1].drift > MOST_DRIFT:
            break
    return balances


class HeldOutViews:
    """Scores trunks on views of held-out people.

    Args:
        pool: views of all photos of this process.
        rows: (n,) numbers of the photos of held-out people.
        labels: (n,) int32 label of each photo's person, 0 to `people` - 1.
        people: number of people of this process.
        config: options of the run.
        group: processes of the run, whose photos are scored together.
    """

    def __init__(
        self,
        pool: ViewPool,
        rows: NDArray[np.intp],
        labels: NDArray[np.int32],
        people: int,
        config: FilledConfig,
        group: ProcessGroup,
    ) -> None:
        self._pool, self._rows, self._fpir, self._group = pool, rows, config.target_fpir, group
        own, _ = numbered(labels, people, group)
        self._labels = group.gather_rows(own)
        self._before = pool.before[VARIED][:, rows]

    def __len__(self) -> int:
        """Photos of all processes."""
        return len(self._labels)

    def measure(self, features: Callable[[NDArray[Any]], Floats], share: float) -> Balance:
        """Score a trunk.

        Args:
            features: function from arrays of the pool to (m, dim) unit vectors.
            share: share of the trained weights in those of the trunk.

        Raises:
            DivergedError: the trunk's features are not finite.
        """
        try:
            shown = [
                (CLEAN, 0),
                (DEGRADED, 0),
                (DEGRADED, 1),
                *((VARIED, one) for one in range(VIEWS[VARIED])),
            ]
            clean, *rest = self._vectors(features, shown)
            degraded, varied = rest[:2], rest[2:]
        except ModelError as error:
            from embedder.callbacks import ADVICE

            raise DivergedError(f"training diverged: {error}; {ADVICE}") from error
        before = [self._group.gather_rows(part) for part in self._before]
        drift = np.mean([1 - (a * b).sum(axis=1) for a, b in zip(varied, before, strict=True)])
        near = {
            "clean": [nearest_own_and_other(clean, self._labels)],
            "degraded": [nearest_own_and_other(part, self._labels) for part in degraded],
            "crossed": [nearest_own_and_other(part, self._labels, clean) for part in degraded],
            "varied": [nearest_own_and_other(part, self._labels, clean) for part in varied],
        }
        searches = {name: [OpenSetScores.of_nearest(*pair) for pair in pairs] for name, pairs in near.items()}
        balance = Balance(
            share,
            {name: float(np.mean([one.tpir(self._fpir) for one in some])) for name, some in searches.items()},
            {name: float(np.mean([one.rank1 for one in some])) for name, some in searches.items()},
            float(np.mean([separation(*pair) for pair in (*near["clean"], *near["degraded"])])),
            float(drift),
            len(searches["clean"][0].correct),
        )
        return Balance(**self._group.first_json(asdict(balance)))  # processes may differ in the last digit

    def _vectors(
        self, features: Callable[[NDArray[Any]], Floats], shown: Sequence[tuple[int, int]]
    ) -> list[Floats]:
        """Embed several views of all photos together, as a partly filled batch takes as long."""
        kinds, numbers = (np.repeat(part, len(self._rows)) for part in np.array(shown).T)
        rows = np.tile(self._rows, len(shown))
        vectors = np.concatenate(
            [
                features(self._pool.take(kinds[some], numbers[some], rows[some]))
                for some in (slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK))
            ]
        )
        if not np.isfinite(vectors).all():
            raise ModelError("features are not finite numbers")
        return [self._group.gather_rows(part) for part in np.split(unit(vectors), len(shown))]
