from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.errors import FolderError
from embedder.folders import LabelledFolder, Sample, pictures_at, scan_folder
from embedder.names import appearance, name_notes, name_problem

NFC, NFD = "Zo\u00eb", "Zoe\u0308"
linux = pytest.mark.skipif(sys.platform != "linux", reason="other file systems keep one Unicode form")


def touch(root: Path, *names: str) -> Path:
    """Make empty files: scanning opens none of them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def samples(folder: LabelledFolder) -> list[tuple[str, str]]:
    return [(sample.identity, sample.path.name) for sample in folder.samples]


def rejected(folder: LabelledFolder) -> dict[str, str]:
    return {str(entry.path.relative_to(folder.root)): entry.reason for entry in folder.rejected}


def test_people_and_photos_sorted(tmp_path: Path) -> None:
    root = touch(tmp_path, "bob/2.jpg", "ada/b.png", "bob/10.jpg", "ada/a.txt", "bob/1.jpg")
    folder = scan_folder(root)
    assert folder.samples == (
        Sample(root / "ada" / "a.txt", "ada"),  # whether it is a picture, only its bytes say
        Sample(root / "ada" / "b.png", "ada"),
        Sample(root / "bob" / "1.jpg", "bob"),
        Sample(root / "bob" / "10.jpg", "bob"),
        Sample(root / "bob" / "2.jpg", "bob"),
    )
    assert (folder.root, folder.rejected) == (root, ())
    assert folder.identities == ("ada", "bob") == scan_folder(str(root)).identities


@given(st.permutations(["a/1", "a/2", "b/1", "é/1", "Z/1", "stray", "c/d/1", "c/1"]))
def test_the_order_of_creation_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = scan_folder(touch(tmp_path_factory.mktemp("order"), *names))
    assert samples(folder) == [("Z", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("é", "1")]
    assert list(rejected(folder)) == ["c/d", "stray"]


def test_the_listing_of_the_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path, "a/1", "a/2", "b/1", "stray", "stray 2", "b/c/1")
    expected = scan_folder(root)
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(sorted(real(self), reverse=True)))
    assert scan_folder(root) == expected


PHOTO, NESTED, EMPTY, LOST, OUTSIDE = "photo", "nested", "empty", "lost link", "outside link"
KINDS = st.sampled_from([PHOTO, NESTED, EMPTY, LOST, OUTSIDE])
NAMES = st.text("abcé. \u0308#", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))


@given(st.dictionaries(NAMES, st.one_of(KINDS, st.dictionaries(NAMES, KINDS, max_size=4)), max_size=5))
def test_every_entry_is_in_exactly_one_list(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, str | dict[str, str]]
) -> None:
    base = tmp_path_factory.mktemp("any")
    root, outside = base / "root", touch(base / "outside", "1.png")
    (root / "always").mkdir(parents=True)
    (root / "always" / "1.png").touch()

    def make(path: Path, what: str | dict[str, str]) -> None:
        if isinstance(what, dict):
            path.mkdir()
            for name, kind in what.items():
                make(path / name, kind)
        elif what == PHOTO:
            path.touch()
        elif what == LOST:
            path.symlink_to("missing")
        elif what == OUTSIDE:
            path.symlink_to(outside)
        else:
            path.mkdir()
            if what == NESTED:
                (path / "inside").mkdir()

    for name, what in tree.items():
        make(root / name, what)
    folder = scan_folder(root)
    listed = [entry.path for entry in (*folder.samples, *folder.rejected)]
    assert len(listed) == len(set(listed))
    covered = {path for entry in listed for path in (entry, *entry.parents)}
    for person in root.iterdir():
        if person.name.startswith("."):
            assert not any(path.is_relative_to(person) for path in listed)
        elif person in listed:  # then as a whole
            assert not any(person in path.parents for path in listed)
        else:
            assert person in covered
            assert {path for path in person.iterdir() if path.name[0] != "."} == {
                path for path in listed if path.parent == person
            }
    assert all(unicodedata.is_normalized("NFC", sample.identity) for sample in folder.samples)


def test_stray_files(tmp_path: Path) -> None:
    folder = scan_folder(touch(tmp_path / "people", "ada/1.png", "notes.txt", "photo.png"))
    reason = f"lies beside the people; expected {tmp_path / 'people'}/<person>/<photos>"
    assert rejected(folder) == {"notes.txt": reason, "photo.png": reason}


def test_nested_folders(tmp_path: Path) -> None:
    folder = scan_folder(touch(tmp_path, "ada/1.png", "ada/2020/2.png", "bob/2021/3.png"))
    assert folder.identities == ("ada",)
    assert list(rejected(folder)) == ["ada/2020", "bob/2021"]
    assert all("a folder inside" in reason for reason in rejected(folder).values())


def test_litter_is_passed_over(tmp_path: Path) -> None:
    litter = ["Thumbs.db", "desktop.ini", "DESKTOP.INI", ".DS_Store", "._1.png", ".1.png.x8sd7"]
    root = touch(tmp_path, "ada/1.png", ".git/config", "__MACOSX/ada/1.png")
    touch(root, *litter, *(f"ada/{name}" for name in litter))
    assert samples(scan_folder(root)) == [("ada", "1.png")]
    assert scan_folder(root).rejected == ()


def test_people_without_photos(tmp_path: Path) -> None:
    root = touch(tmp_path, "ada/1.png", "litter/.DS_Store")
    (root / "empty").mkdir()
    reason = "an empty folder; expected photos of this person"
    assert rejected(scan_folder(root)) == {"empty": reason, "litter": reason}


@linux
def test_one_name_in_two_unicode_forms(tmp_path: Path) -> None:
    folder = scan_folder(touch(tmp_path, f"{NFD}/1.png"))
    assert samples(folder) == [(NFC, "1.png")]
    assert folder.samples[0].path.exists()
    folder = scan_folder(touch(tmp_path, f"{NFC}/2.png"))
    assert folder.identities == (NFC,)
    assert len(folder.samples) == len(folder.rejected) == 1
    assert "in another form" in folder.rejected[0].reason


@linux
def test_white_space_around_a_name_makes_no_other_person(tmp_path: Path) -> None:
    folder = scan_folder(touch(tmp_path, "ada/1.png", " ada/1.png", " bob /1.png"))
    assert samples(folder) == [("ada", "1.png"), ("bob", "1.png")]
    assert len(folder.rejected) == 1


@linux
def test_the_order_is_that_of_the_identities_in_either_form(tmp_path: Path) -> None:
    """The same people copied from macOS are trained on in the same order."""
    one = scan_folder(touch(tmp_path / "nfc", "e/1", "\u00e9/1", "f/1"))
    other = scan_folder(touch(tmp_path / "nfd", "e/1", "e\u0301/1", "f/1"))
    assert samples(one) == sorted(samples(one))
    assert samples(other) == samples(one)


def test_links_inside(tmp_path: Path) -> None:
    touch(tmp_path / "real", "ada/1.png", "pool/2.png")
    root = tmp_path / "root"  # itself a link: that is where the user points to
    root.symlink_to("real")
    (root / "ada" / "2.png").symlink_to(root / "pool" / "2.png")
    (root / "bob").symlink_to("ada", target_is_directory=True)
    folder = scan_folder(root)
    assert samples(folder) == [("ada", "1.png"), ("ada", "2.png"), ("pool", "2.png")]
    assert rejected(folder) == {"bob": f"is a link to {root / 'ada'}, whose photos are read there"}


def test_links_outside(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "ada/1.png")
    touch(tmp_path, "outside/2.png", "root-2/3.png")  # root-2 begins like root
    (root / "ada" / "2.png").symlink_to(tmp_path / "outside" / "2.png")
    (root / "ada" / "3.png").symlink_to("../../root-2/3.png")
    (root / "bob").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert samples(scan_folder(root)) == [("ada", "1.png")]
    reasons = rejected(scan_folder(root))
    assert list(reasons) == ["ada/2.png", "ada/3.png", "bob"]
    assert all("outside" in reason for reason in reasons.values())


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    root = touch(tmp_path, "ada/1.png")
    (root / "ada" / "circle").symlink_to("circle")
    (root / "circle").symlink_to("circle")
    (root / "lost").symlink_to("missing")
    assert samples(scan_folder(root)) == [("ada", "1.png")]
    assert list(rejected(scan_folder(root))) == ["ada/circle", "circle", "lost"]


@linux
def test_a_link_with_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    root = touch(tmp_path, "ada/1.png")
    (root / "ada" / "long").symlink_to("x" * 300)
    (root / "long").symlink_to("x" * 300)
    assert samples(scan_folder(root)) == [("ada", "1.png"), ("ada", "long")]  # reading it will say why
    assert list(rejected(scan_folder(root))) == ["long"]


@linux
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    root = touch(tmp_path, "ada/1.png", os.fsdecode(b"ad\xe9/1.png"), os.fsdecode(b"ada/\xe9.png"))
    folder = scan_folder(root)
    assert samples(folder) == [("ada", "1.png"), ("ada", os.fsdecode(b"\xe9.png"))]
    assert os.fsencode(folder.rejected[0].path.name) == b"ad\xe9"
    assert folder.rejected[0].reason.encode()  # can be printed


@linux
def test_names_that_cannot_be_shown(tmp_path: Path) -> None:
    folder = scan_folder(touch(tmp_path, "ada/1.png", "a\x1b[2Jb/1.png", "a\nb/1.png", " /1.png"))
    assert folder.identities == ("ada",)
    assert list(rejected(folder)) == [" ", "a\nb", "a\x1b[2Jb"]
    assert all(reason.isprintable() for reason in rejected(folder).values())


@pytest.mark.parametrize(
    "name", ["ada", "Ada Lovelace", "Zoë", "李 雷", "محمد", "a", "x" * 200, "O'Neill", "-x", "🙂"]
)
def test_good_names(name: str) -> None:
    assert name_problem(name) is None


INVISIBLE = ["", " ", "\u3000", "\u200b"]
CONTROLS = "\t\0\n\x1b\x7f\x85\u2028\u2029\u202a\u202b\u202d\u202e\u2066\u2067\u2068\udce9"


@pytest.mark.parametrize("name", [*INVISIBLE, *(f"a{control}b" for control in CONTROLS), "x" * 201])
def test_bad_names(name: str) -> None:
    problem = name_problem(name)
    assert problem
    assert problem.isprintable()


@contextlib.contextmanager
def without_privileges(folder: Path) -> Iterator[None]:
    """Work in a folder with an ordinary user's rights: root may read everything."""
    folder.chmod(0o755)
    with contextlib.chdir(folder):
        if root := os.geteuid() == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)


