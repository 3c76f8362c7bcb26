"""Collect the failures, mistakes and confused people of an evaluation's report."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.faces.crop import in_short
from enroll.evaluation.analysis import Confusion, confusions, mistakes, probable_duplicates
from enroll.report.page import Picture, picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.evaluation.protocol import Evaluation
    from enroll.folder_embedding import EmbeddedFolder

CropOfRow = Callable[[int], "NDArray[np.uint8] | None"]

PAIRS = 24  # of pictures: as many as a person will look at
_ROWS = 15  # people and photos that go wrong most
_FAILURES = 200  # photos listed of each kind
_OPEN = 10  # largest list that is shown without a click


@dataclass(frozen=True)
class FailedPhotos:
    """Holds photos of one kind that could not be used.

    Attributes:
        name: of the kind.
        means: what follows for the figures.
        files: number of files.
        share: of all files.
        listed: files and reasons that are shown.
        more: number of those that are not.
        open: whether the list is shown without a click.
    """

    name: str
    means: str
    files: str
    share: str
    listed: tuple[tuple[str, str], ...]
    more: str
    open: bool


@dataclass(frozen=True)
class WrongPerson:
    """Holds a person with mistakes: how often missed, and how often others were given the name."""

    name: str
    missed: str
    attracted: int


@dataclass(frozen=True)
class WrongPhoto:
    """Holds a photo with mistakes; `nearest` is empty where no face was found in it."""

    picture: Picture | None
    photo: str
    wrong: str
    named: int
    nearest: str
    distance: str


@dataclass(frozen=True)
class WrongMost:
    """Holds the people and photos with most mistakes, and how many there are."""

    people_title: str
    people: tuple[WrongPerson, ...]
    photos_title: str
    photos: tuple[WrongPhoto, ...]


@dataclass(frozen=True)
class ConfusedPair:
    """Holds a person who was given another's name; without a way to crop, `pictures` is empty."""

    identity: str
    named: str
    times: str
    probe: str
    template: str
    pictures: tuple[Picture | None, ...]


@dataclass(frozen=True)
class Confused:
    """Holds the pairs that are confused most, and a sentence on how many there are."""

    text: str
    pairs: tuple[ConfusedPair, ...]


def failures(folder: EmbeddedFolder) -> list[FailedPhotos]:
    """List photos without a face, those too poor to enroll, and files that are no pictures."""
    show = _path_shortener(folder)
    rows = range(len(folder.paths))
    kinds = (
        (
            "no face found",
            "searched for in vain: a miss, or a stranger rightly unnamed",
            [(folder.paths[row], folder.problems.get(row)) for row in rows if not folder.found[row]],
        ),
        (
            "too poor to enroll",
            "searched for, never enrolled",
            [
                (folder.paths[row], folder.problems.get(row))
                for row in rows
                if folder.found[row] and not folder.enrollable[row]
            ],
        ),
        ("not read", "not in any figure", [(entry.path, entry.reason) for entry in folder.unread]),
    )
    total = len(folder.paths) + len(folder.unread)
    return [
        FailedPhotos(
            kind,
            means,
            f"{len(every):,}",
            f"{100 * len(every) / total:.1f} %",
            tuple((show(path), in_short(reason) or "") for path, reason in every[:_FAILURES]),
            f"{len(every) - _FAILURES:,}" if len(every) > _FAILURES else "",
            len(every) <= _OPEN,
        )
        for kind, means, every in kinds
    ]


def wrong_most(
    evaluation: Evaluation[EmbeddedFolder], fpir: float, crop: CropOfRow | None
) -> WrongMost | None:
    """List the people and photos with most mistakes at each split's threshold.

    None if there are none.

    Args:
        evaluation: the searches.
        fpir: sets the thresholds.
        crop: returns the picture of a row, None if it cannot be read; None: no pictures.
    """
    folder, show = evaluation.samples, _path_shortener(evaluation.samples)
    people, photos = mistakes(evaluation, fpir)
    if not photos:
        return None
    by_person = [
        WrongPerson(entry.identity, f"{entry.missed} of {entry.searches}", entry.attracted)
        for entry in people[:_ROWS]
    ]
    by_photo = [
        WrongPhoto(
            _picture(crop, entry.row, show(folder.paths[entry.row])),
            show(folder.paths[entry.row]),
            f"{entry.wrong} of {entry.searches}",
            entry.named,
            "" if entry.nearest < 0 else show(folder.paths[entry.nearest]),
            f"{entry.distance:.3f}",
        )
        for entry in photos[:_ROWS]
    ]
    return WrongMost(
        _of("People", len(people), len(folder.identities)),
        tuple(by_person),
        _of("Photos", len(photos), len(folder.paths)),
        tuple(by_photo),
    )


def confused(evaluation: Evaluation[EmbeddedFolder], fpir: float, crop: CropOfRow | None) -> Confused | None:
    """List the people who are confused, with the two photos most alike.

    None if there are none.

    Args:
        evaluation: the searches.
        fpir: sets the thresholds.
        crop: returns the picture of a row, None if it cannot be read; None: no pictures.
    """
    every = confusions(evaluation, fpir)
    if not every:
        return None
    most = f"; the {PAIRS} most frequent are shown" if len(every) > PAIRS else ""
    text = (
        f"{count(len(every), 'pair', ',')} of people{most}. Left the photo that was searched for, right its "
        "nearest template."
    )
    show = _path_shortener(evaluation.samples)
    return Confused(text, tuple(_pair(evaluation.samples, entry, crop, show) for entry in every[:PAIRS]))


def duplicates(folder: EmbeddedFolder) -> list[tuple[str, str, str]]:
    """List pairs of people who may be one, and their typical distance."""
    return [(first, second, f"{distance:.3f}") for first, second, distance in probable_duplicates(folder)]


def root_of(folder: EmbeddedFolder) -> Path:
    """Return the folder in which the people's folders lie."""
    every = [*folder.paths, *(entry.path for entry in folder.unread)]
    return Path(os.path.commonpath([path.absolute().parent for path in every]))


def _pair(
    folder: EmbeddedFolder, entry: Confusion, crop: CropOfRow | None, show: Callable[[Path], str]
) -> ConfusedPair:
    probe, template = show(folder.paths[entry.probe]), show(folder.paths[entry.template])
    both = (_picture(crop, entry.probe, probe), _picture(crop, entry.template, template)) if crop else ()
    times = f"{entry.times:,} of {count(entry.searches, 'search', ',')}, distance {entry.distance:.3f}"
    return ConfusedPair(entry.identity, entry.named, times, probe, template, both)


def _picture(crop: CropOfRow | None, row: int, text: str) -> Picture | None:
    pixels = crop(row) if crop else None
    return None if pixels is None else picture(pixels, text)


def _of(things: str, number: int, total: int) -> str:
    worst = f", the worst {_ROWS}" if number > _ROWS else ""
    return f"{things}: {number:,} of {total:,} with a mistake{worst}"


def _path_shortener(folder: EmbeddedFolder) -> Callable[[Path], str]:
    """Return a function that shortens a path to its part within the folder, to hide where that is."""
    root = root_of(folder)
    return lambda path: str(path.absolute().relative_to(root))
