"""More people than a data set has: vectors drawn from a model that is fitted to real ones.

A person's place is normal around the mean of all, with the covariance of the real people's means, less what
their few photos add to it. A photo is normal around the person's place, with the covariance that photos of
one person have, stretched by a log-normal factor of the person's own: some people vary more. Rows are then
scaled to unit length. `compare` shows how near the distances come to the real ones: those to other people
agree, also in the tail that thresholds live in; photos of one person come out a little too far apart, as real
ones were often taken in one session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from enroll.distances import person_distances

Array = np.ndarray[Any, Any]
SHARES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Population:
    """What people are drawn from.

    Attributes:
        mean: (dim,) of all people.
        between, within: (dim, dim) roots of the covariances of people, and of photos of one person.
        spread, spread_varies: mean and standard deviation of the logarithm of a person's own factor.
    """

    mean: Array
    between: Array
    within: Array
    spread: float
    spread_varies: float

    @classmethod
    def fit(cls, vectors: Array, labels: Array) -> Population:
        """Fit to (n, dim) unit rows of people with the same number of photos each."""
        people, index, photos = np.unique(labels, return_inverse=True, return_counts=True)
        means = np.stack([vectors[labels == person].mean(axis=0) for person in people])
        rest = vectors - means[index]
        freedom = photos[0] - 1
        factors = np.sqrt(np.bincount(index, (rest**2).sum(axis=1)) / freedom)
        scaled = rest / factors[index, None]
        within = scaled.T @ scaled / (freedom * len(people))
        mean = means.mean(axis=0)
        between = np.cov(means.T) - within * (factors**2).mean() / photos[0]
        logs = np.log(factors)
        return cls(mean, _root(between), _root(within), float(logs.mean()), float(logs.std()))

    def draw(self, people: int, photos: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw people, (people * photos, dim) float32 unit rows and their labels."""
        dim = len(self.mean)
        places = self.mean + rng.standard_normal((people, dim)) @ self.between.T
        factors = np.exp(rng.normal(self.spread, self.spread_varies, people))
        noise = rng.standard_normal((people, photos, dim)) @ self.within.T
        vectors = places[:, None] + factors[:, None, None] * noise
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        return vectors.reshape(-1, dim).astype(np.float32), np.repeat(np.arange(people), photos)


def compare(vectors: Array, labels: Array, population: Population, seed: int = 0) -> dict[str, list[float]]:
    """Give quantiles of the distance from a photo to each other person's nearest photo, real and drawn."""
    photos = len(labels) // len(np.unique(labels))
    drawn, whose = population.draw(400, photos, np.random.default_rng(seed))
    return {
        name: [round(float(value), 3) for value in np.quantile(_to_others(some, of), SHARES)]
        for name, some, of in (("real", vectors, labels), ("drawn", drawn, whose))
    }


def _to_others(vectors: Array, labels: Array) -> Array:
    people = np.unique(labels)
    others: Array = person_distances(vectors, vectors, labels)[labels[:, None] != people]
    return others


def _root(covariance: Array) -> Array:
    values, axes = np.linalg.eigh(covariance)
    root: Array = axes * np.sqrt(np.clip(values, 0, None))
    return root
