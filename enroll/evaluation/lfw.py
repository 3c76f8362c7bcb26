"""Verify pairs of photos (1:1) by the protocol of Labeled Faces in the Wild.

The folder holds `<name>/<name>_0001.jpg`; `pairs.txt` lists which photos are compared: some folds, each of N
pairs of one person and then N pairs of two. The threshold for a fold is the one with the best accuracy on the
other folds (Huang, Ramesh, Berg and Learned-Miller 2007, "Labeled Faces in the Wild: A Database for Studying
Face Recognition in Unconstrained Environments", view 2).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedder._internal.files import read_file
from embedder._internal.wording import count
from embedder.errors import UsageError
from enroll.evaluation.verification import PairComparisons, TarAtFmr

FMRS = (1e-1, 1e-2, 1e-3)

Photo = tuple[str, int]  # whose it is, in Unicode form NFC, and its number

_MOST = 2**28  # bytes of a list of pairs; that of the LFW protocol has 150,000


@dataclass(frozen=True)
class PhotoPair:
    """Holds two photos to compare.

    Attributes:
        a, b: name of the person, and number of the photo.
        line: of the file that lists the pair, from 1.
    """

    a: Photo
    b: Photo
    line: int

    @property
    def matched(self) -> bool:
        """Whether both photos are of the same name."""
        return self.a[0] == self.b[0]


@dataclass(frozen=True)
class FailedPhoto:
    """Holds a photo that gave no vector.

    Attributes:
        photo: its path, for messages.
        reason: why there is no vector.
    """

    photo: str
    reason: str


# Returns for each photo, in their order, its (dim,) vector or why there is none; the value is the line
# that names it first.
EmbedPhotos = Callable[[Mapping[Photo, int]], Iterable["NDArray[np.float32] | FailedPhoto"]]


@dataclass(frozen=True)
class PairFigures:
    """Holds the figures of the protocol.

    Attributes:
        matched: number of pairs of one person that the figures are of.
        mismatched: number of pairs of two people.
        accuracy: mean over the folds; None with a single fold, for which no threshold can be chosen.
        standard_error: of that mean: sample standard deviation over the root of the number of folds.
        fold_accuracy: of each fold that has such pairs.
        tar: true accept rate (TAR) at some false match rates (FMR), each None with too few pairs.
        eer: equal error rate; None without matched or mismatched pairs.
    """

    matched: int
    mismatched: int
    accuracy: float | None
    standard_error: float | None
    fold_accuracy: tuple[float, ...]
    tar: tuple[TarAtFmr, ...]
    eer: float | None


@dataclass(frozen=True)
class Verification:
    """Holds the result of a model on the pairs of a protocol.

    Attributes:
        people: number of people the pairs name.
        photos: number of photos the pairs name; each was embedded once.
        folds: number of parts the pairs are divided into.
        thresholds: distance of each fold, chosen on the others.
        figures: of all pairs. A pair with a failed photo is wrong whatever the threshold: in the accuracy,
            and as a matched pair beyond the threshold in TAR and EER. A mismatched one was not compared, so
            it does not count in an FMR, which it could only lower.
        compared: the same without the pairs of failed photos.
        failed: photos that cannot be read or show no face, and why.
    """

    people: int
    photos: int
    folds: int
    thresholds: tuple[float, ...]
    figures: PairFigures
    compared: PairFigures
    failed: tuple[FailedPhoto, ...]


def read_pairs(pairs_file: str | Path) -> list[list[PhotoPair]]:
    r"""Read a `pairs.txt`.

    The first line is `FOLDS N`, or `N` for a single fold; of each fold N lines `name n1 n2` follow and then N
    lines `name1 n1 name2 n2`. Fields are separated by tabs, or, on a line without a tab, by spaces. Blank
    lines are ignored.

    Args:
        pairs_file: its path.

    Returns:
        The pairs of each fold.

    Raises:
        UsageError: the file cannot be read, or a line is not as expected.
    """
    try:
        text = read_file(pairs_file, _MOST).decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise UsageError(f"{pairs_file}: expected a list of pairs: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{pairs_file}: expected text in UTF-8: {error}") from error
    lines = [(number, _fields(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{pairs_file}: expected the number of folds and of pairs, got an empty file")
    header, fields = lines[0]
    sizes = [_count(field) for field in fields]
    if len(sizes) not in (1, 2) or not all(sizes):
        raise UsageError(
            f"{pairs_file}, line {header}: expected the number of folds and of pairs, such as '10 300', "
            f"or of pairs alone, got {' '.join(fields)!r}"
        )
    folds, size = sizes if len(sizes) == 2 else (1, sizes[0])
    if len(lines) - 1 != folds * 2 * size:
        raise UsageError(
            f"{pairs_file}: expected {count(folds * 2 * size, 'pair', ',')}, {size:,} matched and as many "
            f"mismatched in {count(folds, 'fold', ',')}, got {len(lines) - 1:,}"
        )
    pairs = [
        _pair(f"{pairs_file}, line {number}", number, fields, matched=index % (2 * size) < size)
        for index, (number, fields) in enumerate(lines[1:])
    ]
    return [pairs[start : start + 2 * size] for start in range(0, len(pairs), 2 * size)]


def photo_stem(photo: Photo) -> str:
    """Return the name of a photo's file without its suffix."""
    return f"{photo[0]}_{photo[1]:04d}"


