"""Which options heads refuse together, and that all others are let through."""

from __future__ import annotations

import pytest

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import HEADS
from embedder.training.validation import check_combination
from tests.contracts.cases import CASES


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"head": "softmax", "margin": 0.5},
            r"--margin: got 0.5, but with --head softmax there is no margin",
        ),
        ({"head": "softmax", "center_weight": 0.1}, "--center-weight: .* there are no centers"),
        ({"head": "arcface", "center_rate": 0.1}, "--center-rate: .* there are no centers"),
        ({"head": "triplet", "loss": "softened"}, "--loss: got softened, .* no classes to tell apart"),
        ({"head": "center", "scale": 8.0}, "--scale: .* no cosines"),
        ({"head": "arcface", "sub_centers": 4}, "--sub-centers: .* --head subcenter-arcface"),
        ({"head": "center", "mining": "all"}, "--mining: .* no pairs or triplets"),
        ({"head": "triplet", "query_projection": True}, "--query-projection: .* no queries"),
        ({"head": "center", "memory": 100}, "--memory: .* not compared with each other"),
        (
            {"head": "center", "label_smoothing": 0.2},
            "--label-smoothing: got 0.2, but only --loss softened has it",
        ),
        ({"head": "center", "loss": "softened", "beta": 2.0}, "--beta: .* only --loss f-beta has it"),
        ({"head": "arcface", "loss": "mean_absolute_error"}, "--loss: .* its gradient vanishes"),
        ({"head": "cosface", "loss": "f-beta"}, "--loss: .* its gradient vanishes"),
        ({"head": "cosface", "activity_penalty": 0.1}, "--activity-penalty: .* shrink to nothing"),
        ({"head": "softmax", "ramp_epochs": 3}, "--ramp-epochs: .* no λ and no ε"),
        ({"head": "nothing"}, "--head: expected softmax.*got 'nothing'"),
    ],
    ids=str,
)
def test_refused_with_the_reason(options: dict[str, object], reason: str):
    with pytest.raises(UsageError, match=reason):
        check_combination(TrainConfig(**options))


@pytest.mark.parametrize(
    "options",
    [
        *[{"head": head} for head in HEADS],
        *[case.options for case in CASES],
        {"head": "triplet", "margin": 0.3, "mining": "all", "memory": 64},
        {"head": "triplet-cosine", "query_projection": True},
        {"head": "softmax", "loss": "softened", "ramp_epochs": 3},
        {"head": "arcface", "loss": "sparse-categorical-crossentropy"},
        {"head": "arcface", "loss": "mine.py:any"},
        {"head": "mine.py:any", "margin": 0.3, "mining": "all"},
    ],
    ids=str,
)
def test_let_through(options: dict[str, object]):
    check_combination(TrainConfig(**options))
