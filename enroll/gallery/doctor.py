"""Hand what a gallery holds to the doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder.errors import UsageError
from enroll.doctor.examine import Examination, examine
from enroll.gallery.threshold import read_calibration

if TYPE_CHECKING:
    from embedder._internal.runtime import Progress
    from enroll.store import Store


def examine_gallery(store: Store, progress: Progress | None = None) -> Examination:
    """Examine all templates of a gallery; see `enroll.doctor.examine.examine`.

    Args:
        store: the gallery.
        progress: hears of each template.

    Raises:
        UsageError: no one is enrolled.
        GalleryError: the gallery is broken.
    """
    templates = store.templates()
    if not len(templates.ids):
        raise UsageError(f"{store.location}: no one is enrolled; nothing to examine")
    model = store.model()
    kept = read_calibration(store, model[0]) if model else None
    calibration, warning = kept or (None, None)
    return examine(
        templates.vectors,
        templates.identities,
        ids=templates.ids,
        calibration=calibration.promise if calibration else None,
        warning=warning,
        finder=store.finder(),
        progress=progress,
    )
