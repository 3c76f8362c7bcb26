"""Photos with their answers drawn in."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from embedder._internal import fonts
from embedder._internal.text import TextLine
from embedder.errors import UsageError
from enroll.decision import Candidate, Decision, decide
from enroll.identify import FaceResult, PhotoResult
from enroll.report import annotate as module
from enroll.report.annotate import SMALLEST_LETTERS, annotate, save_annotated

BLUE, ORANGE, DARK = (0, 96, 165), (240, 160, 0), (40, 40, 40)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@pytest.fixture(autouse=True)
def _only_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "FOLDERS", ())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, tuple[int, int, int, int]]]:
    """The text, the size of its letters and the place of every line that is drawn."""
    lines: list[tuple[str, int, tuple[int, int, int, int]]] = []
    write = module.write

    def noted(image: Image.Image, line: TextLine, left: int, top: int, colour: tuple[int, int, int]) -> None:
        text = "".join(part[0] for part in line.parts)
        lines.append((text, line.size, (left, top, left + line.width, top + line.height)))
        write(image, line, left, top, colour)

    monkeypatch.setattr(module, "write", noted)
    return lines


def photo(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def known(name: str, distance: float = 0.414) -> Decision:
    return decide([Candidate(name, distance), Candidate("other", 1.2)], 0.62)


def unknown(distance: float = 0.876) -> Decision:
    return decide([Candidate("ada", distance)], 0.62)


def answer(*faces: tuple[tuple[int, int, int, int] | None, Decision]) -> PhotoResult:
    return PhotoResult("a.jpg", None, tuple(FaceResult(box, decision) for box, decision in faces))


def draw(
    image: NDArray[np.uint8], *faces: tuple[tuple[int, int, int, int] | None, Decision]
) -> NDArray[np.uint8]:
    return np.asarray(annotate(image, answer(*faces)))


def count(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((image == colour).all(axis=2).sum())


BOX = (300, 250, 120, 150)


def test_the_box_is_drawn_at_its_edge_and_the_face_stays_free() -> None:
    before = photo(800, 600)
    drawn = draw(before, (BOX, known("ada")))
    assert drawn.shape == (600, 800, 3)
    assert (before == 128).all()
    for y, x in ((325, 301), (325, 418), (398, 360)):
        assert BLUE in {tuple(pixel) for pixel in drawn[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3).tolist()}
    assert (drawn[260:390, 310:410] == 128).all()
    assert (drawn[402:] == 128).all()
    assert (drawn[:, 425 + 60 :] == 128).all()


@pytest.mark.parametrize(
    ("decision", "colour", "edge", "text"),
    [(known("ada"), BLUE, WHITE, "ada 0.41"), (unknown(), ORANGE, BLACK, "unknown 0.88")],
)
def test_known_and_unknown(
    written: list, decision: Decision, colour: tuple[int, int, int], edge: tuple[int, int, int], text: str
) -> None:
    drawn = draw(photo(800, 600), (BOX, decision))
    assert [line[0] for line in written] == [text]
    assert count(drawn, colour) > 1000
    assert count(drawn, edge) > 500
    assert count(drawn, BLUE if colour == ORANGE else ORANGE) == 0
    left, top, right, bottom = written[0][2]
    assert bottom <= BOX[1]  # above
    plate = drawn[top:bottom, left:right]
    letters = count(plate, edge)
    assert count(plate, colour) > letters > 50  # the letters have the edge's colour
    assert abs(int(np.dot(edge, (0.3, 0.59, 0.11))) - np.dot(colour, (0.3, 0.59, 0.11))) > 100


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (decide([Candidate("ada", 0.4), Candidate("bob", 0.41)], 0.62, 0.1), "unknown 0.40"),
        (decide([], 0.62), "unknown"),
        (known("محمد"), "محمد 0.41"),
        (known("李明", 0.0), "李明 0.00"),
    ],
)
def test_labels(written: list, decision: Decision, text: str) -> None:
    draw(photo(800, 600), (BOX, decision))
    assert [line[0] for line in written] == [text]


def test_the_edge_shows_where_the_colour_does_not() -> None:
    for decision, colour in ((known("ada"), BLUE), (unknown(), ORANGE)):
        flat = np.broadcast_to(np.array(colour, np.uint8), (600, 800, 3)).copy()
        drawn = draw(flat, (BOX, decision))
        edge = (drawn != colour).any(axis=2)
        assert edge[250, 300:420].all()
        assert edge[250:400, 300].all()


def test_the_whole_picture_is_framed(written: list) -> None:
    drawn = draw(photo(92, 112), (None, known("ada")))
    assert drawn.shape == (112 * 6, 92 * 6, 3)
    for line in (drawn[-2], drawn[:, 1], drawn[:, -2]):
        assert (line == BLUE).all(axis=1).mean() > 0.9
    middle = drawn[60:-20, 20:-20]
    assert (middle == 128).all()
    (text, size, (left, top, right, bottom)) = written[0]
    assert text == "ada 0.41"
    assert size >= SMALLEST_LETTERS
    assert left >= 0
    assert top >= 0
    assert right <= 92 * 6
    assert bottom <= 60


@pytest.mark.parametrize(
    "size", [(16, 16), (92, 112), (640, 480), (4000, 3000), (6000, 500), (30, 900), (3000, 10)]
)
def test_letters_can_be_read_at_any_size(written: list, size: tuple[int, int]) -> None:
    width, height = size
    box = (width // 4, height // 4, max(1, width // 8), max(1, height // 8))
    drawn = draw(photo(width, height), (box, known("ada")))
    factor = drawn.shape[1] // width
    assert drawn.shape == (height * factor, width * factor, 3)
    assert max(drawn.shape) <= max(4000, width, height)
    side = np.sqrt(drawn.shape[0] * drawn.shape[1])
    assert side >= 560 or (factor + 1) * max(size) > 4000
    for _, letters, place in written:
        assert letters >= max(SMALLEST_LETTERS, side / 110)
        assert letters <= max(SMALLEST_LETTERS, side / 31)
        assert place[2] <= drawn.shape[1]


def test_letters_grow_with_the_face(written: list) -> None:
    draw(photo(4000, 3000), ((100, 500, 60, 80), known("a")), ((1500, 500, 500, 600), known("b")))
    assert written[1][1] > 1.5 * written[0][1]
    assert written[0][1] >= 32


def test_a_photo_of_many_small_faces_is_enlarged() -> None:
    faces = [((20 + 55 * (n % 12), 30 + 55 * (n // 12), 20, 25), known("ada")) for n in range(96)]
    assert draw(photo(700, 500), *faces).shape == (1000, 1400, 3)
    assert draw(photo(700, 500), ((20, 30, 6, 8), known("ada"))).shape == (500, 700, 3)


@pytest.mark.parametrize("count_of_faces", [12, 200])
def test_no_label_hides_a_face_or_another_label(written: list, count_of_faces: int) -> None:
    columns = 4 if count_of_faces == 12 else 20
    step, width, height = 4000 // columns, 4000 // columns // 3, 4000 // columns // 2 - 20
    boxes = [
        (20 + step * (n % columns), 80 + step * (n // columns) * 3 // 4, width, height)
        for n in range(count_of_faces)
    ]
    drawn = draw(
        photo(4000, 3000), *((box, known("Ada Lo") if n % 2 else unknown()) for n, box in enumerate(boxes))
    )
    margin = width // 5
    for x, y, w, h in boxes:
        assert (drawn[y + margin : y + h - margin, x + margin : x + w - margin] == 128).all()
    places = np.array([place for _, _, place in written])
    low = np.maximum(places[:, None, :2], places[None, :, :2])
    high = np.minimum(places[:, None, 2:], places[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    np.fill_diagonal(shared, 0)
    assert not shared.any()
    assert len(written) >= count_of_faces


@pytest.mark.parametrize("name", ["Maximiliane " * 16, "李" * 200, "ا" * 200])
@pytest.mark.parametrize("size", [(92, 112), (800, 600)])
@pytest.mark.parametrize("box", [(10, 60, 40, 40), (0, 60, 92, 40)])
def test_long_names_are_shortened(
    written: list, name: str, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    drawn = draw(photo(*size), (box, known(name)))
    (first, _, place), (second, _, below) = written
    assert "…" in first
    assert first.replace("…", "")[:5] == name[:5]
    assert second == "0.41"
    assert place[2] <= drawn.shape[1]
    assert below[1] == place[3]


@pytest.mark.parametrize(
    "box", [(-50, -40, 100, 90), (700, 550, 300, 300), (2000, 2000, 5, 5), (10, 10, 0, 0)]
)
def test_labels_of_boxes_over_the_edge(written: list, box: tuple[int, int, int, int]) -> None:
    draw(photo(800, 600), (box, known("ada")))
    left, top, right, bottom = written[0][2]
    assert 0 <= left <= right <= 800
    assert 0 <= top <= bottom <= 600


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (5000, 2), (3, 1)])
def test_pictures_without_room(size: tuple[int, int]) -> None:
    draw(photo(*size), (None, known("Ada Lovelace")))
    draw(photo(*size), ((0, 0, 1, 1), unknown()))
    draw(photo(*size))


def test_a_box_over_the_edge_is_drawn_along_the_edge() -> None:
    blue = (draw(photo(800, 600), ((-50, 200, 200, 700), known("ada"))) == BLUE).all(axis=2)
    assert blue[220:590, 1].all()
    assert blue[-2, 5:145].all()
    assert blue[220:590, 148].all()


def test_no_face(written: list) -> None:
    drawn = draw(photo(800, 600))
    assert [line[0] for line in written] == ["no face found"]
    assert count(drawn, DARK) > 500
    assert count(drawn, BLUE) == count(drawn, ORANGE) == 0
    written.clear()
    annotate(photo(92, 112), PhotoResult("a.jpg", "broken " * 30, ()))
    assert len(written) == 3
    assert written[0][0].startswith("broken broken")


def test_the_same_photo_gives_the_same_picture() -> None:
    faces = [((20 + 55 * n, 30, 30, 40), known("ada")) for n in range(12)]
    np.testing.assert_array_equal(draw(photo(700, 500), *faces), draw(photo(700, 500), *faces))


# --- the file

ONE = answer((BOX, known("ada")))


def test_a_small_photo_becomes_a_png_and_a_large_one_a_jpeg(tmp_path: Path) -> None:
    for size, kind in (((800, 600), "PNG"), ((2000, 1500), "JPEG")):
        path = save_annotated(tmp_path / "out", "a.jpg", photo(*size), ONE)
        with Image.open(path) as image:
            assert image.format == kind
            assert path.suffix == {"PNG": ".png", "JPEG": ".jpg"}[kind]
            assert image.size == size
            difference = np.asarray(image).astype(int) - np.asarray(annotate(photo(*size), ONE))
            assert np.abs(difference).mean() < 0.1
            assert np.abs(difference).max() < 45


def test_nothing_of_the_photo_but_its_pixels_is_written(tmp_path: Path) -> None:
    for size in ((800, 600), (2000, 1500)):
        with Image.open(save_annotated(tmp_path, "a.jpg", photo(*size), ONE)) as image:
            assert len(image.getexif()) == 0
            assert not {"exif", "xmp", "comment", "icc_profile"} & set(image.info)


def test_photos_of_one_name_from_two_folders_are_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "out"
    paths = [save_annotated(out, tmp_path / folder / "1.jpg", photo(800, 600), ONE) for folder in "ab"]
    paths += [save_annotated(out, tmp_path / "a" / "1.png", photo(800, 600), ONE)]
    assert len(set(paths)) == 3
    assert sorted(out.iterdir()) == sorted(paths)
    assert all(path.name.startswith("1-") for path in paths)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    names = ("1.jpg", "../a/1.jpg")
    with pytest.raises(UsageError, match="already there"):
        save_annotated(out, names[0], photo(800, 600), ONE)
    again = {save_annotated(out, name, photo(800, 600), ONE, force=True) for name in names}
    assert again == {paths[0]}
    assert len(list(out.iterdir())) == 3


def test_no_photo_is_written_over(tmp_path: Path) -> None:
    image = photo(800, 600)
    path = tmp_path / "1.png"
    Image.fromarray(image).save(path)
    for _ in range(3):  # also a picture drawn before is a photo of its own
        before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
        drawn = save_annotated(tmp_path, path, image, ONE)
        assert drawn.name not in before
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
        path = drawn


@pytest.mark.parametrize(
    "name", ["Urlaub im Süden.jpg", "李 明.jpg", ".jpg", "a.b.jpg", "x" * 250 + ".jpg", "李" * 83 + ".jpg"]
)
def test_names_of_files(tmp_path: Path, name: str) -> None:
    path = save_annotated(tmp_path / "out put ö", tmp_path / name, photo(800, 600), ONE)
    assert path.is_file()
    assert path.name.startswith(Path(name).stem[:60])


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="file: cannot be written"):
        save_annotated(tmp_path / "file", "a.jpg", photo(800, 600), ONE)
    with pytest.raises(UsageError, match="below: cannot be written"):
        save_annotated(str(tmp_path / "file" / "below"), "a.jpg", photo(800, 600), ONE)
    taken = save_annotated(tmp_path, "a.jpg", photo(800, 600), ONE)
    taken.unlink()
    taken.mkdir()
    with pytest.raises(UsageError, match="expected a file, got a folder"):
        save_annotated(tmp_path, "a.jpg", photo(800, 600), ONE, force=True)
    shutil.rmtree(taken)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
