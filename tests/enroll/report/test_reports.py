"""What is true of each report: harmless whatever people are called, one file, fit for phones and desktops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.enroll.report.made import REPORTS
from tests.enroll.report.pages import HOSTILE, Page, check_harmless
from tests.enroll.serve.chromium import DESKTOP, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser

EVERYTHING = " ".join(HOSTILE)
LONG = "A" * 60  # wider than a phone, and nowhere to break it


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return {name: make(LONG) for name, make in REPORTS.items()}


@pytest.mark.parametrize("name", REPORTS)
def test_a_hostile_name_adds_no_element(written: dict[str, str], name: str):
    plain, text = Page(written[name]), REPORTS[name](EVERYTHING)
    page = Page(text)
    check_harmless(page, text)
    assert "<script" not in text and "<b onclick" not in text and "<img src=x" not in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)
    shapes = {"path", "use", "g", "defs", "svg", "rect", "clippath", "bdi", "code"}  # a name that is drawn
    kinds = [tag for tag, _ in page.elements if tag not in shapes]
    assert kinds == [tag for tag, _ in plain.elements if tag not in shapes]


@pytest.mark.parametrize("name", REPORTS)
def test_one_file_of_one_look(written: dict[str, str], name: str):
    text, page = written[name], Page(written[name])
    check_harmless(page, text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "prefers-color-scheme: dark" in text and len(page.all("h1")) == 1
    assert len(page.all("figure")) == len(page.all("figcaption")) == text.count("<figcaption>")
    assert all(image["alt"] for image in page.all("img"))


@pytest.mark.parametrize(
    ("theme", "size"),
    [
        ("dark", PHONE),
        pytest.param("light", DESKTOP, marks=pytest.mark.slow),
        pytest.param("dark", DESKTOP, marks=pytest.mark.slow),
        pytest.param("light", PHONE, marks=pytest.mark.slow),
    ],
)
def test_in_a_browser(
    written: dict[str, str],
    tmp_path: Path,
    browser_with: Callable[..., Browser],
    theme: str,
    size: dict[str, int],
):
    """Offline, nothing is asked for, nothing is wider than the screen, and axe finds no poor contrast."""
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed").Axe()
    context = browser_with().new_context(viewport=size, color_scheme=theme, offline=True, bypass_csp=True)
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda entry: said.append(entry.text))
    page.on("request", lambda asked: said.append(asked.url))
    for name, text in written.items():
        path = tmp_path / f"{name}.html"
        path.write_text(text, encoding="utf-8")
        page.goto(path.as_uri())
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"{name}: {wider} pixels wider than the screen"
        found = axe.run(page)["violations"]
        assert not [(one["id"], one["nodes"][0]["html"]) for one in found], name
    assert [url for url in said if not url.startswith(("data:", "file:"))] == []
    context.close()
