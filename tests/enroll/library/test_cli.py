"""`embed library` from the first scan to sorted photos, as a person types it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import THRESHOLD, save
from tests.enroll.report.pages import Page

LIMIT = ("--threshold", str(THRESHOLD))


def test_a_library_from_the_first_scan_to_folders(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    said = typed("scan", "photos", code=3)
    assert "photos: 10 photos, 10 looked at; 9 new faces" in said
    assert "broken.jpg: " in said
    (photos / "broken.jpg").unlink()
    assert "9 known" in typed("scan", "photos")
    groups = json.loads(typed("groups", "--json", *LIMIT))["groups"]
    assert [len(group["faces"]) for group in groups] == [4, 4, 1]
    assert set(groups[0]["faces"][0]) == {"photo", "box", "face"}
    ada = next(g for g in groups if any(f["photo"].endswith("ada0.jpg") for f in g["faces"]))
    (both,) = [f"f{f['face']}" for f in ada["faces"] if f["photo"].endswith("both.jpg")]
    assert "3 faces confirmed, 3 new photos" in typed("confirm", "Ada", f"g{ada['id']}", "--except", both)
    (one,) = json.loads(typed("suggestions", "--json", *LIMIT))["suggestions"]
    assert (f"f{one['face']}", one["name"]) == (both, "Ada")
    assert one["distance"] < one["threshold"]
    found = json.loads(typed("find", "Ada", "--json", *LIMIT))["photos"]
    assert [Path(entry["photo"]).name for entry in found if entry["state"] == "suggested"] == ["both.jpg"]
    assert len(found) == 4
    assert len(json.loads(typed("find", "photos/deep/bob0.png", "--json", *LIMIT))["photos"]) == 4
    typed("reject", "Ada", both)
    assert "0 suggestions" in typed("suggestions", *LIMIT)
    assert "undone: 1 face: not Ada" in typed("undo")
    assert "1 suggestion" in typed("suggestions", *LIMIT)
    assert "4 files would change" not in typed("tag", "--dry-run")
    assert "3 files written" in typed("tag")
    plan = json.loads(typed("sort", "out", "--dry-run", "--json", *LIMIT))
    assert len(plan["files"]) == 7  # with three sidecars
    assert not Path("out").exists()
    assert "7 files sorted (copy)" in typed("sort", "out", *LIMIT)
    assert sorted(path.name for path in Path("out/Ada").iterdir() if path.suffix == ".jpg") == [
        *("ada0.jpg", "ada1.jpg", "ada2.jpg", "both.jpg")
    ]
    assert "0 files sorted (copy), 7 already there" in typed("sort", "out", *LIMIT)
    listed = typed("sort", "--mode", "list", "--unknown", "--no-face", *LIMIT)
    assert listed.count("_unknown,") == 4
    assert listed.count("_no face,") == 1


def test_moving_and_taking_it_back(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    typed("scan", "photos")
    faces = json.loads(typed("faces", "--json"))["faces"]
    ada = [f"f{one['face']}" for one in faces if "/ada" in one["photo"]]
    typed("confirm", "Ada", *ada)
    said = typed("sort", "out", "--mode", "move", "--confirmed")
    assert "3 files sorted (move)" in said
    assert not (photos / "ada0.jpg").exists()
    assert json.loads(typed("find", "Ada", "--json", "--confirmed"))["photos"][0]["photo"].endswith(
        "out/Ada/ada0.jpg"
    )
    (manifest,) = Path("out").glob("embed-sort-*.jsonl")
    assert "moved 3 files back" in typed("sort", "--undo", str(manifest))
    assert (photos / "ada0.jpg").exists()


def test_decisions_by_name(typed) -> None:  # type: ignore[no-untyped-def]
    typed("scan", "photos")
    faces = json.loads(typed("faces", "--json"))["faces"]
    of = {Path(one["photo"]).name: f"f{one['face']}" for one in faces}
    typed("confirm", "Ada", of["ada0.jpg"], of["ada1.jpg"], "--consent", "letter 4")
    typed("confirm", "Bob", of["bob0.png"])
    assert "Ada has 1 photo more" in typed("merge", "Ada", "Bob")
    assert "merge Bob into Ada" in typed("history")
    assert "merge Bob into Ada" in typed("undo")
    assert "taken out of Ada" in typed("split", "Ada", of["ada1.jpg"])
    assert "1 face: ignored" in typed("ignore", of["stranger.jpg"])
    assert "1 face: not faces" in typed("not-a-face", of["ada2.jpg"])
    states = {one["face"]: one for one in json.loads(typed("faces", "--json"))["faces"]}
    assert states[int(of["ada1.jpg"][1:])]["not"] == ["Ada"]
    assert {one["state"] for one in states.values()} == {"unseen", "confirmed", "ignored", "not-a-face"}
    typed("unknown", of["stranger.jpg"])
    assert "nothing is left to undo" in typed("undo", "--steps", "20")
    with SqliteStore("gallery.db") as store:
        assert store.identities() == []
        store.verify()
    groups = json.loads(typed("groups", "--json", *LIMIT))["groups"]
    assert "are one person" in typed("merge", f"g{groups[0]['id']}", f"g{groups[1]['id']}")
    typed("split", f"g{groups[0]['id']}", f"f{groups[0]['faces'][0]['face']}")


def test_strangers_are_purged(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    assert "are kept until" in typed("scan", "photos", "--keep-unknown", "0d")
    with SqliteStore("gallery.db") as store:
        from datetime import date, timedelta

        assert store.library().purge(date.today() + timedelta(days=1)) == 9
    assert "9 erased before" not in typed("scan", "photos")
    assert "erased 9 photos and 0 faces" in typed("forget", "--everything")
    assert "9 new faces" in typed("scan", "photos", "--keep-unknown", "forever")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scan", "nowhere"), "there is none"),
        (("scan", "photos", "--keep-unknown", "soon"), "such as 90d"),
        (("confirm", "Ada", "x3"), "expected a face such as f12"),
        (("confirm", "Ada", "g99"), "no such group"),
        (("confirm", "Ada", "f99"), "no such face"),
        (("find", "Nobody"), "expected the name of someone"),
        (("sort",), "expected a folder"),
        (("sort", "out", "--mode", "burn"), "--mode: expected"),
        (("sort", "photos"), "name a folder outside"),
        (("groups", "--threshold", "3"), "at most 2"),
        (("forget",), "expected --everything"),
        (("faces", "--state", "x"), "--state: expected"),
    ],
)
def test_wrong_words_are_refused(typed, words: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    from embedder.errors import UsageError

    typed("scan", "photos")
    if "sort" in words and "photos" in words:
        typed("confirm", "Ada", "f1")
    with pytest.raises(UsageError, match=said):
        typed(*words)


def test_a_gallery_on_a_server_is_refused(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from embedder.errors import UsageError
    from enroll.library.people import library_of

    class Elsewhere:
        location = "milvus://host/name"

    with pytest.raises(UsageError, match="kept in a gallery that is a file"):
        library_of(Elsewhere())  # type: ignore[arg-type]


def test_names_are_imported(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("ada0.jpg", "ada1.jpg"):
        (photos / f"{name}.json").write_text(json.dumps({"title": name, "people": [{"name": "Ada"}]}))
    (photos / "both.jpg.json").write_text(json.dumps({"title": "both.jpg", "people": [{"name": "Ada"}]}))
    typed("scan", "photos")
    assert "2 faces would be named" in typed("import-names", "--dry-run")
    said = typed("import-names", "photos")
    assert "Ada: 2 faces" in said
    assert "not taken: Ada" in said
    assert "0 faces named, 2 had their name already" in typed("import-names")
    assert "confirm 2 faces as Ada" in typed("undo")


def test_a_folder_that_may_not_be_written_is_no_trouble(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    photos.chmod(0o555)
    try:
        typed("scan", "photos")
        typed("confirm", "Ada", "f1")
        assert "could not be written" in typed("tag", code=3)
    finally:
        photos.chmod(0o755)


def test_a_page_shows_the_groups(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    typed("scan", "photos")
    groups = json.loads(typed("groups", "--json", *LIMIT))["groups"]
    (photos / "ada0.jpg").unlink()
    (photos / "ada1.jpg").write_bytes((photos / "ada2.jpg").read_bytes())
    assert "2 groups" in typed("groups", "--report", "groups.html", *LIMIT)
    page = Page(Path("groups.html").read_text("utf-8"))
    assert page.text.startswith("Unknown faces of gallery.db 2 groups of 8 faces without a name, and 1 face")
    for group in groups[:2]:
        assert f"embed library confirm NAME g{group['id']}" in page.texts
    faces = [face for group in groups[:2] for face in group["faces"]]
    seen = [face for face in faces if not face["photo"].endswith(("ada0.jpg", "ada1.jpg"))]
    assert {image["alt"] for image in page.all("img")} == {
        f"f{face['face']}: {Path(face['photo']).name}" for face in seen
    }
    assert page.text.count("no picture") == len(faces) - len(seen) == 2


def test_a_sheet_shows_the_groups(typed) -> None:  # type: ignore[no-untyped-def]
    typed("scan", "photos")
    typed("groups", "--sheet", "sheet.png", *LIMIT)
    assert Path("sheet.png").stat().st_size > 1000


def test_the_undone_is_listed_no_more(typed) -> None:  # type: ignore[no-untyped-def]
    typed("scan", "photos")
    typed("ignore", "f1")
    assert json.loads(typed("history", "--json"))["steps"][0]["what"] == "ignore 1 face"
    typed("undo")
    assert json.loads(typed("history", "--json"))["steps"] == []


def test_photos_of_a_folder_may_be_scanned_one_by_one(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    save(photos / "new.png", {(0, 0): (1, 40)})
    assert "1 photo, 1 looked at; 1 new face" in typed("scan", "photos/new.png")
    assert "1 known" in typed("scan", "photos")


def test_people_in_the_background_are_ignored_once(typed, photos: Path) -> None:  # type: ignore[no-untyped-def]
    typed("scan", "photos")
    groups = json.loads(typed("groups", "--json", *LIMIT))
    assert groups["probably_ignored"] == 0
    bob = next(g for g in groups["groups"] if any(f["photo"].endswith("bob0.png") for f in g["faces"]))
    typed("ignore", f"g{bob['id']}")
    save(photos / "later.png", {(0, 0): (2, 20)})
    typed("scan", "photos")
    said = typed("groups", *LIMIT)
    assert "1 group, 1 face alone\n1 face left out, like people you ignored: --probably-ignored lists" in said
    assert "later.png" not in said
    assert "later.png 24x24+0+0 like f" in typed("groups", "--probably-ignored", *LIMIT)
    facts = json.loads(typed("groups", "--probably-ignored", "--json", *LIMIT))
    (left_out,) = facts["probably_ignored_faces"]
    assert facts["probably_ignored"] == 1
    assert left_out["photo"].endswith("later.png")
    assert left_out["like"] in {face["face"] for face in bob["faces"]}
    (listed,) = json.loads(typed("faces", "--state", "probably-ignored", "--json"))["faces"]
    assert (listed["face"], listed["like"]) == (left_out["face"], left_out["like"])
    assert "1 face: unknown again" in typed("unknown", f"f{left_out['face']}")
    assert "2 faces alone" in (said := typed("groups", *LIMIT))
    assert "left out" not in said
