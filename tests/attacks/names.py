"""Names of people and files that act on a terminal, a page, a spreadsheet or a path."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import numpy as np
from fuzz_files import make_gallery

from embedder.config import TrainConfig
from embedder.config.toml import read_config
from embedder.errors import UsageError
from embedder.folders import Rejected, scan_folder
from embedder.names import name_problem
from embedder.training.artifacts import TABLE, write_table
from enroll import cli
from enroll.cli.terminal import printable, show_rejected
from enroll.decision import Candidate, Decision
from enroll.gallery.gallery import checked_name
from enroll.gallery.places import stored_path
from enroll.gallery.threshold import ThresholdSource
from enroll.identify import FaceResult, PhotoResult
from enroll.report.answers import to_json
from enroll.report.page import render
from enroll.store import open_store
from enroll.store.sqlite import store as store_module
from enroll.templates import NewTemplate
from tests.attacks.outcomes import HARMLESS, REFUSED, Attack, outcome

_ESCAPES = {
    "a name that clears the screen": "ada\x1b[2J\x1b[H",
    "a name that sets the window's title": "ada\x1b]0;root\x07",
    "a name of two lines": "ada\nenrolled eve (3 photos)",
    "a name that goes back in its line": "ada\rroot",
    "a name that erases itself": "ada\b\b\beve",
    "a name that runs the other way": "ada\u202egnp.exe",
    "a name in isolated directions": "\u2066ada\u2069",
    "a name with a NUL": "ada\0eve",
    "a name with half a pair": "ada\udcff",
    "a name with a line separator": "ada\u2028eve",
    "a name with a C1 escape": "ada\x9b2J",
    "a name of nothing to see": "\u200b\u200d\ufeff",
    "a name of white space": " \t\u3000",
    "a name of 100,000 letters": "a" * 100_000,
}
_HTML = {
    "a name that is a script": "<script>alert(1)</script>",
    "a name that ends an attribute": '"><img src=x onerror=alert(1)>',
    "a name that ends the title": "</title></style><b onclick='alert(1)'>",
    "a name that ends a comment": "--><svg/onload=alert(1)>",
}
_PATHS = {
    "a name that climbs": "../../../etc/passwd",
    "a name that is a path": "/etc/passwd",
    "a name that is a path of Windows": "..\\..\\boot.ini",
    "a name that is a statement": "'); DROP TABLE person; --",
    "a name that is a pattern": "%",
    "a name that is an option": "--force",
    "a name that is a formula": "=cmd|' /C calc'!A0",
    "a name that is a format": "{0.__class__}%n%s$(touch mark)",
}


def refused_name(name: str, folder: Path) -> str:
    """Give it to a person: by argument and, where a file system can hold it, as a folder."""
    assert name_problem(name.strip()) is not None
    with contextlib.suppress(OSError, ValueError):  # not every name can be that of a folder
        (folder / "people" / "bob").mkdir(parents=True)
        (folder / "people" / "bob" / "1.png").write_bytes(b"x")
        (folder / "people" / name).mkdir()
        (folder / "people" / name / "1.png").write_bytes(b"x")
        found = scan_folder(folder / "people")
        assert found.identities == ("bob",)
        assert len(found.rejected) == 1
    return outcome(lambda: checked_name(name))


def said(action: Callable[[], object]) -> str:
    """What an action writes to the terminal."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        action()
    return out.getvalue()


def command(*words: object) -> Callable[[], None]:
    def run() -> None:
        with patch.object(sys, "argv", ["embed", *map(str, words)]), contextlib.suppress(SystemExit):
            cli.main()

    return run


def check_said(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), f"acts on the terminal: {text!r}"


def stored_name(name: str, folder: Path) -> str:
    """A gallery from elsewhere holds a name that ours would not have taken: it is shown, not acted on."""
    place = folder / "gallery"
    make_gallery(place)
    path = place / "gallery.db"
    with open_store(path) as store, patch.object(store_module, "stored_name_problem", lambda _: None):
        try:  # as a program that knows no limits
            store.rename("Ada", name)
        except (UsageError, ValueError):
            return REFUSED
    shown = said(command("gallery", "list", "--gallery", path))
    check_said(shown)
    assert len(shown.splitlines()) == 2, f"lines are forged: {shown!r}"
    check_said(said(command("gallery", "show", "Zoe", "--gallery", path)))
    check_said(said(command("gallery", "remove", name[:50], "--gallery", path)))
    check_said(said(command("gallery", "rename", name[:50], "x", "--gallery", path)))
    return HARMLESS


