"""What all reports share: their frame, their pictures, where they may be written."""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
import pytest
from PIL import Image

from embedder.errors import MissingPackageError, UsageError
from enroll.report import page as module
from enroll.report.page import Picture, check_report, picture, render, write_report
from tests.enroll.report.pages import HOSTILE, Page, check_harmless

TEMPLATES = {path.name: path.read_text() for path in (files("enroll.report") / "templates").iterdir()}


def part(call: str, **content: object) -> str:
    """What one of the shared parts makes of some content."""
    head = '{% from "parts.html.j2" import named, face, facts, command %}'
    return module._environment().from_string(head + call).render(content).strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_title_adds_no_element(text: str):
    plain, odd = Page(render("base", title="ada")), render("base", title=text)
    check_harmless(Page(odd), odd)
    assert Page(odd).elements == plain.elements
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", odd)


def test_texts_are_escaped_wherever_they_go():
    bad, good = "<&\"'>", "&lt;&amp;&#34;&#39;&gt;"
    assert part("{{ named(text) }}", text=bad) == f"<bdi>{good}</bdi>"
    assert part("{{ command(text) }}", text=bad) == f'<code class="command">{good}</code>'
    assert f"<td>{good}</td><td><bdi>{good}</bdi></td>" in part("{{ facts([(text, text)]) }}", text=bad)
    assert f'alt="{good}"' in part("{{ face(picture) }}", picture=Picture("", 1, 1, bad))
    assert part("{{ face(none, text) }}", text=bad) == f'<span class="none">{good}</span>'


def test_a_template_takes_nothing_as_it_is_but_plots():
    every = "".join(TEMPLATES.values())
    taken = re.findall(r"\{\{[^}]*\bsafe\b[^}]*\}\}", every)
    assert taken == ["{{ plot.svg | safe }}"]
    assert "autoescape" not in every


def test_a_template_that_lacks_something_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'title' is undefined"):
        render("base")


def test_light_and_dark_have_the_same_colours():
    style = TEMPLATES["style.css"]
    roots = [set(re.findall(r"--[a-z]+(?=:)", root)) for root in re.findall(r":root \{[^}]*\}", style)]
    assert len(roots) == 3 and roots[0] == roots[1] == roots[2]  # print is the third
    assert set(re.findall(r"var\((--[a-z]+)\)", style)) <= roots[0]


@pytest.mark.parametrize(
    ("shape", "size"), [((20, 20, 3), (20, 20)), ((300, 150, 3), (48, 96)), ((1, 900, 3), (96, 1))]
)
def test_pictures_keep_their_shape(shape: tuple[int, ...], size: tuple[int, int]):
    found = picture(np.zeros(shape, np.uint8), "")
    pixels = Image.open(BytesIO(b64decode(found.data, validate=True)))
    assert pixels.size == (found.width, found.height) == size


def test_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="in a folder that exists"):
        check_report(tmp_path / "none" / "report.html")
    check_report(tmp_path / "report.html")
    for package in ("matplotlib", "jinja2"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(
                MissingPackageError, match=rf"{package}.*pip install 'embedder-enroll\[report\]'"
            ):
                check_report(tmp_path / "report.html")


def test_a_report_is_replaced_by_force_alone(tmp_path: Path):
    path = tmp_path / "report.html"
    write_report(path, "one")
    with pytest.raises(UsageError, match="is already there"):
        write_report(path, "two")
    write_report(path, "two", force=True)
    assert path.read_text() == "two"
