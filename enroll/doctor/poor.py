"""Photos that are too poor to recognize someone by, as far as their files are still there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder.config import QualityLimits
from embedder.errors import ImageError
from embedder.faces.crops import NO_FACE, principal
from embedder.faces.quality import problem
from embedder.images import decode_image
from embedder.progress import Progress
from enroll.photo_files import PhotoFiles

if TYPE_CHECKING:
    from pathlib import Path

    from embedder.extractor import Extractor
    from enroll.store import Store, StoredTemplate


@dataclass(frozen=True)
class PoorPhoto:
    """An enrolled photo that today would be refused without --force, and why."""

    name: str
    template: StoredTemplate
    reason: str


@dataclass(frozen=True)
class PoorPhotos:
    """The poor ones, by person, and how many photos' files are gone or have changed."""

    photos: tuple[PoorPhoto, ...]
    gone: int


def find_poor(store: Store, extractor: Extractor, progress: Progress | None = None) -> PoorPhotos:
    """Look at the photos again.

    Args:
        store: the gallery.
        extractor: finds the faces.
        progress: hears of each person.
    """
    files, poor, gone = PhotoFiles(), [], 0
    people = store.identities()
    with (progress or Progress()).bar("Looking", len(people)) as advance:
        for name, _ in people:
            for template in store.stored(name):
                found = files.read(template)
                if isinstance(found, str):
                    gone += 1
                elif reason := _problem(*found, extractor):
                    poor.append(PoorPhoto(name, template, reason))
            advance()
    return PoorPhotos(tuple(poor), gone)


def _problem(path: Path, data: bytes, extractor: Extractor) -> str | None:
    try:
        image = decode_image(data, path)
    except ImageError as error:
        return error.reason
    crops = extractor.crops(image)
    if not crops:
        return NO_FACE
    quality = principal(crops, image.shape).quality
    return problem(quality, QualityLimits()) if quality else None
