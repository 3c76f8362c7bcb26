"""What a gallery keeps of its calibration, and what identify says about it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedder.errors import GalleryError, UsageError
from embedder.folders import scan_folder
from enroll.folder_embedding import embed_folder
from enroll.gallery.gallery import Gallery
from enroll.gallery.threshold import CalibrationRecord
from enroll.identify import Identifier
from enroll.report.answers import describe, explain, to_json, to_lines
from tests.conftest import TOY_STRANGERS, ToyExtractor, save_people


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_people(tmp_path / "people", 12, 4, side=16)


@pytest.fixture
def gallery(path: Path, toy: ToyExtractor, photos: Path) -> Iterator[Gallery]:
    """Eight people with three photos each; their fourth photos and four more people are probes."""
    with Gallery.open(path, toy) as opened:
        for person in range(8):
            folder = photos / f"p{person:02d}"
            opened.enroll(folder.name, [folder / f"{photo}.png" for photo in range(3)])
        yield opened


def test_calibrate_keeps_what_it_found(gallery: Gallery, path: Path, toy: ToyExtractor) -> None:
    assert gallery.calibration() is None
    done = gallery.calibrate(0.02)
    assert (done.calibration.identities, done.calibration.templates, done.calibration.searches) == (8, 24, 24)
    assert (done.calibration.target_fpir, done.fingerprint) == (0.02, toy.fingerprint)
    assert done.curve is not None
    assert gallery.calibration() == (done, None)
    with Gallery.open(path, toy) as again:
        assert again.calibration() == (done, None)


def test_identify_takes_the_threshold_of_the_gallery(
    gallery: Gallery, photos: Path, toy: ToyExtractor
) -> None:
    before = Identifier(toy, gallery)
    assert before.basis.source == "model"
    assert before.threshold == pytest.approx(gallery.calibrate(0.01).calibration.distance)  # of few, all
    done = gallery.calibrate(0.05)
    after = Identifier(toy, gallery)
    assert (after.basis.source, after.threshold) == ("gallery", done.calibration.distance)
    assert Identifier(toy, gallery, threshold=0.1).basis.source == "given"
    known, stranger = (after.identify(photos / name / "3.png") for name in ("p03", "p09"))
    assert (known.faces[0].decision.identity, stranger.faces[0].decision.identity) == ("p03", None)
    assert known.faces[0].confidence > 0.9 > 0.1 > stranger.faces[0].confidence > 0


def test_a_first_threshold_follows_what_is_enrolled(path: Path, photos: Path) -> None:
    """Of one person nothing can be compared; photos that contradict what is known are said to."""
    far = ToyExtractor(strangers=replace(TOY_STRANGERS, mean=0.6, mean_sd=0.01, log_spread_sd=0.02))
    with Gallery.open(path.parent / "far.db", far) as gallery:
        gallery.enroll("p00", [photos / "p00" / f"{number}.png" for number in range(3)])
        identifier = Identifier(far, gallery)
        known = far.manifest.strangers
        assert known is not None
        assert identifier.threshold == known.threshold(0.01, 1, 3)
        assert identifier.basis.warning is None and identifier.basis.to_dict()["comparisons"] == 0
        for person in range(1, 6):
            name = f"p{person:02d}"
            gallery.enroll(name, [photos / name / f"{number}.png" for number in range(3)])
        assert identifier.threshold < known.threshold(0.01, 6, 3) - 0.1
        assert "unlike those this network is known for" in (identifier.basis.warning or "")
        assert identifier.basis.to_dict()["comparisons"] == 90


def test_strangers_count(gallery: Gallery, photos: Path, toy: ToyExtractor) -> None:
    for person in range(8):  # the enrolled ones are no strangers
        (photos / f"p{person:02d}").rename(photos.parent / f"p{person:02d}")
    others = embed_folder(scan_folder(photos), toy)
    done = gallery.calibrate(0.05, others)
    assert (done.calibration.searches, done.calibration.strangers) == (24 + 16, 12)


def test_a_model_without_a_threshold_needs_a_calibration(gallery: Gallery) -> None:
    bare = ToyExtractor(strangers=None)
    gallery._extractor = bare
    with pytest.raises(UsageError, match="embed calibrate"):
        Identifier(bare, gallery)
    gallery.calibrate(0.05)
    assert Identifier(bare, gallery).basis.source == "gallery"


def test_growth_puts_the_promise_in_doubt(gallery: Gallery, photos: Path, toy: ToyExtractor) -> None:
    gallery.calibrate(0.05)
    gallery.enroll("p08", [photos / "p08" / "0.png"])  # 1 of 8 is more than a tenth
    _, warning = gallery.calibration()
    assert warning == "1 person more than the 8 it was made for; run `embed calibrate` again"
    basis = Identifier(toy, gallery).basis
    assert (basis.source, basis.warning) == ("gallery", warning)
    gallery.calibrate(0.05)
    assert gallery.calibration()[1] is None


def test_a_person_who_is_gone_puts_it_in_doubt(gallery: Gallery) -> None:
    gallery.calibrate(0.05)
    gallery._store.remove("p02")
    assert gallery.calibration()[1] == "1 of its 8 people gone; run `embed calibrate` again"
    gallery._store.rename("p03", "Zoë")
    assert gallery.calibration()[1].startswith("1 of its 8 people gone;")  # a new name is no new person


def test_more_photos_of_the_same_people(gallery: Gallery, photos: Path) -> None:
    gallery.calibrate(0.05)
    for person in range(2):
        gallery.enroll(f"p{person:02d}", [photos / f"p{person:02d}" / "3.png"])
    assert gallery.calibration()[1] is None  # 26 instead of 24
    gallery.enroll("p02", [photos / "p02" / "3.png"])
    assert gallery.calibration()[1] == "27 photos instead of 24; run `embed calibrate` again"


def test_a_gallery_that_changes_meanwhile_is_calibrated_anew(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, times = gallery._store.templates, []

    def changing():
        found = read()
        if not times:
            gallery.enroll("p08", [photos / "p08" / "0.png"])
        times.append(len(found.ids))
        return found

    monkeypatch.setattr(gallery._store, "templates", changing)
    assert gallery.calibrate(0.05).calibration.identities == 9
    assert times == [24, 25]


def test_too_few_people_leave_the_old_calibration(path: Path, toy: ToyExtractor, photos: Path) -> None:
    with Gallery.open(path, ToyExtractor(strangers=None)) as gallery:
        for person in range(4):
            folder = photos / f"p{person:02d}"
            gallery.enroll(folder.name, [folder / "0.png", folder / "1.png"])
        done = gallery.calibrate(0.05)
        gallery._store.remove("p00")
        with pytest.raises(UsageError, match="at least 4 people"):
            gallery.calibrate(0.05)
        assert gallery.calibration()[0] == done


def test_another_models_calibration_is_not_used(gallery: Gallery) -> None:
    done = gallery.calibrate(0.05)
    text = replace(done, fingerprint="0" * 64).to_text()
    assert gallery._store.set_calibration(text, 8, 24)
    assert gallery.calibration() is None


@pytest.fixture
def calibration(gallery: Gallery) -> CalibrationRecord:
    return gallery.calibrate(0.05)


def test_text_gives_it_back(calibration: CalibrationRecord) -> None:
    assert CalibrationRecord.from_text(calibration.to_text(), "g.db") == calibration
    without = replace(calibration, curve=None)
    assert CalibrationRecord.from_text(without.to_text(), "g.db") == without


@pytest.mark.parametrize(
    "broken",
    ["", "[]", "{}", "null", "[" * 100_000, '{"promise": {}, "curve": null, "fingerprint": "", "date": ""}'],
)
def test_broken_text_is_named(broken: str) -> None:
    with pytest.raises(GalleryError, match=r"g\.db: broken: its calibration cannot be read"):
        CalibrationRecord.from_text(broken, "g.db")


@pytest.mark.parametrize("value", ['"0.3"', "true", "null", "NaN", "1e999", "[]"])
@pytest.mark.parametrize("name", ["distance", "searches"])
def test_a_number_that_is_none_is_refused(calibration: CalibrationRecord, name: str, value: str) -> None:
    content = json.loads(calibration.to_text())
    content["promise"][name] = "HERE"
    with pytest.raises(GalleryError, match=name):
        CalibrationRecord.from_text(json.dumps(content).replace('"HERE"', value), "g.db")


def test_a_calibration_changed_on_disk(gallery: Gallery, path: Path) -> None:
    gallery.calibrate(0.05)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE calibration SET people = x'010203'")
    with pytest.raises(GalleryError, match="a row of 'calibration' was changed"):
        gallery.calibration()


def test_the_promise_in_words(gallery: Gallery, toy: ToyExtractor) -> None:
    model = Identifier(toy, gallery).basis.describe()
    assert model == (
        f"Threshold {Identifier(toy, gallery).threshold:.3f}: names at most 1 % of strangers in a gallery "
        "of 8 people, 95 % sure, from what is known of this network's distances between strangers (10 "
        "people) and 168 comparisons of this gallery; `embed calibrate` compares all, and adds the "
        "probability that a name is right"
    )
    assert "nothing is known of how many strangers" in Identifier(toy, gallery, 0.3).basis.describe()
    done = gallery.calibrate(0.05)
    words = Identifier(toy, gallery).basis.describe()
    for part in (
        f"Threshold {done.calibration.distance:.3f}: names at most 5 % of strangers in this gallery of",
        "of 8 people",
        "95 % sure",
        f"{done.calibration.named} of 24 searches for 8 strangers",
        done.date[:10],
    ):
        assert part in words


def test_explain_says_why(gallery: Gallery, photos: Path, toy: ToyExtractor) -> None:
    from enroll.config import IdentifyConfig

    gallery.calibrate(0.05)
    identifier = Identifier(toy, gallery, config=IdentifyConfig(neighbours=3))
    answer = identifier.identify(photos / "p03" / "3.png")
    near = answer.faces[0].neighbours
    assert [Path(entry.path).parent.name for entry in near] == ["p03"] * 3
    assert [entry.distance for entry in near] == sorted(entry.distance for entry in near)
    assert near[0].distance == answer.faces[0].decision.distance
    lines = explain(answer, identifier.basis)
    assert lines[0] == to_lines(answer)[0]
    assert "within the threshold" in lines[1]
    assert "the next person" in lines[2]
    assert lines[3].strip() == identifier.basis.describe()
    assert sum(line.startswith("  near: ") for line in lines) == 3
    content = json.loads(to_json(answer, identifier.basis))
    assert content["promise"]["source"] == "gallery"
    assert content["promise"]["searches"] == 24
    assert [entry["path"] for entry in content["faces"][0]["neighbours"]] == [entry.path for entry in near]


def test_a_probability_is_never_rounded_to_certainty(
    gallery: Gallery, photos: Path, toy: ToyExtractor
) -> None:
    gallery.calibrate(0.05)
    decision = Identifier(toy, gallery).identify(photos / "p03" / "0.png").faces[0].decision
    shown = [describe(decision, value) for value in (0.5, 0.994, 0.9996, 1 - 1e-9)]
    assert [words.rpartition(", ")[2] for words in shown] == [
        "50 % sure)",
        "99 % sure)",
        "99.96 % sure)",
        "more than 99.999 % sure)",
    ]


def test_no_queries_have_no_neighbours(gallery: Gallery) -> None:
    assert gallery.nearest_photos(np.empty((0, 48), np.float32), 3) == []
