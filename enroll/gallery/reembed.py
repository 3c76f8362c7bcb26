"""Embed the photos of a gallery again, by another model; names and terms stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import Progress, map_in_order
from embedder.errors import UsageError
from embedder.faces.crop import NO_FACE
from embedder.folders import Rejected
from enroll.embedding import PhotoSample, embed_samples, part_size
from enroll.gallery.photos import OriginalPhotos
from enroll.gallery.places import box_of, moment_of, photo_file, stored_path, with_box
from enroll.gallery.template_faces import TemplateFaces
from enroll.gallery.transfer import GallerySnapshot, PersonRecord
from enroll.store import Store
from enroll.templates import NewTemplate

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.gallery.template_faces import FilmFrame


@dataclass(frozen=True)
class LostPhoto:
    """Holds a photo that has no vector by the new model.

    Attributes:
        person: name of the person.
        photo: path it was enrolled from.
        reason: why, in one sentence.
    """

    person: str
    photo: str
    reason: str


@dataclass(frozen=True, eq=False)
class ReembedResult:
    """Holds the content of a gallery by another model.

    Attributes:
        content: people who have a photo left, and strangers; no calibration.
        lost: photos that could not be used, strangers' too.
        gone: names of the people who have no photo left, sorted.
    """

    content: GallerySnapshot
    lost: tuple[LostPhoto, ...]
    gone: tuple[str, ...]


def reembed(
    content: GallerySnapshot,
    extractor: Extractor,
    folder: Path | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
    film_frame: FilmFrame | None = None,
) -> ReembedResult:
    """Embed the photos of a gallery by another model.

    A photo is used only if its file is, byte for byte, the one that was enrolled. Poor faces are accepted,
    since they were accepted before.

    Args:
        content: of the gallery.
        extractor: the other model.
        folder: where to look for photos that were moved.
        progress: progress bar, advanced with every photo.
        home: the folder of the gallery; see `enroll.gallery.places`.
        film_frame: returns the frame of a film at a time in seconds, (height, width, 3) uint8 RGB; None
            leaves out what was enrolled from films.

    Raises:
        UsageError: `folder` is no folder.
    """
    photos = OriginalPhotos(folder, home)
    entries = [(person.name, template) for person in content.people for template in person.templates]
    everything = [*entries, *content.strangers]
    outcomes = []
    with (progress or Progress()).bar("Embedding", len(everything), "photos") as advance:
        for outcome in _outcomes(
            [template for _, template in everything], photos, extractor, home, film_frame
        ):
            outcomes.append(outcome)
            advance()
    lost, again = [], []
    for (name, template), outcome in zip(everything, outcomes, strict=True):
        if isinstance(outcome, str):
            lost.append(LostPhoto(name, template.photo, outcome))
        again.append((name, outcome))
    kept: dict[str, list[NewTemplate]] = {person.name: [] for person in content.people}
    for name, outcome in again[: len(entries)]:
        if not isinstance(outcome, str):
            kept[name].append(outcome)
    people = tuple(
        PersonRecord(person.name, person.terms, tuple(kept[person.name]))
        for person in content.people
        if kept[person.name]
    )
    strangers = tuple(
        (name, outcome) for name, outcome in again[len(entries) :] if not isinstance(outcome, str)
    )
    return ReembedResult(
        GallerySnapshot((extractor.fingerprint, extractor.dim), people, strangers),
        tuple(lost),
        tuple(name for name, templates in kept.items() if not templates),
    )


def replace_all(store: Store, content: GallerySnapshot, since: tuple[int, int]) -> None:
    """Replace the content of a gallery by what was embedded again, in one transaction.

    Args:
        store: the gallery.
        content: from `reembed`.
        since: `store.changes()` when the old content was read.

    Raises:
        UsageError: another process changed the gallery since, or it is in Milvus; it is as it was.
        GalleryError: it cannot be written; it is as it was.
    """
    assert content.model is not None
    templates = [(person.name, template) for person in content.people for template in person.templates]
    if not store.remake(content.model, [*templates, *content.strangers], since):
        raise UsageError(f"{store.location}: someone changed it meanwhile; nothing was done, try again")


def _outcomes(
    templates: Sequence[NewTemplate],
    photos: OriginalPhotos,
    extractor: Extractor,
    home: Path | None,
    film_frame: FilmFrame | None,
) -> Iterator[NewTemplate | str]:
    """Yield each photo's new template, or why there is none."""
    faces = TemplateFaces(photos, extractor, film_frame)

    def work(part: Sequence[NewTemplate]) -> list[NewTemplate | str]:
        samples = embed_samples([faces.read(template) for template in part], extractor)
        return [_replaced(template, sample, home) for template, sample in zip(part, samples, strict=True)]

    size = part_size(len(templates))
    parts = (templates[start : start + size] for start in range(0, len(templates), size))
    for done in map_in_order(work, parts):
        yield from done


def _replaced(template: NewTemplate, sample: PhotoSample | Rejected, home: Path | None) -> NewTemplate | str:
    if isinstance(sample, Rejected):
        return sample.reason
    if sample.vector is None:
        return sample.problem or NO_FACE
    same = bool(template.photo) and sample.path == photo_file(template.photo, home)
    box = box_of(template.photo)
    moved = stored_path(sample.path, home)
    photo = template.photo if same else with_box(moved, box, moment_of(template.photo)) if box else moved
    return NewTemplate(photo, template.digest, sample.vector)
