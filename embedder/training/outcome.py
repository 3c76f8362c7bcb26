"""Say what a training run came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from embedder.training.heldout import Score
from embedder.training.share import Balance


@dataclass
class FitResult:
    """What a run came to.

    Attributes:
        scores: of the held-out people after each epoch, from 0, the trunk before training; empty if no one
            was held out.
        best_epoch: the best one trained; the last one if no one was held out.
        kept_epoch: the epoch whose weights the trunk now has: the best one, or 0 if training did not help.
        helped: whether the best epoch did better on the held-out people than the trunk before training.
        history: the log of each epoch, from 1.
        interrupted: whether Ctrl-C ended it.
        refitted: whether the weights are those of a second training, on everyone.
        share: of the trained weights in those that the trunk now has.
        balances: what views of the held-out people give before training and at the share that was chosen, on
            degraded, clean and varied views; empty without them.
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
