"""The protocol on generated folders: pictures whose shade is the angle of their vector, so all is known."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from embedder._internal.runtime import Progress
from embedder.errors import FolderError, UsageError
from embedder.faces.crop import NO_FACE, Crop
from enroll import embedding, folder_embedding
from enroll.evaluation.lfw import FailedPhoto, Verification, best_threshold, read_pairs, verify_pairs
from enroll.evaluation.verification import TarAtFmr
from enroll.report.evaluation import summarize_pairs
from tests.conftest import ToyExtractor, pattern

SMALL = NO_FACE.replace(";", ": the picture has only 8 x 8 pixels;", 1)


class Shades(ToyExtractor):
    """A picture's vector is at an angle of its shade in degrees, 0 to 180; shade 255 shows no face.

    In a picture wider than high there are two faces: the left half, at the border, and the middle.
    """

    dim = 2

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        height, width = image.shape[:2]
        if image[0, -1, 0] == 255:
            return []
        if width == height:
            return [Crop(image)]
        middle = (width // 2 - height // 2, 0, height, height)
        return [Crop(image[:, :8], (0, 0, height, height)), Crop(image[:, middle[0] :][:, :8], middle)]

    def embed(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.embedded.append(len(images))
        angles = np.radians([float(image[0, 0, 0]) for image in images])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def verified(
    root: Path, pairs_file: Path, extractor: ToyExtractor, progress: Progress | None = None
) -> Verification:
    """As `embed evaluate --pairs` does."""
    embed = functools.partial(folder_embedding.embed_pair_photos, root, pairs_file, extractor, progress)
    return verify_pairs(pairs_file, embed)


def apart(a: int, b: int) -> float:
    """Distance of the vectors of two shades."""
    return 2 * math.sin(math.radians(abs(a - b)) / 2)


class Folder:
    """A folder in the making, and what its pairs.txt says."""

    def __init__(self, root: Path) -> None:
        self.root, self.lines = root, list[str]()
        self.file = root.parent / "pairs.txt"
        root.mkdir()

    def add(self, name: str, *shades: int, suffix: str = ".png") -> None:
        for number, shade in enumerate(shades, 1):
            path = self.root / name / f"{name}_{number:04d}{suffix}"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(path)

    def write(self, header: str, *lines: str) -> Path:
        self.file.write_text("\n".join([header, *lines, ""]), "utf-8")
        return self.file


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "lfw")


@pytest.fixture
def shades() -> Shades:
    return Shades()


@pytest.fixture
def four(folder: Folder) -> Folder:
    """Two folds of two matched and two mismatched pairs; distances grow with the degrees in the comments."""
    folder.add("a", 10, 14, 60)
    folder.add("b", 100, 110)
    folder.add("c", 40, 43, 77)
    folder.add("d", 150)
    folder.write(
        "2\t2",
        "a\t1\t2",  # 4
        "b\t1\t2",  # 10
        "a\t1\tb\t1",  # 90
        "a\t3\tc\t3",  # 17
        "c\t1\t2",  # 3
        "c\t2\t3",  # 34
        "c\t1\td\t1",  # 110
        "b\t2\tc\t1",  # 70
    )
    return folder


def test_figures_by_hand(four: Folder, shades: Shades):
    result = verified(four.root, four.file, shades)
    assert (result.people, result.photos, result.folds, result.failed) == (4, 9, 2, ())
    # Fold 1 is judged by fold 2 (3 and 34 same, 70 and 110 not), fold 2 by fold 1 (4, 10 same, 17, 90 not).
    between = [(apart(0, 34) + apart(0, 70)) / 2, (apart(0, 10) + apart(0, 17)) / 2]
    assert result.thresholds == pytest.approx(between, abs=1e-6)
    figures = result.figures
    assert figures == result.compared
    assert (figures.matched, figures.mismatched) == (4, 4)
    assert figures.fold_accuracy == (0.75, 0.75)  # 17 passes in fold 1, 34 does not in fold 2
    assert (figures.accuracy, figures.standard_error) == (0.75, 0.0)
    assert figures.tar == tuple(TarAtFmr(fmr, 4, round(1 / fmr), None, None) for fmr in (0.1, 0.01, 0.001))
    # At 17 degrees FMR is 1/4 and 1 - TAR 1/4.
    assert figures.eer == 0.25


def test_every_photo_is_embedded_once(four: Folder, shades: Shades):
    verified(four.root, four.file, shades)
    assert sum(shades.embedded) == 9


def test_in_parts_is_the_same(four: Folder, shades: Shades, monkeypatch: pytest.MonkeyPatch):
    four.add("b", 100, 255)
    whole = verified(four.root, four.file, shades)
    monkeypatch.setattr(embedding, "part_size", lambda photos: 2)
    shades.embedded.clear()
    assert verified(four.root, four.file, shades) == whole
    assert max(shades.embedded) == 2 and sum(shades.embedded) == 8


def test_photos_without_a_face_make_their_pairs_wrong(four: Folder, shades: Shades):
    four.add("b", 255, 110)  # in a matched and in a mismatched pair of fold 1
    result = verified(four.root, four.file, shades)
    (failed,) = result.failed
    assert failed == FailedPhoto(str(four.root / "b" / "b_0001.png"), SMALL)
    assert result.photos == 9
    figures, compared = result.figures, result.compared
    assert (figures.matched, figures.mismatched) == (4, 4)
    assert (compared.matched, compared.mismatched) == (3, 3)
    # Fold 2 is now judged by 4 (same) and 17 (not).
    assert result.thresholds[1] == pytest.approx((apart(0, 4) + apart(0, 17)) / 2, abs=1e-6)
    assert figures.fold_accuracy == (0.25, 0.75)
    assert compared.fold_accuracy == (0.5, 0.75)
    assert (figures.accuracy, compared.accuracy) == (0.5, 0.625)
    assert figures.standard_error == pytest.approx(0.25)  # standard deviation 0.5 / sqrt(2), over sqrt(2)
    assert compared.standard_error == pytest.approx(0.125)
    assert figures.eer == pytest.approx(
        1 / 3
    )  # FMR from 17 to 70; 1 - TAR is 1/2 below 34 and 1/4 from there
    assert compared.eer == pytest.approx(1 / 3)  # at 17 both


def test_a_failed_pair_counts_in_tar_and_never_eases_a_threshold(folder: Folder, shades: Shades):
    for person in range(12):
        folder.add(f"p{person:02d}", 10 * person, 10 * person + 1, 255)
    good = [f"p{person:02d} 1 2" for person in range(10)]
    others = [f"p00 1 p{person:02d} 1" for person in range(2, 12)]
    others_near = ["p00 2 p01 1", *others[1:]]  # 9 degrees, the rest at 30 and more
    plain = verified(folder.root, folder.write("1 10", *good, *others_near), shades)
    assert plain.figures.tar[0].tar == 1.0
    assert plain.figures.tar[0].threshold is not None
    # One of ten may pass: the threshold is below the second distance.
    assert apart(0, 29) < plain.figures.tar[0].threshold < apart(0, 30) + 1e-6
    two_failed = verified(
        folder.root, folder.write("1 10", "p00 1 3", *good[1:], *others_near[:-1], "p00 3 p11 1"), shades
    )
    tar = two_failed.figures.tar[0]
    assert (tar.pairs, tar.needed, tar.tar) == (9, 10, None)  # nine comparisons do not tell
    eleven = [*others_near, "p00 3 p11 1"]
    one_more = verified(folder.root, folder.write("1 11", "p00 1 3", *good, *eleven), shades)
    assert one_more.figures.tar[0].threshold == plain.figures.tar[0].threshold
    assert one_more.figures.tar[0].tar == pytest.approx(10 / 11)
    assert one_more.compared.tar == plain.figures.tar
    assert (one_more.figures.matched, one_more.figures.mismatched) == (11, 11)
    assert (one_more.compared.matched, one_more.compared.mismatched) == (10, 10)


def test_vectors_come_in_the_order_of_the_photos_and_from_anywhere(four: Folder):
    asked: dict[tuple[str, int], int] = {}

    def embed(photos: Mapping[tuple[str, int], int]) -> Iterator[NDArray[np.float32] | FailedPhoto]:
        asked.update(photos)
        for name, number in photos:
            yield FailedPhoto("none", "lost") if name == "d" else np.float32([ord(name), number / 10])

    result = verify_pairs(four.file, embed)
    assert list(asked.items())[:4] == [(("a", 1), 2), (("a", 2), 2), (("b", 1), 3), (("b", 2), 3)]
    assert asked["c", 3] == 5
    assert (result.people, result.photos, result.failed) == (4, 9, (FailedPhoto("none", "lost"),))
    assert result.figures.fold_accuracy == (1.0, 0.75)  # c1 and d1 could not be compared
    with pytest.raises(ValueError, match="expected 9 vectors, one a photo, got 8"):
        verify_pairs(four.file, lambda photos: list(embed(photos))[1:])


def test_no_photo_with_a_face(four: Folder, shades: Shades):
    for path in four.root.glob("*/*"):
        Image.new("RGB", (8, 8), "white").save(path)
    result = verified(four.root, four.file, shades)
    assert len(result.failed) == 9
    assert (result.figures.accuracy, result.figures.standard_error) == (0.0, 0.0)
    assert result.figures.eer is None
    assert (result.compared.accuracy, result.compared.matched, result.compared.mismatched) == (None, 0, 0)
    assert shades.embedded == []
    summarize_pairs(result).to_json()


def test_a_fold_without_a_compared_pair(four: Folder, shades: Shades):
    four.add("c", 255, 255, 77)
    result = verified(four.root, four.file, shades)
    assert result.figures.fold_accuracy == (0.75, 0.0)  # at threshold 1, 60 degrees, 17 passes
    assert result.compared.fold_accuracy == (0.75,)


def test_broken_photos_are_failures(four: Folder, shades: Shades):
    path = four.root / "d" / "d_0001.png"
    path.write_bytes(b"not a picture")
    result = verified(four.root, four.file, shades)
    (failed,) = result.failed
    assert failed.photo == str(path)
    assert "not a picture" in failed.reason
    assert result.figures.mismatched == 4
    assert result.compared.mismatched == 3


def test_the_principal_face_is_compared(four: Folder, shades: Shades):
    expected = verified(four.root, four.file, shades)
    photo = np.full((8, 24, 3), 170, np.uint8)
    photo[:, 8:16] = 10
    Image.fromarray(photo).save(four.root / "a" / "a_0001.png")
    assert verified(four.root, four.file, shades).figures == expected.figures


def test_missing_photos_are_listed(four: Folder, shades: Shades):
    (four.root / "b" / "b_0002.png").unlink()
    (four.root / "d" / "d_0001.png").unlink()
    with pytest.raises(
        UsageError,
        match=r"pairs\.txt: expected 9 photos in .*lfw, 2 of them missing: "
        r"b/b_0002 \(line 3\), d/d_0001 \(line 8: an empty folder; [^,]*\)$",
    ):
        verified(four.root, four.file, shades)
    assert shades.embedded == []


def test_many_missing_photos_are_counted(folder: Folder, shades: Shades):
    folder.add("a", 1)
    file = folder.write("1 12", *(f"a 1 {n}" for n in range(2, 14)), *(f"a 1 b {n}" for n in range(1, 13)))
    with pytest.raises(
        UsageError, match=r"expected 25 photos .* 24 of them .*a/a_0011 \(line 11\) and 14 more$"
    ):
        verified(folder.root, file, shades)


def test_a_photo_that_may_not_be_read_says_why_it_is_missing(four: Folder, shades: Shades, tmp_path: Path):
    path = four.root / "d" / "d_0001.png"
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(UsageError, match=r"d/d_0001 \(line 8: is a link to somewhere outside"):
        verified(four.root, four.file, shades)


def test_a_folder_of_nothing_is_refused(folder: Folder, shades: Shades):
    with pytest.raises(FolderError, match="no photos found"):
        verified(folder.root, folder.write("1 1", "a 1 2", "a 1 b 1"), shades)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".bmp", ".tiff", ".webp", ".ppm", ".gif"])
def test_kinds_of_pictures(folder: Folder, shades: Shades, suffix: str):
    folder.add("a", 20, 24, suffix=suffix)
    folder.add("b", 90, suffix=suffix)
    result = verified(folder.root, folder.write("1", "a 1 2", "a 1 b 1"), shades)
    assert result.figures.eer == 0.0
    assert result.failed == ()


def test_other_files_are_passed_over(four: Folder, shades: Shades):
    expected = verified(four.root, four.file, shades)
    (four.root / "a" / "a_0001.txt").write_text("where it was taken")
    (four.root / "pairs.txt").write_text("2 2")
    four.add("stranger", 1)
    assert verified(four.root, four.file, shades) == expected


def test_two_photos_of_one_number_are_refused(four: Folder, shades: Shades):
    four.add("b", 1, suffix=".bmp")
    with pytest.raises(UsageError, match=r"line 3: expected one photo b_0001, got b_0001.bmp and b_0001.png"):
        verified(four.root, four.file, shades)


def test_names_in_another_unicode_form(folder: Folder, shades: Shades):
    taken_apart, whole = "Zoe\u0308", "Zo\u00eb"  # as macOS writes it, and as others do
    folder.add(taken_apart, 20, 24)
    folder.add("b", 90)
    file = folder.write("2 1", f"{whole} 1 2", f"{whole} 1 b 1", f"{taken_apart} 1 2", f"b 1 {taken_apart} 2")
    result = verified(folder.root, file, shades)
    assert (result.people, result.photos) == (2, 3)


def test_a_single_fold_has_no_accuracy(folder: Folder, shades: Shades):
    folder.add("a", 20, 24)
    folder.add("b", 90)
    result = verified(folder.root, folder.write("1", "a 1 2", "a 1 b 1"), shades)
    assert (result.folds, result.thresholds) == (1, ())
    figures = result.figures
    assert (figures.accuracy, figures.standard_error, figures.fold_accuracy) == (None, None, ())
    assert figures.eer == 0.0
    summarize_pairs(result).to_json()


def test_json(four: Folder, shades: Shades):
    four.add("b", 255, 110)
    result = verified(four.root, four.file, shades)
    fields = json.loads(summarize_pairs(result).to_json())
    assert fields["failed"] == [{"photo": str(four.root / "b" / "b_0001.png"), "reason": SMALL}]
    assert fields["figures"]["accuracy"] == 0.5
    assert fields["compared"]["tar"][2] == {
        "fmr": 0.001,
        "pairs": 3,
        "needed": 1000,
        "threshold": None,
        "tar": None,
    }
    assert fields["thresholds"] == list(result.thresholds)


class Heard(Progress):
    def __init__(self) -> None:
        self.total = self.steps = 0

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Callable[..., None]]:
        self.total = total
        yield self.advance

    def advance(self, steps: int = 1, detail: str = "") -> None:
        self.steps += steps


def test_progress_hears_of_each_photo(four: Folder, shades: Shades):
    four.add("b", 255, 110)
    heard = Heard()
    verified(four.root, four.file, shades, heard)
    assert (heard.total, heard.steps) == (9, 9)


def test_generated_people_are_told_apart(tmp_path: Path, toy: ToyExtractor):
    """Ten folds of pictures that are easy, one photo of which shows someone else than it says."""
    root, lines = tmp_path / "lfw", []
    names = [f"P_{person}" for person in range(20)]
    for person, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for photo in (1, 2):
            shown = 19 if (person, photo) == (4, 2) else person
            Image.fromarray(pattern(shown, photo)).save(root / name / f"{name}_{photo:04d}.png")
    for fold in range(10):
        left, right = names[2 * fold : 2 * fold + 2]
        lines += [f"{left}\t1\t2", f"{right}\t1\t2", f"{left}\t1\t{right}\t1", f"{left}\t1\t{right}\t2"]
    (tmp_path / "pairs.txt").write_text("\n".join(["10\t2", *lines]))
    result = verified(root, tmp_path / "pairs.txt", toy)
    assert (result.people, result.photos, result.folds) == (20, 40, 10)
    figures = result.figures
    assert (figures.matched, figures.mismatched) == (20, 20)
    assert figures.fold_accuracy == (1, 1, 0.75, 1, 1, 1, 1, 1, 1, 1)
    assert figures.accuracy == pytest.approx(0.975)
    assert figures.standard_error == pytest.approx(0.025)  # sqrt((0.225^2 + 9 * 0.025^2) / 9 / 10)
    at = figures.tar[0]  # two of twenty may pass
    vectors = {
        path.stem: toy.embed([np.asarray(Image.open(path))])[0].astype(float) for path in root.glob("*/*")
    }
    strangers = sorted(
        np.linalg.norm(vectors[f"{names[2 * fold]}_0001"] - vectors[f"{names[2 * fold + 1]}_{photo:04d}"])
        for fold in range(10)
        for photo in (1, 2)
    )
    assert (at.fmr, at.pairs, at.threshold) == (0.1, 20, pytest.approx(strangers[2], abs=1e-9))
    assert [at.tar for at in figures.tar[1:]] == [None, None]


@pytest.mark.parametrize("seed", range(3))
def test_random_folds_against_plain_loops(folder: Folder, shades: Shades, seed: int):
    rng = np.random.default_rng(seed)
    vectors = {}
    for name in "abcdef":
        numbers = [int(value) for value in rng.integers(0, 140) + rng.integers(0, 40, 3)]
        folder.add(name, *numbers)
        pictures = [np.full((8, 8, 3), value, np.uint8) for value in numbers]
        vectors |= {(name, n): row for n, row in enumerate(shades.embed(pictures).tolist(), 1)}
    lines, folds = [], []
    for _ in range(5):
        fold = []
        for matched in [True] * 4 + [False] * 4:
            one, other = rng.permutation(list("abcdef"))[:2].tolist()
            m, n = (rng.permutation(3)[:2] + 1).tolist()
            lines.append(f"{one} {m} {n}" if matched else f"{one} {m} {other} {n}")
            fold.append((math.dist(vectors[one, m], vectors[one if matched else other, n]), matched))
        folds.append(fold)
    expected = []
    for own in range(5):
        rest = sorted(pair for fold in range(5) if fold != own for pair in folds[fold])
        bounds = sorted({-2.0, 4.0, *(d for d, _ in rest)})
        gaps = [(low + high) / 2 for low, high in itertools.pairwise(bounds)]
        chosen = max(gaps, key=lambda gap: sum((d <= gap) == same for d, same in rest))  # the first such
        expected.append(sum((d <= chosen) == same for d, same in folds[own]) / 8)
    result = verified(folder.root, folder.write("5 4", *lines), shades)
    assert result.figures.fold_accuracy == tuple(expected)
    assert result.figures.accuracy == pytest.approx(np.mean(expected))
    assert result.figures.standard_error == pytest.approx(np.std(expected, ddof=1) / math.sqrt(5))


def slow_accuracy(distances: list[float], matched: list[bool], threshold: float) -> int:
    return sum((d <= threshold) == same for d, same in zip(distances, matched, strict=True))


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=12))
def test_no_threshold_is_better(pairs: list[tuple[int, bool]]):
    distances, matched = [step / 4 for step, _ in pairs], [same for _, same in pairs]
    chosen = best_threshold(np.array(distances, float), np.array(matched, bool))
    candidates = [-1.0, *(step / 8 for step in range(18))]
    best = max(slow_accuracy(distances, matched, t) for t in candidates)
    # At the ends of the range "at or beyond" leaves the distance 0 of a pair where the next is 2.
    if not (chosen == 0 and 0.0 in distances):
        assert slow_accuracy(distances, matched, chosen) == best
    smaller = [t for t in candidates if t < chosen and slow_accuracy(distances, matched, t) == best]
    assert all(not any(t < d <= chosen for d in distances) for t in smaller)
    assert math.isfinite(chosen)


def test_thresholds_by_hand():
    def chosen(distances: list[float], matched: list[bool]) -> float:
        return best_threshold(np.array(distances), np.array(matched))

    assert chosen([0.9, 0.1, 0.5], [False, True, True]) == pytest.approx(0.7)  # in any order
    assert chosen([0.2, 0.4, 0.4, 0.6], [True, True, False, False]) == pytest.approx(0.3)
    assert chosen([0.2, 0.4], [False, False]) < 0
    assert chosen([0.2, 0.4], [True, True]) > 2
    assert chosen([], []) == 1.0


LINES = ("a\t1\t2", "b\t3\t4", "a\t1\tb\t2", "c\t1\td\t12")


def test_read_pairs(tmp_path: Path):
    file = tmp_path / "pairs.txt"
    file.write_bytes(
        "\ufeff2 1\r\n\r\na 1 2\r\n  a \t1\t Mary Ann\t 10 \r\nb_c\t3\t0004\r\nd 1   e 2\r\n\n".encode()
    )
    folds = read_pairs(file)
    assert [[(pair.a, pair.b, pair.line, pair.matched) for pair in fold] for fold in folds] == [
        [(("a", 1), ("a", 2), 3, True), (("a", 1), ("Mary Ann", 10), 4, False)],
        [(("b_c", 3), ("b_c", 4), 5, True), (("d", 1), ("e", 2), 6, False)],
    ]


@pytest.mark.parametrize(("header", "sizes"), [("2", [4]), ("1\t2", [4]), ("2 1", [2, 2]), (" 1 2 ", [4])])
def test_headers(tmp_path: Path, header: str, sizes: list[int]):
    lines = LINES if len(sizes) == 1 else (LINES[0], LINES[2], LINES[1], LINES[3])
    (tmp_path / "pairs.txt").write_text("\n".join([header, *lines]))
    assert [len(fold) for fold in read_pairs(tmp_path / "pairs.txt")] == sizes


def broken(line: int, text: str) -> str:
    lines = ["2", *LINES]
    lines[line - 1] = text
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"pairs\.txt: expected the number of folds and of pairs, got an empty file"),
        ("\n \n", "got an empty file"),
        (broken(1, "ten 300"), r"line 1: expected the number .* such as '10 300', .* got 'ten 300'"),
        (broken(1, "0 300"), "got '0 300'"),
        (broken(1, "10 300 5"), "got '10 300 5'"),
        (broken(1, "-2"), "got '-2'"),
        (broken(1, "\u0662"), "line 1: expected"),
        (broken(1, "9" * 5000), "line 1: expected"),
        ("\n" + broken(1, "x"), "line 2: expected"),
        (broken(1, "3"), r"expected 6 pairs, 3 matched and as many mismatched in 1 fold, got 4$"),
        (broken(1, "10 300"), r"expected 6,000 pairs, 300 matched .* 10 folds, got 4$"),
        (broken(3, ""), "got 3$"),
        (broken(2, "a\t1\tb\t2"), r"line 2: expected 'name n1 n2', .* got 'a 1 b 2'"),
        (broken(3, "a\t1"), r"line 3: expected 'name n1 n2', .* got 'a 1'"),
        (broken(3, "a 1 x"), r"line 3: expected 'name n1 n2', .* got 'a 1 x'"),
        (broken(3, "a 0 1"), "line 3: .* got 'a 0 1'"),
        (broken(3, "a 2 2"), "line 3: .* two photos of one person, got 'a 2 2'"),
        (broken(3, "a 2 02"), "line 3"),
        (broken(3, "\t1\t2"), "line 3"),
        (broken(3, "a\t1\t \t2"), "line 3"),
        (broken(3, "a 1 1234567890"), "line 3"),
        (broken(4, "a\t1\t2"), r"line 4: expected 'name1 n1 name2 n2', two people, got 'a 1 2'"),
        (broken(4, "a 1 a 2"), r"line 4: expected .* two people, got 'a 1 a 2'"),
        (broken(5, "a 1 b -2"), "line 5: .* got 'a 1 b -2'"),
        (broken(5, "a 1\tb 2"), "line 5: .* got 'a 1 b 2'"),
        (broken(5, "a\t1\t\t2"), "line 5"),
        (broken(5, "a 1 b 2 c"), "line 5"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, text: str, message: str):
    (tmp_path / "pairs.txt").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_pairs(tmp_path / "pairs.txt")
    assert str(caught.value).startswith(f"{tmp_path / 'pairs.txt'}")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="expected a list of pairs: No such file"):
        read_pairs(tmp_path / "nothing.txt")
    with pytest.raises(UsageError, match="expected a list of pairs: expected a file, got a folder"):
        read_pairs(tmp_path)
    (tmp_path / "pairs.txt").write_bytes("1\nZo\xeb 1 2".encode("latin-1"))
    with pytest.raises(UsageError, match="expected text in UTF-8"):
        read_pairs(tmp_path / "pairs.txt")


def test_names_do_not_lead_out_of_the_folder(folder: Folder, shades: Shades, tmp_path: Path):
    folder.add("a", 1, 2)
    outside = tmp_path / "secret"
    outside.mkdir()
    Image.new("RGB", (8, 8)).save(outside / "x_0001.png")
    for name in ("../secret/x", str(outside / "x"), "../secret", ".."):
        file = folder.write("1", "a 1 2", f"a 1 {name} 1")
        with pytest.raises(UsageError, match="1 of them missing"):
            verified(folder.root, file, shades)
