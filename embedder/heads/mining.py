"""Which photos of a batch are compared: each anchor with which positives and which negatives.

An anchor is a photo of the batch, its positives are the other photos of its person in the batch, its
negatives the photos of others. Symbols: B anchors, P and N candidates for either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

FAR = 1e4  # beyond any distance between unit vectors, yet finite: infinity times zero is not a number


class Mined(NamedTuple):
    """Distances of anchors to what they are compared with, in shapes that broadcast to the comparisons.

    Attributes:
        positive: float32.
        negative: float32.
        has_positive: bool, as `positive`, which means nothing where this is False.
        has_negative: bool, as `negative`, which means nothing where this is False.
    """

    positive: Any
    negative: Any
    has_positive: Any
    has_negative: Any


def mine(positive: Any, is_positive: Any, negative: Any, is_negative: Any, mining: str) -> Mined:
    """Choose the comparisons of a batch.

    - `all`: each anchor with each pair of a positive and a negative; (B, P, 1) and (B, 1, N).
    - `semi-hard`: each anchor and positive with the nearest negative that is farther than the positive
      (Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
      Clustering"). Where all negatives are nearer than the positive there is none; then the farthest stands
      in, the closest to being one: the photo most in need of learning is not passed over, and the hardest
      negatives, on which training can collapse, are still avoided. (B, P) both.
    - `batch-hard`: each anchor with its farthest positive and its nearest negative (Hermans, Beyer and Leibe
      2017, "In Defense of the Triplet Loss for Person Re-Identification"). (B,) both. A triplet loss of
      squared distances then may draw all photos to one point first, where it stays at its margin for long.

    Args:
        positive: (B, P) float32, distances to candidates.
        is_positive: (B, P) bool, which of them are positives.
        negative: (B, N) float32, distances to candidates.
        is_negative: (B, N) bool, which of them are negatives.
        mining: one of the three words.
    """
    if mining == "all":
        return Mined(positive[:, :, None], negative[:, None], is_positive[:, :, None], is_negative[:, None])
    or_far = ops.where(is_negative, negative, FAR)
    any_negative = ops.any(is_negative, axis=1)
    if mining == "semi-hard":
        beyond = ops.where(negative[:, None] > positive[:, :, None], or_far[:, None], FAR)
        nearest = ops.min(beyond, axis=2)
        farthest = ops.max(ops.where(is_negative, negative, -FAR), axis=1, keepdims=True)
        chosen = ops.where(nearest < FAR, nearest, farthest)
        return Mined(positive, chosen, is_positive, ops.logical_and(is_positive, any_negative[:, None]))
    farthest = ops.max(ops.where(is_positive, positive, -FAR), axis=1)
    return Mined(farthest, ops.min(or_far, axis=1), ops.any(is_positive, axis=1), any_negative)


def mean_where(values: Any, chosen: Any) -> Any:
    """Average some values, float32; 0 if there is none.

    Args:
        values: any shape.
        chosen: bool, of the same shape.
    """
    chosen_values = ops.where(chosen, values, 0.0)  # not a product: what is left out may be anything
    return ops.sum(chosen_values) / ops.maximum(ops.sum(ops.cast(chosen, "float32")), 1.0)
