"""Films among photos, from groups to folders: what is said and done of the people in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from enroll.gallery.photos import find_poor
from enroll.gallery.places import home_of
from enroll.gallery.reembed import reembed
from enroll.gallery.transfer import read_content
from enroll.library.film_still import frame_at
from enroll.library.find import sightings, suggestions
from enroll.library.importing import find_names
from enroll.library.metadata import sidecars_of
from enroll.library.people import Library
from enroll.library.regions import Region
from enroll.library.tagging import plan_tags, write_tags
from enroll.library.xmp import read_people
from enroll.library.xmp_writing import Wanted, write_people
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import THRESHOLD, GridExtractor, picture, save, save_film, scan
from tests.enroll.serve.conftest import client_of
from tests.enroll.serve.test_manage import over

pytest.importorskip("av")
LIMIT = ("--threshold", str(THRESHOLD))
ADA, BOB, EVE = 1, 2, 5
# Ada; then nobody, for longer than a track waits; then Ada, who is poor, beside Eve.
PARTY = [
    *({(0, 0): (ADA, number)} for number in range(3)),
    *({} for _ in range(5)),
    *({(1, 0): (-ADA, number), (2, 1): (EVE, number)} for number in range(3)),
]
FIRST, LATER = ((0.0, 1.0),), ((4.0, 5.0),)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_film(tmp_path_factory.mktemp("made") / "party.mp4", PARTY)


@pytest.fixture
def party(photos: Path, made: Path) -> Path:
    return Path(shutil.copy(made, photos / "party.mp4"))


def faces_in_film(library: Library) -> dict[tuple[object, bool], int]:
    """Numbers of the faces of a film, by when they are seen and whether they are poor."""
    return {
        (face.intervals, library.quality_problem(face) is not None): number
        for number, face in library.faces.items()
        if face.seconds is not None
    }


def test_someone_who_comes_again_is_one_person_and_two_at_once_are_two(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    film = faces_in_film(library)
    assert set(film) == {(FIRST, False), (LATER, True), (LATER, False)}
    ada, again, eve = film[FIRST, False], film[LATER, True], film[LATER, False]
    (group,) = [one for one in library.group(THRESHOLD) if ada in one.faces]
    assert again in group.faces and eve not in group.faces
    assert len(group.faces) == 6  # with four photos of Ada
    everyone = library.group(2.0, again=True)  # any two people would be one
    assert not [one for one in everyone if {again, eve} <= set(one.faces)]
    assert [one for one in everyone if {ada, again} <= set(one.faces)]


def test_a_person_is_suggested_for_all_times_but_once_at_a_time(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = Library(gallery)
    film = faces_in_film(library)
    ada, again, eve = film[FIRST, False], film[LATER, True], film[LATER, False]
    photo = next(n for n, face in library.faces.items() if library.path(face).name == "ada0.jpg")
    library.confirm("Ada", [photo])
    found = suggestions(library, THRESHOLD)
    assert (found[ada].name, found[again].name, eve in found) == ("Ada", "Ada", False)
    everyone = suggestions(library, 2.0)  # Eve would be Ada, too, were she not beside her
    assert (again in everyone, ada in everyone, eve in everyone) == (True, True, False)
    library.confirm("Ada", [again])
    assert eve not in suggestions(library, 2.0)
    library.reject("Ada", [again])
    assert eve in suggestions(library, 2.0)


def test_the_command_line_says_when(typed: Callable[..., str], party: Path) -> None:
    said = typed("scan", "photos")
    assert "photos: 9 photos and 1 film, 10 looked at; 12 new faces" in said
    groups = json.loads(typed("groups", "--json", *LIMIT))["groups"]
    seen = [face for group in groups for face in group["faces"] if face["photo"].endswith("party.mp4")]
    assert {tuple(map(tuple, face["intervals"])) for face in seen} == {FIRST, LATER}
    assert all(set(face) == {"photo", "box", "face", "seconds", "intervals"} for face in seen)
    first = next(face for face in seen if face["seconds"] <= 1.0)
    typed("confirm", "Ada", f"f{first['face']}")
    found = json.loads(typed("find", "Ada", "--json", *LIMIT))["photos"]
    films = [one for one in found if one["photo"].endswith("party.mp4")]
    assert [(one["state"], one["intervals"][0]) for one in films] == [
        ("confirmed", [0.0, 1.0]),
        ("suggested", [4.0, 5.0]),
    ]
    assert films[0]["seconds"] == first["seconds"]
    lines = typed("find", "Ada", *LIMIT)
    assert f"party.mp4 at 0:00:0{first['seconds']:.3f} (0:00:00.000-0:00:01.000)\n" in lines
    assert "4 photos, 1 film" in lines
    told = json.loads(typed("suggestions", "--json", *LIMIT))["suggestions"]
    assert [one["intervals"] for one in told if "seconds" in one] == [[[4.0, 5.0]]]
    assert "party.mp4 at 0:00:0" in typed("suggestions", *LIMIT)
    faces = json.loads(typed("faces", "--name", "Ada", "--json"))["faces"]
    assert [one["seconds"] for one in faces] == [first["seconds"]]
    typed("groups", "--sheet", "groups.png", *LIMIT)
    assert Path("groups.png").stat().st_size


def test_films_can_be_left_out(typed: Callable[..., str], party: Path) -> None:
    assert "9 photos, 9 looked at" in typed("scan", "photos", "--no-films")
    said = typed("scan", "photos", "--max-duration", "1", "--fps", "2")
    assert "9 photos and 1 film, 1 looked at, 9 known; 1 new face" in said


def test_a_missing_package_is_one_line(
    typed: Callable[..., str], party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(party, party.with_name("other.mp4"))
    monkeypatch.setattr("enroll.library.scan_films.find_spec", lambda name: None)
    said = typed("scan", "photos", code=3)
    assert "2 files not read for want of a package: pip install 'embedder-enroll[video]'\n" in said
    assert "9 new faces" in said


def confirmed(store: SqliteStore, *, eve: bool = True) -> Library:
    library = Library(store)
    film = faces_in_film(library)
    library.confirm("Ada", [film[FIRST, False], film[LATER, True]])
    if eve:
        library.confirm("Eve", [film[LATER, False]])
    return library


def test_a_film_gets_a_sidecar_with_who_is_in_it(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    library = confirmed(gallery)
    (other,) = [n for n, face in library.faces.items() if library.path(face).name == "stranger.jpg"]
    library.confirm("Eve", [other])
    data = party.read_bytes()
    for embed in (True, False):
        plan = plan_tags(library, embed)
        (entry,) = [one for one in plan.files if one.photo == party]
        assert (entry.file.name, entry.before, plan.rejected) == ("party.mp4.xmp", None, ())
        assert entry.changes == ("+ person in image: Ada", "+ person in image: Eve")
    write_tags(plan, library)
    said = read_people(party.with_name("party.mp4.xmp").read_bytes())
    assert (sorted(said.people), list(said.regions)) == (["Ada", "Eve"], [])
    assert party.read_bytes() == data
    assert plan_tags(library).files == ()
    library.reject("Eve", [faces_in_film(library)[LATER, False]])
    (entry,) = plan_tags(library).files
    assert entry.changes == ("- person in image: Eve",)
    with party.open("ab") as file:
        file.write(b"\0\0\0\x08free")
    (refused,) = plan_tags(library).rejected
    assert "changed since it was scanned" in refused.reason


def test_a_sidecar_that_says_not_whose_it_is_is_the_photos(party: Path) -> None:
    packet = write_people(None, Wanted((), people=["Ada"]))
    alone, shared = (party.with_name(name) / "party.xmp" for name in ("alone", "shared"))
    save(shared.with_name("party.jpg"), {})
    for sidecar, own in ((alone, "party.xmp"), (shared, "party.mp4.xmp")):
        sidecar.parent.mkdir(exist_ok=True)
        sidecar.write_bytes(packet)
        film = Path(shutil.copy(party, sidecar.parent))
        assert sidecars_of(film).write.name == own
    assert sidecars_of(shared.with_name("party.jpg")).write == shared


def test_names_of_other_programs_are_taken_over_where_it_is_clear_who_is_meant(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    alone = save_film(photos / "alone.mp4", [{(0, 0): (BOB, number)} for number in range(4)])
    scan(gallery, photos, extractor)
    for film, wanted in (
        (alone, Wanted([Region(0.1, 0.1, 0.1, 0.1, name="Bob")])),  # of some frame: its place says nothing
        (party, Wanted((), people=["Ada"])),
    ):
        film.with_name(f"{film.name}.xmp").write_bytes(write_people(None, wanted))
    library = Library(gallery)
    found = find_names(library)
    (bob,) = [n for n, face in library.faces.items() if library.path(face).name == "alone.mp4"]
    assert (found.faces, found.rejected) == ({"Bob": [bob]}, [])
    (unplaced,) = found.unplaced
    assert (unplaced.name, unplaced.photo) == ("Ada", party)
    assert "does not say which of 3 faces" in unplaced.reason


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_film_goes_to_everyone_in_it_with_its_sidecar(
    typed: Callable[..., str], party: Path, extractor: GridExtractor, mode: str
) -> None:
    save(party.with_name("party.jpg"), {(1, 0): (BOB, 0)})  # as a poster, were the film longer
    save_film(party.with_name("stage.mov"), [{(0, 0): (EVE, 0)}] * 20)
    save(party.with_name("stage.jpg"), {(1, 0): (BOB, 1)})  # the poster of a film
    (party.parent / "stage.mov.xmp").write_bytes(b"<x/>")
    typed("scan", "photos")
    with SqliteStore("gallery.db") as store:
        library = Library(store)
        for number, face in list(library.faces.items()):
            name = library.path(face).name
            if name in ("party.jpg", "stage.jpg", "stage.mov"):
                library.confirm("Eve" if name == "stage.mov" else "Bob", [number])
    listed = typed("sort", "--mode", "list", "--confirmed", "--no-face")
    assert "empty.jpg" in listed and "party.mp4" not in listed
    typed("sort", "out", "--mode", mode, "--confirmed")
    files = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.parent.name != "out"}
    assert files == {
        # Beside its photo, a film of six seconds is that of a live photo, and goes along.
        *("Bob/party.jpg", "Bob/party.mp4"),
        # The longer one goes where its people are, and not with the poster.
        *("Bob/stage.jpg", "Eve/stage.mov", "Eve/stage.mov.xmp"),
    }
    assert party.exists() == (mode == "copy")
    if mode == "move":
        with SqliteStore("gallery.db") as store:
            library = Library(store)
            where = {library.path(photo) for photo in library.photos.values() if photo.is_film}
        assert where == {Path("out/Bob/party.mp4").absolute(), Path("out/Eve/stage.mov").absolute()}
        assert "moved 5 files back" in typed("sort", "--undo", str(next(Path("out").glob("*.jsonl"))))
        assert party.exists()


def test_the_main_person_of_a_film_is_longest_in_sight(typed: Callable[..., str], photos: Path) -> None:
    save_film(
        photos / "walk.mp4", [{(0, 0): (EVE, n)} | ({(1, 1): (7, n)} if n < 3 else {}) for n in range(8)]
    )
    typed("scan", "photos")
    with SqliteStore("gallery.db") as store:
        library = Library(store)
        for number, face in list(library.faces.items()):
            if face.seconds is not None:
                library.confirm("Eve" if face.intervals == ((0.0, 3.5),) else "Aaron", [number])
    listed = typed("sort", "--mode", "list", "--confirmed", "--several", "main")
    assert "Eve,photos/walk.mp4" in listed.replace(str(photos), "photos")
    assert "Aaron" not in listed


def test_another_model_embeds_the_frame_that_was_confirmed(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    scan(gallery, photos, extractor)
    confirmed(gallery)
    assert find_poor(gallery, extractor).gone == 0  # type: ignore[arg-type]
    content, _ = read_content(gallery)
    texts = {template.photo for person in content.people for template in person.templates}
    assert {text.partition("#")[2][:2] for text in texts} == {"t="}
    other = GridExtractor("other")
    remade = reembed(content, other, home=home_of(gallery), film_frame=frame_at)  # type: ignore[arg-type]
    assert remade.lost == ()
    for person, identity in zip(remade.content.people, (ADA, EVE), strict=True):
        expected = other.embed([other.crops(picture({(0, 0): (identity, 0)}))[0].pixels])[0]
        (template,) = person.templates
        assert np.linalg.norm(template.vector - expected) < 0.4
    assert {t.photo for person in remade.content.people for t in person.templates} == texts
    without = reembed(content, other, home=home_of(gallery))  # type: ignore[arg-type]
    assert {lost.reason for lost in without.lost} == {"a frame of a film: `embed gallery re-embed` reads it"}
    with party.open("ab") as file:
        file.write(b"\0\0\0\x08free")
    changed = reembed(content, other, home=home_of(gallery), film_frame=frame_at)  # type: ignore[arg-type]
    assert {lost.reason for lost in changed.lost} == {"not the film that was enrolled from"}


def test_the_server_embeds_the_frames_again_too(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor, tmp_path: Path
) -> None:
    scan(gallery, photos, extractor)
    confirmed(gallery)
    with client_of(tmp_path, extractor=GridExtractor("other")) as client:
        job = over(client, client.post("/api/v1/jobs/re-embed"))
    assert job["result"] == {"photos": 2, "lost": [], "gone": []}


def test_faces_of_strangers_in_films_are_erased(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    from datetime import date

    scan(gallery, photos, extractor, keep_unknown=90, today=date(2026, 1, 1))
    assert gallery.library().purge(date(2026, 4, 2)) == 12
    done = scan(gallery, photos, extractor)
    assert (done.forgotten, done.faces) == (9, 0)
    assert [photo for photo in gallery.library().photos() if photo.is_film] == []
    gallery.verify()


def test_films_in_an_encrypted_gallery(
    gallery: SqliteStore, photos: Path, party: Path, extractor: GridExtractor
) -> None:
    from tests.enroll.store.engines import KEY

    scan(gallery, photos, extractor)
    before = faces_in_film(Library(gallery))
    gallery.encrypt(KEY)
    gallery.close()
    with SqliteStore(gallery.path, key=KEY) as store:
        library = Library(store)
        assert faces_in_film(library) == before
        assert [one.seconds for one in sightings(library, None)] == []
        store.verify()


def test_the_frame_of_a_time(made: Path) -> None:
    drawn = picture(PARTY[9]).astype(float)
    assert abs(frame_at(made, 4.5).astype(float) - drawn).mean() < 12
    assert abs(frame_at(made, 0.0).astype(float) - drawn).mean() > 20
    from embedder.errors import FilmError

    with pytest.raises(FilmError, match="no frame at 60 seconds"):
        frame_at(made, 60.0)
