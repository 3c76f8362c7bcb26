"""Store the crops of a run in a temporary file, and those of earlier runs in a cache.

`CropFile` stores them on disk instead of in memory, so that a folder may be of any size; `Crops` are some of
them, in some order. `CropCache` stores crops by the digest of their photo, so that faces need not be detected
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.files import DiskCache
from embedder._internal.wording import count
from embedder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from embedder.faces.crop import Cropping


BLOCK = 128  # pictures in memory at a time in `Crops.map`: 9 MB at 150 pixels
LIMIT = 4 * 2**30  # bytes: 60,000 crops of 150 pixels, about 1 % of a laptop's disk
_NOTE = """\
Faces from photos that `embed train` has read, kept so that it need not look for them again. They show people:
treat them like the photos. This folder may be deleted at any time; `embed train --no-cache` does without it.
"""


class RowFile:
    """Stores arrays of one shape in a temporary file, which is deleted when the process ends.

    It is not mapped into memory: mapped pages count as memory of the process. Several threads may read it.

    Args:
        shape: shape of an array.
        dtype: dtype of an array.
        most: largest number of arrays; the disk must have room for them.
        folder: folder of the file; None: `TMPDIR`, or the system's folder for large temporary files.

    Raises:
        UsageError: there is no room for `most` arrays, or no file can be made.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: DTypeLike, most: int, folder: str | Path | None = None
    ) -> None:
        self._shape, self._dtype, self._most = shape, np.dtype(dtype), most
        self._count = 0
        self._lock = threading.Lock()
        self._folder = str(folder or _scratch())
        try:
            free = shutil.disk_usage(self._folder).free
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 (kept open)
        except OSError as error:
            raise UsageError(
                f"{self._folder}: no temporary file can be made for the pictures of this run: "
                f"{error.strerror}; set TMPDIR to another folder"
            ) from error
        weakref.finalize(self, self._file.close)
        if free < self.nbytes(most):  # an error now, not after an hour
            raise self._full(f"there are {free / 1e9:.2f} GB")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array."""
        return self._shape

    def __len__(self) -> int:
        """Return the number of arrays written."""
        return self._count

    def nbytes(self, count: int) -> int:
        """Compute the size of some arrays in bytes."""
        return count * int(np.prod(self._shape)) * self._dtype.itemsize

    def append(self, row: NDArray[Any]) -> int:
        """Write the next array, in one thread at a time.

        Args:
            row: array with the shape and dtype of the file.

        Returns:
            Number of the array, from 0.

        Raises:
            ValueError: the array has another shape or dtype.
            UsageError: the array cannot be written, as when the disk is full.
        """
        if row.shape != self._shape or row.dtype != self._dtype:
            raise ValueError(f"expected a crop of {self._shape} {self._dtype}, got {row.shape} {row.dtype}")
        rest = memoryview(row.tobytes())
        try:
            self._file.seek(0, os.SEEK_END)  # on Windows, without pread, reading moves the position
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._full(str(error.strerror)) from error
        self._count += 1
        return self._count - 1

    def read(self, row: int) -> NDArray[Any]:
        """Read an array by its number; it is read-only."""
        length = self.nbytes(1)
        if hasattr(os, "pread"):
            data = os.pread(self._file.fileno(), length, row * length)
        else:  # Windows
            with self._lock:
                self._file.seek(row * length)
                data = self._file.read(length)
        return np.frombuffer(data, self._dtype).reshape(self._shape)

    def _full(self, found: str) -> UsageError:
        height, width, *_ = self._shape
        return UsageError(
            f"{self._folder}: expected room for {count(self._most, 'picture')} of {height} x {width} pixels, "
            f"{self.nbytes(self._most) / 1e9:.2f} GB, but: {found}; make room there, or set TMPDIR to a "
            "folder on another disk"
        )


class CropFile(RowFile):
    """Stores pictures of one size, (size, size, 3) uint8, in a temporary file.

    Args:
        size: side of a picture in pixels.
        most: largest number of pictures; the disk must have room for them.
        folder: folder of the file; None: `TMPDIR`, or the system's folder for large temporary files.

    Raises:
        UsageError: there is no room for `most` pictures, or no file can be made.
    """

    def __init__(self, size: int, most: int, folder: str | Path | None = None) -> None:
        super().__init__((size, size, 3), np.uint8, most, folder)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a picture, (size, size, 3)."""
        height, width, colours = self._shape
        return height, width, colours

    def crops(self, rows: ArrayLike | None = None) -> Crops:
        """Return the pictures of some row numbers, in their order; None: all."""
        return Crops(self, np.arange(len(self)) if rows is None else np.asarray(rows, np.intp))


