"""Show progress bars, escaped text, lists of rejected photos and warnings on the terminal."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import Advance, Progress
from embedder._internal.wording import count
from enroll.cli.output import HOW, note

if TYPE_CHECKING:
    from rich.console import Console

    from embedder.copies import Copy
    from embedder.folders import Rejected
    from enroll.gallery.transfer import GallerySnapshot

_SETTLED = 1.0  # seconds before a bar says how fast it goes


class Lines(Progress):
    """Prints lines on standard error, without bars, whose package takes long to load."""

    def say(self, line: str) -> None:
        """Print a line, unless `--quiet` was given."""
        note(safe(line))


class TerminalProgress(Lines):
    """Prints lines and bars on standard error.

    Bars are shown only on a terminal, and if the work takes long.
    """

    def __init__(self) -> None:
        self._console: Console | None = None  # of the bar that is shown

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._console is None:
            super().say(line)
        else:
            self._console.print(safe(line))

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Show a bar with steps, speed, time left and a detail that changes."""
        seen = sys.stderr.isatty() or "FORCE_COLOR" in os.environ  # which makes rich show it anyway
        if total < 2 or not seen or HOW.quiet:  # loading rich takes as long as finding a face
            yield lambda steps=1, detail="": None
            return
        from rich import progress as rich
        from rich.console import Console

        def pace(task: rich.Task) -> float:
            """Steps a second since it began: steps come many at once, so the last ones tell nothing."""
            return task.completed / task.elapsed if task.elapsed and task.elapsed >= _SETTLED else 0

        class Speed(rich.ProgressColumn):
            def render(self, task: rich.Task) -> str:
                return f"{pace(task):.0f} {unit}/s" if unit and pace(task) else ""

        class Left(rich.ProgressColumn):
            def render(self, task: rich.Task) -> str:
                if not pace(task):
                    return "-:--:--"
                return str(timedelta(seconds=math.ceil((task.remaining or 0) / pace(task))))

        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(bar_width=24),
            rich.MofNCompleteColumn(),
            Speed(),
            Left(),
            rich.TextColumn("{task.fields[detail]}"),
        )
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        bars = rich.Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # answers that go to a file are not for the bar
        )
        self._console = console
        with bars:
            task = bars.add_task(label, total=total, detail="")
            try:
                yield lambda steps=1, detail="": bars.update(task, advance=steps, detail=printable(detail))
            finally:
                self._console = None


def show_rejected(rejected: Sequence[Rejected]) -> None:
    """List on standard error what could not be used."""
    if rejected:
        print(f"{len(rejected)} not used:", file=sys.stderr)
        for entry in rejected:
            print(f"  {printable(str(entry.path))}: {printable(entry.reason)}", file=sys.stderr)


def show_passed(passed: Sequence[Path]) -> None:
    """Print on standard error how many files of systems and programs beside photos were ignored."""
    if passed:
        note(
            f"passed over {count(len(passed), 'entry')} that systems and programs leave beside photos, such "
            f"as {printable(passed[0].name)}"
        )


def show_notes(notes: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for entry in notes:
        print(printable(entry), file=sys.stderr)


def show_copies(copies: Sequence[Copy]) -> None:
    """List on standard error the photos that show the same picture as an earlier one."""
    if copies and not HOW.quiet:
        print(f"{count(len(copies), 'photo')} with a picture that is there already:", file=sys.stderr)
        for copy in copies:
            print(f"  {printable(copy.describe())}", file=sys.stderr)


def show_crowded(crowded: Mapping[Path, int]) -> None:
    """List on standard error the photos that show several faces."""
    if crowded and not HOW.quiet:
        print(
            f"{count(len(crowded), 'photo')} with several faces; the largest, most central one was used:",
            file=sys.stderr,
        )
        for path, faces in crowded.items():
            print(f"  {printable(str(path))}: {count(faces, 'face')}", file=sys.stderr)


def show_missing_letters(names: Iterable[str]) -> None:
    """Print on standard error which letters of names could not be drawn, and what helps."""
    from embedder._internal.text import missing_advice, missing_letters

    if letters := missing_letters(names):
        note(missing_advice(letters))


def printable(text: str) -> str:
    """Escape characters that a terminal would act on or could not show, as in names of files."""
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    number = ord(character)
    for first in (0xDC00, 0x10FF00):  # a byte that is no UTF-8, as Python and as galleries keep it
        if first + 0x80 <= number <= first + 0xFF:
            return f"\\x{number - first:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()


def safe(text: str | Path) -> str:
    """Escape a text that repeats what was typed, such as a path, and hide secrets in it."""
    from enroll.store.redaction import hidden

    return printable(hidden(str(text)))


_NOTES: dict[str, None] = {}  # on photos, each once


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning, or keep a remark on a photo for `show_remarks`."""
        if hasattr(record, "note"):  # on a photo: for the list at the end
            _NOTES[record.getMessage()] = None
            return
        print(f"embed: {safe(record.getMessage())}", file=sys.stderr, flush=True)


def show_warnings() -> None:
    """Print our warnings, such as that the command waits for another process."""
    for package in ("embedder", "enroll"):
        logger = logging.getLogger(package)
        logger.handlers = [_Notices(logging.WARNING)]


def show_remarks() -> None:
    """List on standard error the remarks on photos that were read, and clear them."""
    if _NOTES and not HOW.quiet:
        print(f"{count(len(_NOTES), 'remark')} on photos that were read:", file=sys.stderr)
        for remark in _NOTES:
            print(f"  {printable(remark)}", file=sys.stderr)
    _NOTES.clear()


def sizes(content: GallerySnapshot) -> str:
    """Describe how much is in a gallery."""
    strangers = f", {count(len(content.strangers), 'photo')} of strangers" if content.strangers else ""
    return f"{count(len(content.people), 'person')}, {count(content.templates, 'photo')}{strangers}"
