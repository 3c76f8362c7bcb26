"""The page for everyone: each view, wide and narrow, light and dark, checked by axe-core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.enroll.serve.chromium import DESKTOP, PHONE, Faces, Opened

THEMES = [
    pytest.param("light", DESKTOP),
    pytest.param("dark", PHONE, marks=pytest.mark.slow),
    pytest.param("dark", DESKTOP, marks=pytest.mark.slow),
    pytest.param("light", PHONE, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("theme", "size"), THEMES)
def test_axe_finds_nothing_on_any_view(
    open_page: Callable[..., Opened], faces: Faces, theme: str, size: dict[str, int]
) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed").Axe()
    opened = open_page(color_scheme=theme, viewport=size, expect_errors=True)
    page = opened.page
    page.set_input_files("#files", faces.scene(1, 9))
    page.locator(".frame").first.click()
    page.locator(".face-card details img").first.wait_for()
    looked_at(opened, axe, "identify")
    send(opened, faces)
    for view, there in (
        ("live", "h1"),
        ("people", ".person img"),
        (f"people/{faces.name(0)}", ".photo img"),
        ("people/nobody", ".problem"),
        ("library", ".hint"),
        ("accuracy", ".plot"),
        ("doctor", ".finding img"),
    ):
        opened.go(view)
        page.locator(f"main {there}").first.wait_for()
        looked_at(opened, axe, view)
    opened.go(f"people/{faces.name(0)}")
    page.get_by_role("button", name="Merge").click()
    looked_at(opened, axe, "a dialog")
    page.goto(f"{opened.live.address}/docs")
    page.locator("summary").first.click()
    looked_at(opened, axe, "docs")


def looked_at(opened: Opened, axe: Any, view: str) -> None:
    """See that axe finds nothing, and that nothing is wider than the screen."""
    found = axe.run(opened.page)["violations"]
    assert not [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in found], (
        view
    )
    wider = opened.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"{view}: {wider} pixels wider than the screen"


def send(opened: Opened, faces: Faces) -> None:
    """Make something to show on every view: a photo under a wrong name, a calibration, a measurement."""
    route = f"{opened.live.address}/api/v1"
    photo = faces.of(2, 7)
    files = [("photos", (photo.name, photo.read_bytes(), "image/png"))]
    httpx.post(f"{route}/people", data={"name": faces.name(1)}, files=files, timeout=60)
    for kind in ("calibration", "evaluation", "doctor"):
        job = httpx.post(f"{route}/{kind}", timeout=60).json()
        with httpx.stream("GET", f"{route}/jobs/{job['id']}/events", timeout=60) as events:
            for _ in events.iter_lines():  # until it is over
                pass


@pytest.mark.slow
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 640}], ids=["phone", "small"])
def test_long_names_stay_within_a_phone(
    open_page: Callable[..., Opened], faces: Faces, size: dict[str, int]
) -> None:
    opened = open_page(f"people/{faces.name(0)}", viewport=size)
    page = opened.page
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("W" * 90)
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    page.locator("h1", has_text="WWW").wait_for()
    for view in (None, "people", "identify"):
        if view:
            opened.go(view)
        if view == "identify":
            page.set_input_files("#files", faces.of(0, 5))
            page.locator(".face-card").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], view
