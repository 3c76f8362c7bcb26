"""The browser of the system, and a server of some people of ORL, for tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from embedder.extractor import Extractor
from tests.enroll.serve.live import Live, listening

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PEOPLE = 4
PHOTOS = 3  # of each are enrolled; the others are asked for
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Faces:
    """Photos of ORL by person, as PNG: those that are enrolled, and others of them and of strangers."""

    orl: Path
    folder: Path

    def of(self, person: int, photo: int) -> Path:
        """The file of a photo."""
        path = self.folder / f"{self.name(person)}-{photo}.png"
        if not path.exists():
            Image.open(self._original(person, photo)).convert("RGB").save(path)
        return path

    def name(self, person: int) -> str:
        """The name of a person."""
        return sorted(self.orl.iterdir())[person].name

    def scene(self, *persons: int, photo: int = 5) -> Path:
        """The file of a picture of several, side by side."""
        path = self.folder / f"scene-{'-'.join(map(str, persons))}-{photo}.png"
        if not path.exists():
            picture = Image.new("RGB", (80 + 280 * len(persons), 480), (96, 104, 112))
            for place, person in enumerate(persons):
                one = Image.open(self._original(person, photo)).convert("RGB").resize((230, 280))
                picture.paste(one, (65 + 280 * place, 110 + 30 * (place % 2)))
            picture.save(path)
        return path

    def _original(self, person: int, photo: int) -> Path:
        return sorted((self.orl / self.name(person)).iterdir())[photo]


@dataclass
class Opened:
    """A page of a server, and what its browser complained about."""

    page: Page
    live: Live
    errors: list[str] = field(default_factory=list)

    def go(self, view: str) -> None:
        """Open a view and wait until it has what it shows."""
        self.page.goto(f"{self.live.address}/#/{view}")
        self.page.locator(f'main[data-shown="#/{view}"] h1').wait_for()
        self.page.locator("main .loading").first.wait_for(state="detached")

    def said(self) -> str:
        """What a screen reader was told last."""
        return self.page.locator("#said").inner_text()


@pytest.fixture(scope="session")
def faces(orl: Path, tmp_path_factory: pytest.TempPathFactory) -> Faces:
    return Faces(orl, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def network() -> Extractor:
    """The built-in network, shared by all servers of a run."""
    return Extractor.load(None)


@pytest.fixture(scope="session")
def some_people(tmp_path_factory: pytest.TempPathFactory, faces: Faces, network: Extractor) -> Path:
    """A folder with a gallery of four people of ORL with three photos each; copy it, do not change it."""
    folder = tmp_path_factory.mktemp("page")
    with listening(folder, network) as live:
        for person in range(PEOPLE):
            files = [
                ("photos", (file.name, file.read_bytes(), "image/png"))
                for file in (faces.of(person, photo) for photo in range(PHOTOS))
            ]
            path = f"{live.address}/api/v1/people/{faces.name(person)}/photos"
            answered = httpx.post(path, files=files, timeout=60)
            assert answered.status_code == 201, answered.text
    return folder


@pytest.fixture(scope="session")
def browser_with() -> Iterator[Callable[..., Browser]]:
    """Start the browser; once for each set of flags."""
    if PROGRAM is None:
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with ExitStack() as stack:
        driver = stack.enter_context(sync_api.sync_playwright())
        started: dict[tuple[str, ...], Any] = {}

        def start(*flags: str) -> Browser:
            if flags not in started:
                started[flags] = driver.chromium.launch(
                    executable_path=PROGRAM, args=["--no-sandbox", "--disable-gpu", *flags]
                )
                stack.callback(started[flags].close)
            browser: Browser = started[flags]
            return browser

        yield start


@contextmanager
def shown(browser: Browser, live: Live, expect_errors: bool = False, **options: Any) -> Iterator[Opened]:
    """Open a page; anything that the browser logs as an error fails the test at the end."""
    context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        opened = Opened(page, live)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("console", lambda entry: opened.errors.append(entry.text) if entry.type == "error" else None)
        page.on("dialog", lambda dialog: opened.errors.append(f"a dialog says {dialog.message}"))
        yield opened
        if not expect_errors:  # the browser logs each answer that is an error
            ours = [text for text in opened.errors if "status of 404" not in text]
            assert not ours
    finally:
        context.close()


@pytest.fixture
def gallery(tmp_path: Path, some_people: Path) -> Path:
    """A gallery of some people, for this test alone."""
    shutil.copytree(some_people, tmp_path / "served")
    return tmp_path / "served"


@pytest.fixture
def open_page(
    gallery: Path, network: Extractor, browser_with: Callable[..., Browser]
) -> Iterator[Callable[..., Opened]]:
    """Open the page of a server of this test's gallery."""
    with ExitStack() as stack:

        def open_one(view: str = "identify", folder: Path = gallery, **given: Any) -> Opened:
            options = {name: given.pop(name) for name in ("viewport", "color_scheme") if name in given}
            expect_errors = given.pop("expect_errors", False)
            browser = browser_with(*given.pop("flags", ()))
            live = stack.enter_context(listening(folder, network, **given))
            opened = stack.enter_context(shown(browser, live, expect_errors, **options))
            opened.go(view)
            return opened

        yield open_one
