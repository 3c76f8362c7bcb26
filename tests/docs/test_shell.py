"""The shell examples of the tutorial and the how-to pages run as they stand, and print what the pages show.

In a block that begins with ```console each line after `$ ` is run by bash, one after the other in one folder.
What follows is compared with what it prints: numbers may differ, `...` stands for any lines or their end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["tutorial.md", "evaluate.md", "privacy.md"]
NAMES = ("ada", "ben", "cho", "dev", "eva")
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
    for name, person, photo in (("photo.jpg", people[0], 8), ("stranger.jpg", people[19], 0)):
        Image.open(sorted(person.iterdir())[photo]).save(folder / name, quality=95)
    return folder


def copy(photos: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos, 1):
        Image.open(photo).save(folder / f"{number}.jpg", quality=95)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
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
