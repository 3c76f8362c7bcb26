"""What enrolling notices: names, copies, photos that were replaced, and file names that are not UTF-8."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from embedder.errors import UsageError
from embedder.images import load_image
from enroll.cli.terminal import printable
from enroll.gallery.gallery import checked_name
from tests.conftest import save_people
from tests.enroll.cli.test_cli import main


@pytest.fixture
def there(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and people p00 and p01, to work in."""
    (tmp_path / "embed-model").symlink_to(model)
    save_people(tmp_path / "people", 2, 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_photo_that_was_replaced_is_noticed(there: Path) -> None:
    main("enroll", "people")
    shutil.copy("people/p01/0.png", "other.png")
    Image.fromarray(255 - load_image("people/p00/0.png")).save("people/p00/0.png")
    _, err = main("enroll", "people")
    assert "people/p00/0.png: has changed since it was enrolled" in err
    command = err.split("`")[1].split()
    assert command[:4] == ["embed", "gallery", "remove-photo", "p00"]
    assert main(*command[1:])[0].startswith("removed people/p00/0.png of p00")
    assert "has changed" not in main("enroll", "people")[1]


def test_the_same_picture_twice_is_said_with_both_files(there: Path) -> None:
    shutil.copy("people/p00/0.png", "people/p00/9.png")
    note = PngImagePlugin.PngInfo()
    note.add_text("comment", "saved again")  # the same pixels in other bytes
    Image.fromarray(load_image("people/p00/1.png")).save("people/p01/8.png", pnginfo=note)
    shutil.copy("people/p00/2.png", "people/p01/9.png")
    _, err = main("enroll", "people", code=3)
    assert "people/p00/9.png: the same picture as people/p00/0.png\n" in err
    assert "people/p01/8.png: the same picture as people/p00/1.png, but of 'p01' and 'p00'" in err
    assert "people/p01/9.png: already enrolled as 'p00' from people/p00/2.png; a photo" in err
    _, err = main("enroll", "people", code=3)
    assert "people/p01/9.png: already enrolled as 'p00' from people/p00/2.png; a photo" in err
    save_people(there / "more", 4, 3)
    (there / "more" / "p03").rename("people/p03")
    _, err = main("evaluate", "people", "--splits", "1", "--known", "0.5", code=0)
    assert "people/p01/8.png: the same picture as people/p00/1.png" in err
    options = [
        "--crop",
        "whole",
        "--trunk",
        "small-cnn",
        "--input-size",
        "16",
        "--epochs",
        "0",
        "--model",
        "new",
    ]
    _, err = main("train", "people", *options)
    assert "people/p01/9.png: the same picture as people/p00/2.png, but of 'p01' and 'p00'" in err


def test_names_are_pointed_out_when_the_second_comes(there: Path) -> None:
    main("enroll", "--name", "Ada", "people/p00/0.png")
    _, err = main("enroll", "--name", "ada", "people/p01/0.png")
    assert "'ada' and 'Ada' look like one name" in err
    _, err = main("enroll", "--name", "ada", "people/p01/1.png")
    assert err == ""
    _, err = main("enroll", "--name", "Unknown", "people/p01/2.png")
    assert "--strangers" in err
    _, err = main("gallery", "rename", "Unknown", "A d a")
    assert "'A d a' and 'Ada' look like one name" in err


def test_litter_is_counted_in_one_line(there: Path) -> None:
    for name in ("@eaDir", "people/p00/@eaDir", "people/#recycle"):
        Path(name).mkdir()
        shutil.copy("people/p00/0.png", name)
    Path("people/p00/0.png.xmp").touch()
    out, err = main("enroll", "people")
    assert out == "enrolled p00 (3 photos)\nenrolled p01 (3 photos)\n"
    assert err.startswith("passed over 3 entries that systems and programs leave beside photos, such as ")
    assert "passed over 3 entries" in main("identify", "people")[1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_name_that_is_not_utf8(there: Path) -> None:
    Path("people/p00/0.png").rename(os.fsdecode(b"people/p00/\xe9t\xe9.png"))
    main("enroll", "people")
    assert "6 the same, 0 changed or unreadable, 0 gone" in main("gallery", "verify", "--photos")[0]
    assert "photo 1: people/p00/1.png" in main("gallery", "show", "p00")[0]
    assert r"people/p00/\xe9t\xe9.png" in main("gallery", "show", "p00")[0]
    main("gallery", "export", "people.jsonl")
    main("gallery", "import", "people.jsonl", "--gallery", "again.db")
    verified = main("gallery", "verify", "--photos", "--gallery", "again.db")[0]
    assert "6 the same" in verified
    assert main("gallery", "remove-photo", "p00", os.fsdecode(b"people/p00/\xe9t\xe9.png"))[0].startswith(
        "removed"
    )
    assert printable(os.fsdecode(b"\xe9")) == printable("\U0010ffe9") == r"\xe9"


def test_photos_are_found_from_another_folder(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main("enroll", "people")
    (there / "elsewhere").mkdir()
    monkeypatch.chdir(there / "elsewhere")
    assert "6 the same" in main("gallery", "verify", "--photos", "--gallery", "../gallery.db")[0]
    drop = ["gallery", "remove-photo", "p00", "../people/p00/0.png", "--gallery", "../gallery.db"]
    assert main(*drop)[0] == "removed people/p00/0.png of p00\n"
    monkeypatch.chdir(there)
    (there / "moved").mkdir()
    for name in ("people", "gallery.db"):
        Path(name).rename(Path("moved") / name)
    assert "5 the same" in main("gallery", "verify", "--photos", "--gallery", "moved/gallery.db")[0]
    main("enroll", "--name", "eve", "moved/people/p00/0.png", "--gallery", "far.db")
    main("gallery", "merge", "far.db", "--gallery", "moved/gallery.db")
    assert "6 the same" in main("gallery", "verify", "--photos", "--gallery", "moved/gallery.db")[0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_no_photo_path_acts_on_the_terminal(there: Path) -> None:
    Path("people/p00/0.png").rename("people/p00/a\x9b\u202eb\x1b[2J.png")
    Path("people/p00/1.png").rename("people/p01/c\x9b.png")  # p01 now has someone else's
    for words in (["enroll", "people"], ["gallery", "show", "p00"], ["gallery", "show", "p00", "--json"]):
        said = "".join(main(*words))
        assert all(letter.isprintable() or letter == "\n" for letter in said)
    photos = json.loads(main("gallery", "show", "p00", "--json")[0])["photos"]
    assert photos[-1]["photo"].endswith("\x9b\u202eb\x1b[2J.png") or photos[0]["photo"].endswith("2J.png")
    for words in (["gallery", "doctor"], ["gallery", "doctor", "--json"], ["gallery", "doctor", "--photos"]):
        said = "".join(main(*words))
        assert all(letter.isprintable() or letter == "\n" for letter in said)


def test_a_name_of_a_million_letters_is_not_repeated(there: Path) -> None:
    with pytest.raises(UsageError) as refused:
        checked_name("x" * 10**6)
    assert len(str(refused.value)) < 400
    assert "a name of 1000000 characters" in str(refused.value)


def test_days_that_cannot_be_meant_are_refused(there: Path, today: date) -> None:
    yesterday, later = (str(today + timedelta(days=days)) for days in (-1, 3))
    enroll = ["enroll", "--name", "ada", "people/p00/0.png"]
    assert "expected a day that is not over" in main(*enroll, "--expires", yesterday, code=2)[1]
    assert "expected a day that has come" in main(*enroll, "--consent-date", later, code=2)[1]
    main(*enroll, "--expires", str(today), "--consent-date", str(today))
    _, err = main("gallery", "terms", "ada", "--expires", yesterday)  # on purpose: from now on not named
    assert "this day is over" in err


def test_two_names_are_joined(there: Path) -> None:
    main("enroll", "people")
    main("gallery", "terms", "p01", "--consent", "file 7")
    out, err = main("gallery", "merge-people", "p00", "p01")
    assert out == "p00 has 3 photos more, those of p01\n"
    assert err == "their terms differed; now: consent file 7\n"
    assert main("gallery", "list")[0] == "p00 (6 photos)\n"
    assert "merge people, person 1, 3 photos" in main("gallery", "log")[0]
    assert "no one is called 'p01'" in main("gallery", "merge-people", "p00", "p01", code=2)[1]
    assert "behind -- " in main("gallery", "remove", "-v", code=2)[1]
