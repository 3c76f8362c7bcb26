"""Read again the face that a template was made of, from its photo or its frame of a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import FilmError
from embedder.folders import Rejected
from enroll.embedding import PhotoSample, read_sample, take_sample
from enroll.gallery.places import box_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from enroll.gallery.photos import OriginalPhotos
    from enroll.templates import NewTemplate, StoredTemplate

    FilmFrame = Callable[[Path, float], NDArray[np.uint8]]


@dataclass(frozen=True)
class TemplateFaces:
    """Reads the faces of templates again.

    Attributes:
        photos: finds their files, and checks that they are unchanged.
        extractor: finds the faces in them.
        film_frame: returns the frame of a film at a time in seconds, (height, width, 3) uint8 RGB; None
            leaves films out.
    """

    photos: OriginalPhotos
    extractor: Extractor
    film_frame: FilmFrame | None = None

    def read(self, template: NewTemplate | StoredTemplate) -> PhotoSample | Rejected:
        """Return the sample without a vector, or why there is none."""
        if (moment := moment_of(template.photo)) is not None:
            return self._read_film(template, moment)
        found = self.photos.read(template)
        if isinstance(found, str):
            return Rejected(Path(template.photo), found)
        return read_sample(found[0], self.extractor, force=True, data=found[1], box=box_of(template.photo))

    def crop(self, template: NewTemplate | StoredTemplate) -> NDArray[np.uint8] | None:
        """Return the crop, (side, side, 3) uint8 RGB, None if the photo is gone or was changed."""
        sample = self.read(template)
        return sample.crop if isinstance(sample, PhotoSample) else None

    def _read_film(self, template: NewTemplate | StoredTemplate, moment: float) -> PhotoSample | Rejected:
        found = self.photos.film(template)
        if self.film_frame is None and not isinstance(found, str):
            found = "a frame of a film: `embed gallery re-embed` reads it"
        if self.film_frame is None or isinstance(found, str):
            return Rejected(Path(template.photo), str(found))
        try:
            pixels = self.film_frame(found, moment)
        except FilmError as error:
            return Rejected(found, error.reason)
        return take_sample(found, pixels, self.extractor, force=True, box=box_of(template.photo))
