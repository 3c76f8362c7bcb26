"""What a picture may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before a single pixel is decoded."""

    max_bytes: int = 25 * 2**20  # above any JPEG of a phone, below what would fill a laptop
    max_pixels: int = 50_000_000  # 150 MB as RGB: a laptop holds several at once
