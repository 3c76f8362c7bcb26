"""The documentation site: built without a warning, nothing from elsewhere, every command, name and route."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import embedder
import enroll
from tests.enroll.cli.test_help import COMMANDS

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
import docs_site  # noqa: E402

# Attributes that make a browser fetch something when it shows a page; a link is followed by a person alone.
FETCHED = re.compile(r"<(?:script|img|iframe|source)[^>]* src=\"([^\"]+)\"|<link[^>]* href=\"([^\"]+)\"")


def build(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder), *more]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.mark.slow  # `make docs`, which `.ci/run` runs in any case
def test_the_site_is_built_without_a_warning_and_takes_nothing_from_elsewhere(tmp_path: Path):
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        for found in FETCHED.findall(page.read_text()):
            for address in filter(None, found):
                assert not address.startswith(("http:", "https:", "//")), (page.name, address)
                target = (page.parent / address.partition("?")[0]).resolve()
                assert page.name == "404.html" or target.exists(), (page.name, address)
    assert (tmp_path / "site/search/search_index.json").exists()
    python = (tmp_path / "site/reference/python/embedder.html").read_text()
    assert 'id="embedder.Extractor"' in python


def test_every_command_and_option_has_its_place():
    page = docs_site.commands_page()
    for path, command in COMMANDS.items():
        if path:
            assert re.search(rf"^#+ embed {re.escape(path)}$", page, re.MULTILINE), path
        for entry in command.params:
            assert all(f"`{name}" in page or f", {name}" in page for name in entry.opts if name[0] == "-"), (
                path
            )
        if command.epilog:
            assert command.epilog in page


def test_every_public_name_has_its_place():
    pages = dict(docs_site.python_pages())
    for package in (embedder, enroll):
        assert set(docs_site.public_names(package.__name__)) == set(package.__all__) - {"__version__"}
        for name in docs_site.public_names(package.__name__):
            page = pages[f"reference/python/{package.__name__}.md"]
            assert f"\n## {name}\n" in page or f"\n::: {package.__name__}.{name}\n" in page
    assert "::: embedder.losses.TripletLoss" in pages["reference/python/embedder.losses.md"]


def test_every_route_of_the_api_has_its_place():
    pytest.importorskip("fastapi")
    page = docs_site.rest_page()
    for path, routes in docs_site.openapi()["paths"].items():
        for method in routes:
            assert f"\n### {method.upper()} {path}\n" in page
    named = set(re.findall(r"\(#([a-z]+)\)", page))
    assert named <= {head.lower() for head in re.findall(r"^### (\w+)$", page, re.MULTILINE)}


def test_every_page_is_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text()
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    made = {address for address, _ in docs_site.pages()}
    assert made == docs_site.addresses()
    for page in pages | made:
        assert page in listed or page.startswith("decisions/"), page


def test_links_of_pages_beside_the_docs_lead_into_them():
    text = "[a](docs/scale.md) [b](docs/decisions) [c](SECURITY.md) [d](LICENSE) [e](docs/decisions/001-x.md)"
    assert docs_site._moved(text) == (
        "[a](scale.md) [b](decisions/index.md) [c](security.md) d [e](decisions/001-x.md)"
    )
