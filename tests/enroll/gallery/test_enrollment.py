"""Folders of people into a gallery: side by side, in batches, and again after a kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder import images
from embedder._internal import runtime
from embedder.errors import UsageError
from embedder.faces.crop import NO_FACE, Crop
from enroll import Gallery, embedding
from enroll.gallery import enrollment, given
from enroll.store import Terms
from tests.conftest import ToyExtractor, save_people


@pytest.fixture
def people(tmp_path: Path) -> dict[str, list[Path]]:
    folder = save_people(tmp_path / "people", 6, 3)
    return {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir())}


@pytest.fixture
def gallery(tmp_path: Path, toy: ToyExtractor) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery.db", toy) as opened:
        yield opened


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photos that were decoded."""
    names: list[str] = []

    def counted(data: bytes, path: Path) -> np.ndarray:
        names.append(f"{path.parent.name}/{path.name}")
        return images.decode_frames(data, path)

    monkeypatch.setattr(embedding, "decode_frames", counted)
    return names


class Changes:
    """Counts what is written."""

    def __init__(self, gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        add_many = gallery._store.add_many

        def counted(entries):
            self.sizes.append(sum(len(entry.templates) for entry in entries))
            return add_many(entries)

        monkeypatch.setattr(gallery._store, "add_many", counted)


def test_all_in_one_transaction_while_few(
    gallery: Gallery, people: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
):
    changes = Changes(gallery, monkeypatch)
    outcomes = list(gallery.enroll_many(people))
    assert [(done.identity, done.added) for done in outcomes] == [(name, 3) for name in people]
    assert changes.sizes == [18]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_people_are_written_some_at_a_time_and_told_when_they_are(
    gallery: Gallery, people: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch, size: int
):
    monkeypatch.setattr(enrollment, "_WRITTEN", size)
    monkeypatch.setattr(enrollment, "_MOST_WRITTEN", 4 * size)
    changes = Changes(gallery, monkeypatch)
    told = 0
    for outcome in gallery.enroll_many(people):
        told += 1
        assert dict(gallery.identities())[outcome.identity] == 3
        assert outcome.added == 3
    assert told == 6
    assert sum(changes.sizes) == 18
    assert max(changes.sizes) <= max(size + 2, 3)


def test_person_with_many_photos_is_written_in_parts(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = save_people(tmp_path / "one", 1, 20)
    monkeypatch.setattr(enrollment, "_WRITTEN", 2)
    monkeypatch.setattr(enrollment, "_MOST_WRITTEN", 8)
    changes = Changes(gallery, monkeypatch)
    (outcome,) = gallery.enroll_many({"ada": sorted(folder.glob("*/*"))})
    assert changes.sizes == [8, 8, 4]
    assert (outcome.added, len(outcome.samples)) == (20, 20)


def test_ended_in_the_middle_it_goes_on_where_it_was(
    gallery: Gallery, people: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch, decoded: list[str]
):
    monkeypatch.setattr(enrollment, "_WRITTEN", 6)
    run = gallery.enroll_many(people)
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert gallery.identities() == [("p00", 3), ("p01", 3)]
    decoded.clear()
    outcomes = list(gallery.enroll_many(people))
    assert [(done.added, done.already) for done in outcomes] == [(0, 3)] * 2 + [(3, 0)] * 4
    assert sorted(decoded) == [f"p{person:02d}/{photo}.png" for person in range(2, 6) for photo in range(3)]


def test_each_photo_is_decoded_once_and_embedded_with_others(
    gallery: Gallery, people: dict[str, list[Path]], toy: ToyExtractor, decoded: list[str]
):
    list(gallery.enroll_many(people))
    assert len(decoded) == len(set(decoded)) == 18
    assert sum(toy.embedded) == 18
    assert len(toy.embedded) == -(-18 // embedding.part_size(18))


def test_same_content_twice(gallery: Gallery, people: dict[str, list[Path]], decoded: list[str]):
    shutil.copy(people["p00"][0], people["p00"][2])  # theirs, twice
    shutil.copy(people["p00"][1], people["p04"][0])  # and under another name
    outcomes = {done.identity: done for done in gallery.enroll_many(people)}
    assert (outcomes["p00"].added, outcomes["p00"].already) == (2, 1)
    (rejected,) = outcomes["p04"].rejected
    assert rejected.path == people["p04"][0]
    assert "already enrolled as 'p00'" in rejected.reason
    assert dict(gallery.identities())["p04"] == 2
    assert len(decoded) == 16


def test_content_that_is_refused_twice_is_refused_for_the_same_reason(
    gallery: Gallery, people: dict[str, list[Path]], toy: ToyExtractor, monkeypatch: pytest.MonkeyPatch
):
    white = Image.new("RGB", (16, 16), "white")
    for name in ("p00", "p03"):
        white.save(people[name][1])
    seen = toy.crops

    def crops(image: np.ndarray) -> list[Crop]:
        return [] if image.min() == 255 else seen(image)

    monkeypatch.setattr(toy, "crops", crops)
    outcomes = {done.identity: done for done in gallery.enroll_many(people)}
    for name in ("p00", "p03"):
        assert [(entry.path, entry.reason) for entry in outcomes[name].rejected] == [
            (people[name][1], NO_FACE.replace(";", ": the picture has only 16 x 16 pixels;", 1))
        ]
        assert outcomes[name].added == 2


def test_terms_are_set_for_those_who_are_there_already(gallery: Gallery, people: dict[str, list[Path]]):
    list(gallery.enroll_many(people))
    terms = Terms(consent="paper 7", expires=date(2940, 1, 1))
    list(gallery.enroll_many({"p01": people["p01"]}, terms=terms))
    assert [person.name for person in gallery._store.people() if person.terms == terms] == ["p01"]


def test_two_names_that_are_stored_alike_are_refused(gallery: Gallery, people: dict[str, list[Path]]):
    with pytest.raises(UsageError, match="stored alike"):
        gallery.enroll_many({"Zo\u00eb": people["p00"], "Zoe\u0308": people["p01"]})
    assert gallery.identities() == []


def test_crops_are_let_go_unless_they_are_wanted(gallery: Gallery, people: dict[str, list[Path]]):
    for outcome in gallery.enroll_many({"p00": people["p00"]}):
        assert [sample.crop for sample in outcome.samples] == [None] * 3
    for outcome in gallery.enroll_many({"p01": people["p01"]}, keep_crops=True):
        assert [sample.crop.shape for sample in outcome.samples if sample.crop is not None] == [
            (16, 16, 3)
        ] * 3


def test_every_photo_is_counted(gallery: Gallery, people: dict[str, list[Path]]):
    people["p02"][0].write_bytes(b"no picture")
    steps: list[None] = []
    list(gallery.enroll_many(people, advance=lambda: steps.append(None)))
    list(gallery.enroll_many(people, advance=lambda: steps.append(None)))
    assert len(steps) == 36


def test_few_files_are_in_memory_at_once(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
):
    folder = save_people(tmp_path / "many", 40, 4)
    read: list[Path] = []
    settled: list[None] = []
    most = 0

    def counted(path: Path) -> bytes:
        nonlocal most
        read.append(path)
        most = max(most, len(read) - len(settled))
        return images.read_image_file(path)

    monkeypatch.setattr(given, "read_image_file", counted)
    many = {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir())}
    list(gallery.enroll_many(many, advance=lambda: settled.append(None)))
    assert len(read) == 160
    assert most <= (runtime._AHEAD * runtime.workers() + 1) * embedding.part_size(160)
