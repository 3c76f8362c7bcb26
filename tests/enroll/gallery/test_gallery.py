from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from embedder.errors import ForeignModelError, GalleryError, UsageError
from enroll.gallery.gallery import Gallery
from enroll.store import Terms
from enroll.store.sqlite.store import SqliteStore
from tests.conftest import ToyExtractor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path, toy: ToyExtractor) -> Iterator[Gallery]:
    with Gallery.open(path, toy) as opened:
        yield opened


class Meanwhile(ToyExtractor):
    """An extractor during whose work something else happens."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    def embed(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.happens()
        return super().embed(images)


def nearest(gallery: Gallery, toy: ToyExtractor, people: int = 1) -> list[str]:
    probe = toy.embed([np.tile(np.arange(16, dtype=np.uint8)[:, None, None], (1, 16, 3))])
    return [candidate.identity for candidate in gallery.nearest_people(probe, people)[0]]


def test_enroll_and_list(gallery: Gallery, people: Path) -> None:
    result = gallery.enroll("Zoë", sorted((people / "p00").iterdir()))
    assert (result.identity, result.added, result.already, result.rejected) == ("Zoë", 5, 0, ())
    gallery.enroll("ada", [str(people / "p01" / "0.png")])
    assert gallery.identities() == [("Zoë", 5), ("ada", 1)]


def test_same_photo_again_changes_nothing(gallery: Gallery, people: Path, path: Path) -> None:
    photo = people / "p00" / "0.png"
    copy = shutil.copy(photo, people / "another name.png")
    first = gallery.enroll("ada", [photo, copy, photo])
    assert (first.added, first.already, first.rejected) == (1, 2, ())
    before = path.read_bytes()
    again = gallery.enroll("ada", [copy])
    assert (again.added, again.already, again.rejected) == (0, 1, ())
    assert path.read_bytes() == before


def test_only_new_photos_are_embedded(gallery: Gallery, people: Path, toy: ToyExtractor) -> None:
    photos = sorted((people / "p00").iterdir())
    gallery.enroll("ada", photos[:3])
    gallery.enroll("ada", photos[:3])
    gallery.enroll("ada", photos)
    assert sum(toy.embedded) == 5


def test_photo_of_another_person_is_rejected_and_the_others_go_on(gallery: Gallery, people: Path) -> None:
    one, two, three = sorted((people / "p00").iterdir())[:3]
    gallery.enroll("ada", [one])
    result = gallery.enroll("bob", [two, one, three])
    (rejected,) = result.rejected
    assert result.added == 2
    assert rejected.path == one
    assert "already enrolled as 'ada'" in rejected.reason
    assert gallery.identities() == [("ada", 1), ("bob", 2)]


def test_unusable_photos_are_rejected_and_the_others_go_on(gallery: Gallery, people: Path) -> None:
    good = people / "p00" / "0.png"
    text, short, folder, missing = (people / name for name in ("a.txt", "b.png", "c", "d.png"))
    text.write_text("no picture")
    short.write_bytes(good.read_bytes()[:300])
    folder.mkdir()
    result = gallery.enroll("ada", [text, short, good, folder, missing])
    assert result.added == 1
    assert [rejected.path for rejected in result.rejected] == [text, short, folder, missing]
    assert all(rejected.reason for rejected in result.rejected)
    assert gallery.identities() == [("ada", 1)]


def test_person_without_a_usable_photo_is_not_enrolled(gallery: Gallery, people: Path, path: Path) -> None:
    before = path.read_bytes()
    assert len(gallery.enroll("ada", [people / "missing.png"]).rejected) == 1
    assert gallery.enroll("bob", []).added == 0
    assert gallery.identities() == []
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not UTF-8")
def test_photo_whose_file_name_is_not_utf8_is_usable(gallery: Gallery, people: Path) -> None:
    photo = Path(os.fsdecode(os.fsencode(people) + b"/caf\xe9.png"))
    shutil.copy(people / "p00" / "0.png", photo)
    assert gallery.enroll("ada", [photo, people / "p00" / "1.png"]).added == 2


def enroll_elsewhere(path: Path, toy: ToyExtractor, name: str, photos: list[Path]) -> None:
    with Gallery.open(path, toy) as other:
        other.enroll(name, photos)


def test_photo_enrolled_elsewhere_at_the_same_moment_is_rejected(path: Path, people: Path) -> None:
    photos = sorted((people / "p00").iterdir())[:2]
    slow, toy = Meanwhile(), ToyExtractor()
    slow.happens = lambda: enroll_elsewhere(path, toy, "bob", photos[:1])
    with Gallery.open(path, slow) as gallery:
        result = gallery.enroll("ada", photos)
        assert result.added == 1
        assert [rejected.path for rejected in result.rejected] == photos[:1]
        assert gallery.identities() == [("ada", 1), ("bob", 1)]


def test_same_photo_of_same_person_elsewhere_at_the_same_moment(path: Path, people: Path) -> None:
    photos = sorted((people / "p00").iterdir())[:2]
    slow, toy = Meanwhile(), ToyExtractor()
    slow.happens = lambda: enroll_elsewhere(path, toy, "ada", photos[:1])
    with Gallery.open(path, slow) as gallery:
        result = gallery.enroll("ada", photos)
    assert (result.added, result.already, result.rejected) == (1, 1, ())


def test_gallery_of_another_model_is_refused(gallery: Gallery, people: Path, path: Path) -> None:
    gallery.enroll("ada", sorted((people / "p00").iterdir()))
    with pytest.raises(ForeignModelError, match="another model"):
        Gallery.open(path, ToyExtractor("other"))
    with Gallery.open(path, ToyExtractor()) as again:
        assert again.identities() == [("ada", 5)]


@pytest.mark.parametrize("use", ["enroll", "search"])
def test_gallery_bound_to_another_model_after_opening_is_refused(
    gallery: Gallery, people: Path, path: Path, toy: ToyExtractor, use: str
) -> None:
    with Gallery.open(path, ToyExtractor("other")) as other:
        other.enroll("ada", [people / "p00" / "0.png"])
    with pytest.raises(ForeignModelError, match="another model"):
        gallery.enroll("bob", [people / "p01" / "0.png"]) if use == "enroll" else nearest(gallery, toy)


def test_threshold_of_the_model_does_not_make_it_another(gallery: Gallery, people: Path, path: Path) -> None:
    gallery.enroll("ada", [people / "p00" / "0.png"])
    with Gallery.open(path, ToyExtractor(strangers=None)) as again:
        assert again.identities() == [("ada", 1)]


def test_missing_gallery_is_made_only_when_asked(path: Path, toy: ToyExtractor) -> None:
    with pytest.raises(GalleryError, match="no gallery here"):
        Gallery.open(path, toy, create=False)
    assert not path.exists()
    Gallery.open(path, toy).close()
    assert path.exists()


def test_empty_gallery_has_no_neighbours(gallery: Gallery, toy: ToyExtractor) -> None:
    assert nearest(gallery, toy) == []


def test_index_follows_own_and_foreign_changes(
    gallery: Gallery, people: Path, path: Path, toy: ToyExtractor
) -> None:
    gallery.enroll("ada", [people / "p00" / "0.png"])
    assert nearest(gallery, toy, 9) == ["ada"]
    gallery.enroll("bob", [people / "p01" / "0.png"])
    assert sorted(nearest(gallery, toy, 9)) == ["ada", "bob"]
    with SqliteStore(path) as other:
        other.rename("ada", "cleo")
        assert sorted(nearest(gallery, toy, 9)) == ["bob", "cleo"]
        other.remove("bob")
    assert nearest(gallery, toy, 9) == ["cleo"]


def test_names_are_stored_in_one_unicode_form(gallery: Gallery, people: Path) -> None:
    one, two = sorted((people / "p00").iterdir())[:2]
    assert gallery.enroll("Zoe\u0308", [one]).identity == "Zo\u00eb"
    result = gallery.enroll("Zo\u00eb", [one, two])
    assert (result.added, result.already) == (1, 1)
    assert gallery.identities() == [("Zo\u00eb", 2)]


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "\x1b[2J", "a\x00b", "\udcff", "\u202eada", "\u2028", "x" * 201]
)
def test_name_that_cannot_be_shown_is_refused(gallery: Gallery, people: Path, name: str) -> None:
    with pytest.raises(UsageError):
        gallery.enroll(name, [people / "p00" / "0.png"])
    assert gallery.identities() == []


def test_no_one_who_expired_is_anyones_neighbour(
    gallery: Gallery, people: Path, toy: ToyExtractor, today: date
) -> None:
    over = Terms(expires=today - timedelta(days=1))
    for person in sorted(people.iterdir()):
        gallery.enroll(person.name, sorted(person.iterdir()))
    with SqliteStore(gallery._store.location) as other:
        for name in ("p00", "p01", "p02", "p03"):
            other.set_terms(name, over)
    assert sorted(nearest(gallery, toy, 9)) == ["p04", "p05"]
    assert len(nearest(gallery, toy, 1)) == 1
    probe = toy.embed([np.asarray(Image.open(people / "p00" / "0.png"))])
    near = gallery.nearest_photos(probe, 7)[0]
    assert [entry.identity < "p04" for entry in near] == [False] * 7
    assert [entry.distance for entry in near] == sorted(entry.distance for entry in near)
    with SqliteStore(gallery._store.location) as other:
        other.set_terms("p00", Terms(expires=today))  # the last day counts
    assert sorted(nearest(gallery, toy, 9)) == ["p00", "p04", "p05"]
    with SqliteStore(gallery._store.location) as other:
        other.purge(today)
    assert len(gallery.nearest_photos(probe, 99)[0]) == 15


def test_expired_people_are_warned_about_once(
    gallery: Gallery, people: Path, toy: ToyExtractor, caplog: pytest.LogCaptureFixture
) -> None:
    over = Terms(expires=date.today() - timedelta(days=1))
    probe = toy.embed([np.asarray(Image.open(people / "p00" / "0.png"))])
    gallery.enroll("p00", [people / "p00" / "0.png"])
    gallery.nearest_people(probe, 1)
    gallery.nearest_photos(probe, 1)
    assert caplog.messages == []
    for name in ("p01", "p02"):
        gallery.enroll(name, [people / name / "0.png"])
        with SqliteStore(gallery._store.location) as other:
            other.set_terms(name, over)
    assert caplog.messages == []  # no one has searched since
    for _ in range(2):
        gallery.nearest_people(probe, 1)
        gallery.nearest_photos(probe, 1)
    (warning,) = caplog.messages
    assert warning == (
        f"{gallery._store.location}: 2 people who expired: not named any more; "
        "`embed gallery purge` erases them"
    )
    with Gallery.open(gallery._store.location, toy) as again:
        again.nearest_photos(probe, 1)
    assert caplog.messages == [warning, warning]


def test_terms_are_kept_with_photos_that_are_there_already(gallery: Gallery, people: Path) -> None:
    photos = sorted((people / "p00").iterdir())
    gallery.enroll("ada", photos)
    gallery.enroll("ada", photos, terms=Terms("file 7"))
    with SqliteStore(gallery._store.location) as store:
        assert store.people()[0].terms == Terms("file 7")
