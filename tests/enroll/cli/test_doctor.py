"""`embed gallery` export, import, merge, verify, doctor, drop and re-embed as a user runs them."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from embedder.errors import EmbedError, ForeignModelError, GalleryError, UsageError
from embedder.extractor import Extractor
from embedder.faces.crop import Crop
from enroll import cli
from enroll.gallery.gallery import Gallery
from enroll.gallery.transfer import put_content, read_content
from enroll.store import open_store
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.conftest import ToyExtractor, pattern, save_people
from tests.enroll.doctor.people import DIM, made_people
from tests.enroll.gallery.contents import GallerySnapshot, plain, small_content
from tests.enroll.report.pages import Page
from tests.enroll.templates import MODEL, template

runner = CliRunner()


def run(*arguments: str, code: int = 0, stdin: bytes = b"") -> tuple[str, str]:
    """Run a command of `embed gallery`; gives standard output and standard error."""
    result = runner.invoke(cli.app, ["gallery", *arguments], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a gallery of Ada, Zoë, and Bob as a stranger."""
    monkeypatch.chdir(tmp_path)
    made(Path("gallery.db"), small_content())
    return tmp_path


def made(path: Path, content: GallerySnapshot) -> None:
    with open_store(path, create=True) as store:
        put_content(store, content)


def content_of(path: str) -> GallerySnapshot:
    with open_store(path) as store:
        return read_content(store)[0]


def test_export_and_import(there: Path):
    out, err = run("export", "Galerie Zoë.jsonl")
    assert out == "exported 2 people, 3 photos, 1 photo of strangers\n"
    assert "as sensitive as the photos" in err and "not encrypted" in err
    assert run("import", "Galerie Zoë.jsonl", "--gallery", "new.db")[0] == out.replace("exp", "imp")
    assert plain(content_of("new.db")) == plain(small_content())


def test_export_and_import_through_a_pipe(there: Path):
    result = runner.invoke(cli.app, ["gallery", "export", "-"])
    run("export", "file")
    assert result.stdout_bytes == Path("file").read_bytes()
    run("import", "-", "--gallery", "new.db", stdin=result.stdout_bytes)
    assert plain(content_of("new.db")) == plain(small_content())


def test_an_export_is_not_written_over(there: Path):
    Path("file").write_text("mine")
    with pytest.raises(UsageError, match="file: is already there; name another file, or --force replaces it"):
        run("export", "file")
    assert Path("file").read_text() == "mine"
    run("export", "file", "--force")
    Path("folder").mkdir()
    with pytest.raises(UsageError, match="folder: expected a file, got a folder"):
        run("export", "folder", "--force")
    with pytest.raises(UsageError, match="nowhere/file: cannot be written: No such file"):
        run("export", "nowhere/file")


def test_a_file_that_is_no_export_makes_no_gallery(there: Path):
    Path("file").write_bytes(b"hello\n")
    with pytest.raises(GalleryError, match="file, line 1: not a gallery"):
        run("import", "file", "--gallery", "new.db")
    with pytest.raises(UsageError, match="missing: cannot be read"):
        run("import", "missing", "--gallery", "new.db")
    assert not Path("new.db").exists()


def test_import_into_a_gallery_of_others(there: Path):
    run("export", "file")
    with open_store("gallery.db") as store:
        store.add("Eve", [template("e.png")])
    with pytest.raises(UsageError, match="expected a new gallery"):
        run("import", "file")