@linux
@pytest.mark.parametrize("mode", [0o000, 0o111])
def test_a_folder_that_may_not_be_listed(tmp_path: Path, mode: int) -> None:
    root = touch(tmp_path / "root", "ada/1.png", "bob/1.png")
    (root / "ada").chmod(mode)
    with without_privileges(tmp_path):
        folder = scan_folder("root")
    assert samples(folder) == [("bob", "1.png")]
    assert "Permission denied" in rejected(folder)["ada"]
    root.chmod(mode)
    with without_privileges(tmp_path), pytest.raises(FolderError, match="Permission denied"):
        scan_folder("root")


@linux
def test_a_folder_that_may_be_listed_but_not_entered(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "ada/1.png", "bob/1.png")
    (root / "ada").chmod(0o444)
    with without_privileges(tmp_path):
        folder = scan_folder("root")
    assert ("bob", "1.png") in samples(folder)
    assert any("ada" in entry.path.parts for entry in (*folder.samples, *folder.rejected))


def test_nothing_to_train_on(tmp_path: Path) -> None:
    root = tmp_path / "people"
    with pytest.raises(FolderError, match="No such file"):
        scan_folder(root)
    root.mkdir()
    with pytest.raises(FolderError, match=r"people/<person>/<photos>, got 0 other entries$"):
        scan_folder(root)
    touch(root, "photo.png")
    with pytest.raises(FolderError, match=r"first 'photo.png'; photos that lie directly in it"):
        scan_folder(root)
    with pytest.raises(FolderError, match="Not a directory"):
        scan_folder(root / "photo.png")


