"""A scan follows the people of films, and keeps one face of each."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.extractor import Extractor
from embedder.faces.crop import Crop
from enroll.config import FilmConfig
from enroll.library import film_faces, scan_films
from enroll.library.film_faces import film_taken
from enroll.library.people import Library
from enroll.library.review import NOT_A_FACE
from enroll.store.library import SeenFace
from enroll.store.sqlite.store import SqliteStore
from scripts.made_films import Visit, film_frames, write_film
from tests.enroll.library.made import GridExtractor, save, save_film, scan

pytest.importorskip("av")
ADA, BOB, EVE = 1, 2, 3
# Ada goes for more than two seconds and comes back elsewhere; Bob stays; Eve comes when Ada went.
FILM = [
    {(0, 0): (ADA, 0), (2, 1): (BOB, 0)},
    {(0, 0): (ADA, 1), (2, 1): (BOB, 1)},
    *({(2, 1): (BOB, number), (1, 0): (EVE, number)} for number in range(2, 7)),
    {(1, 1): (ADA, 2), (2, 1): (BOB, 7)},
    {(1, 1): (ADA, 3)},
]
ADA_SEEN, BOB_SEEN, EVE_SEEN = ((0.0, 0.5), (3.5, 4.0)), ((0.0, 3.5),), ((1.0, 3.0),)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_film(tmp_path_factory.mktemp("made") / "party.mp4", FILM)


@pytest.fixture
def films(tmp_path: Path, made: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(made, folder / "party.mp4")
    return folder


def by_intervals(store: SqliteStore) -> dict[object, SeenFace]:
    return {face.intervals: face for face in store.library().faces()}


def test_a_film_has_one_face_for_each_person(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    done = scan(gallery, films, extractor)
    assert (done.photos, done.films, done.looked, done.faces, done.rejected) == (0, 1, 1, 3, [])
    (film,) = gallery.library().photos()
    assert (film.is_film, film.seconds, film.width, film.height) == (True, 4.0, 72, 48)
    faces = by_intervals(gallery)
    assert set(faces) == {ADA_SEEN, BOB_SEEN, EVE_SEEN}
    for seen, places in ((ADA_SEEN, {(0, 0), (24, 24)}), (BOB_SEEN, {(48, 24)}), (EVE_SEEN, {(24, 0)})):
        face = faces[seen]
        assert face.box[:2] in places and face.box[2:] == (24, 24)
        assert any(start <= face.seconds <= end for start, end in seen)  # type: ignore[operator]
        assert face.quality["size"] == 24.0
        np.testing.assert_allclose(np.linalg.norm(face.vector), 1, rtol=1e-6)
    assert len({face.key for face in faces.values()}) == 3
    again = scan(gallery, films, extractor)
    assert (again.looked, again.unchanged, again.faces, extractor.looked) == (0, 1, 0, 9)
    gallery.verify()


def test_the_vector_is_the_mean_of_what_is_seen(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, seen = extractor.embed, []
    monkeypatch.setattr(extractor, "embed", lambda crops: seen.append(embed(crops)) or seen[-1])
    scan(gallery, films, extractor)
    bob = by_intervals(gallery)[BOB_SEEN].vector
    vectors = np.concatenate(seen)
    (own,) = np.nonzero(np.linalg.norm(vectors - bob, axis=1) < 0.5)
    assert len(own) == 8
    mean = vectors[own].mean(axis=0)
    np.testing.assert_allclose(bob, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_film_that_moved_or_has_new_metadata_stays_the_same(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    scan(gallery, films, extractor)
    library = Library(gallery)
    library.mark(NOT_A_FACE, [by_intervals(gallery)[EVE_SEEN].number])
    (films / "party.mp4").rename(films / "feier.mp4")
    shutil.copy(films / "feier.mp4", films / "kopie.mp4")
    done = scan(gallery, films, extractor)
    assert (done.looked, done.moved, done.faces) == (0, 2, 0)
    (films / "kopie.mp4").unlink()
    scan(gallery, films, extractor)
    with (films / "feier.mp4").open("ab") as file:
        file.write(b"\0\0\0\x08free")  # a box without content, as editors of metadata leave
    done = scan(gallery, films, extractor)
    assert (done.looked, done.faces, len(gallery.library().photos())) == (1, 0, 1)
    library.read()
    assert library.reviewed.state(by_intervals(gallery)[EVE_SEEN].number) == "not-a-face"
    gallery.verify()


def test_again_and_another_model_find_the_same_people(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    scan(gallery, films, extractor)
    before = {face.number: face.intervals for face in gallery.library().faces()}
    assert scan(gallery, films, extractor, again=True).faces == 0
    assert {face.number: face.intervals for face in gallery.library().faces()} == before
    other = GridExtractor("other")
    assert gallery.remake((other.fingerprint, other.dim), [], gallery.changes())
    assert scan(gallery, films, other).faces == 0
    assert {face.number: face.intervals for face in gallery.library().faces()} == before


def test_a_film_that_breaks_half_way_keeps_what_was_found(
    gallery: SqliteStore, tmp_path: Path, extractor: GridExtractor, caplog: pytest.LogCaptureFixture
) -> None:
    whole = save_film(tmp_path / "photos" / "cut.mkv", FILM * 3, g="1")
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2] + bytes(range(256)) * 40)
    with caplog.at_level(logging.WARNING, "embedder.images"):
        done = scan(gallery, whole.parent, extractor)
    assert (done.looked, done.rejected) == (1, [])
    (film,) = gallery.library().photos()
    assert film.seconds is not None and 4 < film.seconds < 10
    assert done.faces == len(gallery.library().faces()) >= 2
    assert [record for record in caplog.records if "cut.mkv" in record.getMessage()]
    assert scan(gallery, whole.parent, extractor).unchanged == 1


def test_what_is_no_film_is_listed_and_the_rest_goes_on(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    (films / "text.mp4").write_bytes(b"no film")
    (films / "empty.mov").write_bytes(b"")
    (films / "cut.mp4").write_bytes((films / "party.mp4").read_bytes()[:700])
    (films / "program.ts").write_text("export const faces = 3;\n")
    save(films / "ada.jpg", {(0, 0): (ADA, 0)})
    for _ in range(2):  # it is known why, and told again
        done = scan(gallery, films, extractor)
        reasons = {entry.path.name: entry.reason for entry in done.rejected}
        assert set(reasons) == {"text.mp4", "empty.mov", "cut.mp4"}
        assert "expected a film" in reasons["text.mp4"]
        assert "cannot be read as a film" in reasons["cut.mp4"]
        assert dict(done.others) == {"files of other kinds": 1}
    assert (done.looked, len(gallery.library().faces())) == (0, 4)


def test_without_av_films_are_one_line_and_asked_for_again(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(films / "ada.jpg", {(0, 0): (ADA, 0)})
    with monkeypatch.context() as without:
        without.setattr(scan_films, "find_spec", lambda name: None)
        done = scan(gallery, films, extractor)
    (entry,) = done.rejected
    assert entry.reason == "a package is missing; install it: pip install 'embedder-enroll[video]'"
    assert done.faces == 1
    assert scan(gallery, films, extractor).faces == 3


def test_a_film_whose_disk_goes_away_is_looked_at_again(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = film_faces.look_through

    def lost(*given: object) -> film_faces.FilmFaces:
        whole = found(*given)  # type: ignore[arg-type]
        return film_faces.FilmFaces(whole.size, 1.0, None, whole.faces[:1], ("not read to its end",), True)

    with monkeypatch.context() as unplugged:
        unplugged.setattr(scan_films, "look_through", lost)
        assert scan(gallery, films, extractor).faces == 1
    (face,) = gallery.library().faces()
    done = scan(gallery, films, extractor)
    assert (done.looked, done.faces) == (1, 2)
    assert face.number in {one.number for one in gallery.library().faces()}
    assert scan(gallery, films, extractor).unchanged == 1


def test_a_film_that_changes_meanwhile_is_looked_at_the_next_time(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = extractor.crops

    def recording(image: np.ndarray) -> list[Crop]:
        with (films / "party.mp4").open("ab") as file:
            file.write(b"\0\0\0\x08free")
        return crops(image)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(extractor, "crops", recording)
        (entry,) = scan(gallery, films, extractor).rejected
    assert "changed while it was looked at" in entry.reason
    assert gallery.library().photos() == []
    assert scan(gallery, films, extractor).faces == 3


def test_limits_hold(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_faces, "MOST", 2)
    scan(gallery, films, extractor, films=FilmConfig(max_duration=3.2))
    assert [face.intervals for face in gallery.library().faces()] == [((0.0, 3.0),), EVE_SEEN]
    (film,) = gallery.library().photos()
    assert film.seconds == 3.0


def test_an_endless_file_is_given_up(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (films / "party.mp4").open("ab") as file:
        file.truncate(2**40)  # a terabyte of nothing behind the film
    (entry,) = scan(gallery, films, extractor, films=FilmConfig(max_time=0.2)).rejected
    assert "not read in 0.2 seconds" in entry.reason


def test_the_film_of_a_live_photo_is_not_looked_through(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    save(films / "party.jpg", {(0, 0): (ADA, 0)})
    save(films / "long.jpg", {(0, 0): (ADA, 1)})  # as the poster of a film
    save_film(films / "long.mov", [{(1, 0): (BOB, number)} for number in range(16)])
    done = scan(gallery, films, extractor)
    assert (done.looked, done.faces, done.rejected) == (4, 3, [])
    live = {Path(photo.there or "").name: photo.live for photo in gallery.library().photos()}
    assert live == {"party.jpg": False, "long.jpg": False, "party.mp4": True, "long.mov": False}
    assert scan(gallery, films, extractor).unchanged == 4
    (films / "party.jpg").unlink()
    assert scan(gallery, films, extractor).faces == 3  # now it is a film
    assert scan(gallery, films, extractor).unchanged == 3


def test_films_are_passed_over_on_request(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    done = scan(gallery, films, extractor, films=None)
    assert (done.films, dict(done.others), done.faces) == (0, {"films": 1}, 0)
    assert scan(gallery, films, extractor).faces == 3
    done = scan(gallery, films, extractor, films=None)
    assert (done.gone, len(gallery.library().faces())) == (0, 3)


def test_a_scan_ended_in_a_film_keeps_the_photos_before(
    gallery: SqliteStore, films: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(films / "ada.jpg", {(0, 0): (ADA, 0)})
    save_film(films / "zoo.mp4", [{(0, 0): (EVE, 1)}] * 4)
    crops = extractor.crops

    def ended(image: np.ndarray) -> list[Crop]:
        if extractor.looked >= 11:  # the photo, the first film, and one frame of the second
            raise KeyboardInterrupt
        return crops(image)

    monkeypatch.setattr("embedder._internal.runtime.workers", lambda: 1)
    monkeypatch.setattr(extractor, "crops", ended)
    with pytest.raises(KeyboardInterrupt):
        scan(gallery, films, extractor)
    assert len(gallery.library().faces()) == 4
    monkeypatch.setattr(extractor, "crops", crops)
    done = scan(gallery, films, extractor)
    assert (done.looked, done.unchanged, done.faces) == (1, 2, 1)


@pytest.mark.parametrize(
    ("metadata", "taken"),
    [
        ({"com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0200"}, "2024-05-01T12:00:00"),
        ({"creation_time": "2024-05-01T10:00:00.000000Z"}, "2024-05-01T15:30:00"),
        ({"creation_time": "1904-01-01T00:00:00.000000Z"}, None),
        ({"creation_time": "soon"}, None),
        ({}, None),
    ],
)
def test_the_date_is_that_of_the_place(
    metadata: dict[str, str], taken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        assert film_taken(metadata) == taken
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_bar_counts_files_and_says_how_far_a_film_is(
    gallery: SqliteStore, films: Path, extractor: GridExtractor
) -> None:
    from collections.abc import Iterator
    from contextlib import contextmanager

    from embedder._internal.runtime import Advance, Progress
    from enroll.library.scan import Scanner

    heard: list[tuple[int, str]] = []

    class Bar(Progress):
        @contextmanager
        def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
            assert (label, total, unit) == ("Scanning", 2, "files")
            yield lambda steps=1, detail="": heard.append((steps, detail))

    save(films / "ada.jpg", {(0, 0): (ADA, 0)})
    gallery.bind(extractor.fingerprint, extractor.dim)
    Scanner(gallery.library(), extractor, films.parent).scan(films, progress=Bar())  # type: ignore[arg-type]
    assert sum(steps for steps, _ in heard) == 2
    assert (0, "party.mp4 4 s") in heard


def test_people_of_real_photos_in_a_film(
    gallery: SqliteStore, tmp_path: Path, heads_of, built_in: Extractor
) -> None:
    """Two of ORL, one of whom comes back: with the built-in network."""
    visits = [
        Visit(heads_of(21), 0.0, 1.5, (0.25, 0.5), (0.3, 0.5)),
        Visit(heads_of(21), 4.0, 5.5, (0.7, 0.5), (0.75, 0.5)),
        Visit(heads_of(23), 1.0, 3.0, (0.7, 0.5), (0.75, 0.5)),
    ]
    folder = tmp_path / "photos"
    folder.mkdir()
    write_film(folder / "film.mp4", film_frames(visits, 6.0, (480, 270), 4), 4)
    scan(gallery, folder, built_in)  # type: ignore[arg-type]
    assert set(by_intervals(gallery)) == {((0.0, 1.0), (4.0, 5.0)), ((1.0, 2.5),)}


def test_of_a_motion_photo_the_still_is_looked_at(
    gallery: SqliteStore, films: Path, made: Path, extractor: GridExtractor
) -> None:
    """Phones write the film behind the still: as it is in JPEG, in a box `mpvd` in HEIC."""
    pillow_heif = pytest.importorskip("pillow_heif")
    film = made.read_bytes()
    jpeg = save(films / "PXL.MP.jpg", {(0, 0): (7, 0)})
    heic = films / "PXL.MP.heic"
    pillow_heif.from_pillow(Image.open(save(films / "still.png", {(1, 1): (8, 0)}))).save(heic, quality=95)
    (films / "still.png").unlink()
    (films / "party.mp4").unlink()
    jpeg.write_bytes(jpeg.read_bytes() + film)
    heic.write_bytes(heic.read_bytes() + (len(film) + 8).to_bytes(4, "big") + b"mpvd" + film)
    done = scan(gallery, films, extractor)
    assert (done.photos, done.films, done.faces, done.rejected) == (2, 0, 2, [])
    assert sorted(face.box for face in gallery.library().faces()) == [(0, 0, 24, 24), (24, 24, 24, 24)]
    assert not any(photo.is_film for photo in gallery.library().photos())