def test_merge_lists_conflicts_and_changes_nothing(there: Path):
    ada, zoe = small_content().people
    more = (
        replace(ada, templates=(*ada.templates, template("a 2.png"), template("a 3.png"))),
        replace(zoe, name="Eve"),
    )
    made(Path("other.db"), replace(small_content(), people=more))
    before = plain(content_of("gallery.db"))
    result = runner.invoke(cli.app, ["gallery", "merge", "other.db"])
    assert isinstance(result.exception, UsageError) and "nothing was changed" in str(result.exception)
    assert result.stderr.splitlines() == [
        "Ada: 1 photo here, 3 there, 1 the same: --same-name join adds 2 photos, skip adds none",
        "z1.png: Zoë here, Eve there; rename one of them, or drop the photo where it is wrong",
        "z2.png: Zoë here, Eve there; rename one of them, or drop the photo where it is wrong",
    ]
    assert plain(content_of("gallery.db")) == before

    run("rename", "Eve", "Zoë", "--gallery", "other.db")
    out, err = run("merge", "other.db", "--same-name", "join")
    assert out == "merged 2 people, 2 new photos\n"
    assert err == "Ada: 1 photo here, 3 there, 1 the same: adding 2 photos\n"
    assert run("list")[0] == "Ada (3 photos)\nZoë (2 photos)\n"


def test_merge_without_people_of_the_same_name(there: Path):
    (ada, zoe), new = small_content().people, template("a 2.png")
    more = replace(
        small_content(),
        people=(replace(ada, templates=(new,)), replace(zoe, name="Eve", templates=(template("e"),))),
    )
    made(Path("other.db"), more)
    out, err = run("merge", "other.db", "--same-name", "skip")
    assert out == "merged 1 person, 1 new photo\n"
    assert err == "Ada: 1 photo here, 1 there, 0 the same: left as it is here\n"
    assert run("list")[0] == "Ada (1 photo)\nEve (1 photo)\nZoë (2 photos)\n"


