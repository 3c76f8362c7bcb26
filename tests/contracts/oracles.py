"""What heads should compute, in numpy: double precision, one sample and one class at a time."""

from __future__ import annotations

import math

import numpy as np


def softmax(z):
    """p = e^z / Σ e^z of one row."""
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


def dense(x, weights):
    """W x + b."""
    return np.array(
        [
            [row @ weights["kernel"][:, k] + weights["bias"][k] for k in range(len(weights["bias"]))]
            for row in x
        ]
    )


def cosines(x, y, weights, scale, margin, classes):
    """s · cos, of the own class with its margin; of several columns a class has, the nearest counts."""
    kernel = weights["kernel"]
    each = kernel.shape[1] // classes
    z = np.zeros((len(x), classes))
    for i, row in enumerate(x):
        for k in range(classes):
            columns = [kernel[:, k * each + j] for j in range(each)]
            cosine = max(row @ w / math.sqrt(row @ row) / math.sqrt(w @ w) for w in columns)
            z[i, k] = scale * (margin(cosine) if k == y[i] else cosine)
    return z


def arc_margin(m):
    """Cos(θ + m) as long as that falls."""

    def margin(cosine):
        angle = math.acos(cosine) + m
        return math.cos(angle) if angle < math.pi else cosine + math.cos(m) - 1

    return margin


def crossentropy(z, y):
    return sum(-math.log(softmax(row)[own]) for row, own in zip(z, y, strict=True)) / len(y)


def softened(z, y, epsilon):
    total = 0.0
    for row, own in zip(z, y, strict=True):
        p = softmax(row)
        total += (1 - epsilon) * -math.log(p[own]) + epsilon * sum(-math.log(q) / len(p) for q in p)
    return total / len(y)


def f_beta(z, y, beta):
    p = np.array([softmax(row) for row in z])
    scores = []
    for k in sorted(set(y.tolist())):
        true = sum(p[i, k] for i in range(len(y)) if y[i] == k)
        false = sum(p[i, k] for i in range(len(y)) if y[i] != k)
        missed = sum(1 - p[i, k] for i in range(len(y)) if y[i] == k)
        precision, recall = true / (true + false), true / (true + missed)
        scores.append((1 + beta**2) * precision * recall / (beta**2 * precision + recall))
    return 1 - sum(scores) / len(scores)


def squared_logarithmic(z, y):
    total = 0.0
    for row, own in zip(z, y, strict=True):
        p = softmax(row)
        total += sum((math.log1p(p[k]) - math.log1p(k == own)) ** 2 for k in range(len(p))) / len(p)
    return total / len(y)


def center_distance(x, y, weights):
    return sum(sum((row - weights["centers"][own]) ** 2) for row, own in zip(x, y, strict=True)) / len(y)


def activity(x):
    return sum(abs(value) for row in x for value in row) / len(x)


def moved_centers(x, y, centers, rate):
    """Equation 4 of Wen et al. 2016."""
    moved = np.array(centers, float)
    for j in range(len(moved)):
        own = x[y == j]
        moved[j] -= rate * sum((centers[j] - row for row in own), np.zeros(x.shape[1])) / (1 + len(own))
    return moved


def slope(function, value, step=1e-6):
    """Gradient of a function of an array by central differences."""
    gradient = np.zeros_like(value)
    for index in np.ndindex(value.shape):
        ahead, behind = value.copy(), value.copy()
        ahead[index] += step
        behind[index] -= step
        gradient[index] = (function(ahead) - function(behind)) / (2 * step)
    return gradient
