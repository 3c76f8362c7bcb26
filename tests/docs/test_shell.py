"""The shell examples of the pages run as they stand; those of the tutorial print what the page shows.

In a block that begins with ```console each line after `$ ` is run by bash, one after the other in a folder.
What follows is compared with what it prints: numbers may differ, `...` stands for any lines or their end.

Of other pages the lines of listings that begin with `embed ` are run, in their order; those that need what is
not at hand are named here, with the reason. That commands and options exist is tested of all pages.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["tutorial.md", "evaluate.md", "privacy.md"]
NAMES = ("ada", "ben", "cho", "dev", "eva")
LISTED = ["gallery.md", "built-in.md", "library.md", "commands.md", "serve.md"]
GIVEN = {"NAME": "ada", "Ada Lovelace": "Ada L", "*.jpg": "photo.jpg stranger.jpg"}  # what a reader fills in
NOT_RUN = {
    "embed train": "minutes: tests/embedder/training",
    "embed data": "the photos are laid out already",
    "embed export": "minutes: tests/embedder/export",
    "embed quantize": "minutes: tests/embedder/export",
    "embed serve keys revoke": "a key that only a reader has",
    "embed serve ": "a server does not end: tests/enroll/serve",
    "embed watch-frigate": "a server of Frigate: tests/enroll/watch",
    "embed identify film.mp4": "a film: tests/enroll/library",
    "embed --key ~/gallery.key enroll": "for a gallery that is not there yet",
    "embed library confirm": "a group that only a reader has: tests/enroll/library",
    "embed library find": "someone who was named: the same",
    "embed evaluate faces --report": "as evaluate.md",
}
STARTS = re.compile(r"^\$ ", re.MULTILINE)


def commands_of(page: str) -> list[tuple[str, list[str]]]:
    """Commands of a page, each with the lines that are shown below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        for part in STARTS.split(block)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            found.append((command, shown))
    return found


def pattern_of(shown: list[str]) -> re.Pattern[str]:
    """What may be printed where a page shows these lines."""
    numbers = re.compile(r"([0-9](?:[0-9.]*[0-9])?)")
    whole = ""
    for number, line in enumerate(shown):
        start = r"\n" if number else ""
        if line == "...":
            whole += r"(?:\n.*)*" if number else r"[\s\S]*"
            continue
        told, more = line.removesuffix("..."), line.endswith("...")
        parts = [
            r"[0-9.]+" if odd else re.escape(part)
            for part, odd in zip(numbers.split(told), cycle((0, 1)), strict=False)
        ]
        whole += start + "".join(parts) + (".*" if more else "")
    return re.compile(whole)


@pytest.fixture(scope="module")
def given(orl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos that the pages speak of."""
    folder = tmp_path_factory.mktemp("given")
    people = sorted(orl.iterdir())
    for name, person in zip(NAMES, people, strict=False):
        copy(sorted(person.iterdir())[:4], folder / "people" / name)
    for person in people[:12]:
        copy(sorted(person.iterdir())[:5], folder / "faces" / person.name)
    for person in people[25:29]:
        copy(sorted(person.iterdir())[:3], folder / "others" / person.name)
    for number, photo in enumerate(sorted(people[24].iterdir())[:2], 1):
        Image.open(photo).save(folder / f"ada{number}.jpg", quality=95)
    for name, person, photo in (("photo.jpg", people[0], 8), ("stranger.jpg", people[19], 0)):
        Image.open(sorted(person.iterdir())[photo]).save(folder / name, quality=95)
    return folder


def copy(photos: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos, 1):
        Image.open(photo).save(folder / f"{number}.jpg", quality=95)


@pytest.mark.parametrize(
    "page", [PAGES[0], *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES[1:])]
)
def test_commands_of_the_page_run(page: str, given: Path, tmp_path: Path) -> None:
    for entry in given.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1"}
    subprocess.run(["embed", "prepare"], env=environment, check=True, capture_output=True)
    for command, shown in commands_of(page):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        said = done.stdout.strip("\n")
        assert done.returncode == 0, f"{command}\n{said}"
        assert pattern_of(shown).fullmatch(said), f"{command}\n{said}"


def lines_of(page: str) -> list[str]:
    """Commands of the listings of a page."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    listings = "\n".join(text for kind, text in blocks if not kind)
    lines = [line.removeprefix("$ ") for line in listings.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if re.match(r"embed(?: |$)", line)]


def is_run(line: str) -> bool:
    """Say whether a line can be run here."""
    return (
        line != "embed serve"
        and ("serve keys" in line or not line.startswith("embed serve "))
        and not any(line.startswith(start) for start in NOT_RUN if start != "embed serve ")
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", LISTED)
def test_listed_commands_run(page: str, given: Path, tmp_path: Path) -> None:
    for entry in given.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    for name, source in (("holiday", "faces/s01"), ("Photos", "faces")):
        (tmp_path / name).symlink_to(given / source)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
    before = ["embed enroll people"] if page in ("gallery.md", "built-in.md") else []
    for line in [*before, *filter(is_run, lines_of(page))]:
        command = line
        for word, value in GIVEN.items():
            command = command.replace(word, value)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_what_is_not_run_is_there() -> None:
    lines = [line for page in LISTED for line in lines_of(page)]
    for start in NOT_RUN:
        assert any(line.startswith(start.strip()) for line in lines), start
    assert sum(map(is_run, lines)) > 30


def test_commands_and_options_of_all_pages_exist() -> None:
    from tests.enroll.cli.test_help import ROOT

    checked = 0
    for page in sorted(DOCS.glob("**/*.md")):
        if page.parent.name == "decisions":  # these keep the names of their day
            continue
        named = [part.partition(" #")[0] for part, _ in commands_of(str(page)) if part.startswith("embed ")]
        for line in [*lines_of(str(page.relative_to(DOCS))), *named]:
            words = shlex.split(line.removesuffix("\\"))
            command, words = ROOT, words[1:]
            if words[:1] == ["--key"]:
                words = words[2:]
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            options = {name for entry in command.params for name in (*entry.opts, *entry.secondary_opts)}
            used = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
            assert used <= options | {"-h"}, f"{page.name}: {line}"
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("page", PAGES)
def test_there_are_commands_to_run(page: str) -> None:
    assert len(commands_of(page)) > 4


def test_numbers_may_differ_and_nothing_else() -> None:
    pattern = pattern_of(["ada (distance 0.873, threshold 1.017)", "..."])
    assert pattern.fullmatch("ada (distance 0.9, threshold 12.01)")
    assert pattern.fullmatch("ada (distance 0.9, threshold 12.01)\nmore\nlines")
    assert not pattern.fullmatch("ben (distance 0.873, threshold 1.017)")
    assert not pattern.fullmatch("more\nada (distance 0.873, threshold 1.017)")
    assert pattern_of(["..."]).fullmatch("") and not pattern_of([]).fullmatch("anything")
