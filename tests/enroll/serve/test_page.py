"""The page in the browser of the system: pictures, people, the doctor, calibration, live, the key."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from enroll.serve.keys import KeyFile
from tests.enroll.serve.chromium import Faces, Opened

OpenPage = Callable[..., Opened]


def test_a_chosen_picture_is_named_with_its_distance_and_why(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page()
    opened.page.set_input_files("#files", faces.of(0, 5))
    card = opened.page.locator(".face-card")
    card.wait_for()
    assert card.locator("h3").inner_text() == faces.name(0)
    assert re.search(r"Distance 0\.\d{3}, threshold \d\.\d{3}", card.inner_text())
    opened.page.locator(".frame").click()
    assert card.evaluate("card => document.activeElement === card")
    assert "within the threshold" in card.locator("details").inner_text()
    assert faces.name(0) in card.locator("tbody tr").first.inner_text()
    card.locator("details .faces img").first.wait_for()
    assert opened.said() == faces.name(0)


def test_frames_lie_on_the_faces_of_a_group(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page()
    opened.page.set_input_files("#files", faces.scene(1, 9))
    opened.page.locator(".face-card").nth(1).wait_for()
    picture = opened.page.locator(".picture img").bounding_box()
    frames = [frame.bounding_box() for frame in opened.page.locator(".frame").all()]
    assert picture and all(frames)
    middles = sorted((frame["x"] + frame["width"] / 2 - picture["x"]) / picture["width"] for frame in frames)
    # Pasted 230 of 640 pixels wide, from 65 and from 345.
    assert middles == pytest.approx([180 / 640, 460 / 640], abs=0.08)
    tags = opened.page.locator(".frame .name").all_inner_texts()
    assert sorted(tags) == ["Unknown", faces.name(1)]


def test_the_name_over_a_face_that_fills_its_picture_is_whole(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page()
    post(opened, "Wilhelmina Weatherwax of Westminster", faces.of(9, 0))
    for person in (0, 9):  # a short name, and one that is longer than the picture of 92 pixels is wide
        opened.page.set_input_files("#files", faces.of(person, 1))
        result = opened.page.locator(".result").first
        result.locator(".frame.known").wait_for()
        picture, tag = (result.locator(one).bounding_box() for one in (".picture", ".tag"))
        assert picture is not None
        assert tag is not None
        for start, size in (("x", "width"), ("y", "height")):
            assert picture[start] <= tag[start]
            assert tag[start] + tag[size] <= picture[start] + picture[size]


def test_a_pasted_stranger_is_unknown_and_known_once_enrolled(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page()
    data = base64.b64encode(faces.of(9, 0).read_bytes()).decode()
    opened.page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const pasted = new DataTransfer();
            pasted.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: pasted, cancelable: true }));
        }""",
        data,
    )
    card = opened.page.locator(".face-card")
    card.wait_for()
    assert card.locator("h3").inner_text() == "Unknown"
    card.get_by_label("This is").fill("Noor")
    card.get_by_role("button", name="Enroll").click()
    opened.page.get_by_text("Noor: 1 photo enrolled.").first.wait_for()
    opened.page.locator("h3.known").wait_for()
    opened.page.set_input_files("#files", faces.of(9, 1))
    opened.page.locator(".result").nth(1).locator(".face-card").wait_for()
    assert opened.page.locator(".result").first.locator("h3").inner_text() == "Noor"


