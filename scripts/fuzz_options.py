"""Give every option and argument values that no one expects: a typed error, never a traceback.

Each case is one command line: a command with what it needs, and one or two of its options with a value that
is too large, no number, not UTF-8, acts on a terminal, is a folder, a pipe or nothing. It must end with an
exit code that docs/commands.md lists but 1, print no character that acts on a terminal, and not take long.
The commands run in forked processes, with a model that has no network, which most cases never reach.

    python scripts/fuzz_options.py [--count 3000] [--seed 0] [--share-of-pairs 0.3]

Prints what went wrong and, last, one JSON line; ends with 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import typer
from fuzz_files import make_export, make_gallery, make_model
from mutations import try_all

from embedder.built_in import load_built_in
from enroll import cli

CODES = {0, 2, 3, 4, 5, 130}  # 1 is a bug

# Numbers beyond every type, texts that act on something, names of what is no file.
VALUES = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1",
        "2.5",
        "9" * 400,
        "9" * 5000,
        "-" + "9" * 400,
        "1e999",
        "nan",
        "inf",
        "-inf",
        "1e-300",
    ),
    *(
        "1e300",
        "0x10",
        "١٢",
        "1_000",
        "None",
        "null",
        "true",
        "[]",
        "{}",
        "2020-01-01",
        "2999-12-31",
        "0001-01-01",
    ),
    *(
        "\udcff",
        "a\udce9b",
        "\x1b[2J",
        "a\nb",
        "a\rb",
        "\u202eabc",
        "\u2028",
        "é",
        "e\u0301",
        "👩‍👩‍👧",
        "Ａｄａ",
        "-v",
        "--",
        "-",
    ),
    *(
        "x" * 300,
        "x" * 5000,
        "../none" * 50,
        ".",
        "..",
        "people",
        "people/ada/1.png",
        "gallery.db",
        "export.jsonl",
    ),
    *(
        "pipe",
        "/dev/zero",
        "/dev/full",
        "/dev/null/x",
        "none",
        "none.png",
        "a\udcff.png",
        "embed-model",
        "text.toml",
    ),
    *(
        "key",
        "milvus://",
        "milvus:x.db/",
        "milvus://user:pass@host:99999/x",
        "http://a/b.png",
        "file:///etc",
        "~",
        "$HOME",
    ),
    *("*", "%s", "{0}", "a:b", "none.py:f", "text.toml:f", "imagenet:Nothing", "unknown", "ada", "Zoë"),
)


def commands() -> dict[tuple[str, ...], Any]:
    """Give every command by its words, but `prepare`, which compiles for seconds (see test_built_in.py)."""
    found = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*words, name))
        if not hasattr(command, "commands"):
            found[words] = command

    walk(typer.main.get_command(cli.app), ())
    del found["prepare",]
    return found


class Lines:
    """Command lines by number."""

    def __init__(self, seed: int, pairs: float) -> None:
        """Find the commands.

        Args:
            seed: draws the values.
            pairs: share of the lines that change a second option, too.
        """
        self._seed, self._pairs = seed, pairs
        self._commands = sorted(commands().items())

    def __getitem__(self, number: int) -> list[str]:
        """Give the words after `embed`."""
        draw = np.random.default_rng([self._seed, number])
        words, command = self._commands[number % len(self._commands)]
        arguments = [entry for entry in command.params if entry.param_type_name == "argument"]
        options = [
            entry
            for entry in command.params
            if entry.param_type_name == "option" and entry.name not in ("help", "tensorboard")
        ]
        operands = [self._operand(entry.name or "") for entry in arguments]
        if operands and (not options or draw.random() < 0.3):
            operands[int(draw.integers(len(operands)))] = self._value(draw)
        line = []
        for _ in range(1 + (draw.random() < self._pairs)):
            if options:
                option = options[int(draw.integers(len(options)))]
                line.append(option.opts[0])
                if not option.is_flag:
                    line += [self._value(draw) for _ in range(option.nargs)]
        before = ["--key", self._value(draw)] if draw.random() < 0.05 else []
        return [*before, *words, *line, *(["--"] if draw.random() < 0.5 else []), *operands]

    def _value(self, draw: np.random.Generator) -> str:
        return VALUES[int(draw.integers(len(VALUES)))]

    def _operand(self, name: str) -> str:
        known = {
            "name": "Ada",
            "old": "Ada",
            "kept": "Ada",
            "other": "Zoë",
            "new": "Eve",
            "photo": "Ada 1.jpg",
        }
        return known.get(name, {"file": "new.jsonl", "to": "new", "weights": "int8"}.get(name, "people"))


def make_things(folder: Path) -> None:
    """Make what some values name: people, a model without a network, a gallery, an export."""
    (folder / "people" / "ada").mkdir(parents=True)
    for photo in range(2):
        (folder / "people" / "ada" / f"{photo}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    make_model(folder / "embed-model")
    make_gallery(folder / "made", library=True)
    (folder / "made" / "gallery.db").rename(folder / "gallery.db")
    (folder / "made").rmdir()
    make_export(folder / "exported")
    (folder / "exported" / "people").rename(folder / "export.jsonl")
    (folder / "text.toml").write_text("epochs = 1\n")
    (folder / "key").write_bytes(b"A" * 43 + b"=\n")


class Try:
    """Runs command lines, each in a folder like the others."""

    def __init__(self, lines: Lines, scratch: Path) -> None:
        self._lines, self._scratch = lines, scratch
        self._things = scratch / "things"
        self._things.mkdir()
        make_things(self._things)
        self.slow = 5.0  # seconds of computing that one may take; one that waits for ever ends in `try_all`

    def __call__(self, number: int) -> str:
        """Run one; gives its exit code."""
        words = self._lines[number]
        folder = self._scratch / f"{os.getpid()}-{number}"
        shutil.copytree(self._things, folder)
        os.mkfifo(folder / "pipe")
        begun = time.process_time()
        code, said = run(words, folder)
        shown = shlex.join(words)[:300]
        assert code in CODES, f"embed {shown!a}: ends with {code}: {said[-300:]!a}"
        acting = {letter for letter in said if not letter.isprintable() and letter not in "\n"}
        assert not acting, f"embed {shown!a}: writes {acting!a}"
        taken = time.process_time() - begun
        assert taken < self.slow, f"embed {shown!a}: computes for {taken:.0f} s"
        return str(code)


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Work there for a time."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(words: list[str], folder: Path) -> tuple[object, str]:
    """Run a command line in this process; gives its exit code, or what it raised, and what it printed."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    kept = [name for name in os.environ if not name.startswith("EMBED_") or name == "EMBED_CACHE"]
    clean = {name: os.environ[name] for name in kept}
    with (
        in_folder(folder),
        patch.object(sys, "argv", ["embed", *words]),
        patch.dict(os.environ, clean, clear=True),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO())),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        try:
            cli.main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code if ended.code is not None else 0
        except BaseException as error:
            code = repr(error)[:300]
    out.flush()
    return code, out.buffer.getvalue().decode()


def main() -> None:
    """Try all, print what went wrong and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share-of-pairs", type=float, default=0.3)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("EMBED_CACHE", f"{scratch}/cache")
        load_built_in()  # once, for all that looks for faces
        attempt = Try(Lines(options.seed, options.share_of_pairs), Path(scratch).resolve())
        outcomes, problems = try_all(attempt, options.count, options.processes)
    for problem in problems:
        print(problem)
    print(json.dumps({"outcomes": dict(sorted(outcomes.items())), "problems": len(problems)}))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
