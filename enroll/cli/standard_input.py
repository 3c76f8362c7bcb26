"""Read a photo from standard input, which is given as `-`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config.faces import limits_in_force
from embedder.errors import UsageError

if TYPE_CHECKING:
    from embedder.images import Photo

DASH = Path("-")


class _Given(io.BytesIO):
    name = "-"  # in messages and answers


def read_given(photos: Sequence[Path]) -> list[Photo]:
    """Return photos with the content of standard input in the place of each `-`.

    Raises:
        UsageError: standard input is a terminal, or cannot be read.
    """
    if DASH not in photos:
        return list(photos)
    if sys.stdin.isatty():
        raise UsageError("-: expected a photo on standard input, got a terminal; as in `… - < photo.jpg`")
    try:
        data = sys.stdin.buffer.read(limits_in_force().max_bytes + 1)
    except OSError as error:
        raise UsageError(f"-: standard input cannot be read: {error.strerror}") from error
    return [_Given(data) if photo == DASH else photo for photo in photos]
