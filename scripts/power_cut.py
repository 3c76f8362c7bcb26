"""What a power cut leaves of a folder: SIGKILL never loses what the page cache holds, a power cut does.

The model is that of POSIX, and harder than most file systems: content that was not synced since it was
written is lost, sector by sector; so is a name that was made, changed or removed since its folder was synced.
Any of it may survive on its own, in any order.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512  # bytes that a disk writes whole or not at all
Snapshot = dict[str, bytes | None]  # path below the folder -> content; None: a folder


@dataclass
class _File:
    """A file or a folder, whatever its names.

    Attributes:
        now: content as processes see it.
        durable: content when it was last synced.
        pending: what changed since, in order: the size, and sectors by where they start.
        names: of a folder, its files as processes see them.
        durable_names: those when it was last synced.
        renamed: what changed since, in order: each new name and each that is gone (None).
    """

    is_folder: bool
    now: bytes = b""
    durable: bytes = b""
    pending: list[tuple[int, dict[int, bytes]]] = field(default_factory=list)
    names: dict[str, _File] = field(default_factory=dict)
    durable_names: dict[str, _File] = field(default_factory=dict)
    renamed: list[dict[str, _File | None]] = field(default_factory=list)


class Disk:
    """What of a folder is on the disk, told call by call."""

    def __init__(self, root: Path) -> None:
        """Begin with all that is there as synced."""
        self.root = root
        self._by_number: dict[int, _File] = {}
        self._top = _File(is_folder=True)
        self.observe()
        for file in [self._top, *self._by_number.values()]:
            self._settle(file)

    def observe(self) -> None:
        """Take note of what has changed since the last look."""
        seen: dict[int, _File] = {}
        self._look(self.root, self._top, seen)
        self._by_number = seen  # the number of a file that is gone may be used again

    def _look(self, path: Path, folder: _File, seen: dict[int, _File]) -> None:
        names: dict[str, _File] = {}
        with os.scandir(path) as entries:
            for entry in entries:
                number = entry.inode()
                file = seen.get(number) or self._by_number.get(number) or _File(entry.is_dir())
                seen[number] = names[entry.name] = file
                if file.is_folder:
                    self._look(Path(entry.path), file, seen)
                else:
                    self._changed(file, Path(entry.path).read_bytes())
        if names != folder.names:
            changed: dict[str, _File | None] = {
                name: names.get(name)
                for name in names.keys() | folder.names.keys()
                if names.get(name) is not folder.names.get(name)
            }
            folder.renamed.append(changed)  # at once: a rename is atomic
            folder.names = names

    @staticmethod
    def _changed(file: _File, content: bytes) -> None:
        if content == file.now:
            return
        sectors = {}
        for start in range(0, len(content), SECTOR):
            piece = content[start : start + SECTOR]
            if piece != file.now[start : start + SECTOR]:
                sectors[start] = piece
        file.pending.append((len(content), sectors))
        file.now = content

    def sync(self, path: Path) -> None:
        """Take note that a file or folder was synced; one that is unlinked does not matter."""
        file: _File | None = self._top
        for name in path.relative_to(self.root).parts:
            file = file.names.get(name) if file is not None else None
        if file is not None:
            self._settle(file)

    @staticmethod
    def _settle(file: _File) -> None:
        file.durable, file.pending = file.now, []
        file.durable_names, file.renamed = dict(file.names), []

    def as_it_is(self) -> Snapshot:
        """Give what other processes see."""
        return self._read(self._top, None, 1.0)

    def after_power_cut(self, draw: random.Random | None = None, share: float = 0.5) -> Snapshot:
        """Give what is there when the power is back.

        Args:
            draw: chooses what survives of all that was not synced; None: nothing does.
            share: probability that a sector or a name survives.
        """
        return self._read(self._top, draw, share if draw else 0.0)

    def _read(self, folder: _File, draw: random.Random | None, share: float, prefix: str = "") -> Snapshot:
        entries: dict[str, _File | None] = dict(folder.durable_names)
        for changed in folder.renamed:
            if self._survives(draw, share):
                entries |= changed
        found: Snapshot = {}
        for name, file in entries.items():
            if file is None:
                continue
            if file.is_folder:
                found[prefix + name] = None
                found |= self._read(file, draw, share, f"{prefix}{name}/")
            else:
                found[prefix + name] = self._content(file, draw, share)
        return found

    def _content(self, file: _File, draw: random.Random | None, share: float) -> bytes:
        content = bytearray(file.durable)
        for size, sectors in file.pending:
            if self._survives(draw, share):
                content = content[:size].ljust(size, b"\0")
            for start, piece in sectors.items():
                if self._survives(draw, share):
                    content = content.ljust(start, b"\0")
                    content[start : start + len(piece)] = piece
        return bytes(content)

    @staticmethod
    def _survives(draw: random.Random | None, share: float) -> bool:
        return share == 1.0 or (draw is not None and draw.random() < share)


def write(snapshot: Snapshot, folder: Path) -> Path:
    """Write a snapshot into a new folder."""
    folder.mkdir(parents=True)
    for name, content in sorted(snapshot.items()):
        path = folder / name
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)
    return folder
