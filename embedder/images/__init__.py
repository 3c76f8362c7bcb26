"""Bytes to pixels; the only part that opens images.

Training, enrollment and identification read through it, so that a picture means the same everywhere:
upright, sRGB, 8 bits, whatever the file held.
"""

from embedder.images.fit import resize_to_square
from embedder.images.notes import tell
from embedder.images.reading import Picture, decode_frames, decode_image, load_image, open_frames, read_header
from embedder.images.sources import Photo, photo_name, read_bytes, read_image_file
from embedder.images.taken import date_taken

__all__ = [
    "Photo",
    "Picture",
    "date_taken",
    "decode_frames",
    "decode_image",
    "load_image",
    "open_frames",
    "photo_name",
    "read_bytes",
    "read_header",
    "read_image_file",
    "resize_to_square",
    "tell",
]