LEFT = [
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    ".thumbnails",
    "@Recycle",
]


def test_what_storage_systems_leave_is_no_person(tmp_path: Path) -> None:
    root = touch(tmp_path, "ada/1.jpg", *(f"{name}/1.jpg" for name in LEFT))
    touch(root, *(f"ada/{name}/1.jpg" for name in LEFT), "ada/1.jpg.xmp", "ada/1.JSON", "ada/1.aae", "x.json")
    folder = scan_folder(root)
    assert (samples(folder), folder.rejected) == ([("ada", "1.jpg")], ())
    assert len(folder.passed) == 2 * len(LEFT) + 4
    passed: list[Path] = []
    assert pictures_at(root, passed) == [root / "ada" / "1.jpg"]
    assert sorted(passed) == sorted(folder.passed)


def test_a_person_may_be_called_like_a_sidecar(tmp_path: Path) -> None:
    assert samples(scan_folder(touch(tmp_path, "ada.json/1.jpg"))) == [("ada.json", "1.jpg")]


def test_a_litter_file_that_is_named_itself_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "1.json")
    assert pictures_at(tmp_path / "1.json") == [tmp_path / "1.json"]


@linux
def test_folders_as_deep_as_paths_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        Path("d").mkdir()
        os.chdir("d")
    Path("1.png").touch()
    monkeypatch.chdir(tmp_path)
    (found,) = pictures_at(Path("d"))
    assert (found.name, len(found.parts)) == ("1.png", 1201)
    touch(Path("d"), "2.png")
    assert samples(scan_folder(tmp_path)) == [("d", "2.png")]
    subprocess.run(["rm", "-r", "d"], check=True)  # Python 3.11 removes no folders so deep


