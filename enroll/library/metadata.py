"""Read the metadata of a photo about people, in its file or beside it."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable
from configparser import Error as IniError
from configparser import RawConfigParser
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from embedder._internal.files import read_file
from embedder.images import read_header, read_image_file
from enroll.library.files import beside, has_still
from enroll.library.film_kinds import SUFFIXES as FILMS
from enroll.library.jpeg_xmp import embedded_xmp
from enroll.library.regions import Region, displayed, frame_of, same_place
from enroll.library.xmp import LARGEST, XmpError, XmpPeople, read_people

_SUPPLEMENT = ".supplemental-metadata"  # of Google Takeout since 2024; its end may be cut off
_CLIPPED = 46  # characters of a name in Google Takeout
_LARGEST_TEXT = 4 * 2**20  # bytes of an ini or JSON
_FACE = re.compile(r"rect64\(([0-9a-fA-F]{1,16})\),([0-9a-fA-F]+)")
_NOBODY = "ffffffffffffffff"


@dataclass(frozen=True)
class FoundName:
    """Holds a person that a program has named in a photo.

    Attributes:
        name: of the person.
        region: place in the upright picture; None if the program gives none.
        source: the file with the name.
        sure: False if the picture was cropped since.
    """

    name: str
    region: Region | None
    source: Path
    sure: bool = True


@dataclass(frozen=True)
class Sidecars:
    """Holds the XMP files beside a photo.

    Attributes:
        read: existing ones, the one that was changed last first.
        write: the one to write.
    """

    read: tuple[Path, ...]
    write: Path


def sidecars_of(photo: Path) -> Sidecars:
    """Find the XMP files of a photo: name.ext.xmp, as most programs write, or name.xmp.

    Args:
        photo: the photo; name.xmp counts only if it belongs to no other photo beside it: it says so, or there
            is no other.
    """
    forms = {f"{photo.name}.xmp".lower(): 0, f"{photo.stem}.xmp".lower(): 1}
    found = [(forms[path.name.lower()], path) for path in beside(photo) if path.name.lower() in forms]
    kept = [path for form, path in found if form == 0 or _is_of(path, photo)]
    kept.sort(key=lambda path: _modified(path) or 0, reverse=True)
    return Sidecars(tuple(kept), kept[0] if kept else photo.with_name(f"{photo.name}.xmp"))


def _modified(path: Path) -> int | None:
    """Return when a file was changed, ns; None if it is not there, or no longer, or is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns if stat.S_ISREG(status.st_mode) else None


def _is_of(sidecar: Path, photo: Path) -> bool:
    """Return whether name.xmp belongs to a photo.

    Where two photos share a name, it says to which; one that does not say belongs to a photo rather than to
    the film of that name.
    """
    try:
        said = read_people(read_file(sidecar, LARGEST)).extension
    except (OSError, XmpError):
        return True  # reading it reports what is wrong
    if said is None:
        return not (photo.suffix.lower() in FILMS and has_still(photo))
    return said.lower() == photo.suffix.lower().lstrip(".")


@dataclass(frozen=True)
class Frame:
    """Holds how the picture of a file is stored.

    Attributes:
        orientation: EXIF's, 1 to 8.
        size: width and height in pixels as it is stored; 0 if unknown.
    """

    orientation: int
    size: tuple[int, int]


def frame_of_file(photo: Path, data: bytes | None = None) -> Frame:
    """Read how a picture is stored.

    Raises:
        ImageError: it is no picture.
    """
    header = read_header(read_image_file(photo) if data is None else data, photo)
    orientation = header.orientation if header.orientation in range(1, 9) else 1
    return Frame(orientation, (header.width, header.height))


def names_in(photo: Path, is_film: bool = False) -> tuple[list[FoundName], list[str]]:
    """Read the names that programs gave: by XMP, Picasa's ini or Google Takeout's JSON.

    Args:
        photo: the file.
        is_film: whether it is a film, which is not read; its people have no places.

    Returns:
        The names, and what could not be read, one sentence each.

    Raises:
        ImageError: the photo cannot be read.
    """
    data = b"" if is_film else read_image_file(photo)
    frame = Frame(1, (0, 0)) if is_film else frame_of_file(photo, data)
    found: list[FoundName] = []
    problems: list[str] = []
    packets: list[tuple[Path, bytes | None]] = [(path, None) for path in sidecars_of(photo).read]
    packets += [] if is_film else [(photo, data)]
    for path, content in packets:
        try:
            packet = read_file(path, LARGEST) if content is None else embedded_xmp(content)
            if packet is not None:
                said = read_people(packet)
                found += _from_xmp(said, frame, path)
                if path != photo and said.orientation not in (None, frame.orientation):
                    problems.append(
                        f"{path.name}: says orientation {said.orientation}, the photo {frame.orientation}; "
                        "the photo's counts"
                    )
        except XmpError as error:
            problems.append(f"{path.name}: {error}")
        except OSError as error:
            problems.append(f"{path.name}: cannot be read: {error.strerror}")
    for read in (_from_picasa, _from_takeout):
        try:
            found += read(photo)
        except (OSError, ValueError, IniError, KeyError, TypeError, RecursionError) as error:
            problems.append(f"names beside {photo.name} cannot be read: {str(error)[:100]}")
    return _without_duplicates([replace(one, region=None) for one in found] if is_film else found), problems


