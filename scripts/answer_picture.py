"""The picture of the README: what the commands print, as they print it, for people of ORL.

Five people of ORL are enrolled with six photos each by `embed enroll`; `embed identify` answers two photos:
another one of an enrolled person, and one of a person who is not enrolled. Commands and answers are drawn
as a terminal into one SVG that loads nothing. Prints, last, one JSON line.

    python scripts/answer_picture.py [--to docs/pictures/answer.svg]
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from bench_main_job import surroundings
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from embedder.folders import write_dataset

TO = Path(__file__).parents[1] / "docs" / "pictures" / "answer.svg"
WIDTH = 100  # letters; as many fit beside each other on a phone held sideways
EMBED = Path(sys.executable).parent / "embed"


def answers(folder: Path) -> list[tuple[str, str]]:
    """Run the commands; give each with what it printed."""
    write_dataset("orl", folder / "orl")
    people = sorted((folder / "orl").iterdir())
    for person in people[:5]:
        (folder / "people" / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:6]:
            photo.rename(folder / "people" / person.name / photo.name)
    known, stranger = sorted(people[0].iterdir())[-1], sorted(people[9].iterdir())[0]
    known.rename(folder / f"someone-known{known.suffix}")
    stranger.rename(folder / f"stranger{stranger.suffix}")
    photos = f"someone-known{known.suffix}", f"stranger{stranger.suffix}"
    commands = "embed enroll people", f"embed identify {shlex.join(photos)}"
    return [(command, _output(command, folder)) for command in commands]


def _output(command: str, folder: Path) -> str:
    words = [str(EMBED), *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return f"{done.stdout}{done.stderr}".rstrip("\n")


def to_svg(printed: list[tuple[str, str]]) -> str:
    """Draw commands and answers as a terminal."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for command, output in printed:
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
        console.print(Text(output), soft_wrap=False)
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="embed", code_format=without_fonts, unique_id="answer")


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=TO)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        printed = answers(Path(folder))
    options.to.write_text(to_svg(printed))
    print("\n".join(f"$ {command}\n{output}" for command, output in printed))
    print(json.dumps({"script": "answer_picture", **surroundings(), "printed": printed}))


if __name__ == "__main__":
    main()
