"""Words that no reader should have to learn: none of them in names, messages or documents.

Names, messages and documents use the terms of the field (docs/glossary.md); what stands here was once
used in their place.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = [path for folder in ("embedder", "enroll") for path in sorted((ROOT / folder).rglob("*.py"))]
TEXTS = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "enroll").rglob("*.html")),
]
# In names: a word of one of these, as in `find_twins` or `ChipFile`; the field's term beside it.
IN_NAMES = {
    "anew": "again",
    "chip": "crop",
    "chips": "crops",
    "crew": "devices",
    "crowd": "templates",
    "finder": "index",
    "mend": "fix",
    "peers": "processes",
    "rule": "scorer",
    "told": "the thing itself",
    "twins": "duplicates",
}
# In comments, docstrings, messages and documents.
IN_PROSE = {
    "anew": "again",
    "crew": "devices",
    "mend": "fix",
    "mended": "fixed",
    "mends": "fixes",
    "peers": "processes",
}


def words(name: str) -> set[str]:
    """Split a name as Python writes them: snake_case, CamelCase, CONSTANTS."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def names(tree: ast.AST) -> set[str]:
    """Give the names that a module makes up: of functions, classes, arguments, variables and attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.arg():
                found.add(node.arg)
            case ast.Name(ctx=ast.Store()):
                found.add(node.id)
            case ast.Attribute(ctx=ast.Store()):
                found.add(node.attr)
    return found


def prose(source: str) -> str:
    """Give the comments and strings of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kinds = (tokenize.COMMENT, tokenize.STRING)
    return "\n".join(token.string for token in tokens if token.type in kinds)


def banned(text: str) -> set[str]:
    """Give the words of a text that are not to be used."""
    return set(re.findall(r"[a-z]+", text.lower())) & set(IN_PROSE)


def test_code_speaks_plainly() -> None:
    offences = []
    for path in CODE:
        source = path.read_text()
        used = {name for name in names(ast.parse(source)) if words(name) & set(IN_NAMES)}
        offences += [f"{path.relative_to(ROOT)}: {word}" for word in sorted(used | banned(prose(source)))]
    assert not offences


def test_documents_speak_plainly() -> None:
    assert not [
        f"{path.relative_to(ROOT)}: {word}" for path in TEXTS for word in sorted(banned(path.read_text()))
    ]


def test_words_are_found() -> None:
    tree = ast.parse("class ChipFile:\n    def find_twins(self, crew): self.told = 1\n")
    assert {name for name in names(tree) if words(name) & set(IN_NAMES)} == {
        "ChipFile",
        "find_twins",
        "crew",
        "told",
    }
    assert banned(prose("x = 'Make it anew'  # mend it\n")) == {"anew", "mend"}