def test_links_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "a/1.png", "b/2.png")
    touch(tmp_path, "elsewhere/3.png")
    (root / "a" / "circle").symlink_to("..")
    (root / "b" / "out").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    names = [str(path.relative_to(root)) for path in pictures_at(root)]
    assert names == ["a/1.png", "again/3.png", "b/2.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_listed(tmp_path: Path) -> None:
    root = touch(tmp_path, "a/1.png", "b/2.png")
    (root / "a").chmod(0)
    assert pictures_at(root) == [root / "a", root / "b" / "2.png"]
    (root / "a").chmod(0o700)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ada"),
        ("Zoe\u0308", "Zoë"),
        ("Ada  Lovelace", "Ada Lovelace"),
        ("Ａｄａ", "Ada"),
        ("Stra\u00dfe", "STRASSE"),
        ("ada\u200b", "ada"),
        ("Li Na", "Lina"),
    ],
)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert appearance(one) == appearance(other)
    (note,) = name_notes([other], known=[one])
    assert note.startswith(f"{other!r} and {one!r} look like one name")
    (note,) = name_notes([one, "eve", other])
    assert "embed gallery merge-people" in note


def test_names_that_do_not_look_alike() -> None:
    assert name_notes(["Ada", "Ad", "Zoë", "Zoe", "Ada"], known=["Ada", "Eve"]) == []


@pytest.mark.parametrize("name", ["unknown", "Unknown", "UNKNOWN ", "Strangers", "unbekannt", "未知"])
def test_a_word_for_no_one_is_pointed_out(name: str) -> None:
    (note,) = name_notes([name])
    assert "--strangers" in note
    assert name_notes([name], known=[name]) == []
