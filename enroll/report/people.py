"""The parts of the report that show people and photos: what failed, and who is mistaken for whom."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.faces.crop import in_short
from enroll.evaluation.analysis import Confusion, confusions, mistakes, probable_duplicates
from enroll.report.page import Html, join, named, picture, table, tag
from enroll.report.plots import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.embedding import EmbeddedFolder
    from enroll.evaluation.protocol import Evaluation

CropOfRow = Callable[[int], "NDArray[np.uint8] | None"]

PAIRS = 24  # of pictures: what a person looks through
_ROWS = 15  # people and photos that go wrong most
_FAILURES = 200  # photos listed of each kind
_OPEN = 10  # so many are shown without a click


def failures(folder: EmbeddedFolder) -> Html:
    """List photos without a face, those too poor to enroll, and files that are no pictures."""
    show = _shower(folder)
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
    summary = table(
        ("", "files", "share", ""),
        [
            (kind, f"{len(every):,}", f"{100 * len(every) / total:.1f} %", means)
            for kind, means, every in kinds
        ],
        numbers=(1, 2),
    )
    lists = []
    for kind, _, every in kinds:
        if every:
            listed = [
                (named(show(path)), named(in_short(reason) or "")) for path, reason in every[:_FAILURES]
            ]
            more = tag("p", f"... and {len(every) - _FAILURES:,} more", class_="soft")
            content = [table(("file", "reason"), listed), *([more] if len(every) > _FAILURES else [])]
            opened = {"open": ""} if len(every) <= _OPEN else {}
            lists.append(
                tag("details", tag("summary", f"{kind.capitalize()}: {len(every):,}"), *content, **opened)
            )
    return join([summary, *lists])


def wrong_most(evaluation: Evaluation[EmbeddedFolder], fpir: float, crop: CropOfRow | None) -> Html:
    """List the people and the photos that go wrong most at each split's threshold for an FPIR."""
    folder, show = evaluation.samples, _shower(evaluation.samples)
    people, photos = mistakes(evaluation, fpir)
    where = tag("p", f"At each split's threshold for FPIR {percent(fpir)}, over all splits.", class_="soft")
    if not photos:
        return join([where, tag("p", "No search went wrong.")])
    by_person = [
        (named(entry.identity), f"{entry.missed} of {entry.searches}", str(entry.attracted))
        for entry in people[:_ROWS]
    ]
    by_photo = [
        (
            _picture(crop, entry.row, show(folder.paths[entry.row]), missing=""),
            named(show(folder.paths[entry.row])),
            f"{entry.wrong} of {entry.searches}",
            str(entry.named),
            _nearest(folder, entry.nearest, entry.distance, show),
        )
        for entry in photos[:_ROWS]
    ]
    of_people = table(("person", "missed", "name given to others"), by_person, numbers=(1, 2))
    head = ("", "photo", "wrong", "another name", "nearest template")
    of_photos = table(head, by_photo, numbers=(2, 3))
    return join(
        [
            where,
            tag(
                "div",
                tag("div", tag("h3", _of("People", len(people), len(folder.identities))), of_people),
                tag("div", tag("h3", _of("Photos", len(photos), len(folder.paths))), of_photos),
                class_="columns",
            ),
        ]
    )


def confused(evaluation: Evaluation[EmbeddedFolder], fpir: float, crop: CropOfRow | None) -> Html:
    """Show who is taken for whom, by the two photos that look most alike."""
    every = confusions(evaluation, fpir)
    if not every:
        return tag("p", f"No one, at each split's threshold for FPIR {percent(fpir)}.")
    shown = every[:PAIRS]
    most = f"; the {PAIRS} most frequent are shown" if len(every) > PAIRS else ""
    text = (
        f"{count(len(every), 'pair', ',')} of people{most}. Left the photo that was searched for, right its "
        "nearest template."
    )
    show = _shower(evaluation.samples)
    pairs = [_pair(evaluation.samples, entry, crop, show) for entry in shown]
    return join([tag("p", text, class_="soft"), tag("div", *pairs, class_="pairs")])


def duplicates(folder: EmbeddedFolder) -> Html:
    """List pairs of people who may be one."""
    pairs = probable_duplicates(folder)
    if not pairs:
        return tag("p", "None found.")
    rows = [(named(first), named(second), f"{distance:.3f}") for first, second, distance in pairs]
    text = "Their photos are as near to each other as those of one person; look whether they are one."
    return join([tag("p", text), table(("person", "person", "typical distance"), rows, numbers=(2,))])


def root_of(folder: EmbeddedFolder) -> Path:
    """Give the folder in which the people's folders lie."""
    every = [*folder.paths, *(entry.path for entry in folder.unread)]
    return Path(os.path.commonpath([path.absolute().parent for path in every]))


def _pair(
    folder: EmbeddedFolder, entry: Confusion, crop: CropOfRow | None, show: Callable[[Path], str]
) -> Html:
    probe, template = show(folder.paths[entry.probe]), show(folder.paths[entry.template])
    both = [_picture(crop, entry.probe, probe), _picture(crop, entry.template, template)] if crop else []
    times = f"{entry.times:,} of {count(entry.searches, 'search', ',')}, distance {entry.distance:.3f}"
    return tag(
        "div",
        *([tag("div", *both)] if both else []),
        tag("b", named(entry.identity), " taken for ", named(entry.named)),
        tag("br"),
        times,
        tag("br"),
        tag("span", named(probe), ", ", named(template), class_="soft"),
        class_="pair",
    )


def _picture(crop: CropOfRow | None, row: int, text: str, missing: str = "no picture") -> Html:
    pixels = crop(row) if crop else None
    if pixels is not None:
        return picture(pixels, text)
    return tag("span", missing, class_="none") if missing else Html()


def _nearest(folder: EmbeddedFolder, row: int, distance: float, show: Callable[[Path], str]) -> Html:
    if row < 0:
        return Html("no face found")
    return join([named(show(folder.paths[row])), f" at {distance:.3f}"])


def _of(things: str, number: int, total: int) -> str:
    worst = f", the worst {_ROWS}" if number > _ROWS else ""
    return f"{things}: {number:,} of {total:,} with a mistake{worst}"


def _shower(folder: EmbeddedFolder) -> Callable[[Path], str]:
    """Give what writes a path from the folder on: where that lies is nobody's business."""
    root = root_of(folder)
    return lambda path: str(path.absolute().relative_to(root))
