"""A labelled folder, `FOLDER/<identity>/<photos>`: what is in it, and what of it cannot be used.

Every entry ends up in exactly one of two lists, `samples` or `rejected`; only the files that operating
systems leave behind by themselves (`LITTER`, and names that begin with a dot) are passed over.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from embedder.errors import FolderError
from embedder.wording import count

# Characters that turn the direction of the text after them.
_TURNS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"

LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


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
        return not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a link in a circle
        return True