class Crops:
    """Reads some pictures of a `CropFile`, numbered from 0 in their own order.

    Args:
        file: file with the pictures.
        rows: (n,) row numbers of the pictures in the file.
    """

    def __init__(self, file: CropFile, rows: NDArray[np.intp]) -> None:
        self._file, self._rows = file, rows

    @classmethod
    def of(cls, pictures: NDArray[np.uint8]) -> Crops:
        """Write pictures, (n, size, size, 3) uint8, into a new file."""
        file = CropFile(pictures.shape[1], len(pictures))
        return file.crops([file.append(picture) for picture in pictures])

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (n, size, size, 3), as of an array."""
        return (len(self), *self._file.shape)

    def take(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Read some pictures.

        Args:
            rows: (m,) numbers from 0 to n - 1 in any order; they may repeat.

        Returns:
            (m, size, size, 3) uint8, a new array.

        Raises:
            IndexError: there is no such picture.
        """
        places = self._rows[np.asarray(rows, np.intp)]
        pictures = np.empty((len(places), *self._file.shape), np.uint8)
        for index, place in enumerate(places.tolist()):
            pictures[index] = self._file.read(place)
        return pictures

    def select(self, rows: ArrayLike) -> Crops:
        """Choose pictures by (m,) numbers from 0 to n - 1, without reading them."""
        return Crops(self._file, self._rows[np.asarray(rows, np.intp)])

    def map(self, work: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Apply a function to all pictures in order, 128 at a time.

        Args:
            work: function from (m, size, size, 3) uint8 to (m, ...) float32; m may be 0.

        Returns:
            (n, ...) float32, the concatenated results.
        """
        starts = range(0, max(len(self), 1), BLOCK)
        return np.concatenate([work(self.take(range(s, min(s + BLOCK, len(self))))) for s in starts])


def _scratch() -> Path:
    large = Path("/var/tmp")  # on disk, unlike /tmp on many systems; Windows and macOS set a variable below
    chosen = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP"))
    return large if not chosen and os.access(large, os.W_OK) else Path(tempfile.gettempdir())


@dataclass(frozen=True, eq=False)
class Aligned:
    """Holds the crop of a photo.

    Attributes:
        crop: (size, size, 3) uint8 RGB of the main face; None if no face was found.
        faces: number of faces found.
    """

    crop: NDArray[np.uint8] | None
    faces: int


def crop_recipe(cropping: Cropping) -> dict[str, Any]:
    """Return all that determines the crop of a photo, except the photo, as JSON values."""
    recipe = {"crop": cropping.crop, "size": cropping.size, "code": _code()}
    packages = ["numpy", "pillow"]
    if cropping.network is not None:
        packages.append("ai-edge-litert")
        network = hashlib.sha256(cropping.network).hexdigest()
        recipe |= {"network": network, "landmarks": cropping.landmarks, "finding": asdict(cropping.finding)}
    return {**recipe, "packages": {name: _version(name) for name in packages}}


class CropCache:
    """Stores crops of photos on disk; several threads may use it.

    Args:
        recipe: result of `crop_recipe`; crops of other recipes are not found.
        folder: folder of the cache; None: `cache_folder()`.
        limit: largest size in bytes.
    """

    def __init__(
        self, recipe: Mapping[str, Any], folder: str | Path | None = None, limit: int = LIMIT
    ) -> None:
        self._recipe = json.dumps(recipe, sort_keys=True).encode()
        self._shape = (recipe["size"], recipe["size"], 3)
        self._entries = DiskCache("crops", _NOTE, limit, folder)

    @property
    def trouble(self) -> str | None:
        """Reason why nothing more is stored, one sentence; None if there is none."""
        return self._entries.trouble

    def get(self, digest: bytes) -> Aligned | None:
        """Return the crop of the photo with a SHA-256; None if it is not stored."""
        body = self._entries.get(self._recipe + digest)
        if body is None:
            return None
        faces, pixels = int.from_bytes(body[:4], "little"), body[4:]
        if len(body) < 4 or len(pixels) != (int(np.prod(self._shape)) if faces else 0):
            return None  # damaged; the photo is read again
        return Aligned(np.frombuffer(pixels, np.uint8).reshape(self._shape) if faces else None, faces)

    def put(self, digest: bytes, aligned: Aligned) -> None:
        """Store the crop of the photo with a SHA-256."""
        pixels = b"" if aligned.crop is None else aligned.crop.tobytes()
        self._entries.put(self._recipe + digest, aligned.faces.to_bytes(4, "little") + pixels)

    def prune(self) -> None:
        """Delete the least recently used entries beyond the limit."""
        self._entries.prune()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _code() -> str:
    """Return a digest of the code of images and faces, which decides the crops of a photo."""
    sources = [
        source
        for part in ("embedder.images", "embedder.faces")
        for source in sorted(files(part).iterdir(), key=lambda source: source.name)
    ]
    digest = hashlib.sha256()
    for source in sources:
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()
