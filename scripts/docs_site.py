"""Make the reference pages of the documentation from the program itself; a hook of mkdocs.

`mkdocs.yml` names this file. Commands come from the typer application, Python names from the `__all__` of
both packages, REST routes from the server's OpenAPI document, so that no page can fall behind the code.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BESIDE = {  # pages of the site that lie outside of docs/, as forges look for them
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "code-of-conduct.md": "CODE_OF_CONDUCT.md",
    "security.md": "SECURITY.md",
}
PACKAGES = ("embedder", "enroll")
MODULES = (
    *("embedder.losses", "embedder.layers", "embedder.callbacks", "embedder.optimizers", "embedder.metrics"),
    *("embedder.errors", "enroll.serve"),
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision into the navigation."""
    for part in config.nav or ():
        if "Decisions" in part:
            part["Decisions"] += [f"decisions/{path.name}" for path in _decision_files()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of docs/."""
    for address, text in pages():
        files.append(File.generated(config, address, content=text))
    return files


def addresses() -> set[str]:
    """Give the addresses of the generated pages, within docs/, without making them."""
    names = (*PACKAGES, *MODULES)
    made = {f"reference/python/{name}.md" for name in names}
    return {*BESIDE, *made, "decisions/index.md", "reference/commands.md", "reference/rest.md"}


def pages() -> Iterator[tuple[str, str]]:
    """Give the address and the Markdown of every generated page."""
    for address, name in BESIDE.items():
        if (ROOT / name).exists():
            yield address, _moved((ROOT / name).read_text(encoding="utf-8"))
    yield "decisions/index.md", _decisions()
    yield "reference/commands.md", commands_page()
    yield from python_pages()
    yield "reference/rest.md", rest_page()


def _moved(text: str) -> str:
    """Change the links of a page that lies beside docs/ to what they are from within docs/."""
    text = re.sub(r"\]\(docs/decisions\)", "](decisions/index.md)", text)
    text = re.sub(r"\]\(docs/", "](", text)
    for address, name in BESIDE.items():
        text = text.replace(f"]({name})", f"]({address})")
    return re.sub(r"\[([^]]*)\]\((?:LICENSE|README\.md)\)", r"\1", text)


def _decisions() -> str:
    lines = ["# Decisions", "", "What was decided, why, and which figures decided it: one page each.", ""]
    for path in _decision_files():
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def _decision_files() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def commands_page() -> str:
    """Give the reference of every command and option of `embed`."""
    from enroll.cli import app

    lines = [
        "# Every command",
        "",
        "Made from the program: what `embed COMMAND --help` says. What the commands have in common, and the",
        "exit codes, stand in [the commands](../commands.md).",
    ]
    root = typer.main.get_command(app)
    lines += ["", "## Options before the command", "", *_options(root), "", *_examples(root)]
    for name, command in getattr(root, "commands", {}).items():
        lines += _command(f"embed {name}", command, level=2)
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any, level: int) -> Iterator[str]:
    yield from ("", f"{'#' * level} {name}", "", _paragraphs(command.help or ""), "")
    below = getattr(command, "commands", {})
    if not below or getattr(command, "invoke_without_command", False):
        used = " ".join(command.collect_usage_pieces(_context(command)))
        yield from ("```", f"{name} {used}", "```", "", *_options(command), "")
    yield from _examples(command)
    for part, entry in below.items():
        yield from _command(f"{name} {part}", entry, level + 1)


def _examples(command: Any) -> Iterator[str]:
    if command.epilog:
        yield from ("Examples:", "", "```", *command.epilog.splitlines(), "```")


def _paragraphs(text: str) -> str:
    """Give the help of a command as Markdown."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(_escaped(" ".join(part.split())) for part in parts)


def _context(command: Any) -> Any:
    return command.context_class(command)


def _options(command: Any) -> Iterator[str]:
    context = _context(command)
    rows = []
    for entry in command.params:
        record = entry.get_help_record(context)
        if record is None:
            continue
        names, told = record
        rows.append(f"| `{_cell(names)}` | {_cell(_escaped(told.strip()))} |")
    if rows:
        yield from ("| option or argument | meaning |", "| --- | --- |", *rows)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Keep what stands in angle brackets or between stars from being read as markup, outside of code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<*_\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def python_pages() -> Iterator[tuple[str, str]]:
    """Give one page for each package and public module, for mkdocstrings to fill."""
    for name in (*PACKAGES, *MODULES):
        told = ast.get_docstring(_tree(name)) or ""
        lines = [f"# {name}", "", *told.splitlines()]
        for public in public_names(name):
            whole = f"{name}.{public}"
            module = [f"## {public}", "", f"A module: [{whole}]({whole}.md)."]
            lines += ["", *(module if whole in MODULES else [f"::: {whole}"])]
        yield f"reference/python/{name}.md", "\n".join(lines) + "\n"


def public_names(name: str) -> list[str]:
    """Give the public names of a module, but its version.

    From its text: importing what trains would load TensorFlow, for seconds.
    """
    tree = _tree(name)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            named: list[str] = ast.literal_eval(node.value)
            return [entry for entry in named if entry != "__version__"]
    made = (ast.ClassDef, ast.FunctionDef)
    return [node.name for node in tree.body if isinstance(node, made) and not node.name.startswith("_")]


def _tree(name: str) -> ast.Module:
    path = ROOT / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def rest_page() -> str:
    """Give the reference of the REST API from its OpenAPI document."""
    document = openapi()
    lines = [
        "# REST API",
        "",
        "Made from the server's OpenAPI document, which a running one gives at `/openapi.json`. How to run",
        "it, keys, and the dialects of other programs: [a server](../serve.md).",
        "",
    ]
    for tag in document["tags"]:
        lines += ["", f"## {tag['name'].capitalize()}", "", tag["description"]]
        for path, routes in document["paths"].items():
            for method, route in routes.items():
                if tag["name"] in route.get("tags", ()):
                    lines += _route(path, method, route)
    lines += ["", "## Objects"]
    for name, schema in document["components"]["schemas"].items():
        lines += ["", f"### {name}", "", schema.get("description", ""), "", *_properties(schema)]
    return "\n".join(lines) + "\n"


def openapi() -> dict[str, Any]:
    """Give the OpenAPI document of the server; no model is loaded, no gallery made."""
    from enroll.serve import ServeConfig, create_app

    with tempfile.TemporaryDirectory() as folder:
        document = create_app(ServeConfig(gallery=f"{folder}/gallery.db")).openapi()
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def _route(path: str, method: str, route: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"### {method.upper()} {path}", "", route.get("description", ""), "")
    rows = [
        f"| `{entry['name']}` | {entry['in']} | {_kind(entry['schema'])} "
        f"| {_cell(entry.get('description', ''))} |"
        for entry in route.get("parameters", ())
    ]
    if rows:
        yield from ("| parameter | in | kind | meaning |", "| --- | --- | --- | --- |", *rows, "")
    for media, content in route.get("requestBody", {}).get("content", {}).items():
        yield f"- Body, `{media}`: {_kind(content.get('schema', {}))}"
    for status, answer in route.get("responses", {}).items():
        kinds = {
            _kind(content["schema"]) for content in answer.get("content", {}).values() if "schema" in content
        }
        told = answer.get("description", "")
        yield f"- {status}: {', '.join(sorted(kinds)) or told}"


def _properties(schema: dict[str, Any]) -> Iterator[str]:
    rows = [
        f"| `{name}` | {_kind(entry)} | {_cell(entry.get('description', ''))} |"
        for name, entry in schema.get("properties", {}).items()
    ]
    if rows:
        yield from ("| member | kind | meaning |", "| --- | --- | --- |", *rows)


def _kind(schema: dict[str, Any]) -> str:
    """Say in a word or two what a value of a schema is."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return schema.get("format") or schema.get("type") or "any"
