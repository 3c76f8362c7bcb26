"""How long `embed --version`, `embed --help` and each sub-command's `--help` take, in a fresh process.

Files are in the system's cache. Beside them: a Python that imports nothing, and one that imports typer and
rich, which print the help. Prints medians and, last, one JSON line.

    python scripts/bench_help.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from bench_photos import EMBED
from measured_run import run_measured

BESIDE = {
    "python": [sys.executable, "-c", "pass"],
    "python, typer and rich": [sys.executable, "-c", "import typer, rich.console, rich.panel, rich.table"],
}


def main() -> None:
    """Measure, print the medians and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    calls = {"embed --version": [*EMBED, "--version"], "embed --help": [*EMBED, "--help"]}
    calls |= {f"embed {' '.join(words)} --help": [*EMBED, *words, "--help"] for words in commands()}
    seconds: dict[str, list[float]] = {name: [] for name in [*BESIDE, *calls]}
    for turn in range(options.repeats + 1):  # the first one reads the files
        for name, command in (BESIDE | calls).items():
            wall = run_measured(command).wall
            if turn:
                seconds[name].append(round(wall, 4))
    for name, walls in seconds.items():
        print(f"{name}: {statistics.median(walls):.3f} s")
    from bench_main_job import surroundings

    facts = {"script": "bench_help", **surroundings(), "seed": 0, "repeats": options.repeats}
    print(json.dumps({**facts, "seconds": seconds}))


def commands() -> list[list[str]]:
    """Give the words of every sub-command, those that have sub-commands too."""
    import typer

    from enroll.cli import app

    def below(command: Any, words: list[str]) -> list[list[str]]:
        found = [words] if words else []
        for name, sub in getattr(command, "commands", {}).items():
            found += below(sub, [*words, name])
        return found

    return below(typer.main.get_command(app), [])


if __name__ == "__main__":
    main()