def verify_pairs(pairs_file: str | Path, embed: EmbedPhotos) -> Verification:
    """Compare the pairs of a protocol, and compute its figures.

    Args:
        pairs_file: see `read_pairs`.
        embed: returns the vectors of the photos that the pairs name.

    Raises:
        UsageError: a line of the file is no pair.
        ValueError: `embed` returned another number of vectors.
    """
    folds = read_pairs(pairs_file)
    photos: dict[Photo, int] = {}
    for pair in (pair for pairs in folds for pair in pairs):
        photos.setdefault(pair.a, pair.line)
        photos.setdefault(pair.b, pair.line)
    row = {photo: index for index, photo in enumerate(photos)}
    embedded = list(embed(photos))
    if len(embedded) != len(photos):
        raise ValueError(f"embed: expected {count(len(photos), 'vector')}, one a photo, got {len(embedded)}")
    vectors, failed = _stacked(embedded), [entry for entry in embedded if isinstance(entry, FailedPhoto)]
    fold = np.repeat(np.arange(len(folds)), [len(pairs) for pairs in folds])
    ends = np.array([(row[pair.a], row[pair.b]) for pairs in folds for pair in pairs])
    matched = np.array([pair.matched for pairs in folds for pair in pairs])
    distances = np.linalg.norm(vectors[ends[:, 0]] - vectors[ends[:, 1]], axis=1)
    people = {name: index for index, name in enumerate(sorted({name for name, _ in row}))}
    owner = np.array([people[name] for name, _ in row])[ends]
    compared = np.isfinite(distances)
    # Nothing is learned from a pair that is wrong whatever the threshold, so both figures share thresholds.
    thresholds = [
        best_threshold(distances[compared & (fold != own)], matched[compared & (fold != own)])
        for own in (range(len(folds)) if len(folds) > 1 else ())
    ]
    right = None
    if thresholds:
        right = compared & ((distances <= np.array(thresholds)[fold]) == matched)
    every = np.ones(len(fold), bool)
    figures, without = (_figures(kept, matched, distances, owner, fold, right) for kept in (every, compared))
    return Verification(
        len(people), len(photos), len(folds), tuple(thresholds), figures, without, tuple(failed)
    )


def best_threshold(distances: NDArray[np.floating], matched: NDArray[np.bool_]) -> float:
    """Find the threshold with the best accuracy.

    It lies halfway between two neighbouring distances, of several equally good ones at the smallest; where
    none or all pairs should be within it, at or beyond the end of the range of 0 to 2.

    Args:
        distances: (pairs,) float, between unit vectors.
        matched: (pairs,) bool, whether a pair is of one person.
    """
    order = np.argsort(distances, kind="stable")
    bounds = np.concatenate([[-2.0], distances[order], [4.0]])
    gained = np.where(matched[order], 1, -1)  # by letting one more pair pass
    right = np.append(0, np.cumsum(gained)).astype(float)
    right[bounds[:-1] == bounds[1:]] = -np.inf  # equal distances pass together
    best = int(right.argmax())
    return float((bounds[best] + bounds[best + 1]) / 2)


def _fields(line: str) -> list[str]:
    parts = line.strip().split("\t") if "\t" in line.strip() else line.split()
    return [part.strip() for part in parts]


def _count(field: str) -> int:
    """Parse a number of at least 1 and at most nine digits; return 0 for anything else."""
    return int(field) if field.isascii() and field.isdigit() and len(field) < 10 else 0


def _pair(where: str, line: int, fields: Sequence[str], matched: bool) -> PhotoPair:
    expected = "'name n1 n2', two photos of one person" if matched else "'name1 n1 name2 n2', two people"
    if len(fields) == (3 if matched else 4):
        name, a = _normal(fields[0]), _count(fields[1])
        other, b = (name if matched else _normal(fields[2])), _count(fields[-1])
        pair = PhotoPair((name, a), (other, b), line)
        if a and b and name and other and pair.a != pair.b and pair.matched == matched:
            return pair
    raise UsageError(f"{where}: expected {expected}, got {' '.join(fields)!r}")


def _normal(name: str) -> str:
    """Return a name in the Unicode form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def _stacked(embedded: Sequence[NDArray[np.float32] | FailedPhoto]) -> NDArray[np.float64]:
    """Stack the vectors of photos, (n, dim) float64; rows of NaN for photos that failed."""
    dim = next((len(entry) for entry in embedded if not isinstance(entry, FailedPhoto)), 1)
    nothing = np.full(dim, np.nan)
    return np.array([nothing if isinstance(entry, FailedPhoto) else entry for entry in embedded], np.float64)


def _figures(
    kept: NDArray[np.bool_],
    matched: NDArray[np.bool_],
    distances: NDArray[np.float64],
    owner: NDArray[np.integer],
    fold: NDArray[np.integer],
    right: NDArray[np.bool_] | None,
) -> PairFigures:
    mated, non_mated = kept & matched, kept & ~matched
    accuracy = (
        [] if right is None else [float(right[kept & (fold == own)].mean()) for own in np.unique(fold[kept])]
    )
    compared = non_mated & np.isfinite(distances)
    comparisons = PairComparisons.of_pairs(
        np.nan_to_num(distances[mated], nan=np.inf),
        owner[mated, 0],
        distances[compared],
        owner[compared],
        int(owner.max()) + 1,
    )
    eer = comparisons.eer()
    return PairFigures(
        int(mated.sum()),
        int(non_mated.sum()),
        float(np.mean(accuracy)) if accuracy else None,
        float(np.std(accuracy, ddof=1) / len(accuracy) ** 0.5) if len(accuracy) > 1 else None,
        tuple(accuracy),
        tuple(comparisons.at_fmr(fmr) for fmr in FMRS),
        None if np.isnan(eer) else eer,
    )
