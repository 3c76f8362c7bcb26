"""Write reports, and read the faces in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import UnknownIdentityError
from enroll.cli.output import note
from enroll.cli.terminal import safe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder._internal.outputs import Inputs
    from embedder.extractor import Extractor
    from enroll.gallery.template_faces import TemplateFaces
    from enroll.store import Store


def check_place(report: Path | None, inputs: Inputs, force: bool) -> None:
    """Check the path of a report before the work; None is accepted."""
    if report is not None:
        from enroll.report.page import check_report

        check_report(report, inputs, force)


def save(report: Path, page: str, inputs: Inputs, force: bool) -> None:
    """Write a report, and print where."""
    from enroll.report.page import write_report

    write_report(report, page, inputs, force)
    note(f"Wrote {safe(report)}")


def gallery_name(gallery: str) -> str:
    """Return the name of a gallery for a title, without its folder, which is private."""
    from enroll.store import without_password

    return without_password(gallery).rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def template_faces(store: Store, extractor: Extractor) -> TemplateFaces:
    """Return a reader of the photos and films behind templates."""
    from enroll.gallery.photos import OriginalPhotos
    from enroll.gallery.places import home_of
    from enroll.gallery.template_faces import TemplateFaces
    from enroll.library.film_still import frame_at

    return TemplateFaces(OriginalPhotos(home=home_of(store)), extractor, frame_at)


def crop_of_photo(store: Store, extractor: Extractor) -> Callable[[str, str], NDArray[np.uint8] | None]:
    """Return a function that crops the face of a person's photo, by their name and its stored path.

    The crop is (height, width, 3) uint8 RGB, None if it cannot be shown.
    """
    faces = template_faces(store, extractor)

    def crop(name: str, photo: str) -> NDArray[np.uint8] | None:
        try:
            found = [template for template in store.stored(name) if template.photo == photo]
        except UnknownIdentityError:  # a stranger
            return None
        return faces.crop(found[0]) if found else None

    return crop
