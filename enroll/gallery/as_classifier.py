"""Convert a gallery to a classifier of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import UsageError
from enroll.gallery.threshold import FromModel, read_calibration, some_people
from enroll.templates import GrowableTemplates

if TYPE_CHECKING:
    from collections.abc import Container

    from embedder.extractor import Extractor
    from enroll.classifier import OpenSetNeighborsClassifier
    from enroll.store import Store


def classifier_of(
    store: Store, extractor: Extractor, expired: Container[str] = ()
) -> OpenSetNeighborsClassifier:
    """Fit a classifier on all templates, with the names and distances of `Identifier`.

    Args:
        store: the gallery.
        extractor: its model.
        expired: names of people who are left out.

    Returns:
        A classifier with the gallery's calibrated threshold, else the one by the model's distances between
        strangers, else none.

    Raises:
        UsageError: no one is enrolled.
        GalleryError: the gallery is broken.
    """
    from enroll.classifier import OpenSetNeighborsClassifier

    templates = store.templates()
    kept = np.array([name not in expired for name in templates.identities], bool)
    if not kept.any():
        raise UsageError(f"{store.location}: no one is enrolled; nothing to fit a classifier on")
    calibrated, known = read_calibration(store, extractor.fingerprint), extractor.manifest.strangers
    threshold = None
    if calibrated is not None:
        threshold = calibrated[0].calibration.threshold
    elif known is not None:
        people = store.identities()
        pool = GrowableTemplates(templates) if store.search_index() is None else None
        some = pool.of_people(some_people(people)) if pool else None
        threshold = FromModel.for_gallery(known, people, some).distance
    unknown = "unknown"
    while unknown in set(templates.identities):  # someone's name
        unknown = f"({unknown})"
    classifier = OpenSetNeighborsClassifier(threshold=threshold, unknown_label=unknown)
    return classifier.fit(templates.vectors[kept], templates.identities[kept].astype(str))