def harmless_name(name: str, folder: Path) -> str:
    """It is a name like any other, whatever it looks like: stored, renamed and erased as it is."""
    place = folder / "gallery"
    make_gallery(place)
    before = {path.name for path in folder.rglob("*")}
    with open_store(place / "gallery.db") as store:
        unit = np.eye(1, 8, dtype=np.float32)[0]
        store.add(checked_name(name), [NewTemplate("photo", bytes(32), unit)])
        assert (name, 1) in store.identities()
        assert store.owners([bytes(32)]) == [name]
        store.rename(name, "x")
        store.rename("x", name)
        assert store.remove(name) == 1
        assert store.identities() == [("Ada", 2), ("Zoë", 2)]
        store.verify()
    assert {path.name for path in folder.rglob("*")} == before
    return HARMLESS


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(name for name, _ in attributes)]


def on_a_page(name: str, folder: Path) -> str:
    """It adds no element and no attribute to a report."""
    plain = Elements(render("base", title="ada")).found
    assert Elements(render("base", title=name)).found == plain
    return HARMLESS


def in_json(name: str, folder: Path) -> str:
    """It stays one value of one line."""
    decision = Decision(name, "match", 0.1, 0.5, (Candidate(name, 0.1),))
    answer = PhotoResult(str(folder / name[:9].strip("/")), None, (FaceResult(None, decision),))
    line = to_json(answer, ThresholdSource("given", 0.5))
    assert line.isprintable(), f"acts on the terminal: {line!r}"
    assert json.loads(line)["faces"][0]["identity"] == name
    return HARMLESS


def odd_file(folder: Path) -> str:
    """A file whose name acts on a terminal is shown with escapes."""
    path = folder / "a\x1b[2J\nb\udcff.png"
    check_said(said(lambda: show_rejected([Rejected(path, "broken")])))
    assert printable(str(path)).isprintable()
    assert stored_path(path, None).encode()
    return HARMLESS


def in_a_table(folder: Path) -> str:
    """The one CSV file holds numbers under names of ours: no name of anyone's gets there."""
    rows = [{"epoch": 1.0, "loss": 0.5, "tpir": float("nan")}]
    write_table(folder, rows)
    with (folder / TABLE).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert all(cell == "" or float(cell) is not None for cell in row.values())
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    return HARMLESS


def configuration(text: str, folder: Path) -> str:
    (folder / "train.toml").write_text(text)
    return outcome(lambda: read_config(folder / "train.toml", {}))


def configured_path(folder: Path) -> str:
    """No option of a configuration is a path: a file from elsewhere cannot name one of ours."""
    kinds = {str(entry.type) for entry in vars(TrainConfig)["__dataclass_fields__"].values()}
    assert not any("Path" in kind for kind in kinds)
    return configuration('model = "/etc"\n', folder)


ATTACKS: dict[str, tuple[Attack, str]] = {
    **{name: (partial(refused_name, text), REFUSED) for name, text in _ESCAPES.items()},
    **{
        f"{name}, in a gallery from elsewhere": (
            partial(stored_name, text),
            REFUSED if "\udcff" in text else HARMLESS,
        )
        for name, text in _ESCAPES.items()
    },
    **{name: (partial(harmless_name, text), HARMLESS) for name, text in (_HTML | _PATHS).items()},
    **{f"{name}, on a page": (partial(on_a_page, text), HARMLESS) for name, text in _HTML.items()},
    **{
        f"{name}, as JSON": (partial(in_json, text), HARMLESS)
        for name, text in (_HTML | _ESCAPES).items()
        if "\udcff" not in text
    },
    "a file whose name clears the screen": (odd_file, HARMLESS),
    "a formula in a table": (in_a_table, HARMLESS),
    "a configuration that names a path": (configured_path, REFUSED),
    "a configuration 100,000 lists deep": (partial(configuration, "epochs = " + "[" * 100_000), REFUSED),
    "a configuration with an option of no one's": (partial(configuration, "__class__ = 1"), REFUSED),
    "a configuration with a share of 400 digits": (
        partial(configuration, "hold_out = " + "9" * 400),
        REFUSED,
    ),
    "a configuration with a huge number": (partial(configuration, "epochs = " + "9" * 10_000), REFUSED),
}
