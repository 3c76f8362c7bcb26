"""FILE.py:FUNCTION on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedder._internal.plugins import is_function, load_function
from embedder.errors import UsageError


@pytest.mark.parametrize(
    ("text", "answer"),
    [("a.py:f", True), ("C:\\x\\a.py:f", True), ("center", False), (None, False), (len, False)],
)
def test_form(text: object, answer: bool):
    assert is_function(text) is answer


def test_function_of_a_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Pair:\n    a: int\n"
        "def double(x):\n    return Pair(2 * x).a\n"
    )
    assert load_function(f"{file}:double", "--loss")(4) == 8


@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [
        (None, "f", r"expected a file of Python before the colon, found none at .*mine.py"),
        ("def f(:\n", "f", r"mine.py, line 1: invalid syntax; fix the file"),
        ("1 / 0\n", "f", r"mine.py raised ZeroDivisionError: division by zero; fix the file"),
        ("def g(): ...\n", "f", r"expected a function f in .*mine.py, found none; it has g"),
        ("_x = 1\n", "f", r"found none; it has no function"),
        ("f = 5\n", "f", r"f in .*mine.py is a int"),
        ("", "no name", r"expected FILE.py:FUNCTION, got '.*mine.py:no name'"),
    ],
)
def test_refused_with_the_reason(tmp_path: Path, source: str | None, name: str, reason: str):
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    with pytest.raises(UsageError, match=f"--loss: .*{reason}"):
        load_function(f"{file}:{name}", "--loss")
