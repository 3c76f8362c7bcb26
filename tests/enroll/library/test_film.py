"""Who is seen in films of people who are known, with the built-in network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder import Extractor, load_image
from embedder._internal.runtime import Advance, Progress
from embedder.contact_sheet import PER_LINE
from embedder.errors import FilmError
from enroll import Gallery
from enroll.config import FilmConfig, IdentifyConfig
from enroll.library.film import FilmIdentifier
from enroll.report import film as report
from enroll.sightings import FilmAnswer, PersonSeen
from scripts.made_films import Visit, film_frames, write_film
from tests.conftest import ToyExtractor, pattern

pytest.importorskip("av")
SIZE = (640, 360)
STRANGER = 33


@pytest.fixture(scope="module")
def visits(heads_of) -> dict[str, Visit]:
    """Ada comes, goes and comes back; Zoë walks below her; a stranger comes late."""
    return {
        "ada": Visit(heads_of(21), 0.0, 3.0, (0.2, 0.3), (0.8, 0.3)),
        "ada again": Visit(heads_of(21), 7.0, 9.0, (0.8, 0.3), (0.5, 0.3)),
        "Zoë": Visit(heads_of(23), 1.0, 5.0, (0.8, 0.7), (0.2, 0.7)),
        "stranger": Visit(heads_of(STRANGER), 5.0, 8.0, (0.2, 0.7), (0.6, 0.7)),
    }


@pytest.fixture(scope="module")
def film(visits: dict[str, Visit], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, film_frames(list(visits.values()), 10.0, SIZE, 10))


@pytest.fixture(scope="module")
def answer(film: Path, known_gallery: Path, built_in: Extractor) -> FilmAnswer:
    with Gallery.open(known_gallery, built_in, create=False) as opened:
        return FilmIdentifier(built_in, opened).identify(film, keep_crops=True)


def by_name(answer: FilmAnswer) -> dict[str | None, PersonSeen]:
    assert len({person.identity for person in answer.people}) == len(answer.people)
    return {person.identity: person for person in answer.people}


def test_one_answer_per_person(answer: FilmAnswer):
    assert [person.identity for person in answer.people] == ["ada", "Zoë", None]
    assert (answer.error, answer.looked_at, answer.seconds, answer.notes) == (None, 20, 9.9, ())


def test_intervals_are_those_in_which_they_are_in_sight(answer: FilmAnswer):
    people = by_name(answer)
    assert people["ada"].intervals == ((0.0, 2.5), (7.0, 8.5))
    assert people["Zoë"].intervals == ((1.0, 4.5),)
    assert people[None].intervals == ((5.0, 7.5),)


def test_it_is_said_how_many_frames_agree(answer: FilmAnswer):
    people = by_name(answer)
    for name, frames in (("ada", 10), ("Zoë", 8), (None, 6)):
        agreement = people[name].agreement
        assert agreement.frames == frames
        assert frames - 2 <= agreement.agreed <= agreement.good <= frames
        assert agreement.against == 0
    assert people[None].agreement.decision.reason == "too_far"


def test_the_best_frame_shows_the_person(answer: FilmAnswer, visits: dict[str, Visit]):
    for name, person in by_name(answer).items():
        best = person.best[0]
        box, points = best.box, best.points
        assert box is not None and points is not None and best.crop is not None
        assert box[0] <= points[:, 0].min() and points[:, 0].max() <= box[0] + box[2]
        middle = box[0] + box[2] / 2
        there = [
            abs(place[0] - middle)
            for who, visit in visits.items()
            if who.split()[0] == (name or "stranger") and (place := visit.box_at(best.seconds, SIZE))
        ]
        assert min(there) < 15
        assert any(start <= best.seconds <= end for start, end in person.intervals)
        qualities = [sighting.quality.score for sighting in person.best if sighting.quality]
        assert 1 <= len(qualities) <= 6 and min(qualities) > 0.7


def test_a_single_frame_names_no_one(tmp_path: Path, heads_of, known: Gallery, built_in: Extractor):
    visit = Visit(heads_of(21), 0.0, 0.4, (0.5, 0.5), (0.5, 0.5))
    film = write_film(tmp_path / "short.mp4", film_frames([visit], 1.0, SIZE, 10))
    (person,) = FilmIdentifier(built_in, known).identify(film).people
    assert (person.identity, person.agreement.decision.reason) == (None, "few_frames")
    assert (person.agreement.frames, person.agreement.agreed) == (1, 1)
    assert person.best[0].crop is None
    (person,) = FilmIdentifier(built_in, known, config=FilmConfig(agree=1)).identify(film).people
    assert person.identity == "ada"


def test_a_person_seen_twice_at_once_is_one_of_them(
    tmp_path: Path, heads_of, known: Gallery, built_in: Extractor
):
    """A poster of Ada beside her, of one photo."""
    heads = heads_of(21)
    visits = [
        Visit(heads, 0.0, 2.5, (0.3, 0.5), (0.35, 0.5)),
        Visit(heads[3:4], 0.0, 2.5, (0.75, 0.5), (0.75, 0.5)),
    ]
    film = write_film(tmp_path / "poster.mp4", film_frames(visits, 2.5, SIZE, 10))
    people = FilmIdentifier(built_in, known).identify(film).people
    assert sorted(str(person.identity) for person in people) == ["None", "ada"]
    (other,) = (person for person in people if person.identity is None)
    assert other.agreement.decision.reason == "taken"
    assert other.agreement.decision.candidates[0].identity == "ada"


def test_only_the_main_face_and_the_given_threshold(film: Path, known: Gallery, built_in: Extractor):
    options = IdentifyConfig(all_faces=False)
    config = FilmConfig(fps=1)
    few = FilmIdentifier(built_in, known, config=config, options=options).identify(film)
    assert sum(person.agreement.frames for person in few.people) <= few.looked_at == 10
    strict = FilmIdentifier(built_in, known, 0.05, config).identify(film)
    assert {person.identity for person in strict.people} == {None}
    assert strict.people[0].agreement.decision.threshold == 0.05


def test_a_film_without_people(tmp_path: Path, known: Gallery, built_in: Extractor):
    film = write_film(tmp_path / "empty.mp4", film_frames([], 1.0, SIZE, 10))
    answer = FilmIdentifier(built_in, known).identify(film)
    assert (answer.people, answer.looked_at) == ((), 2)
    assert report.to_lines(answer) == [f"{film}: no face found in 2 frames"]


def test_a_broken_film_gets_an_error(tmp_path: Path, known: Gallery, built_in: Extractor):
    (tmp_path / "text.mp4").write_text("no film")
    identifier = FilmIdentifier(built_in, known)
    with pytest.raises(FilmError):
        identifier.identify(tmp_path / "text.mp4")
    answer = identifier.identify_or_say(tmp_path / "text.mp4")
    assert answer.error is not None and answer.error.startswith("expected a film")
    assert report.to_lines(answer) == [f"{tmp_path / 'text.mp4'}: not read: {answer.error}"]
    assert json.loads(report.to_json(answer))["error"] == answer.error


def test_models_of_whole_pictures_answer_films_too(tmp_path: Path, toy: ToyExtractor):
    """Every frame is the sample; the scene changes, and each scene is a person."""
    for number in (1, 2):
        Image.fromarray(pattern(number, 0, 48)).save(tmp_path / f"{number}.png")
    with Gallery.open(tmp_path / "gallery.db", toy) as gallery:
        gallery.enroll("one", [tmp_path / "1.png"])
        gallery.enroll("two", [tmp_path / "2.png"])
        frames = [(index / 10, pattern(1 if index < 20 else 2, index, 48)) for index in range(40)]
        film = write_film(tmp_path / "film.avi", frames, codec="mjpeg", qmin="1", qmax="2")
        answer = FilmIdentifier(toy, gallery, 0.4).identify(film)
    assert [person.identity for person in answer.people] == ["one", "two"]
    assert [person.intervals for person in answer.people] == [((0.0, 1.5),), ((2.0, 3.5),)]
    assert answer.people[0].best[0].box is None
    assert json.loads(report.to_json(answer))["people"][0]["best"]["box"] is None


def test_lines_say_who_when_and_how_many_frames_agree(answer: FilmAnswer):
    lines = report.to_lines(answer)
    assert lines[0].startswith(f"{answer.film}: ada (distance 0.")
    assert "; 0:00:00.000-0:00:02.500, 0:00:07.000-0:00:08.500; " in lines[0]
    assert " good frames agree; best at 0:00:0" in lines[0]
    assert lines[2].startswith(f"{answer.film}: unknown (nearest ")
    assert len(lines) == 3


def test_json_has_all_of_it(answer: FilmAnswer, known: Gallery, built_in: Extractor):
    basis = FilmIdentifier(built_in, known).basis
    line = report.to_json(answer, basis)
    assert line.isascii()
    told = json.loads(line)
    assert list(told) == ["film", "error", "promise", "seconds", "looked_at", "people", "notes"]
    assert told["promise"]["source"] == "model"
    person = told["people"][1]
    assert list(person) == [
        *("identity", "reason", "distance", "confidence", "threshold", "candidates"),
        *("intervals", "frames", "good", "agreed", "against", "best"),
    ]
    assert (person["identity"], person["reason"], person["intervals"]) == ("Zoë", "match", [[1.0, 4.5]])
    assert person["candidates"][0] == {"identity": "Zoë", "distance": person["distance"]}
    assert list(person["best"]) == ["seconds", "box", "points", "quality"]


def test_the_explanation_says_why(answer: FilmAnswer, known: Gallery, built_in: Extractor):
    text = "\n".join(report.explain(answer, FilmIdentifier(built_in, known).basis))
    assert "  why: the nearest enrolled photo is ada's, at 0." in text
    assert "  frames: seen in 10, " in text
    assert "  best frame: 0:00:0" in text and "beyond the threshold" in text


def test_the_sheet_has_a_row_per_person(answer: FilmAnswer, tmp_path: Path):
    from embedder._internal.outputs import Inputs
    from embedder.errors import UsageError

    tiles = list(report.sheet_tiles(answer))
    rows = {tile.identity: [one for one in tiles if one.identity == tile.identity] for tile in tiles}
    assert list(rows) == ["ada", "Zoë", "unknown 1"]
    assert all(1 <= len(row) <= PER_LINE and row[0].crop is not None for row in rows.values())
    assert rows["ada"][0].problem is None and rows["unknown 1"][0].problem == "too far from everyone"
    assert rows["ada"][0].caption == report.clock(by_name(answer)["ada"].best[0].seconds)
    path = report.save_sheet(tmp_path / "sheets", answer, Inputs(), False)
    assert path.name.startswith("film-") and load_image(path).shape[1] > 1000
    with pytest.raises(UsageError, match="already there"):
        report.save_sheet(tmp_path / "sheets", answer, Inputs(), False)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00.000"), (59.9996, "0:01:00.000"), (36_000.25, "10:00:00.250")]
)
def test_clock(seconds: float, text: str):
    assert report.clock(seconds) == text


def test_the_same_film_gives_the_same_answer(
    answer: FilmAnswer, film: Path, known: Gallery, built_in: Extractor
):
    again = FilmIdentifier(built_in, known).identify(film)
    assert report.to_json(again) == report.to_json(answer)
    assert np.all([sighting.crop is None for person in again.people for sighting in person.best])


def test_progress_hears_of_each_frame(film: Path, known: Gallery, built_in: Extractor):
    heard: list[tuple[int, int]] = []

    class Heard(Progress):
        @contextmanager
        def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
            steps = [0]

            def advance(count: int = 1, detail: str = "") -> None:
                steps[0] += count

            yield advance
            heard.append((total, steps[0]))

    FilmIdentifier(built_in, known, config=FilmConfig(fps=1)).identify(film, progress=Heard())
    assert heard == [(10, 10)]
