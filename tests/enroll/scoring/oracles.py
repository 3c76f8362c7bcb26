"""Every scorer written down once more, in plain Python from its definition."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev

Vector = Sequence[float]
People = dict[int, list[Vector]]
Scores = dict[int, float]
Base = Callable[[Vector, list[Vector]], float]


def nearest(query: Vector, own: list[Vector]) -> float:
    return min(math.dist(query, row) for row in own)


def k_nearest(query: Vector, own: list[Vector], k: int) -> float:
    return fmean(sorted(math.dist(query, row) for row in own)[:k])


def mean_direction(own: list[Vector]) -> Vector:
    total = [sum(column) for column in zip(*own, strict=True)]
    return [value / math.hypot(*total) for value in total]


def mean(query: Vector, own: list[Vector]) -> float:
    return math.dist(query, mean_direction(own))


def margin(query: Vector, people: People, form: str, weight: float) -> Scores:
    scores = {}
    for person, own in people.items():
        d = nearest(query, own)
        e = min(nearest(query, rows) for other, rows in people.items() if other != person)
        gated = d if e - d >= weight else d + 4
        scores[person] = {"difference": d - weight * e, "ratio": d / e**weight, "gate": gated}[form]
    return scores


def cohort(query: Vector, people: People, strangers: list[Vector], count: int, weight: float) -> Scores:
    near = fmean(sorted(math.dist(query, row) for row in strangers)[:count])
    return {person: nearest(query, own) - weight * near for person, own in people.items()}


def z_norm(query: Vector, people: People, strangers: list[Vector], top: int | None) -> Scores:
    scores = {}
    for person, own in people.items():
        others = [row for other, rows in people.items() if other != person for row in rows]
        impostors = sorted(nearest(row, own) for row in strangers or others)[:top]
        scores[person] = (nearest(query, own) - fmean(impostors)) / pstdev(impostors)
    return scores


def t_norm(query: Vector, people: People, strangers: list[Vector], top: int | None) -> Scores:
    scores = {}
    for person, own in people.items():
        others = [nearest(query, rows) for other, rows in people.items() if other != person]
        impostors = sorted([math.dist(query, row) for row in strangers] or others)[:top]
        scores[person] = (nearest(query, own) - fmean(impostors)) / pstdev(impostors)
    return scores


def s_norm(query: Vector, people: People, strangers: list[Vector], top: int | None) -> Scores:
    z, t = z_norm(query, people, strangers, top), t_norm(query, people, strangers, top)
    return {person: (z[person] + t[person]) / 2 for person in people}
