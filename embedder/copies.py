"""Find photos with the same picture: files that were copied, renamed or saved again.

Counted twice, a picture makes distances of a person too small; in the folders of two people, one of the two
photos has the wrong name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Copy:
    """Holds a photo whose picture an earlier photo has too.

    Attributes:
        path: path of the photo.
        identity: name of the person that the photo is labelled with.
        first: path of the first photo with the same picture.
        owner: name of the person that the first photo is labelled with.
    """

    path: Path
    identity: str
    first: Path
    owner: str

    def describe(self) -> str:
        """Return a line that names both photos, and both people if these differ."""
        same = f"{self.path}: the same picture as {self.first}"
        if self.owner == self.identity:
            return same
        return f"{same}, but of {self.identity!r} and {self.owner!r}: one of them is wrong"


def picture_digest(pixels: NDArray[np.uint8]) -> bytes:
    """Return the SHA-256 of a picture's size and pixels, equal for copies in different files.

    Args:
        pixels: (height, width, 3) uint8 RGB, of a photo or of a crop of it.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def find_copies(photos: Iterable[tuple[Path, str, bytes | None]]) -> tuple[Copy, ...]:
    """Find the photos whose picture an earlier photo has too.

    Args:
        photos: path, name of the person, and digest of the picture (`picture_digest`) or of the file; a photo
            with None is not compared.

    Returns:
        The copies, in the order of `photos`.
    """
    first: dict[bytes, tuple[Path, str]] = {}
    copies = []
    for path, identity, digest in photos:
        if digest is None:
            continue
        original, owner = first.setdefault(digest, (path, identity))
        if original != path:
            copies.append(Copy(path, identity, original, owner))
    return tuple(copies)
