"""The tab Library in the browser of the system: rows of faces, one key for each decision, photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from embedder.extractor import Extractor
from enroll.library.grouping import usual_threshold
from enroll.library.people import Library
from enroll.library.review import IGNORE
from enroll.library.scan import Scanner
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.serve.album import picture
from tests.enroll.serve.chromium import DESKTOP, PHONE, Faces, Opened
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


def test_a_digit_chooses_the_suggestion_of_that_number(open_page: OpenPage, album: Path) -> None:
    opened = open_page("library", folder=album)
    page = opened.page
    page.locator(".keys dt", has_text="1 to 9").wait_for()
    wait_for_rows(opened, "6 faces", "5 faces", "3 faces")
    page.keyboard.press("1")
    page.locator("#said", has_text="Go to a group first").wait_for(state="attached")
    for key in ("j", "j", "x", "ArrowRight", "x", "n"):
        page.keyboard.press(key)
    page.keyboard.type("Ada 1")  # a digit in a field is a letter of a name
    page.keyboard.press("Enter")
    page.locator("#said", has_text="confirm 3 faces as Ada 1").wait_for(state="attached")
    wait_for_rows(opened, "6 faces", "3 faces", "2 faces")
    names = page.locator(".names button")
    names.wait_for()  # one name, in one of three rows
    assert names.locator("kbd").inner_text() == "1"
    assert "Ada 1 2 of 2, 0." in names.inner_text()
    assert names.get_attribute("aria-keyshortcuts") == "1"
    page.keyboard.press("1")
    page.locator("#said", has_text="No suggestion 1: there are none").wait_for(state="attached")
    page.keyboard.press("j")
    assert focused(opened).startswith("Face 1 of 2, ")
    decided: list[str] = []
    page.on("request", lambda asked: decided.append(asked.url) if asked.method == "POST" else None)
    for wrong in ("Control+1", "Alt+1", "Shift+1", "Meta+1", "2"):
        page.keyboard.press(wrong)
    page.locator("#said", has_text="No suggestion 2: there is 1").wait_for(state="attached")
    assert decided == []
    wait_for_rows(opened, "6 faces", "3 faces", "2 faces")
    page.keyboard.press("1")
    page.locator("#said", has_text="confirm 2 faces as Ada 1").wait_for(state="attached")
    wait_for_rows(opened, "6 faces", "3 faces")
    page.keyboard.press("z")
    wait_for_rows(opened, "6 faces", "3 faces", "2 faces")
    opened.go("library/suggestions")
    page.locator(".names kbd", has_text="1").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("1")
    page.locator(".hint", has_text="No suggestions").wait_for()


def test_people_in_the_background_are_looked_at_and_taken_back(
    open_page: OpenPage, album: Path, faces: Faces, network: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = usual_threshold(network.manifest.strangers)
    assert threshold is not None
    monkeypatch.chdir(album)
    with SqliteStore(album / "gallery.db") as store:
        library = Library(store)
        library.mark(IGNORE, library.groups()[2].faces)
        picture(faces, (22,), 8).save(album / "photos" / "street-again.jpg", quality=92)
        Scanner(store.library(), network, album).scan(Path("photos"))
        library.group(threshold)
    opened = open_page("library", folder=album)
    page = opened.page
    wait_for_rows(opened, "6 faces", "5 faces")
    page.locator(".lead", has_text="1 probably ignored").wait_for()
    page.locator(".left-out", has_text="1 face left out, like people you ignored.").get_by_role(
        "link"
    ).click()
    card = page.locator(".photo")
    card.locator(".pair .crop").wait_for()
    card.get_by_role("button", name="Take back the face of street-again.jpg").click()
    page.locator(".hint", has_text="No new face is like").wait_for()
    page.keyboard.press("z")
    card.wait_for()
    page.get_by_role("button", name="Ignore all 1").click()
    page.locator("#said", has_text="ignore 1 face").wait_for(state="attached")
    page.locator(".hint", has_text="No new face is like").wait_for()
    page.keyboard.press("z")
    card.wait_for()
    page.keyboard.press("z")  # the ignore of the whole group
    page.locator(".hint", has_text="No new face is like").wait_for()
    opened.go("library")
    wait_for_rows(opened, "6 faces", "5 faces", "4 faces")


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
