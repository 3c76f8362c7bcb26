from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from embedder import metrics
from embedder.training.heldout import Score, is_better, score


def faces(people: int, photos: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around a direction per person."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(people, 16))
    rows = np.repeat(means, photos, 0) + spread * rng.normal(size=(people * photos, 16))
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(people, dtype=np.int32), photos)


@pytest.mark.parametrize(
    ("now", "earlier", "best", "expected"),
    [
        (0.98, [0.90], 0, True),  # far above: the separation does not matter
        (0.94, [0.96], 0, True),  # within one standard error, .027 at 50 searches, and better separated
        (0.92, [0.96], 0, False),
        (0.92, [0.94, 0.96], 0, False),  # measured against the highest, not against the best
        (0.99, [1.0], 0, True),
        (0.96, [1.0], 0, False),
    ],
)
def test_an_epoch_is_better_by_tpir_then_by_separation(now, earlier, best, expected):
    scores = [Score(tpir, 1.0, separation, 50) for separation, tpir in enumerate(earlier)]
    assert is_better(Score(now, 1.0, 9.0, 50), scores, scores[best]) == expected
    assert not is_better(Score(now, 1.0, -9.0, 50), scores, scores[best]) or now > max(earlier) + 0.03


def test_best_epoch_that_no_longer_qualifies_yields():
    scores = [Score(0.80, 1.0, 9.0, 50), Score(0.84, 1.0, 1.0, 50)]
    assert is_better(Score(0.99, 1.0, 0.0, 50), scores, scores[0])


def test_tight_people_score_higher_than_loose_ones():
    tight, loose = (score(*faces(5, 4, spread), 0.01) for spread in (0.1, 2.0))
    assert tight.tpir == tight.rank1 == 1.0
    assert loose.rank1 < 1.0
    assert loose.separation < tight.separation


def test_separation_by_hand():
    vectors, labels = faces(4, 3, 0.4)
    d = np.linalg.norm(vectors[:, None].astype(float) - vectors[None], axis=2)
    logarithms = []
    for i in range(12):
        own = min(d[i, j] for j in range(12) if labels[j] == labels[i] and j != i)
        other = min(d[i, j] for j in range(12) if labels[j] != labels[i])
        logarithms.append(np.log(other / own))
    assert score(vectors, labels, 0.01).separation == pytest.approx(np.mean(logarithms))
    assert score(vectors, labels, 0.01).searches == 12


def test_figures_do_not_depend_on_the_order_of_the_photos_or_on_blocks(monkeypatch: pytest.MonkeyPatch):
    vectors, labels = faces(6, 5, 0.4)
    before = score(vectors, labels, 0.05)
    order = np.random.default_rng(0).permutation(30)
    monkeypatch.setattr(metrics, "_BLOCK", 7 * 30)  # four blocks of seven rows, and one of two
    after = score(vectors[order], labels[order], 0.05)
    assert astuple(after) == pytest.approx(astuple(before))
