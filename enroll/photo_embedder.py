"""Embed photos as a transformer of scikit-learn, for the start of a pipeline."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from embedder._internal.runtime import map_in_order
from embedder.errors import ImageError, UsageError
from embedder.extractor import Extractor
from embedder.faces.crop import NO_FACE, main_face
from embedder.faces.photo import find_crops
from embedder.images import open_frames, photo_name
from enroll.embedding import part_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from embedder.images import Photo

ON_FAILURE = ("raise", "nan")


class PhotoEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Embeds the main face of each photo: photos in, unit vectors out.

    There is nothing to fit. The model is loaded when it is first needed, and is not pickled: processes of
    `joblib` load their own.

    Args:
        model: a model folder as `embed train` writes it, or an `embedder.Extractor`; None: the built-in model
            (docs/built-in.md).
        on_failure: what to do with a photo that cannot be read or has no face: `raise` an ImageError that
            names it, or return a row of `nan`.

    Attributes:
        dim_: length of a vector, once the model is loaded.

    Raises:
        UsageError: on_failure is something else.
        ModelError: the folder is no model.
        ImageError: a photo cannot be read or has no face, with its place among the photos.

    Example:
        >>> photos = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
        >>> PhotoEmbedder(model=whole_pictures).fit_transform(photos).shape
        (3, 48)
    """

    def __init__(self, model: Any = None, on_failure: str = "raise") -> None:
        self.model = model
        self.on_failure = on_failure

    def fit(self, X: Any = None, y: Any = None) -> PhotoEmbedder:
        """Check the parameters, and load the model.

        Args:
            X: ignored.
            y: ignored.

        Returns:
            Itself.
        """
        if self.on_failure not in ON_FAILURE:
            raise UsageError(f"on_failure: expected one of {', '.join(ON_FAILURE)}, got {self.on_failure!r}")
        self.dim_ = self._n_features_out = self._loaded().dim
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed photos, in several threads.

        Args:
            X: (n) photos, or one column of them: paths, bytes, open files, pictures of Pillow, or arrays,
                also mixed; arrays are (height, width[, 3 or 4]) of uint8, or of float from 0 to 1.

        Returns:
            (n, dim) float32 rows of length 1, or of NaN (`on_failure`).
        """
        if not hasattr(self, "dim_"):
            self.fit()
        extractor, photos = self._loaded(), _photos(X)
        vectors = np.full((len(photos), extractor.dim), np.nan, np.float32)

        def work(rows: Sequence[int]) -> tuple[list[int], NDArray[np.float32] | None]:
            crops = {row: crop for row in rows if (crop := self._crop(photos[row], row)) is not None}
            return list(crops), extractor.embed(list(crops.values())) if crops else None

        for rows, found in map_in_order(work, _parts(len(photos))):
            if found is not None:
                vectors[rows] = found
        return vectors

    def __sklearn_tags__(self) -> Any:
        """State that photos are no table of numbers, and that nothing is learned from them."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle, without the loaded model."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_extractor"}

    def _loaded(self) -> Extractor:
        with _lock:
            kept: tuple[Any, Extractor] | None = getattr(self, "_extractor", None)
            if kept is None or kept[0] is not self.model:
                ready = isinstance(self.model, Extractor) or hasattr(self.model, "embed")
                self._extractor = kept = self.model, self.model if ready else Extractor.load(self.model)
            return kept[1]

    def _crop(self, photo: Photo, row: int) -> NDArray[np.uint8] | None:
        """Return the crop of the main face of a photo, None for a row of NaN."""
        name = photo_name(photo)
        try:
            found = find_crops(open_frames(photo), self._loaded().crops, name)
            if found.crops:
                return main_face(found.crops, found.pixels.shape).pixels
            problem = ImageError(name, found.no_face or NO_FACE)
        except ImageError as error:
            problem = error
        if self.on_failure == "nan":
            return None
        raise ImageError(name, f"photo {row}: {problem.reason}; on_failure='nan' gives a row of NaN instead")


_lock = threading.Lock()


def _parts(photos: int) -> Iterator[range]:
    size = part_size(photos)
    for start in range(0, photos, size):
        yield range(start, min(start + size, photos))


def _photos(X: Any) -> list[Photo]:
    """Return photos as a list; of a data frame or array of objects, its one column.

    Raises:
        UsageError: one photo instead of a list, or more columns.
    """
    if isinstance(X, str | bytes | bytearray) or not hasattr(X, "__len__"):
        raise UsageError(f"X: expected a list of photos, got {type(X).__name__}; put it into a list: [photo]")
    table = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(table, np.ndarray) and table.dtype.kind in "OUS" and table.ndim == 2:
        if table.shape[1] != 1:
            raise UsageError(f"X: expected one column of photos, got {table.shape[1]}; choose one")
        table = table[:, 0]
    return [str(photo) if isinstance(photo, np.str_) else photo for photo in table]
