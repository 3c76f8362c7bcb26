"""Every error the toolkit raises on purpose, and the exit code each one ends a command with.

```
EmbedError                         1   a bug in embed; so is any error that is none of these
├── UsageError                     2   an argument cannot do what was asked
│   ├── FolderError                2   a labelled folder lacks what the command needs
│   ├── UnknownIdentityError       2   a name that is not in the gallery
│   ├── MissingPackageError        2   an optional package is not installed, or a download failed
│   └── DivergedError              2   training became infinite or NaN; other options are needed
├── ImageError                     3   one image cannot be used; the rest of the run goes on
│   ├── PhotoConflictError         3   one photo, two names
│   └── FilmError                  3   a film or a camera's stream cannot be read
├── ModelError                     4   a model folder is missing, broken or not ours
└── GalleryError                   4   a gallery is missing, broken or not ours
    └── ForeignModelError          4   a gallery made with another model
```

Exit code 0 is done, and 5 is kept for `embed identify --fail-on-unknown`.
"""

from __future__ import annotations

import os
from pathlib import Path


class EmbedError(Exception):
    """Base of all errors; the message says what was expected, what was received and what to do."""

    exit_code = 1


class UsageError(EmbedError):
    """An argument cannot do what was asked."""

    exit_code = 2


class FolderError(UsageError):
    """A labelled folder lacks what the command needs."""


class UnknownIdentityError(UsageError):
    """A name that is not in the gallery."""


class MissingPackageError(UsageError):
    """An optional package is not installed, or a file could not be fetched."""


class DivergedError(UsageError):
    """Training diverged: a loss is infinite, not a number, or grows without bound."""


class ImageError(EmbedError):
    """One image cannot be used.

    Attributes:
        path: the file.
        reason: one sentence without the path, for lists of rejected files.
    """

    exit_code = 3

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[Path, str]]:
        """Let it cross from one process to another."""
        return type(self), (self.path, self.reason)


class PhotoConflictError(ImageError):
    """A photo that is already enrolled under another name.

    Attributes:
        digest: SHA-256 of the photo's file.
    """

    def __init__(self, path: str | Path, reason: str, digest: bytes = b"") -> None:
        super().__init__(path, reason)
        self.digest = digest


class FilmError(ImageError):
    """A film, or the stream of a camera, cannot be read."""


class ModelError(EmbedError):
    """A model folder is missing, broken or not ours."""

    exit_code = 4


class GalleryError(EmbedError):
    """A gallery is missing, broken or not ours."""

    exit_code = 4


class ForeignModelError(GalleryError):
    """A gallery made with another model.

    Attributes:
        fingerprint: of the model that it was made with.
    """

    def __init__(self, message: str, fingerprint: str = "") -> None:
        super().__init__(message)
        self.fingerprint = fingerprint
