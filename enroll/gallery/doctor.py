"""Examine a gallery: read its templates and calibration for the doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder.built_in import find_manifest
from embedder.errors import UsageError
from enroll.doctor.examine import Examination, examine
from enroll.gallery.threshold import read_calibration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from embedder._internal.runtime import Progress
    from enroll.store import Store


def examine_gallery(
    store: Store, progress: Progress | None = None, models: Iterable[str] = ()
) -> Examination:
    """Examine all templates of a gallery; see `enroll.doctor.examine.examine`.

    Args:
        store: the gallery.
        progress: progress bar, advanced with every template.
        models: folders, or `built-in`, that may be the gallery's model; the distances between strangers by
            that one are used to forecast the FPIR, as `embed calibrate` does.

    Raises:
        UsageError: no one is enrolled.
        GalleryError: the gallery is broken.
    """
    templates = store.templates()
    if not len(templates.ids):
        raise UsageError(f"{store.location}: no one is enrolled; nothing to examine")
    model = store.model()
    kept = read_calibration(store, model[0]) if model else None
    record, warning = kept or (None, None)
    manifests = (find_manifest(name) for name in dict.fromkeys(models))
    ours = next((one for one in manifests if model and one and one.fingerprint == model[0]), None)
    return examine(
        templates.vectors,
        templates.identities,
        ids=templates.ids,
        calibration=record.calibration if record else None,
        warning=warning,
        strangers=ours.strangers if ours else None,
        search_index=store.search_index(),
        progress=progress,
    )