@pytest.mark.parametrize("encrypted", [("gallery.db",), ("other.db",), ("gallery.db", "other.db")])
def test_merge_takes_the_key_for_what_is_encrypted(
    there: Path, encrypted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    zoe = replace(small_content().people[1], name="Eve", templates=(template("e"),))
    made(Path("other.db"), replace(small_content(), people=(zoe,)))
    monkeypatch.setenv("EMBED_GALLERY_KEY", base64.b64encode(bytes(32)).decode())
    for path in encrypted:
        run("encrypt", "--gallery", path)
    out, err = run("merge", "other.db")
    assert out == "merged 1 person, 1 new photo\n"
    assert err.startswith("gallery.db: is not encrypted, so the people") == (encrypted == ("other.db",))
    monkeypatch.setenv("EMBED_GALLERY_KEY", base64.b64encode(bytes(31) + b"1").decode())
    with pytest.raises(GalleryError, match="encrypted with another key"):
        run("merge", "other.db")


def test_verify(there: Path):
    assert run("verify")[0] == (
        "gallery.db: OK; 2 people, 3 photos, 1 of strangers: every checksum and every vector was read and is "
        "right\n"
    )


def test_verify_finds_a_changed_byte(there: Path):
    data = bytearray(Path("gallery.db").read_bytes())
    data[data.index(b"Ada") + 1] ^= 1
    Path("gallery.db").write_bytes(bytes(data))
    with pytest.raises(GalleryError, match=r"gallery\.db: "):
        run("verify")


def test_verify_asks_the_engine(there: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(store: SqliteStore) -> None:
        raise GalleryError(f"{store.location}: broken")

    monkeypatch.setattr(SqliteStore, "verify", broken)
    with pytest.raises(GalleryError, match=r"gallery\.db: broken"):
        run("verify")


def test_verify_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ToyExtractor):
    monkeypatch.chdir(tmp_path)
    save_people(Path("people"), 2, 3)
    with Gallery.open("gallery.db", toy) as gallery:  # type: ignore[arg-type]
        for folder in sorted(Path("people").iterdir()):
            gallery.enroll(folder.name, sorted(folder.iterdir()))
    assert run("verify", "--photos")[0].endswith("files: 6 the same, 0 changed or unreadable, 0 gone\n")
    Path("people/p00/0.png").unlink()
    shutil.copy("people/p01/0.png", "people/p01/2.png")
    out, err = run("verify", "--photos", code=3)
    assert out.endswith("files: 4 the same, 1 changed or unreadable, 1 gone\n")
    assert "p01: people/p01/2.png: not the picture that was enrolled" in err
    Path("people/p01/1.png").unlink()
    Path("people/p01/1.png").mkdir()
    out, err = run("verify", "--photos", code=3)
    assert out.endswith("files: 3 the same, 2 changed or unreadable, 1 gone\n")
    assert "p01: people/p01/1.png: expected an image file, got a folder" in err


def test_verify_photos_below_a_folder_that_cannot_be_entered(there: Path):
    with open_store("gallery.db") as store:
        store.add("Ada", [replace(template("far"), photo=f"{'x' * 300}/1.png")])
    out, err = run("verify", "--photos", code=3)
    assert out.endswith("files: 0 the same, 1 changed or unreadable, 3 gone\n")
    assert "xxx/1.png: cannot be read: File name too long" in err


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A gallery with four wrong photos; gives whose they are said to be, and their paths."""
    monkeypatch.chdir(tmp_path)
    vectors, labels = made_people(20, 5)
    names = {0: "Zoë 'the' \"cat\"", 1: "-rf", 2: "$(true)"}
    given = labels.copy()
    wrong = {25: 0, 30: 1, 35: 2, 41: 0}
    paths = {25: "-photo é 1.png", 30: "p/é 'x'.png", 35: "red\x1b[31m.png", 41: "p/41.png", 0: "p/41.png"}
    given[list(wrong)] = list(wrong.values())
    with open_store("gallery.db", create=True) as store:
        store.bind(MODEL, DIM)
        for label in range(20):
            store.add(
                names.get(label, f"p{label:02d}"),
                [
                    NewTemplate(paths.get(row, f"p/{row}.png"), template(str(row)).digest, vectors[row])
                    for row in np.flatnonzero(given == label)
                ],
            )
    return sorted((names[label], paths[row]) for row, label in wrong.items())


def test_what_the_doctor_says_mends_the_gallery(examined: list[tuple[str, str]]):
    facts = json.loads(run("doctor", "--json")[0])
    assert sorted((entry["person"], entry["photo"]) for entry in facts["wrong_photos"]) == examined
    assert {entry["like"] for entry in facts["wrong_photos"]} == {"p05", "p06", "p07", "p08"}
    assert facts["notes"] == []
    text = run("doctor")[0]
    assert "\x1b" not in text
    commands = [
        line.strip() for line in text.splitlines() if line.strip().startswith("embed gallery remove-photo")
    ]
    assert len(commands) == 4
    for command in commands:
        embed, gallery, *rest = shlex.split(command)
        assert (embed, gallery) == ("embed", "gallery")
        assert run(*rest)[0].startswith("removed ")
    text = run("doctor")[0]
    assert "Photos that do not look like their person: none" in text
    assert "20 people, 96 photos" in text


def test_two_names_of_one_person_are_joined_by_what_the_doctor_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    vectors, labels = made_people(20, 6)
    labels[:3] = 20  # half of the photos of one person under another name
    with open_store("my gallery.db", create=True) as store:
        store.bind(MODEL, DIM)
        for label in range(21):
            rows = np.flatnonzero(labels == label)
            photos = [NewTemplate(f"{row}.png", template(str(row)).digest, vectors[row]) for row in rows]
            store.add(f"p {label}", photos)
    arguments = ("--gallery", "my gallery.db")
    (found,) = json.loads(run("doctor", "--json", *arguments)[0])["same_person"]
    assert found["command"] in [line.strip() for line in run("doctor", *arguments)[0].splitlines()]
    run(*shlex.split(found["command"])[2:])
    assert json.loads(run("doctor", "--json", *arguments)[0])["same_person"] == []


def test_the_doctor_says_what_is_to_be_expected(examined: list[tuple[str, str]]):
    shutil.move("gallery.db", "my gallery.db")
    text = run("doctor", "--gallery", "my gallery.db")[0]
    assert "embed gallery remove-photo --gallery 'my gallery.db' -- -rf" in text
    for line in (
        "20 people, 100 photos",
        "Photos that do not look like their person: 4",
        "Names that are probably one person twice: none",
        "People with fewer than 3 photos: none",
        "  among 20 people: 1 %",
        "  among 200 people: 9.6 %",
        "Poor photos: not looked for; --photos does, where their files are still there",
    ):
        assert line in text.splitlines(), text


def test_the_doctor_lists_so_many_and_json_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ada = small_content().people[0]
    people = tuple(replace(ada, name=f"p{n:02d}", templates=(template(f"{n}"),)) for n in range(25))
    made(Path("gallery.db"), GallerySnapshot((MODEL, 16), people))
    lines = run("doctor")[0].splitlines()
    start = lines.index("People with fewer than 3 photos: 25")
    assert lines[start + 1] == "  p00: 1" and lines[start + 21] == "  and 5 more; --json lists all"
    assert any("photos and double names are not judged" in line for line in lines)
    facts = json.loads(run("doctor", "--json")[0])
    assert len(facts["few_photos"]) == 25 and facts["notes"]


def test_the_doctor_needs_a_gallery_with_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GalleryError, match="no gallery here"):
        run("doctor")
    made(Path("gallery.db"), GallerySnapshot(None, ()))
    with pytest.raises(UsageError, match="no one is enrolled"):
        run("doctor")


def test_the_doctor_looks_at_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ToyExtractor):
    monkeypatch.chdir(tmp_path)
    save_people(Path("people"), 5, 3)
    with Gallery.open("gallery.db", toy) as gallery:  # type: ignore[arg-type]
        for folder in sorted(Path("people").iterdir()):
            gallery.enroll(folder.name, sorted(folder.iterdir()))
    Path("people/p00/0.png").unlink()
    dark = pattern(1, 1)

    def crops(image: np.ndarray) -> list[Crop]:
        return [] if np.array_equal(image, dark) else ToyExtractor.crops(toy, image)

    monkeypatch.setattr(toy, "crops", crops)
    monkeypatch.setattr(Extractor, "load", lambda *_, **__: toy)
    facts = json.loads(run("doctor", "--photos", "--json")[0])
    assert [(entry["person"], entry["photo"]) for entry in facts["poor_photos"]] == [
        ("p01", "people/p01/1.png")
    ]
    assert "no face" in facts["poor_photos"][0]["reason"]
    assert facts["poor_photos"][0]["command"] == "embed gallery remove-photo p01 people/p01/1.png"
    assert facts["files_gone"] == 1
    text = run("doctor", "--photos")[0]
    assert "Poor photos: 1" in text and "Not looked at, as the file is gone or has changed: 1 photo\n" in text
    monkeypatch.setattr(Extractor, "load", lambda *_, **__: ToyExtractor("other"))
    with pytest.raises(ForeignModelError):
        run("doctor", "--photos")


def test_the_doctor_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ToyExtractor):
    monkeypatch.chdir(tmp_path)
    save_people(Path("people"), 5, 2)
    with Gallery.open("gallery.db", toy) as gallery:  # type: ignore[arg-type]
        for folder in sorted(Path("people").iterdir()):
            gallery.enroll(folder.name, sorted(folder.iterdir()))
    Path("people/p00/0.png").unlink()
    shutil.copy("people/p02/0.png", "people/p01/0.png")  # another picture: it is not shown
    monkeypatch.setattr(Extractor, "load", lambda *_, **__: toy)
    out, err = run("doctor", "--report", "doctor.html")
    page = Page(Path("doctor.html").read_text("utf-8"))
    assert "Wrote doctor.html" in err and out.startswith("5 people, 10 photos")
    assert page.text.startswith("Examination of gallery.db 5 people, 10 photos")
    assert ["People with fewer than 3 photos", "5"] in page.rows
    shown = {image["alt"] for image in page.all("img")}
    assert shown == {f"p{n:02d}: {m}.png" for n in range(5) for m in range(2)} - {"p00: 0.png", "p01: 0.png"}
    assert page.text.count("no picture") == 2


def test_drop(there: Path):
    assert run("remove-photo", "Zoë", "z1.png")[0] == "removed z1.png of Zoë\n"
    digest = template("z2.png").digest.hex()
    assert run("remove-photo", "Zoë", digest[:10].upper())[0] == (
        "removed z2.png of Zoë; no photo is left, so the person was removed\n"
    )
    assert run("list")[0] == "Ada (1 photo)\n"
    with pytest.raises(UsageError, match=r"Ada: has no photo 'x'; expected the path .* 'a 1\.png'"):
        run("remove-photo", "Ada", "x")
    with pytest.raises(EmbedError, match="no one is called"):
        run("remove-photo", "Eve", "x")


def test_drop_asks_which_of_two(there: Path):
    with open_store("gallery.db") as store:
        again = template("again")
        store.add("Ada", [NewTemplate("a 1.png", again.digest, again.vector)])
    with pytest.raises(UsageError, match=r"Ada: has 2 photos 'a 1\.png'; expected one of "):
        run("remove-photo", "Ada", "a 1.png")
    run("remove-photo", "Ada", again.digest.hex()[:16])
    assert run("list")[0].startswith("Ada (1 photo)")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ToyExtractor) -> Path:
    """A gallery of three people with their photos, and a new model to load."""
    monkeypatch.chdir(tmp_path)
    people = save_people(tmp_path / "people", 3, 2)
    with Gallery.open("gallery.db", toy) as gallery:  # type: ignore[arg-type]
        for folder in sorted(people.iterdir()):
            gallery.enroll(folder.name, sorted(folder.iterdir()))
    monkeypatch.setattr(Extractor, "load", lambda *_, **__: ToyExtractor("new"))
    return people


def test_re_embed(photos: Path):
    assert run("re-embed")[0] == "re-embedded 3 people, 6 photos, in gallery.db\n"
    assert content_of("gallery.db").model == (ToyExtractor("new").fingerprint, 48)


def test_re_embed_to_another_gallery(photos: Path, toy: ToyExtractor):
    run("re-embed", "--to", "new.db")
    assert content_of("gallery.db").model == (toy.fingerprint, 48)
    assert content_of("new.db").model == (ToyExtractor("new").fingerprint, 48)
    with pytest.raises(UsageError, match=r"--to new\.db: is already there"):
        run("re-embed", "--to", "new.db")


def test_re_embed_to_what_a_full_disk_left(photos: Path):
    Path("new.db").touch()
    with pytest.raises(GalleryError, match="got a file of 0 bytes; the first `embed enroll` into it"):
        run("list", "--gallery", "new.db")
    run("re-embed", "--to", "new.db")
    assert content_of("new.db").model == (ToyExtractor("new").fingerprint, 48)


def test_re_embed_does_not_lose_people_silently(photos: Path, toy: ToyExtractor):
    shutil.move(photos / "p01", photos.parent / "moved")
    (photos / "p02" / "0.png").unlink()
    before = Path("gallery.db").read_bytes()
    result = runner.invoke(cli.app, ["gallery", "re-embed"])
    assert isinstance(result.exception, UsageError)
    assert "no photo would be left of p01" in str(result.exception)
    assert len(result.stderr.splitlines()) == 3
    assert Path("gallery.db").read_bytes() == before

    out, err = run("re-embed", "moved", "--to", "found.db", code=3)
    assert out == "re-embedded 3 people, 5 photos, in found.db\n"
    assert "p02: " in err and "no longer where it was enrolled from" in err
    assert run("re-embed", "--force", code=3)[0] == "re-embedded 2 people, 3 photos, in gallery.db\n"


def test_nothing_heavy_is_loaded_to_show_help():
    """The commands are there as soon as `embed` is, and numpy is not."""
    code = "import sys, enroll.cli.doctor; print('numpy' in sys.modules, 'sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
