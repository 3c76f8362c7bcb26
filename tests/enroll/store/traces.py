"""Looks for what was erased in the bytes of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

CHUNK = 8


def traces(folder: Path, secrets: Iterable[bytes]) -> list[bytes]:
    """Give the pieces of secrets that any file in a folder holds.

    Every 16-byte window of a secret has one of its 8-byte pieces, so no piece means no window. Shorter
    secrets are looked for whole.
    """
    secrets = list(secrets)
    pieces = {
        secret[start : start + CHUNK]
        for secret in secrets
        for start in range(0, len(secret) - CHUNK + 1, CHUNK)
    }
    wanted = np.array([int.from_bytes(piece, "little") for piece in sorted(pieces)], np.uint64)
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for offset in range(CHUNK):
            numbers = np.frombuffer(
                content[offset : offset + (len(content) - offset) // CHUNK * CHUNK], "<u8"
            )
            found += [int(number).to_bytes(CHUNK, "little") for number in numbers[np.isin(numbers, wanted)]]
        found += [secret for secret in secrets if len(secret) < CHUNK and secret in content]
    return found
