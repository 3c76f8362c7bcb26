"""Modules, names and files that docs, comments and docstrings speak of exist."""

from __future__ import annotations

import importlib
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
SOURCES = [path for package in ("embedder", "enroll", "scripts") for path in ROOT.glob(f"{package}/**/*.py")]
DATED = ROOT / "docs" / "decisions"  # decisions keep the names of their day
NAME = re.compile(r"(?<![\w./-])(?:embedder|enroll)(?:\.[A-Za-z_]\w*)+(?![\w/-])")
FILE = re.compile(r"(?<![\w./-])(?:embedder|enroll|tests|scripts|docs|data)/[\w./-]+\.(?:py|md|json|png)\b")


def exists(name: str) -> bool:
    """Say whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def words_of(path: Path) -> str:
    """Give a page, or the comments and strings of a module."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING))


def missing(path: Path) -> set[str]:
    """Give the files and names that a text speaks of and that are not there."""
    text = words_of(path)
    files = {file for file in FILE.findall(text) if not (ROOT / file).exists()}
    names = set() if path.is_relative_to(DATED) else {name for name in NAME.findall(text) if not exists(name)}
    return files | {name for name in names if not name.endswith((".db", ".toml", ".py"))}


def test_names_and_files_exist():
    found = {str(path.relative_to(ROOT)): missing(path) for path in [*PAGES, *SOURCES]}
    assert not {path: names for path, names in found.items() if names}