def _from_xmp(said: XmpPeople, frame: Frame, source: Path) -> list[FoundName]:
    """Return the names of a packet, with their places in the upright picture."""
    kind = frame_of(said.applied, frame.size, frame.orientation)
    found = []
    for region in said.regions:
        if region.kind != "Face" or not region.name:
            continue
        if not (region.w > 0 and region.h > 0 and -0.5 <= region.x <= 1.5 and -0.5 <= region.y <= 1.5):
            continue
        upright = region if kind == "displayed" else displayed(region, frame.orientation)
        found.append(FoundName(region.name, upright, source, kind != "unsure"))
    placed = {one.name for one in found}
    return found + [FoundName(name, None, source) for name in said.people if name not in placed]


def _from_picasa(photo: Path) -> list[FoundName]:
    """Read Picasa's ini: four shares of 65535 in one number: left, top, right, bottom, upright."""
    for name in (".picasa.ini", "Picasa.ini", "picasa.ini"):
        path = photo.parent / name
        if (modified := _modified(path)) is not None:
            faces = _picasa_faces(path, modified).get(photo.name, ())
            return [FoundName(person, region, path) for person, region in faces]
    return []


@lru_cache(maxsize=4)
def _picasa_faces(path: Path, _: int) -> dict[str, list[tuple[str, Region]]]:
    """Return the named faces of all photos of an ini, and keep the result while it does not change."""
    text = read_file(path, _LARGEST_TEXT).decode("utf-8-sig", "replace")
    ini = RawConfigParser(strict=False, interpolation=None, delimiters=("=",), allow_no_value=True)
    ini.optionxform = str  # type: ignore[assignment,method-assign]
    ini.read_string(text)
    names = {
        key.lower(): (value or "").split(";")[0].strip()
        for section in ("Contacts", "Contacts2")
        if ini.has_section(section)
        for key, value in ini.items(section)
    }
    return {
        section: [
            (names[contact.lower()], _rect64(digits))
            for digits, contact in _FACE.findall(ini.get(section, "faces", fallback="") or "")
            if contact.lower() != _NOBODY and names.get(contact.lower())
        ]
        for section in ini.sections()
    }


def _rect64(digits: str) -> Region:
    """Return the region of Picasa's number, whose leading zeros may be missing.

    Example:
        >>> [round(share, 3) for share in _rect64("40008000c000ffff").box]
        [0.25, 0.5, 0.5, 0.5]
    """
    whole = digits.rjust(16, "0")
    left, top, right, bottom = (int(whole[at : at + 4], 16) / 65535 for at in (0, 4, 8, 12))
    return Region((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def _from_takeout(photo: Path) -> list[FoundName]:
    """Read the JSON of Google Takeout: names without places; its name may be cut off."""
    for path in _takeout_files(photo):
        content = json.loads(read_file(path, _LARGEST_TEXT))
        if not isinstance(content, dict):
            continue
        title = content.get("title")
        if title is not None and title != photo.name and not _is_clipped(path, photo, str(title)):
            continue
        people: Any = content.get("people", [])
        named = [entry for entry in people if isinstance(entry, dict) and entry.get("name")]
        names = [str(entry["name"]).strip() for entry in named]
        return [FoundName(name, None, path) for name in names]
    return []


def _takeout_files(photo: Path) -> Iterable[Path]:
    whole = f"{photo.name}{_SUPPLEMENT}"
    for length in range(len(whole), min(len(photo.name), _CLIPPED) - 1, -1):
        path = photo.with_name(f"{whole[:length]}.json")
        if path.is_file():
            yield path


def _is_clipped(path: Path, photo: Path, title: str) -> bool:
    """Return whether a JSON with another title belongs to a photo, because both names were cut off."""
    return len(photo.stem) >= _CLIPPED and title.startswith(photo.stem) and path.name.startswith(photo.stem)


def _without_duplicates(found: list[FoundName]) -> list[FoundName]:
    """Drop duplicates: a name without a place where it has one, and the same place again."""
    kept: list[FoundName] = []
    for one in sorted(found, key=lambda entry: entry.region is None):
        same = [other for other in kept if other.name == one.name]
        if one.region is None and same:
            continue
        if one.region is not None and any(_near(one.region, other.region) for other in kept):
            continue
        kept.append(replace(one, name=one.name.strip()))
    return [one for one in kept if one.name]


def _near(one: Region, other: Region | None) -> bool:
    return other is not None and same_place(one, other, 0.5)
