"""Read and crop every photo of a training run once, and split off held-out people."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import map_in_order
from embedder.copies import Copy, find_copies, picture_digest
from embedder.errors import FolderError, ImageError
from embedder.faces.crop import NO_FACE, Cropper, main_face
from embedder.faces.photo import find_crops
from embedder.folders import LabelledFolder, Rejected, Sample
from embedder.images import decode_frames, read_image_file
from embedder.training.data.crop_store import Aligned, CropCache, CropFile, Crops

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from embedder._internal.runtime import Progress


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """Holds the crop of a photo.

    Attributes:
        pixels: (size, size, 3) uint8 RGB of the main face, or of the whole picture.
        faces: number of faces in the photo.
        digest: SHA-256 of the photo's file, 32 bytes.
    """

    pixels: NDArray[np.uint8]
    faces: int
    digest: bytes


def read_crops(
    samples: Iterable[Sample], cropper: Cropper, cache: CropCache | None = None
) -> Generator[AlignedFace | Rejected]:
    """Read and crop photos in threads, a few ahead of the caller.

    Args:
        samples: photos to read.
        cropper: cropper of the photos.
        cache: cache of crops of `cropper`; photos in it are read but not decoded.

    Yields:
        A crop or the reason why there is none, for each photo in order.
    """
    return map_in_order(partial(_read, cropper=cropper, cache=cache), samples)


def _read(sample: Sample, cropper: Cropper, cache: CropCache | None) -> AlignedFace | Rejected:
    try:
        data = read_image_file(sample.path)
        digest = hashlib.sha256(data).digest()
        aligned = cache.get(digest) if cache else None
        no_face = None
        if aligned is None:
            found = find_crops(decode_frames(data, sample.path), cropper.crops, sample.path)
            crop = main_face(found.crops, found.pixels.shape).pixels if found.crops else None
            aligned, no_face = Aligned(crop, len(found.crops)), found.no_face
            if cache and not found.notes and no_face in (None, NO_FACE):  # the cache holds no notes
                cache.put(digest, aligned)
    except ImageError as error:
        return Rejected(sample.path, error.reason)
    if aligned.crop is None:
        return Rejected(sample.path, f"{no_face or NO_FACE}; --crop whole takes pictures of other things")
    return AlignedFace(aligned.crop, aligned.faces, digest)


@dataclass(frozen=True)
class Photos:
    """Holds the usable photos of a training run.

    Attributes:
        crops: crops of n photos, RGB, on disk.
        clean: crops of the same photos with faces detected and aligned; `crops` itself if these are so. A
            photo without a face has its crop of `crops`.
        labels: (n,) int32 index into `identities` of each photo.
        identities: names of the people, sorted.
        paths: paths of the photos.
        rejected: photos that could not be used, with reasons.
        crowded: number of faces by path, of photos with more than one.
        digest: SHA-256 of all photos and names, for `--resume` and for the record.
        copies: photos with the same picture as an earlier photo.
        people: digest of the photos by person, to name those with other photos when a run is resumed.
    """

    crops: Crops
    clean: Crops
    labels: NDArray[np.int32]
    identities: tuple[str, ...]
    paths: tuple[Path, ...]
    rejected: tuple[Rejected, ...]
    crowded: dict[Path, int]
    digest: str
    copies: tuple[Copy, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Read:
    """Holds the facts of a photo whose crop is in the crop file."""

    sample: Sample
    row: int
    faces: int
    digest: bytes
    picture: bytes


def read_photos(
    folder: LabelledFolder,
    cropper: Cropper,
    progress: Progress,
    cache: CropCache | None = None,
    least: int = 2,
) -> Photos:
    """Read and crop every photo of a folder, before training begins.

    Memory does not grow with the number of photos: crops are written to disk one by one. People with fewer
    usable photos than `least` are rejected, since losses need pairs of photos.

    Args:
        folder: labelled folder.
        cropper: cropper of the photos; its crops have one size.
        progress: progress bar that advances with each photo.
        cache: cache of crops of `cropper`; photos in it are read but not decoded.
        least: least number of usable photos of a person: 2, or 1 without training.

    Raises:
        FolderError: fewer than two people have two usable photos; with `least` 1, no photo is usable.
        UsageError: there is no room for the crops.
    """
    rejected = list(folder.rejected)
    read: list[_Read] = []
    file: CropFile | None = None
    crops = read_crops(folder.samples, cropper, cache)
    try:
        with progress.bar("Reading photos", len(folder.samples)) as advance, closing(crops):
            for sample, crop in zip(folder.samples, crops, strict=True):
                advance()
                if isinstance(crop, Rejected):
                    rejected.append(crop)
                    continue
                if file is None:
                    file = CropFile(len(crop.pixels), len(folder.samples))
                picture = picture_digest(crop.pixels)
                read.append(_Read(sample, file.append(crop.pixels), crop.faces, crop.digest, picture))
    finally:
        if cache:
            cache.prune()
    if cache and cache.trouble:
        progress.say(cache.trouble)

    usable = _with_enough_photos(read, folder, rejected, least) if least > 1 else read
    if not usable:
        first = f", first {rejected[0].path}: {rejected[0].reason}" if rejected else ""
        raise FolderError(f"{folder.root}: expected a photo that can be used, found none{first}")
    assert file is not None
    identities = tuple(sorted({entry.sample.identity for entry in usable}))
    index = {identity: number for number, identity in enumerate(identities)}
    whole = hashlib.sha256()
    each = {identity: hashlib.sha256() for identity in identities}
    for entry in usable:
        name = entry.sample.identity
        whole.update(f"{len(name)} {name}".encode() + entry.digest)
        each[name].update(entry.digest)
    crops_used = file.crops([entry.row for entry in usable])
    return Photos(
        crops=crops_used,
        clean=crops_used,
        labels=np.array([index[entry.sample.identity] for entry in usable], np.int32),
        identities=identities,
        paths=tuple(entry.sample.path for entry in usable),
        rejected=tuple(rejected),
        crowded={entry.sample.path: entry.faces for entry in usable if entry.faces > 1},
        copies=find_copies((entry.sample.path, entry.sample.identity, entry.picture) for entry in usable),
        people={identity: digest.hexdigest()[:16] for identity, digest in each.items()},
        digest=whole.hexdigest(),
    )


def with_clean_crops(
    photos: Photos, cropper: Cropper, progress: Progress, cache: CropCache | None = None
) -> Photos:
    """Return the same photos, with crops of detected and aligned faces as `clean`.

    Args:
        photos: photos with whole pictures as `crops`.
        cropper: cropper of faces, at the size of the crops.
        progress: progress bar that advances with each photo.
        cache: cache of crops of `cropper`.
    """
    samples = [
        Sample(path, photos.identities[label])
        for label, path in zip(photos.labels, photos.paths, strict=True)
    ]
    file = CropFile(photos.crops.shape[1], len(samples))
    crops = read_crops(samples, cropper, cache)
    try:
        with progress.bar("Looking for faces", len(samples)) as advance, closing(crops):
            for row, crop in enumerate(crops):
                file.append(photos.crops.take([row])[0] if isinstance(crop, Rejected) else crop.pixels)
                advance()
    finally:
        if cache:
            cache.prune()
    return replace(photos, clean=file.crops())


def _with_enough_photos(
    read: list[_Read], folder: LabelledFolder, rejected: list[Rejected], least: int
) -> list[_Read]:
    count = Counter(entry.sample.identity for entry in read)
    usable = [entry for entry in read if count[entry.sample.identity] >= least]
    rejected += [
        Rejected(
            entry.sample.path,
            f"the only usable photo of {entry.sample.identity!r}; training needs two or more",
        )
        for entry in read
        if count[entry.sample.identity] < least
    ]
    people = len({entry.sample.identity for entry in usable})
    if people < 2:
        each = "2 usable photos" if least > 1 else "a usable photo"
        raise FolderError(
            f"{folder.root}: expected at least 2 people with {each} each, found {people} "
            f"(people: {len(folder.identities)}, photos: {len(folder.samples)}, unusable: {len(rejected)}"
            f"{f', first {rejected[0].path}: {rejected[0].reason}' if rejected else ''}). Where people have "
            "one photo each, --epochs 0 makes a model of the pretrained trunk as it is; to recognize one "
            "person, do so with any folder and enroll them"
        )
    return usable


@dataclass(frozen=True)
class HeldOutSplit:
    """Holds the photos to train on and those of held-out people; no person is in both.

    Attributes:
        train: (n,) numbers of the photos to train on.
        held_out: (m,) numbers of the photos of held-out people.
    """

    train: NDArray[np.intp]
    held_out: NDArray[np.intp]


def split_identities(labels: NDArray[np.int32], share: float, seed: int, root: object) -> HeldOutSplit:
    """Draw the held-out people, and split the photos.

    Args:
        labels: (n,) int32 label of each photo's person.
        share: share of the people to hold out, 0 to 1; unless it is 0, at least two are held out and at
            least two are not.
        seed: seed of the draw.
        root: path of the folder, for messages.

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
    return HeldOutSplit(np.flatnonzero(~held_out), np.flatnonzero(held_out))
