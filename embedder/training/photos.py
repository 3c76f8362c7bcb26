"""The photos of a training run: read once, checked, and split by identity."""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import FolderError, ImageError
from embedder.faces.crops import NO_FACE, Cropper, crowd_note, in_short, principal
from embedder.folders import LabelledFolder, Rejected, Sample
from embedder.images import decode_image, read_image_file
from embedder.preview import Tile, refused_tiles

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from embedder.progress import Progress


@dataclass(frozen=True)
class Photos:
    """Photos that can be trained on.

    Attributes:
        chips: (n, size, size, 3) uint8 RGB.
        labels: (n,) int32, index into `identities`.
        identities: names, sorted.
        paths: where each photo is.
        rejected: what could not be used, and why.
        crowded: photos that show more than one face, and how many.
        digest: SHA-256 of all photos and names, for resuming and for the record.
    """

    chips: NDArray[np.uint8]
    labels: NDArray[np.int32]
    identities: tuple[str, ...]
    paths: tuple[Path, ...]
    rejected: tuple[Rejected, ...]
    crowded: dict[Path, int]
    digest: str

    def tiles(self, root: Path) -> list[Tile]:
        """Give what a preview shows: every chip, and every entry of `root` that gives none, and why."""
        used = [
            Tile(self.identities[label], chip, path.name, in_short(crowd_note(self.crowded.get(path, 1))))
            for chip, label, path in zip(self.chips, self.labels, self.paths, strict=True)
        ]
        return sorted(
            used + refused_tiles(self.rejected, root), key=lambda tile: (tile.identity, tile.caption)
        )


@dataclass(frozen=True, eq=False)
class _Read:
    sample: Sample
    chip: NDArray[np.uint8]
    faces: int
    content: bytes


def read_photos(folder: LabelledFolder, cropper: Cropper, progress: Progress) -> Photos:
    """Decode every photo of a folder, so that nothing can break in the middle of an epoch.

    People with fewer than two usable photos are rejected: there is no second photo to be near to.

    Raises:
        FolderError: fewer than two people have two usable photos.
    """
    rejected = list(folder.rejected)
    read: list[_Read] = []

    def read_one(sample: Sample) -> _Read | Rejected:
        try:
            data = read_image_file(sample.path)
            image = decode_image(data, sample.path)
        except ImageError as error:
            return Rejected(sample.path, error.reason)
        crops = cropper.crops(image)
        if not crops:
            return Rejected(sample.path, f"{NO_FACE}; --crop whole takes pictures of other things")
        chip = principal(crops, image.shape).chip
        return _Read(sample, chip, len(crops), hashlib.sha256(data).digest())

    with progress.bar("Reading photos", len(folder.samples)) as advance, ThreadPoolExecutor() as pool:
        for outcome in pool.map(read_one, folder.samples):
            advance()
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
            else:
                read.append(outcome)

    usable = _with_two_photos(read, folder, rejected)
    identities = tuple(sorted({entry.sample.identity for entry in usable}))
    index = {identity: number for number, identity in enumerate(identities)}
    digest = hashlib.sha256()
    for entry in usable:
        name = entry.sample.identity
        digest.update(f"{len(name)} {name}".encode() + entry.content)
    return Photos(
        chips=np.stack([entry.chip for entry in usable]),
        labels=np.array([index[entry.sample.identity] for entry in usable], np.int32),
        identities=identities,
        paths=tuple(entry.sample.path for entry in usable),
        rejected=tuple(rejected),
        crowded={entry.sample.path: entry.faces for entry in usable if entry.faces > 1},
        digest=digest.hexdigest(),
    )


def _with_two_photos(read: list[_Read], folder: LabelledFolder, rejected: list[Rejected]) -> list[_Read]:
    count = Counter(entry.sample.identity for entry in read)
    usable = [entry for entry in read if count[entry.sample.identity] >= 2]
    rejected += [
        Rejected(
            entry.sample.path,
            f"the only usable photo of {entry.sample.identity!r}; training needs two or more",
        )
        for entry in read
        if count[entry.sample.identity] < 2
    ]
    people = len({entry.sample.identity for entry in usable})
    if people < 2:
        raise FolderError(
            f"{folder.root}: training needs at least 2 people with 2 usable photos each, found {people} "
            f"(people: {len(folder.identities)}, photos: {len(folder.samples)}, unusable: {len(rejected)}"
            f"{f', first {rejected[0].path}: {rejected[0].reason}' if rejected else ''}). To recognize one "
            "person, make a model of the pretrained trunk from any folder with --epochs 0 and enroll them"
        )
    return usable


@dataclass(frozen=True)
class Split:
    """Rows of the photos to learn from and rows of people held out; no one is in both."""

    train: NDArray[np.intp]
    held_out: NDArray[np.intp]


def split_identities(labels: NDArray[np.int32], share: float, seed: int, root: object) -> Split:
    """Hold some people out of training.

    Args:
        labels: (n,) identity of each photo.
        share: of the people to hold out; at least two are, and two are not, unless it is 0.
        seed: draws them.
        root: the folder, for the error.

    Raises:
        FolderError: there are too few people to keep two on each side.
    """
    people = np.unique(labels)
    count = min(max(2, round(share * len(people))), len(people) - 2) if share else 0
    if share and count < 2:
        raise FolderError(
            f"{root}: training needs at least 4 people with 2 usable photos each, two to learn from and two "
            f"held out to see whether it helps; found {len(people)}. Add people, or use --hold-out 0 to "
            "train unchecked, or --epochs 0 to keep the pretrained trunk as it is"
        )
    drawn = np.random.default_rng([seed, 1]).permutation(people)[:count]
    held_out = np.isin(labels, drawn)
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))
