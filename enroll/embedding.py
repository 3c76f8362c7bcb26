"""Turn photos into one face and one vector each, or the reason why there is none.

Of a labelled folder every photo is embedded once, and none is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import Progress, in_order, workers
from embedder._internal.wording import count
from embedder.config import QualityLimits
from embedder.errors import ImageError, UsageError
from embedder.faces.crop import NO_FACE, principal
from embedder.faces.quality import problem
from embedder.folders import LabelledFolder, Rejected, Sample
from embedder.images import decode_image, load_image
from enroll.config import IdentifyConfig
from enroll.evaluation.verification import Comparisons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor


@dataclass(frozen=True, eq=False)
class PhotoSample:
    """What was found in a photo.

    Attributes:
        path: the photo.
        chip: (size, size, 3) uint8, or None if there is no face.
        faces: how many there are.
        problem: why it cannot be enrolled, or None.
        vector: (dim,) float32 unit vector of the chip, if it was embedded.
    """

    path: Path
    chip: NDArray[np.uint8] | None
    faces: int
    problem: str | None
    vector: NDArray[np.float32] | None = None


def embed_photos(
    paths: Sequence[Path], extractor: Extractor, force: bool = False
) -> Iterator[PhotoSample | Rejected]:
    """Read, find, align and embed photos, side by side; in their order, those that cannot be read too.

    Args:
        paths: of the photos.
        extractor: finds and embeds the faces.
        force: as for `take_sample`.
    """

    def work(part: Sequence[Path]) -> list[PhotoSample | Rejected]:
        return embed_samples([read_sample(path, extractor, force) for path in part], extractor)

    size = part_size(len(paths))
    parts = (paths[start : start + size] for start in range(0, len(paths), size))
    for done in in_order(work, parts):
        yield from done


def part_size(photos: int, most: int = IdentifyConfig.batch_size) -> int:
    """How many of so many photos a thread reads before it embeds them; few are shared out."""
    return max(1, min(most, math.ceil(photos / workers())))


def read_sample(
    path: Path, extractor: Extractor, force: bool = False, data: bytes | None = None
) -> PhotoSample | Rejected:
    """Read a photo and choose its face.

    Args:
        path: of the photo.
        extractor: finds the faces.
        force: as for `take_sample`.
        data: content of the file, if it was read before.

    Returns:
        The sample without a vector, or why the photo cannot be read.
    """
    try:
        image = load_image(path) if data is None else decode_image(data, path)
    except ImageError as error:
        return Rejected(path, error.reason)
    return take_sample(path, image, extractor, force)


def take_sample(
    path: Path, image: NDArray[np.uint8], extractor: Extractor, force: bool = False
) -> PhotoSample:
    """Choose the largest, most central face of a photo and judge it.

    Args:
        path: of the photo.
        image: (height, width, 3) uint8 RGB.
        extractor: finds the faces.
        force: take a face that is too poor to be recognized well, too.
    """
    crops = extractor.crops(image)
    if not crops:
        return PhotoSample(path, None, 0, NO_FACE)
    crop = principal(crops, image.shape)
    poor = problem(crop.quality, QualityLimits()) if crop.quality and not force else None
    reason = f"{poor}; --force enrolls it all the same" if poor else None
    return PhotoSample(path, crop.chip, len(crops), reason)


def embed_samples(
    samples: Sequence[PhotoSample | Rejected], extractor: Extractor, keep_chips: bool = False
) -> list[PhotoSample | Rejected]:
    """Embed all faces in one call.

    Args:
        samples: from `read_sample`.
        extractor: embeds.
        keep_chips: else they are let go: those of many photos take much memory.
    """
    faces = [
        (place, sample, sample.chip)
        for place, sample in enumerate(samples)
        if isinstance(sample, PhotoSample) and sample.chip is not None
    ]
    done = list(samples)
    if not faces:
        return done
    vectors = extractor.embed([chip for _, _, chip in faces])
    for (place, sample, chip), vector in zip(faces, vectors, strict=True):
        done[place] = replace(sample, vector=vector, chip=chip if keep_chips else None)
    return done


def enrolled_chip(extractor: Extractor, path: str) -> NDArray[np.uint8] | None:
    """Give the chip of a photo that was enrolled, or None if it is no longer there or no longer a picture."""
    try:
        return take_sample(Path(path), load_image(path), extractor, force=True).chip
    except ImageError:
        return None


@dataclass(frozen=True, eq=False)
class EmbeddedFolder:
    """Photos of people as vectors.

    Attributes:
        identities: names, sorted.
        paths: of the photos that could be decoded.
        labels: (n,) int64, index into `identities`.
        vectors: (n, dim) float32 unit rows; a row of zeros where no face was found.
        found: (n,) bool; a face was found.
        enrollable: (n,) bool; and it is good enough to enroll.
        problems: why a photo is not enrollable, by its row.
        unread: files that are no pictures, with the reason; they are no samples.
    """

    identities: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    vectors: NDArray[np.float32]
    found: NDArray[np.bool_]
    enrollable: NDArray[np.bool_]
    problems: dict[int, str]
    unread: tuple[Rejected, ...] = ()

    def not_found(self) -> list[Rejected]:
        """Give the files that gave no vector, with the reason."""
        rows: list[int] = np.flatnonzero(~self.found).tolist()
        return [*self.unread, *(Rejected(self.paths[row], self.problems[row]) for row in rows)]

    def comparisons(self, seed: int = 0) -> Comparisons:
        """Compare every two photos; a mated pair with a photo without a face is one that does not pass."""
        rows = np.flatnonzero(self.found)
        there = Comparisons.of_vectors(self.vectors[rows], self.labels[rows], seed=seed)
        known = np.unique(self.labels[rows])
        photos, faces = (
            np.bincount(labels, minlength=len(self.identities)) for labels in (self.labels, self.labels[rows])
        )
        failed = np.repeat(np.arange(len(photos)), photos * (photos - 1) // 2 - faces * (faces - 1) // 2)
        return Comparisons.of_pairs(
            np.concatenate([there.mated, np.full(len(failed), np.inf)]),
            np.concatenate([known[there.mated_identity], failed]),
            there.non_mated,
            known[there.non_mated_identities],
            len(self.identities),
            (there.mated_total + len(failed), there.non_mated_total),
        )

    def __post_init__(self) -> None:
        """Refuse vectors nothing can be compared with.

        Raises:
            UsageError: a vector of a found face is not finite.
        """
        broken = np.flatnonzero(self.found & ~np.isfinite(self.vectors).all(axis=1))
        if len(broken):
            raise UsageError(
                f"{self.paths[broken[0]]}: its vector is not finite, like those of {len(broken) - 1} more; "
                "the model is broken, train it again"
            )


def embed_folder(
    folder: LabelledFolder, extractor: Extractor, force: bool = False, progress: Progress | None = None
) -> EmbeddedFolder:
    """Read, find, align and embed all photos of a folder.

    Args:
        folder: photos by person.
        extractor: the model.
        force: count faces that are too poor as enrollable.
        progress: hears of each photo.

    Raises:
        UsageError: no photo could be read.
    """
    unread = list(folder.rejected)
    kept: list[tuple[Sample, PhotoSample]] = []
    with (progress or Progress()).bar("Embedding", len(folder.samples), "photos") as advance:
        paths = [sample.path for sample in folder.samples]
        for sample, outcome in zip(folder.samples, embed_photos(paths, extractor, force), strict=True):
            advance()
            if isinstance(outcome, Rejected):
                unread.append(outcome)
            else:
                kept.append((sample, outcome))
    if not kept:
        raise UsageError(f"{folder.root}: no photo could be read, of {count(len(unread), 'file')}")
    found = np.array([entry.vector is not None for _, entry in kept])
    vectors = np.zeros((len(kept), extractor.dim), np.float32)
    if found.any():
        vectors[found] = [entry.vector for _, entry in kept if entry.vector is not None]
    identities = tuple(sorted({sample.identity for sample, _ in kept}))
    index = {name: number for number, name in enumerate(identities)}
    return EmbeddedFolder(
        identities=identities,
        paths=tuple(sample.path for sample, _ in kept),
        labels=np.array([index[sample.identity] for sample, _ in kept], np.int64),
        vectors=vectors,
        found=found,
        enrollable=np.array([entry.problem is None for _, entry in kept]),
        problems={row: entry.problem for row, (_, entry) in enumerate(kept) if entry.problem is not None},
        unread=tuple(unread),
    )
