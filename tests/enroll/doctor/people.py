"""Generated people for the doctor to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from enroll.doctor.evidence import DistanceEvidence, LabeledTemplates, fit_evidence
from enroll.doctor.examine import Examination, examine
from enroll.templates import Templates

DIM = 32


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made_people(
    people: int = 20, photos: int = 6, noise: float = 0.1, seed: int = 3
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Photos around a direction of each person's own; with little noise there is no doubt whose each is."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), photos)
    middles = unit(rng.normal(size=(people, DIM)))
    return unit(middles[labels] + noise * rng.normal(size=(len(labels), DIM))), labels


def labeled_of(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> LabeledTemplates:
    """Ids have gaps, as in a gallery from which people were removed."""
    names = np.array([f"p{label:02d}" for label in labels], object)
    return LabeledTemplates.of(Templates(3 * np.arange(1, len(labels) + 1), names, vectors))


def templates_of(labeled: LabeledTemplates) -> Templates:
    return Templates(labeled.ids, np.array(labeled.names, object)[labeled.labels], labeled.vectors)


def evidence_of(labeled: LabeledTemplates) -> DistanceEvidence:
    everyone = np.ones(len(labeled.labels), bool)
    evidence = fit_evidence(labeled, labeled.members(everyone), everyone)
    assert evidence is not None
    return evidence


def examined(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Examination:
    labeled = labeled_of(vectors, labels)
    return examine(labeled.vectors, np.array(labeled.names)[labeled.labels], ids=labeled.ids)
