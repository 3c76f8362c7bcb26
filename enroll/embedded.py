"""A labelled folder as vectors: every photo embedded once, and none forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import UsageError
from embedder.folders import LabelledFolder, Rejected, Sample
from embedder.pairs import Comparisons
from embedder.progress import Progress
from embedder.wording import count
from enroll.samples import PhotoSample, embed_photos

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.extractor import Extractor


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
