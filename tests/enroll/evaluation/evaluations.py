"""Evaluations of made vectors, shared by the tests of what is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from embedder.folders import Rejected
from enroll.config import EvaluationConfig
from enroll.evaluation.protocol import Evaluation, evaluate_samples
from enroll.folder_embedding import EmbeddedFolder

ROOT = Path("/photos")


def made_folder(
    people: int = 12,
    photos: int = 6,
    noise: float = 0.4,
    names: tuple[str, ...] | None = None,
    no_face: tuple[int, ...] = (),
    poor: tuple[int, ...] = (),
    unread: tuple[Rejected, ...] = (),
) -> EmbeddedFolder:
    """People around directions of their own, in 6 dimensions; more noise, more mistakes."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(people), photos)
    middles = rng.normal(size=(people, 6))
    vectors = middles[labels] + noise * rng.normal(size=(len(labels), 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = ~np.isin(np.arange(len(labels)), no_face)
    vectors[~found] = 0
    identities = names or tuple(f"p{person:02d}" for person in range(people))
    return EmbeddedFolder(
        identities=identities,
        paths=tuple(
            ROOT / identities[label].replace("/", "_") / f"{number % photos}.png"
            for number, label in enumerate(labels)
        ),
        labels=labels,
        vectors=vectors.astype(np.float32),
        found=found,
        enrollable=found & ~np.isin(np.arange(len(labels)), poor),
        problems={
            **dict.fromkeys(poor, "too dark: 3, at least 20; --accept-low-quality enrolls it all the same"),
            **dict.fromkeys(no_face, "no face found; --min-face looks for smaller ones"),
        },
        unread=unread,
    )


def photos_of(folder: EmbeddedFolder, counts: list[int]) -> EmbeddedFolder:
    """The first photos of each person, as many as said."""
    rows = np.concatenate([np.flatnonzero(folder.labels == p)[:count] for p, count in enumerate(counts)])
    return replace(
        folder,
        identities=folder.identities[: len(counts)],
        paths=tuple(folder.paths[row] for row in rows),
        labels=folder.labels[rows],
        vectors=folder.vectors[rows],
        found=folder.found[rows],
        enrollable=folder.enrollable[rows],
        problems={},
    )


def made_evaluation(folder: EmbeddedFolder | None = None, **config: float) -> Evaluation[EmbeddedFolder]:
    settings = {"splits": 4, "replicates": 40, "seed": 3} | config
    return evaluate_samples(folder or made_folder(), EvaluationConfig(**settings))  # type: ignore[arg-type]
