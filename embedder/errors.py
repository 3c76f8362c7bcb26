"""Define the errors raised on purpose, each with the exit code of a command.

```
EmbedError                         1   a bug in embed; so is every error that is not in this list
├── UsageError                     2   an argument cannot be used
│   ├── FolderError                2   a labelled folder lacks what the command needs
│   ├── UnknownIdentityError       2   a name that is not in the gallery
│   ├── MissingPackageError        2   an optional package is not installed, or a download failed
│   └── DivergedError              2   training became infinite or NaN; other options are needed
├── ImageError                     3   one image cannot be used; the rest of the run goes on
│   ├── PhotoConflictError         3   one photo, two names
│   └── FilmError                  3   a film or a camera's stream cannot be read
├── ModelError                     4   a model folder is missing, broken or of another program
└── GalleryError                   4   a gallery is missing, broken or of another program
    └── ForeignModelError          4   a gallery made with another model
```

Exit code 0 means success; 5 is used by `embed identify --fail-on-unknown` alone.
"""

from __future__ import annotations

import os
from pathlib import Path


class EmbedError(Exception):
    """Base class of all errors raised on purpose.

    The message says what was expected, what was received and what to do.

    Attributes:
        exit_code: exit code of a command that ends with this error.

    Example:
        >>> try:
        ...     raise ModelError("embed-model: expected a model folder")
        ... except EmbedError as error:
        ...     code = error.exit_code
        >>> code
        4
    """

    exit_code = 1


class UsageError(EmbedError):
    """Reports an argument that cannot be used.

    Example:
        >>> UsageError("--epochs: expected a number from 0, got -1").exit_code
        2
    """

    exit_code = 2


class FolderError(UsageError):
    """Reports a labelled folder that lacks what the command needs.

    Example:
        >>> FolderError("photos: expected photos, found none").exit_code
        2
    """


class UnknownIdentityError(UsageError):
    """Reports a name that is not in the gallery.

    Example:
        >>> UnknownIdentityError("no identity 'ada' in the gallery").exit_code
        2
    """


class MissingPackageError(UsageError):
    """Reports an optional package that is not installed, or a file that was not downloaded.

    Example:
        >>> MissingPackageError("expected the package jax, which is not installed").exit_code
        2
    """


class DivergedError(UsageError):
    """Reports training whose loss became infinite or NaN, or grows without bound.

    Example:
        >>> DivergedError("training diverged: the loss is nan after batch 3").exit_code
        2
    """


class ImageError(EmbedError):
    """Reports an image that cannot be used; the other images of a run are still read.

    Args:
        path: path of the image file, or its name in messages.
        reason: reason in one sentence without the path, for lists of rejected files.

    Attributes:
        path: path of the image file.
        reason: reason in one sentence without the path.

    Example:
        >>> error = ImageError("ada/1.jpg", "the file is empty")
        >>> str(error), error.reason
        ('ada/1.jpg: the file is empty', 'the file is empty')
    """

    exit_code = 3

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[Path, str]]:
        """Return class and arguments, so that the error can be pickled for another process."""
        return type(self), (self.path, self.reason)


class PhotoConflictError(ImageError):
    """Reports a photo that is already enrolled under another name.

    Args:
        path: path of the photo.
        reason: reason in one sentence without the path.
        digest: SHA-256 of the photo's file, 32 bytes; b"" if it is not known.

    Attributes:
        digest: SHA-256 of the photo's file.

    Example:
        >>> PhotoConflictError("eve/1.jpg", "already enrolled as 'ada'").reason
        "already enrolled as 'ada'"
    """

    def __init__(self, path: str | Path, reason: str, digest: bytes = b"") -> None:
        super().__init__(path, reason)
        self.digest = digest


class FilmError(ImageError):
    """Reports a film, or a camera's stream, that cannot be read.

    Example:
        >>> FilmError("door.mp4", "not a film").exit_code
        3
    """


class ModelError(EmbedError):
    """Reports a model folder that is missing, broken or of another program.

    Example:
        >>> ModelError("embed-model: expected a model folder").exit_code
        4
    """

    exit_code = 4


class GalleryError(EmbedError):
    """Reports a gallery that is missing, broken or of another program.

    Example:
        >>> GalleryError("gallery.db: not a gallery").exit_code
        4
    """

    exit_code = 4


class ForeignModelError(GalleryError):
    """Reports a gallery that was made with another model.

    Args:
        message: the whole message.
        fingerprint: fingerprint of the model that the gallery was made with, "" if it is not known.

    Attributes:
        fingerprint: fingerprint of the model that the gallery was made with.

    Example:
        >>> ForeignModelError("gallery.db: made with another model", "5f2c").fingerprint
        '5f2c'
    """

    def __init__(self, message: str, fingerprint: str = "") -> None:
        super().__init__(message)
        self.fingerprint = fingerprint
