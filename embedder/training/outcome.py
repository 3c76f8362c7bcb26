"""Define the result of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from embedder.training.heldout import Score
from embedder.training.share import Balance


@dataclass
class FitResult:
    """Holds the result of a training run.

    Attributes:
        scores: scores of the held-out people by epoch; the first is that before training. Empty without
            held-out people.
        best_epoch: number of the best epoch; that of the last one without held-out people.
        kept_epoch: number of the epoch whose weights the trunk has: the best one, or 0 if training did not
            help.
        helped: whether the best epoch scored better on the held-out people than the starting weights.
        history: logs by epoch; the first is that of epoch 1.
        interrupted: whether Ctrl-C stopped the run.
        refitted: whether the weights are those of a second training, on all people.
        share: share of the trained weights in the interpolated ones of the trunk, 0 to 1.
        balances: scores on views of the held-out people before training and at the chosen share; empty if
            photos themselves were trained on.
    """

    scores: list[Score] = field(default_factory=list)
    best_epoch: int = 0
    kept_epoch: int = 0
    helped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    refitted: bool = False
    share: float = 1.0
    balances: list[Balance] = field(default_factory=list)
