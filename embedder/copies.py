"""Find photos that show the same picture, as files that were copied, renamed or saved again do.

Two such photos are one piece of evidence: counted twice they make a person look surer than they are, and of
two people they say that one photo is sorted wrongly.
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
    """A photo whose picture was met before.

    Attributes:
        path: of it.
        identity: whose photo it is said to be.
        first: the photo with the picture that was met first.
        owner: whose that one is said to be.
    """

    path: Path
    identity: str
    first: Path
    owner: str

    def describe(self) -> str:
        """Say it in a line, and of whom, if two people share the picture."""
        same = f"{self.path}: the same picture as {self.first}"
        if self.owner == self.identity:
            return same
        return f"{same}, but of {self.identity!r} and {self.owner!r}: one of them is wrong"


def picture_digest(pixels: NDArray[np.uint8]) -> bytes:
    """Give what a picture is known by, whatever file it came from: SHA-256 of its size and pixels.

    Args:
        pixels: (height, width, 3) uint8; of a photo, or of the crop that was cut out of it.
    """
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def find_copies(photos: Iterable[tuple[Path, str, bytes | None]]) -> tuple[Copy, ...]:
    """Find the photos whose picture one before them has.

    Args:
        photos: path, identity and what their picture is known by: `picture_digest`, or a digest of the file;
            None is like no other.
    """
    first: dict[bytes, tuple[Path, str]] = {}
    copies = []
    for path, identity, digest in photos:
        if digest is None:
            continue
        met, owner = first.setdefault(digest, (path, identity))
        if met != path:
            copies.append(Copy(path, identity, met, owner))
    return tuple(copies)