def test_a_face_is_enrolled_out_of_a_group(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page()
    opened.page.set_input_files("#files", faces.scene(1, 9))
    card = opened.page.locator(".face-card").filter(has_text="Unknown")
    card.get_by_label("This is").fill("Noor")
    card.get_by_label("This is").press("Enter")
    opened.page.get_by_text("Noor: 1 photo enrolled.").first.wait_for()
    opened.page.locator(".frame.known").nth(1).wait_for()
    assert sorted(opened.page.locator("h3").all_inner_texts()) == ["Noor", faces.name(1)]


def test_a_person_is_renamed_merged_and_removed(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page(f"people/{faces.name(0)}")
    page = opened.page
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("Ada / Lovelace")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    page.locator("h1", has_text="Ada / Lovelace").wait_for()
    page.locator(".photo").nth(2).wait_for()
    page.get_by_role("button", name="Merge").click()
    page.get_by_label("The other name").fill(faces.name(1))
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    page.locator(".photo").nth(5).wait_for()
    page.get_by_role("button", name="Remove photo 6").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("5 photos").wait_for()
    page.get_by_role("button", name="Change consent").click()
    page.get_by_label("Where it is kept").fill("file 17")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("kept in file 17").wait_for()
    page.get_by_role("button", name="Remove this person").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("2 people enrolled").wait_for()
    assert page.locator(".person .name").all_inner_texts() == [faces.name(2), faces.name(3)]


@pytest.mark.slow
def test_a_taken_name_is_refused_in_the_dialog(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page(f"people/{faces.name(0)}", expect_errors=True)
    opened.page.get_by_role("button", name="Rename").click()
    opened.page.get_by_label("New name").fill(faces.name(1))
    opened.page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    assert faces.name(1) in opened.page.get_by_role("dialog").get_by_role("alert").inner_text()
    opened.page.keyboard.press("Escape")
    opened.page.get_by_role("dialog").wait_for(state="detached")
    assert opened.page.get_by_role("button", name="Rename").evaluate("one => document.activeElement === one")


@pytest.mark.slow
def test_a_person_is_added_with_pictures_that_are_of_use(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page("people", expect_errors=True)
    page, nothing = opened.page, {"name": "no.png", "mimeType": "image/png", "buffer": b"no"}
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("Name", exact=True).fill("Noor")
    page.get_by_label("Pictures").set_input_files(nothing)
    page.get_by_role("button", name="Enroll").click()
    page.get_by_role("alert").filter(has_text="no.png").wait_for()
    page.get_by_label("Pictures").set_input_files([faces.of(9, 0), faces.of(9, 1)])
    page.get_by_role("button", name="Enroll").click()
    page.locator("h1", has_text="Noor").wait_for()
    page.locator(".photo img").nth(1).wait_for()


@pytest.mark.slow
def test_a_folder_of_people_is_enrolled(open_page: OpenPage, faces: Faces, tmp_path: Path) -> None:
    for person in (8, 9):
        (tmp_path / "album" / f"new{person}").mkdir(parents=True)
        for photo in (0, 1):
            (tmp_path / "album" / f"new{person}" / f"{photo}.png").write_bytes(
                faces.of(person, photo).read_bytes()
            )
    opened = open_page("people")
    opened.page.set_input_files("#folder", tmp_path / "album")
    opened.page.get_by_text("4 photos enrolled, 0 there before, 0 not used.").first.wait_for()
    opened.page.get_by_text("6 people enrolled").wait_for()


def test_the_doctor_finds_and_each_button_fixes(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page("doctor")
    page = opened.page
    page.get_by_role("heading", name="Not examined yet").wait_for()
    for name, photos in (("Twice", ((0, 5), (0, 6), (0, 7))), (faces.name(1), ((2, 7),))):
        for person, photo in photos:
            post(opened, name, faces.of(person, photo))
    page.get_by_role("button", name="Examine").click()
    page.get_by_role("button", name=f"Remove the photo: {faces.name(1)}").click()
    page.get_by_role("button", name="Merge them").click()
    page.locator(".finding .done").nth(1).wait_for()
    page.get_by_role("button", name="Examine").click()
    page.get_by_text("Nothing seems wrong.").first.wait_for()
    opened.go("people")
    page.get_by_text("4 people enrolled").wait_for()
    assert page.locator(".person", has_text=faces.name(1)).inner_text().endswith("3 photos")


def test_calibration_is_a_sentence_and_a_picture(open_page: OpenPage) -> None:
    opened = open_page("accuracy")
    page = opened.page
    page.get_by_text("Not calibrated yet").wait_for()
    page.get_by_label("Strangers who may get a name").fill("2")
    page.get_by_role("button", name="Calibrate").click()
    page.get_by_text("Of 100 strangers at most 2 get a name; that is 95 % sure.").wait_for()
    assert page.locator(".hundred .named").count() == 2
    assert page.get_by_role("img", name=re.compile("Faces nearer than")).is_visible()
    assert page.get_by_text("Not calibrated yet").count() == 0
    page.get_by_role("button", name="Measure").click()
    page.locator("th", has_text="rank-1").wait_for()


def test_scripts_in_names_are_text(open_page: OpenPage, faces: Faces) -> None:
    name = "<img src=x onerror=alert(1)><script>alert(2)</script>\" onfocus=alert(3) '"
    opened = open_page()
    page = opened.page
    page.set_input_files("#files", faces.of(9, 0))
    page.get_by_label("This is").fill(name)
    page.get_by_role("button", name="Enroll").click()
    page.locator("h3", has_text=name).wait_for()
    opened.go("people")
    page.locator(".person", has_text=name).click()
    page.locator("h1", has_text=name).wait_for()
    page.locator(".photo img").wait_for()
    assert page.title() == f"{name} – embed"
    assert page.locator("main script, main img[onerror], main [onfocus]").count() == 0


def test_the_policy_stops_scripts_that_are_not_of_the_page(open_page: OpenPage) -> None:
    opened = open_page(expect_errors=True)
    ran = opened.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            return window.ran === true;
        }"""
    )
    assert not ran
    assert any("Content Security Policy" in text for text in opened.errors)


def test_a_key_is_asked_for_and_never_in_an_address(open_page: OpenPage, gallery: Path) -> None:
    key = KeyFile(gallery / "keys.json").new("administer")
    opened = open_page(expect_errors=True, require_key=True, keys=str(gallery / "keys.json"))
    page = opened.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("dialog", name="A key is needed").wait_for()
    page.get_by_role("textbox", name="Key").fill("00000000-0000-4000-8000-000000000000")
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="That key is not known").wait_for()
    page.get_by_role("textbox", name="Key").fill(key)
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    opened.go("people")
    page.get_by_text("4 people enrolled").wait_for()
    page.locator(".person img").first.wait_for()
    assert asked and not any(key in address for address in [*asked, page.url])
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"
    page.get_by_role("button", name="Forget the key").click()
    page.get_by_role("dialog", name="A key is needed").wait_for()


@pytest.mark.slow
def test_a_key_of_less_says_which_it_takes(open_page: OpenPage, gallery: Path, faces: Faces) -> None:
    key = KeyFile(gallery / "keys.json").new("identify")
    opened = open_page(expect_errors=True, require_key=True, keys=str(gallery / "keys.json"))
    opened.page.get_by_role("textbox", name="Key").fill(key)
    opened.page.keyboard.press("Enter")
    opened.page.set_input_files("#files", faces.of(9, 0))
    opened.page.get_by_label("This is").fill("Noor")
    opened.page.get_by_role("button", name="Enroll").click()
    opened.page.get_by_role("alert").filter(has_text="does not allow this").wait_for()


def test_an_empty_gallery_says_how_to_begin(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    opened = open_page(folder=tmp_path / "empty")
    for view in ("identify", "people", "accuracy"):
        opened.go(view)
        opened.page.get_by_role("heading", name="No one is enrolled yet").wait_for()


def test_a_server_that_is_gone_is_said_and_found_again(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page(expect_errors=True)
    page = opened.page
    page.context.set_offline(True)
    page.set_input_files("#files", faces.of(0, 5))
    page.locator("#offline").wait_for()
    page.context.set_offline(False)
    page.locator(".result").get_by_role("button", name="Try again").click()
    page.locator(".face-card h3", has_text=faces.name(0)).wait_for()
    page.locator("#offline").wait_for(state="hidden")


@pytest.mark.slow
def test_what_is_no_picture_is_refused_in_words(open_page: OpenPage) -> None:
    opened = open_page(expect_errors=True)
    opened.page.set_input_files("#files", {"name": "no.png", "mimeType": "image/png", "buffer": b"no"})
    assert "no.png" in opened.page.get_by_role("alert").filter(has_text="It cannot be used").inner_text()


def test_all_is_done_by_keyboard(open_page: OpenPage, faces: Faces) -> None:
    opened = open_page()
    page = opened.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skips to the content
    page.keyboard.press("Tab")
    with page.expect_file_chooser() as chooser:
        # Playwright only sends word that it wants the chooser, and keys go another way into the browser: a
        # key that overtakes it opens the real chooser. What the page answers now comes after that word.
        assert page.evaluate("document.activeElement.id") == "files"
        page.keyboard.press("Enter")
    chooser.value.set_files(faces.of(9, 0))
    page.locator(".face-card").wait_for()
    tab_to(opened, "Face 1: Unknown. Show details.")
    page.keyboard.press("Enter")
    tab_to(opened, "This is")
    page.keyboard.type("Noor")
    page.keyboard.press("Enter")
    page.locator("h3.known").wait_for()
    page.locator("article h2:focus").wait_for()  # goes on from its picture
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if focused(opened) == "People":
            break
    page.keyboard.press("Enter")
    page.locator(".person", has_text="Noor").wait_for()
    page.locator("h1:focus").wait_for()
    tab_to(opened, "Noor 1 photo")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Noor").wait_for()
    tab_to(opened, "Rename")
    page.keyboard.press("Enter")
    page.keyboard.type("Nora")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Nora", exact=True).wait_for()
    page.locator("h1:focus").wait_for()
    tab_to(opened, "Remove this person")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    assert focused(opened) == "Cancel"  # what cannot be undone is not one key away
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("4 people enrolled").wait_for()


def focused(opened: Opened) -> str:
    """What a screen reader says of what has the focus, in short."""
    said = opened.page.evaluate(
        """() => {
            const one = document.activeElement;
            return one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.innerText;
        }"""
    )
    return " ".join(str(said).split())


def tab_to(opened: Opened, name: str) -> None:
    """Press Tab until something has the focus."""
    seen = []
    for _ in range(40):
        opened.page.keyboard.press("Tab")
        seen.append(focused(opened))
        if seen[-1] == name:
            return
    raise AssertionError(f"no way to {name!r} by Tab, only to {seen}")


def post(opened: Opened, name: str, file: Path) -> None:
    """Enroll a photo without the page."""
    answered = opened.page.context.request.post(
        f"{opened.live.address}/api/v1/people",
        multipart={
            "name": name,
            "photos": {"name": file.name, "mimeType": "image/png", "buffer": file.read_bytes()},
        },
    )
    assert answered.ok, answered.text()
