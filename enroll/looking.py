"""Define how photos are read and embedded on other machines: the questions and the answers.

The caller gives `windows` of some hundred photos, and gets the answers window by window, in the same order;
several windows are processed at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from embedder.errors import ImageError
from embedder.faces.photo import find_crops
from embedder.images import date_taken, decode_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.folders import Rejected
    from enroll.embedding import PhotoSample

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class AskedPhoto:
    """Holds a photo that is to be read elsewhere.

    Attributes:
        path: as it was given, for messages; without `data` it is read there, too.
        data: content of the file, if it is sent along.
    """

    path: Path
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class DigestedPhoto:
    """Holds the digest of a photo.

    Attributes:
        digest: SHA-256 of the file, 32 bytes; b"" if it cannot be read.
        problem: why it cannot be read, or None.
    """

    digest: bytes
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class SampledPhoto:
    """Holds the face of a photo that is to be enrolled.

    Attributes:
        digest: SHA-256 of the file, 32 bytes; b"" if it cannot be read.
        found: its face, or why it cannot be used.
    """

    digest: bytes
    found: PhotoSample | Rejected


@dataclass(frozen=True, eq=False)
class FoundFace:
    """Holds a face of a photo of a library.

    Attributes:
        box: x, y, width and height in pixels of the upright picture that was searched.
        vector: (dim,) float32 of unit length.
        quality: as `embedder.faces.quality.Quality` measures it, by name; empty if the picture is the face.
    """

    box: tuple[int, int, int, int]
    vector: NDArray[np.float32]
    quality: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class SearchedPhoto:
    """Holds the faces of a photo of a library.

    Attributes:
        digest: SHA-256 of the file, 32 bytes; b"" if it cannot be read.
        width: of the upright picture that was searched, in pixels; 0 if there is none.
        height: likewise.
        taken: when, ISO 8601 without a time zone, as the camera wrote it; None if unknown.
        problem: why it could not be searched for faces, or None.
        faces: all of them, the largest first.
    """

    digest: bytes
    width: int = 0
    height: int = 0
    taken: str | None = None
    problem: str | None = None
    faces: tuple[FoundFace, ...] = ()


class Looker(Protocol):
    """Reads and embeds photos on other machines."""

    @property
    def sends(self) -> bool:
        """Whether the content of photos is sent; otherwise they are read there, at their paths."""

    @property
    def window(self) -> int:
        """Number of photos of a window."""

    def digests(self, windows: Iterable[Sequence[AskedPhoto]]) -> Iterator[list[DigestedPhoto]]:
        """Compute the digests of photos."""

    def samples(
        self, windows: Iterable[Sequence[AskedPhoto]], force: bool, keep_crops: bool
    ) -> Iterator[list[SampledPhoto]]:
        """Find and embed the main face of each photo, as `enroll.embedding.embed_photos` does."""

    def faces(self, windows: Iterable[Sequence[AskedPhoto]]) -> Iterator[list[SearchedPhoto]]:
        """Find and embed all faces of photos, as `search_photo` does."""


def search_photo(data: bytes, digest: bytes, path: Path, extractor: Extractor) -> SearchedPhoto:
    """Find and embed all faces of a photo.

    Args:
        data: content of the file.
        digest: SHA-256 of it, 32 bytes.
        path: of the photo, for messages.
        extractor: the model.
    """
    taken = date_taken(data)
    try:
        found = find_crops(decode_frames(data, path), extractor.crops, path)
    except ImageError as error:
        return SearchedPhoto(digest, taken=taken, problem=error.reason)
    height, width = found.pixels.shape[:2]
    if not found.crops:
        return SearchedPhoto(digest, width, height, taken)
    vectors = extractor.embed([crop.pixels for crop in found.crops])
    faces = tuple(
        FoundFace(crop.box or (0, 0, width, height), vector, vars(crop.quality) if crop.quality else {})
        for crop, vector in zip(found.crops, vectors, strict=True)
    )
    return SearchedPhoto(digest, width, height, taken, None, faces)


def answered(
    windows: Iterable[list[Item]],
    question: Callable[[Item], AskedPhoto | None],
    ask: Callable[[Iterable[Sequence[AskedPhoto]]], Iterator[list[Answer]]],
) -> Iterator[list[tuple[Item, Answer | None]]]:
    """Ask about some of the items of each window, and yield all items with the answers.

    Args:
        windows: items; taken some windows ahead of the answers.
        question: returns the photo of an item, or None: nothing is asked about it.
        ask: a method of a `Looker`.

    Yields:
        All items of a window, each with the answer or None.
    """
    waiting: deque[list[tuple[Item, bool]]] = deque()

    def questions() -> Iterator[list[AskedPhoto]]:
        for window in windows:
            asked = [(item, question(item)) for item in window]
            waiting.append([(item, photo is not None) for item, photo in asked])
            yield [photo for _, photo in asked if photo is not None]

    for answers in ask(questions()):
        rest = iter(answers)
        yield [(item, next(rest) if asked else None) for item, asked in waiting.popleft()]


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in lists of a size; the last one may be shorter."""
    part: list[Item] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
