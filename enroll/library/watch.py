"""Watch folders for photos: a file is reported when it has not changed for some seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from embedder.errors import MissingPackageError
from enroll.library.files import may_be_looked_at

SETTLED = 3.0  # seconds without a change: a file that is being copied grows all the time
AGAIN = 600.0  # seconds after which everything is scanned: events can be lost
_STEP = 500  # milliseconds between two checks


@dataclass
class Settling:
    """Holds changed files until they stop changing."""

    seconds: float = SETTLED
    _waiting: dict[Path, tuple[int, int, float]] = field(default_factory=dict)

    def changed(self, path: Path) -> None:
        """Record that a file changed."""
        self._waiting.setdefault(path, (-1, -1, 0.0))

    def ready(self, now: float) -> list[Path]:
        """Remove and return the files that have not changed for some seconds, or are gone.

        Also those that are gone.

        Args:
            now: seconds of a clock that never goes back.
        """
        found = []
        for path, (size, modified, since) in list(self._waiting.items()):
            try:
                status = path.stat()
            except OSError:
                del self._waiting[path]
                continue
            if (status.st_size, status.st_mtime_ns) != (size, modified):
                self._waiting[path] = (status.st_size, status.st_mtime_ns, now)
            elif now - since >= self.seconds and status.st_size:
                del self._waiting[path]
                found.append(path)
        return found


def watch_folders(
    folders: Sequence[Path],
    left_out: Sequence[Path] = (),
    polling: bool = False,
    stop: Callable[[], bool] = lambda: False,
    settled: float = SETTLED,
) -> Iterator[list[Path]]:
    """Yield photos that are new or changed, when they are complete.

    An empty list asks for a full scan.

    Args:
        folders: to watch, with all folders in them. One that vanishes is waited for.
        left_out: folders whose files are ignored, such as those that are written to.
        polling: compare the files themselves, as network drives send no events.
        stop: asked some times a second.
        settled: seconds without a change after which a file is complete.

    Raises:
        MissingPackageError: watchfiles is not installed.
    """
    if find_spec("watchfiles") is None:
        raise MissingPackageError(
            "--watch needs the package watchfiles: pip install 'embedder-enroll[library]'"
        )
    import watchfiles

    settling, looked = Settling(settled), time.monotonic()
    outside = [folder.absolute() for folder in left_out]
    while not stop():
        there = [folder for folder in folders if folder.exists()]
        if not there:  # an unplugged disk is no reason to think that all photos were deleted
            time.sleep(_STEP / 1000)
            continue
        for changes in watchfiles.watch(
            *there,
            rust_timeout=_STEP,
            yield_on_timeout=True,
            force_polling=True if polling else None,
            watch_filter=None,
            raise_interrupt=True,
        ):
            for kind, name in changes:
                path = Path(name)
                if kind == watchfiles.Change.deleted or not may_be_looked_at(path):
                    continue
                if not any(path.absolute().is_relative_to(folder) for folder in outside):
                    settling.changed(path)
            if ready := [path for path in settling.ready(time.monotonic()) if path.is_file()]:
                yield ready
            if time.monotonic() - looked > AGAIN:
                looked = time.monotonic()
                yield []
            if stop() or not all(folder.exists() for folder in there):
                break
