"""Keep the crops of a run in a temporary file, and those of earlier runs in a cache.

`CropFile` holds them on disk instead of in memory, so that a folder may be of any size; `Crops` are some of
them, in an order. `CropCache` knows crops by the content of their photo: what was found and aligned once is
not looked for again.
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


BLOCK = 128  # pictures in memory at a time where all are gone through: 9 MB at 150 pixels
LIMIT = 4 * 2**30  # bytes: 60,000 crops of 150 pixels, and a share of any laptop's disk that no one misses
_NOTE = """\
Faces from photos that `embed train` has read, kept so that it need not look for them again. They show people:
treat them like the photos. This folder may be deleted at any time; `embed train --no-cache` does without it.
"""


class RowFile:
    """One temporary file of arrays of one shape; it vanishes with the process, however that ends.

    It is not mapped into memory: mapped pages count as memory of the process. Threads may read it together.

    Args:
        shape: of an array.
        dtype: of an array.
        most: arrays that will come at most; the disk must have room for them.
        folder: where the file lies, or None: the system's for large temporary files, or `TMPDIR`.

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
        if free < self.nbytes(most):  # better now than after an hour
            raise self._full(f"there are {free / 1e9:.2f} GB")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one array."""
        return self._shape

    def __len__(self) -> int:
        """Arrays so far."""
        return self._count

    def nbytes(self, count: int) -> int:
        """Bytes that some arrays take."""
        return count * int(np.prod(self._shape)) * self._dtype.itemsize

    def append(self, row: NDArray[Any]) -> int:
        """Write the next array; one thread at a time.

        Args:
            row: of the shape and dtype of the file.

        Returns:
            Its number.

        Raises:
            ValueError: an array of another kind.
            UsageError: it cannot be written; the disk is full.
        """
        if row.shape != self._shape or row.dtype != self._dtype:
            raise ValueError(f"expected a crop of {self._shape} {self._dtype}, got {row.shape} {row.dtype}")
        rest = memoryview(row.tobytes())
        try:
            self._file.seek(0, os.SEEK_END)  # where there is no pread, reading has moved it
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._full(str(error.strerror)) from error
        self._count += 1
        return self._count - 1

    def read(self, row: int) -> NDArray[Any]:
        """Give one array; it cannot be written to."""
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
    """A `RowFile` of pictures of one size, (size, size, 3) uint8.

    Args:
        size: side of a picture in pixels.
        most: pictures that will come at most; the disk must have room for them.
        folder: where the file lies, or None: the system's for large temporary files, or `TMPDIR`.

    Raises:
        UsageError: there is no room for `most` pictures, or no file can be made.
    """

    def __init__(self, size: int, most: int, folder: str | Path | None = None) -> None:
        super().__init__((size, size, 3), np.uint8, most, folder)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture."""
        height, width, colours = self._shape
        return height, width, colours

    def crops(self, rows: ArrayLike | None = None) -> Crops:
        """Give some of the pictures, or all, in an order."""
        return Crops(self, np.arange(len(self)) if rows is None else np.asarray(rows, np.intp))


class Crops:
    """Some pictures of a `CropFile`, numbered from 0 in their own order.

    Args:
        file: holds them.
        rows: (n,) their rows in the file.
    """

    def __init__(self, file: CropFile, rows: NDArray[np.intp]) -> None:
        self._file, self._rows = file, rows

    @classmethod
    def of(cls, pictures: NDArray[np.uint8]) -> Crops:
        """Put pictures, (n, size, size, 3) uint8, into a file of their own."""
        file = CropFile(pictures.shape[1], len(pictures))
        return file.crops([file.append(picture) for picture in pictures])

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, size, size, 3), as of an array."""
        return (len(self), *self._file.shape)

    def take(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Read some pictures.

        Args:
            rows: (m,) numbers from 0 to n - 1, in any order, also more than once.

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
        """Give pictures of these in an order of their own, without reading them."""
        return Crops(self._file, self._rows[np.asarray(rows, np.intp)])

    def map(self, work: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Go through all pictures in order, some at a time.

        Args:
            work: (m, size, size, 3) uint8 -> (m, ...) float32; m may be 0.

        Returns:
            (n, ...) float32, what `work` gave, joined.
        """
        starts = range(0, max(len(self), 1), BLOCK)
        return np.concatenate([work(self.take(range(s, min(s + BLOCK, len(self))))) for s in starts])


def _scratch() -> Path:
    large = Path("/var/tmp")  # /tmp is memory on many systems; elsewhere one of the variables is always set
    chosen = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP"))
    return large if not chosen and os.access(large, os.W_OK) else Path(tempfile.gettempdir())


@dataclass(frozen=True, eq=False)
class Aligned:
    """What a photo came to.

    Attributes:
        crop: (size, size, 3) uint8 of the person it shows, or None: no face was found.
        faces: how many were found.
    """

    crop: NDArray[np.uint8] | None
    faces: int


def crop_recipe(cropping: Cropping) -> dict[str, Any]:
    """Give everything but the photo that decides its crop, as JSON values."""
    recipe = {"crop": cropping.crop, "size": cropping.size, "code": _code()}
    packages = ["numpy", "pillow"]
    if cropping.network is not None:
        packages.append("ai-edge-litert")
        network = hashlib.sha256(cropping.network).hexdigest()
        recipe |= {"network": network, "landmarks": cropping.landmarks, "finding": asdict(cropping.finding)}
    return {**recipe, "packages": {name: _version(name) for name in packages}}


class CropCache:
    """What photos came to, on disk; threads may share it.

    Args:
        recipe: see `crop_recipe`; what another one made is not seen.
        folder: see `DiskCache`.
        limit: bytes it may take.
    """

    def __init__(
        self, recipe: Mapping[str, Any], folder: str | Path | None = None, limit: int = LIMIT
    ) -> None:
        self._recipe = json.dumps(recipe, sort_keys=True).encode()
        self._shape = (recipe["size"], recipe["size"], 3)
        self._entries = DiskCache("crops", _NOTE, limit, folder)

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
        if len(body) < 4 or len(pixels) != (int(np.prod(self._shape)) if faces else 0):
            return None  # not as `put` writes it; the photo is read again
        return Aligned(np.frombuffer(pixels, np.uint8).reshape(self._shape) if faces else None, faces)

    def put(self, digest: bytes, aligned: Aligned) -> None:
        """Keep what a photo came to."""
        pixels = b"" if aligned.crop is None else aligned.crop.tobytes()
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
    """Digest of the code between a file and its crop; a version number would have to be raised by hand."""
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
