"""Hold photos of people as arrays, the input of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import UsageError
from enroll.evaluation.verification import PairComparisons
from enroll.templates import checked_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from embedder.strangers import StrangerDistances


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddedSamples:
    """Holds photos of people as vectors.

    Attributes:
        identities: names, sorted.
        labels: (n,) int64, index into `identities`.
        vectors: (n, dim) float32 unit rows; a row of zeros where no face was found.
        found: (n,) bool; a face was found.
        enrollable: (n,) bool; a face was found and is good enough to enroll.
        problems: why a photo is not enrollable, by its row.
        strangers: distances between strangers by the model, or None.
    """

    identities: tuple[str, ...]
    labels: NDArray[np.int64]
    vectors: NDArray[np.float32]
    found: NDArray[np.bool_]
    enrollable: NDArray[np.bool_]
    problems: dict[int, str] = field(default_factory=dict)
    strangers: StrangerDistances | None = None

    @classmethod
    def of(
        cls,
        vectors: ArrayLike,
        labels: ArrayLike,
        detected: ArrayLike | None = None,
        enrollable: ArrayLike | None = None,
        strangers: StrangerDistances | None = None,
    ) -> EmbeddedSamples:
        """Build samples from arrays; see `enroll.evaluation.protocol.evaluate`.

        Args:
            vectors: (n, dim) float unit rows; rows of photos without a face may hold anything.
            labels: (n,) names or numbers of the people.
            detected: (n,) bool; None: a face was found in all.
            enrollable: (n,) bool; None: all that have a face are.
            strangers: distances between strangers by the model.

        Raises:
            ValueError: arrays of other shapes or kinds.
            UsageError: a vector of a found face is not finite.
        """
        rows = np.asarray(vectors)
        found = np.ones(len(rows), bool) if detected is None else np.asarray(detected)
        good = found if enrollable is None else np.asarray(enrollable)
        for name, mask in (("detected", found), ("enrollable", good)):
            if mask.dtype != bool or mask.shape != rows.shape[:1]:
                raise ValueError(
                    f"{name}: expected ({len(rows)},) of bool, one a photo, got {mask.dtype} {mask.shape}"
                )
        if rows.ndim == 2 and rows.shape[1]:  # rows of photos without a face may hold anything
            rows = np.where(found[:, None], rows, np.eye(1, rows.shape[1], dtype=rows.dtype))
        checked, of = checked_rows(rows, labels)
        names, numbers = np.unique(of, return_inverse=True)
        return cls(
            identities=tuple(map(str, names.tolist())),
            labels=numbers.astype(np.int64),
            vectors=np.where(found[:, None], checked, 0).astype(checked.dtype, copy=False),
            found=found,
            enrollable=good & found,
            strangers=strangers,
        )

    def __post_init__(self) -> None:
        """Check the shapes, and that vectors are finite.

        Raises:
            ValueError: arrays of other shapes.
            UsageError: a vector of a found face is not finite.
        """
        shapes = {mask.shape for mask in (self.labels, self.found, self.enrollable)}
        if self.vectors.ndim != 2 or shapes != {self.vectors.shape[:1]}:
            raise ValueError(
                f"expected (n, dim) vectors and (n,) labels, found and enrollable, got {self.vectors.shape}, "
                f"{self.labels.shape}, {self.found.shape} and {self.enrollable.shape}"
            )
        broken = np.flatnonzero(self.found & ~np.isfinite(self.vectors).all(axis=1))
        if len(broken):
            raise UsageError(
                f"{self.photo(int(broken[0]))}: its vector is not finite, like those of {len(broken) - 1} "
                "more; the model is broken, train it again"
            )

    def photo(self, row: int) -> str:
        """Return a description of the photo of a row, for messages."""
        return f"photo {row}"

    def comparisons(self, seed: int = 0) -> PairComparisons:
        """Compare every two photos; a mated pair with a photo without a face never matches.

        Args:
            seed: of the random draw of pairs, if there are too many.
        """
        rows = np.flatnonzero(self.found)
        there = PairComparisons.of_vectors(self.vectors[rows], self.labels[rows], seed=seed)
        known = np.unique(self.labels[rows])
        photos, faces = (
            np.bincount(labels, minlength=len(self.identities)) for labels in (self.labels, self.labels[rows])
        )
        failed = np.repeat(np.arange(len(photos)), photos * (photos - 1) // 2 - faces * (faces - 1) // 2)
        return PairComparisons.of_pairs(
            np.concatenate([there.mated, np.full(len(failed), np.inf)]),
            np.concatenate([known[there.mated_identity], failed]),
            there.non_mated,
            known[there.non_mated_identities],
            len(self.identities),
            (there.mated_total + len(failed), there.non_mated_total),
        )
