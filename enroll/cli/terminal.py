"""Show progress bars, escaped text, lists of rejected photos and warnings on the terminal."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import Advance, Progress
from embedder._internal.wording import count

if TYPE_CHECKING:
    from embedder.folders import Rejected
    from enroll.gallery.transfer import Content

_SETTLED = 1.0  # seconds before a bar says how fast it goes


class TerminalProgress(Progress):
    """Lines and bars on standard error; bars only where a person is watching."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(safe(line))

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Show a bar with steps, how fast they go, time left and a detail that changes."""
        from rich import progress as rich

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
        bars = rich.Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # answers that go to a file are not for the bar
        )
        with bars:
            task = bars.add_task(label, total=total, detail="")
            yield lambda steps=1, detail="": bars.update(task, advance=steps, detail=printable(detail))


def show_rejected(rejected: Sequence[Rejected]) -> None:
    """List on standard error what could not be used."""
    if rejected:
        print(f"{len(rejected)} not used:", file=sys.stderr)
        for entry in rejected:
            print(f"  {printable(str(entry.path))}: {printable(entry.reason)}", file=sys.stderr)


def show_crowded(crowded: Mapping[Path, int]) -> None:
    """List on standard error which photos show more than the person they are of."""
    if crowded:
        print(
            f"{count(len(crowded), 'photo')} with several faces; the largest, most central one was used:",
            file=sys.stderr,
        )
        for path, faces in crowded.items():
            print(f"  {printable(str(path))}: {count(faces, 'face')}", file=sys.stderr)


def show_missing_letters(names: Iterable[str]) -> None:
    """Say on standard error which letters of some names could not be drawn, and what helps."""
    from embedder._internal.text import missing_advice, missing_letters

    if letters := missing_letters(names):
        print(missing_advice(letters), file=sys.stderr)


def printable(text: str) -> str:
    """Escape what a terminal would act on or could not show, as names of files may hold anything."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def safe(text: str | Path) -> str:
    """Give a text that repeats what was typed, such as a path, as it may be shown: escaped, no secrets."""
    from enroll.store.redaction import hidden

    return printable(hidden(str(text)))


_NOTES: dict[str, None] = {}  # on photos, each once


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "note"):  # on a photo: for the list at the end
            _NOTES[record.getMessage()] = None
            return
        print(f"embed: {safe(record.getMessage())}", file=sys.stderr, flush=True)


def show_notices() -> None:
    """Print warnings of ours, such as that another process is being waited for."""
    for package in ("embedder", "enroll"):
        logger = logging.getLogger(package)
        logger.handlers = [_Notices(logging.WARNING)]


def show_notes() -> None:
    """List on standard error what a person should know of photos that were read, and forget it."""
    if _NOTES:
        print(f"{count(len(_NOTES), 'remark')} on photos that were read:", file=sys.stderr)
        for note in _NOTES:
            print(f"  {printable(note)}", file=sys.stderr)
        _NOTES.clear()


def sizes(content: Content) -> str:
    """Say how much is in a gallery."""
    strangers = f", {count(len(content.strangers), 'photo')} of strangers" if content.strangers else ""
    return f"{count(len(content.people), 'person')}, {count(content.templates, 'photo')}{strangers}"
