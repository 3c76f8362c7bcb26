"""Read pictures of many formats as upright sRGB pixels of 8 bits.

Training, enrollment and identification all read pictures by this package, so that a file has the same pixels
everywhere; no other part opens pictures.
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
