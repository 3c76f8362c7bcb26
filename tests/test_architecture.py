"""What may import what, how long a module may be, and what a command loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import embedder
import enroll

ROOT = Path(embedder.__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("embedder", "enroll")
    for path in sorted((ROOT / package).rglob("*.py"))
}
FRAMEWORKS = {"tensorflow", "keras"}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Names of the modules a file imports, those for type checking left out."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
        if top_level_only and isinstance(node, ast.FunctionDef):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("embedder")])
def test_embedder_never_imports_enroll(name: str):
    assert not {found for found in imports(MODULES[name]) if found.split(".")[0] == "enroll"}


@pytest.mark.parametrize("name", MODULES)
def test_only_training_imports_the_framework(name: str):
    training = (
        name.startswith(
            tuple(f"embedder.{part}" for part in ("training", "heads", "layers", "losses", "trunks"))
        )
        or name == "embedder.quiet"
    )
    used = {found.split(".")[0] for found in imports(MODULES[name])} & FRAMEWORKS
    assert training or not used


def test_no_cycles():
    edges = {
        name: {found for found in imports(path, top_level_only=True) if found in MODULES and found != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for target in edges[name]:
                visit(target, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short(name: str):
    assert len(MODULES[name].read_text().splitlines()) <= 400


def test_modules_are_short_in_the_middle():
    lengths = sorted(
        len(path.read_text().splitlines()) for path in MODULES.values() if path.name != "__init__.py"
    )
    assert lengths[len(lengths) // 2] <= 160


@pytest.mark.parametrize("package", [embedder, enroll], ids=lambda package: package.__name__)
def test_public_names_are_there_and_documented(package):
    for name in package.__all__:
        assert getattr(package, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import embedder, enroll", {"numpy", "PIL", "sqlite3", "sklearn", "ai_edge_litert", *FRAMEWORKS}),
        ("import enroll.cli", {"numpy", "PIL", "sqlite3", "sklearn", "ai_edge_litert", *FRAMEWORKS}),
        ("import enroll.gallery, enroll.identify", {"sklearn", "ai_edge_litert", *FRAMEWORKS}),
        ("import embedder.training.run", FRAMEWORKS),
    ],
)
def test_nothing_heavy_is_loaded_by_an_import(code: str, absent: set[str]):
    code = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())
