"""Learning rates by epoch, as one option."""

from __future__ import annotations

from embedder.errors import UsageError


def parse_steps(text: str) -> list[tuple[int, float]]:
    """Read "50:1e-3,80:1e-4" as [(50, .001), (80, .0001)]: the rate after so many epochs.

    Raises:
        UsageError: it reads otherwise, or epochs do not rise.
    """
    pairs = []
    try:
        for part in filter(None, text.split(",")):
            epoch, _, rate = part.partition(":")
            pairs.append((int(epoch), float(rate)))
    except ValueError as error:
        raise UsageError(f'--steps: expected epoch:rate pairs as "50:1e-3,80:1e-4", got {text!r}') from error
    epochs = [epoch for epoch, _ in pairs]
    if epochs != sorted(set(epochs)) or any(epoch < 1 or not 0 < rate <= 10 for epoch, rate in pairs):
        raise UsageError(f"--steps: expected rising epochs from 1 and rates up to 10, got {text!r}")
    return pairs
