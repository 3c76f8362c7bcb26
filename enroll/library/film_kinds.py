"""Tell a film from a photo by its first bytes, without decoding or loading anything large."""

from __future__ import annotations

from pathlib import Path

from embedder._internal.files import open_file

SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".ts", ".m2ts"),
        *(".mts", ".mpg", ".mpeg", ".vob", ".flv", ".ogv", ".wmv", ".asf"),
    }
)
# Pictures are not opened to see whether they are films: of 10,000 photos that would take a second.
_PICTURES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
        *(".pnm", ".heic", ".heif", ".avif"),
    }
)
HEAD = 189  # bytes: one packet of a transport stream, and the first byte of the next
# Brands of HEIF, AVIF and CR3 files, which use the same boxes as films do (ISO/IEC 14496-12).
_STILL = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx "})
_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})  # QuickTime before it had `ftyp`
_ASF = bytes.fromhex("3026b2758e66cf11")


def film_kind(head: bytes) -> str | None:
    """Return the container that a file's first bytes are of, as FFmpeg calls its reader.

    Args:
        head: the first 189 bytes, or fewer.

    Returns:
        None if it is no film that is read: photos, and lists of other files (HLS, DASH, concat), which would
        make a reader open files and addresses that the user never named.
    """
    if head[4:8] == b"ftyp":
        return None if head[8:12] in _STILL else "mov"
    if head[4:8] in _BOXES:
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(_ASF):
        return "asf"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if len(head) >= HEAD and head[0] == head[188] == 0x47:
        return "mpegts"
    if len(head) >= HEAD and head[4] == 0x47 and head[:1] < b"\x40":  # .m2ts: a time before each packet
        return "mpegts"
    return None


def is_film(path: str | Path) -> bool:
    """Return whether a file is to be read as a film: by its first bytes, or by its name.

    A file that cannot be read is no film, unless its name says so: reading it reports why.
    """
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in _PICTURES:
        return False
    try:
        with open_file(path) as file:
            return film_kind(file.read(HEAD)) is not None
    except OSError:
        return False
