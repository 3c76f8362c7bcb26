"""The tab Library in the browser of the system: rows of faces, one key for each decision, photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.enroll.serve.chromium import DESKTOP, PHONE, Opened
from tests.enroll.serve.test_page import focused
from tests.enroll.serve.test_page_access import looked_at

OpenPage = Callable[..., Opened]


def wait_for_rows(opened: Opened, *headings: str) -> None:
    """Wait until these are the headings of the rows."""
    from playwright.sync_api import expect

    expect(opened.page.locator(".group h2")).to_have_text(headings, timeout=20_000)


def test_a_library_is_reviewed_by_keyboard(open_page: OpenPage, album: Path) -> None:
    opened = open_page("library", folder=album)
    page = opened.page
    page.locator(".tile img").first.wait_for()
    wait_for_rows(opened, "6 faces", "5 faces", "3 faces")
    page.keyboard.press("j")
    assert focused(opened).startswith("Face 1 of 6, ")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert focused(opened).startswith("Face 2 of 5, ")
    page.keyboard.press("x")
    assert page.locator(":focus").get_attribute("aria-pressed") == "false"
    page.keyboard.press("p")
    page.get_by_role("dialog").locator(".frame").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert focused(opened).startswith("Face 2 of 5, ")
    page.keyboard.press("n")
    page.keyboard.type("Ada z")  # letters in a field are no decisions
    page.keyboard.press("Enter")
    page.locator("#said", has_text="confirm 4 faces as Ada z").wait_for(state="attached")
    wait_for_rows(opened, "6 faces", "3 faces")
    assert focused(opened).startswith("Face 1 of 3, ")  # goes on where it was
    page.keyboard.press("i")
    wait_for_rows(opened, "6 faces")
    page.keyboard.press("z")
    wait_for_rows(opened, "6 faces", "3 faces")
    opened.go("library/suggestions")
    page.locator(".group h2", has_text="Is this Ada z?").wait_for()
    page.keyboard.press("j")
    assert "distance 0." in focused(opened)
    page.locator(".why", has_text="at most").wait_for()
    page.keyboard.press("y")
    page.locator(".hint", has_text="No suggestions").wait_for()
    opened.go("library/person/Ada%20z")
    page.get_by_text("5 photos").wait_for()
    dates = page.locator(".photo > span:not(.small)").all_inner_texts()
    assert dates == sorted(dates)


def test_rows_are_merged_and_parted(open_page: OpenPage, album: Path) -> None:
    opened = open_page("library", folder=album, expect_errors=True)
    page = opened.page
    wait_for_rows(opened, "6 faces", "5 faces", "3 faces")
    page.keyboard.press("j")
    page.keyboard.press("m")
    page.keyboard.press("j")
    page.keyboard.press("m")  # one photo shows both
    page.get_by_role("alert").filter(has_text="are in one photo").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("m")
    wait_for_rows(opened, "9 faces", "5 faces")
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.keyboard.press("x")
    page.keyboard.press("s")
    page.locator(".group h2", has_text="8 faces").wait_for()
    page.keyboard.press("z")
    wait_for_rows(opened, "9 faces", "5 faces")
    page.keyboard.press("z")
    wait_for_rows(opened, "6 faces", "5 faces", "3 faces")


def test_a_photo_that_is_gone_is_said_and_a_script_is_text(open_page: OpenPage, album: Path) -> None:
    for photo in (album / "photos").glob("beach-*"):
        photo.unlink()
    opened = open_page("library", folder=album, expect_errors=True)
    page = opened.page
    name = "<img src=x onerror=alert(1)>"
    first = page.locator(".group").first
    first.locator(".crop.gone").first.wait_for()
    first.get_by_role("button", name="Photo").click()
    page.get_by_role("dialog").get_by_role("alert").filter(has_text="is not there any more").wait_for()
    page.keyboard.press("Escape")
    first.get_by_placeholder("Name").fill(name)
    first.get_by_role("button", name="Name 6 faces").click()
    page.get_by_text(f"Undo: confirm 6 faces as {name}").wait_for()
    assert page.locator("main img[onerror]").count() == 0
    assert not [text for text in opened.errors if "dialog says" in text]


THEMES = [("light", DESKTOP), ("dark", PHONE), ("light", {"width": 320, "height": 640})]


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "size"), THEMES)
def test_axe_finds_nothing(open_page: OpenPage, album: Path, theme: str, size: dict[str, int]) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed").Axe()
    opened = open_page("library", folder=album, color_scheme=theme, viewport=size)
    page = opened.page
    page.locator(".tile img").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("x")
    looked_at(opened, axe, "groups")
    page.keyboard.press("p")
    page.get_by_role("dialog").locator(".frame").wait_for()
    looked_at(opened, axe, "a photo")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("W" * 60)
    page.keyboard.press("Enter")
    page.locator("#said", has_text="confirm 5 faces").wait_for(state="attached")
    for part, there in (
        ("library/suggestions", ".why img"),
        ("library/ignored", ".hint"),
        (f"library/person/{'W' * 60}", ".photo img"),
    ):
        opened.go(part)
        if part.endswith("suggestions"):
            page.locator(".tile img").first.wait_for()
            page.keyboard.press("j")
        page.locator(there).first.wait_for()
        looked_at(opened, axe, part)
