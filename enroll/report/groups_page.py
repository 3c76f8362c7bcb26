"""Write the groups of unknown faces of a photo library as a page, for people to name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder._internal.wording import count, shell_words
from enroll.report.page import Face, face, render

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    CropOfFace = Callable[[int], NDArray[np.uint8] | None]

GROUPS = 100  # that are shown
FACES = 24  # of a group: enough to see who it is, and those that fit least come first
_ADVICE = (
    "The largest come first, and of each the faces that fit least. Write the name in place of NAME; what "
    "does not belong is left out by --except, as in `--except f12`. No one you know: `embed library ignore`."
)


@dataclass(frozen=True)
class FaceGroup:
    """Holds faces of, most probably, one unknown person.

    Attributes:
        number: of the group.
        faces: their numbers, those that fit least first.
    """

    number: int
    faces: tuple[int, ...]


@dataclass(frozen=True)
class _GroupShown:
    title: str
    faces: tuple[Face, ...]
    more: str
    command: str


def groups_page(
    groups: Sequence[FaceGroup],
    describe: Callable[[int], str],
    crop: CropOfFace | None = None,
    gallery: str | None = None,
    alone: bool = False,
    left_out: int = 0,
    title: str = "Unknown faces",
) -> str:
    """Write the page of groups.

    Args:
        groups: all of them, also of one face.
        describe: returns the text under a face: its file, and what is poor in it.
        crop: returns the picture of a face by its number, (height, width, 3) uint8 RGB, None if it cannot be
            shown; without it, there are no pictures.
        gallery: value of `--gallery` in commands, None to leave it out.
        alone: show also groups of one face.
        left_out: number of faces that are in no group, being like some that were ignored.
        title: of the page.

    Returns:
        HTML.

    Raises:
        MissingPackageError: jinja2 is not installed.
    """
    several = [group for group in groups if len(group.faces) > 1]
    wanted = sorted(groups if alone else several, key=lambda group: (-len(group.faces), group.number))
    singles = len(groups) - len(several)
    together = sum(len(group.faces) for group in several)
    sentence = (
        f"{count(len(several), 'group', ',')} of {count(together, 'face', ',')} "
        f"without a name, and {count(singles, 'face', ',')} alone."
    )
    if left_out:
        sentence += f" Left out, as they are like faces that were ignored: {count(left_out, 'face', ',')}."
    hidden = wanted[GROUPS:]
    faces = sum(len(group.faces) for group in hidden)
    more = (
        f"The {GROUPS} largest are shown; not shown: {count(len(hidden), 'group', ',')} with "
        f"{count(faces, 'face', ',')}."
        if hidden
        else ""
    )
    shown = [_shown(group, describe, crop, gallery) for group in wanted[:GROUPS]]
    return render("groups", title=title, sentence=sentence, more=more, advice=_ADVICE, groups=shown)


def _shown(
    group: FaceGroup, describe: Callable[[int], str], crop: CropOfFace | None, gallery: str | None
) -> _GroupShown:
    called, option = f"g{group.number}", ["--gallery", gallery] if gallery else []
    hidden = len(group.faces) - FACES
    return _GroupShown(
        f"{called}: {count(len(group.faces), 'face', ',')}",
        tuple(
            face(crop(number) if crop else None, f"f{number}", describe(number))
            for number in group.faces[:FACES]
        ),
        f"Not shown: {count(hidden, 'more face', ',')}." if hidden > 0 else "",
        shell_words("embed", "library", "confirm", *option, operands=("NAME", called)),
    )
