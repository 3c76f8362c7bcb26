"""One of a thing is not called two of it, wherever a number stands before a noun."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import embedder
from embedder._internal.wording import count, plural, shell_words

ROOT = Path(embedder.__file__).parents[1]
MODULES = [path for package in ("embedder", "enroll") for path in sorted((ROOT / package).rglob("*.py"))]
THINGS = (
    *("person", "face", "photo", "picture", "file", "entry", "template", "stranger", "search", "pair"),
    *("split", "fold", "row", "letter", "device", "division", "replicate", "sample", "link", "other"),
)
COUNTED = re.compile(rf" (?:(?!of |its )[a-z-]+ )?({'|'.join(map(plural, THINGS))}|persons)\b")


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "photo", "0 photos"),
        (1, "person", "1 person"),
        (2, "person", "2 people"),
        (1, "mated search", "1 mated search"),
        (2, "mated search", "2 mated searches"),
        (2, "other entry", "2 other entries"),
    ],
)
def test_a_number_of_things(number: int, noun: str, words: str):
    assert count(number, noun) == words


def test_thousands_can_be_parted():
    assert count(12_345, "photo", ",") == "12,345 photos"


def plurals_after_values(path: Path) -> list[str]:
    """Where an f-string writes a plural by itself, straight after a value or one word later."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    words = str(text.value)
                    if COUNTED.match(words) and "count(" not in ast.unparse(value):
                        found.append(f"line {node.lineno}: {ast.unparse(value)}{words}")
    return found


def test_plurals_come_from_one_place():
    found = {str(path.relative_to(ROOT)): plurals_after_values(path) for path in MODULES}
    assert not {path: plurals for path, plurals in found.items() if plurals}


NAMES = [
    "ada",
    "Ada Lovelace",
    "-v",
    "--help",
    "O'Neil",
    "👩\u200d👩\u200d👧",
    "a\u200bb",
    "a\\\u200d'b",
    "$HOME `x`",
    "名",
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", [*NAMES, "\udce9t\udce9"])
def test_a_command_can_be_pasted_as_it_is_printed(name: str) -> None:
    shown = shell_words("embed", "gallery", "remove", operands=[name])
    assert shown.isprintable()
    code = f"embed() {{ printf '%s\\0' \"$@\"; }}; {shown}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    *_, last = done.stdout.rstrip(b"\0").split(b"\0")
    assert last == os.fsencode(name)
    assert (b"--" in done.stdout.split(b"\0")) == name.startswith("-")
