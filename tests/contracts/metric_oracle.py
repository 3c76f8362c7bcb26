"""Losses that compare photos, by slow loops over single photos in double precision."""

from __future__ import annotations

import numpy as np

MARGINS = {"triplet": 0.2, "triplet-cosine": 0.1, "quadruplet": 0.2, "contrastive": 1.0}


def comparisons(distance, labels, whose, mining, second=None):
    """Yield (positive, negative) distances; None where an anchor has none, for single photos in a loop."""
    count = len(labels)
    for a in range(count):
        positives = [distance[a][p] for p in range(count) if p != a and labels[p] == labels[a]]
        row = distance[a] if second is None else second[a]
        negatives = [row[n] for n in range(len(row)) if row[n] is not None and whose[n] != labels[a]]
        if mining == "batch-hard":
            yield max(positives, default=None), min(negatives, default=None)
        for p in positives if mining != "batch-hard" else []:
            if mining == "all":
                yield from ((p, n) for n in negatives)
            else:
                farther = [n for n in negatives if n > p]
                yield p, min(farther) if farther else max(negatives, default=None)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def hinges(pairs, margin, mining) -> float:
    losses = [max(0.0, p - n + margin) for p, n in pairs if p is not None and n is not None]
    return mean(loss for loss in losses if loss > 0 or mining != "all")


def oracle(name, mining, features, labels, remembered=(), of_remembered=(), anchors=None) -> float:
    def unit(rows):
        return [np.asarray(row, float) / np.sqrt(sum(float(v) ** 2 for v in row)) for row in rows]

    queries = unit(features if anchors is None else anchors)
    answers = unit([*features, *remembered])
    whose, margin, count = [*labels, *of_remembered], MARGINS[name], len(labels)
    if name == "triplet-cosine":
        distance = [[-sum(q * a) for a in answers] for q in queries]
    else:
        distance = [[sum((q - a) ** 2) for a in answers] for q in queries]
    if name == "contrastive":
        distance = np.sqrt(distance).tolist()
        if mining == "all":
            together = [
                distance[a][b]
                for a in range(count)
                for b in range(count)
                if a != b and labels[a] == labels[b]
            ]
            apart = [distance[a][b] for a in range(count) for b in range(len(whose)) if labels[a] != whose[b]]
        else:
            pairs = list(comparisons(distance, labels, whose, mining))
            together = [p for p, _ in pairs if p is not None]
            apart = [n for _, n in pairs if n is not None]
        return mean(p**2 for p in together) + mean(max(margin - n, 0) ** 2 for n in apart)
    loss = hinges(comparisons(distance, labels, whose, mining), margin, mining)
    if name == "quadruplet":
        nearest_third = [
            [
                min(
                    (distance[n][o] for o in range(len(whose)) if whose[o] not in (labels[n], labels[a])),
                    default=None,
                )
                for n in range(count)
            ]
            for a in range(count)
        ]
        second = comparisons(distance, labels, labels, mining, nearest_third)
        loss += hinges(second, margin / 2, mining)
    return loss


def gradient(function, features, step: float = 1e-5) -> np.ndarray:
    """By central differences."""
    features = np.asarray(features, float)
    out = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        up, down = features.copy(), features.copy()
        up[place] += step
        down[place] -= step
        out[place] = (function(up) - function(down)) / (2 * step)
    return out
