"""From photos with faces somewhere in them to names, with the real face model and the real commands."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageEnhance, ImageFilter
from typer.testing import CliRunner

from embedder import Extractor, load_image
from embedder.contact_sheet import SIDE
from embedder.errors import ForeignModelError
from embedder.faces.crop import main_face
from embedder.faces.quality import Quality
from embedder.images import resize_to_square
from embedder.model_folder import load_manifest, read_part, save_bundle
from enroll import Gallery, Identifier, cli
from enroll.report.answers import to_json
from scripts.group_photos import Truth, compose

KNOWN = {"ada": 21, "Bo Ek": 22, "Zoë": 23, "Дан": 24}  # name -> person of ORL
NAMES = {number: name for name, number in KNOWN.items()}
STRANGERS = (33, 35)
BLUE, ORANGE = (0, 96, 165), (240, 160, 0)  # drawn around those who are known, and who or what is not
runner = CliRunner()


@dataclass(frozen=True)
class Trained:
    """A model, and what the command that made it said and drew."""

    photos: Path
    model: Path
    preview: Path
    stdout: str
    stderr: str


class Studio:
    """Composes photos of the people of ORL; `who` is a person's number and which of the ten photos."""

    def __init__(self, orl: Path) -> None:
        self.orl = orl

    def head(self, who: tuple[int, int]) -> np.ndarray:
        return load_image(self.orl / f"s{who[0]:02d}" / f"{who[1]:02d}.pgm")[:, :, 0]

    def group(self, seed, who, size=(1000, 750), widths=(80.0, 150.0), background="drawn"):
        """A photo, and where each of `who` was laid."""
        heads = np.stack([self.head(one) for one in who])
        photo, truths = compose(heads, seed, size, len(who), widths, 10, background)
        return photo, {who[truth.head]: truth for truth in truths}

    def portrait(self, number: int, which: int = 7) -> tuple[Image.Image, Truth]:
        head = self.head((number, which))[None]
        photo, (truth,) = compose(head, 7 + number, (480, 360), 1, (100, 120), 0, "drawn")
        return Image.fromarray(photo), truth

    def wall(self, seed: int = 0) -> Image.Image:
        return Image.fromarray(compose(np.zeros((1, 112, 92), np.uint8), seed, (480, 360), 0)[0])


def embed(*arguments: object, code: int = 0):
    """Run a command; gives what it said, standard output and standard error apart."""
    result = runner.invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def no_number(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def answers(*arguments: object, code: int = 0) -> list[dict]:
    lines = embed("identify", "--json", *arguments, code=code).stdout.splitlines()
    return [json.loads(line, parse_constant=no_number) for line in lines]


def faces_of(*arguments: object) -> list[dict]:
    (answer,) = answers(*arguments)
    assert answer["error"] is None
    return answer["faces"]


def named(faces: list[dict]) -> set[str]:
    return {face["identity"] for face in faces} - {None}


def middle(box: list[int]) -> np.ndarray:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def face_at(truth: Truth, faces: list[dict]) -> dict:
    """The face whose box lies around where one was laid."""
    (face,) = [
        face
        for face in faces
        if np.hypot(*(middle(face["box"]) - truth.center)) < 0.25 * truth.width
        and 0.75 * truth.width < face["box"][2] < 1.4 * truth.width
    ]
    return face


def opened(path: str | Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


def save(photo: np.ndarray | Image.Image, path: str | Path) -> None:
    picture = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
    picture.save(path, quality=92, compress_level=1)


def hashes(folder: Path) -> dict[Path, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def tiles(sheet: Path) -> list[np.ndarray]:
    """The squares of a contact sheet, line by line."""
    picture = opened(sheet)
    assert picture.format == "PNG"
    pixels = np.asarray(picture)
    found = []
    for left in range(200, pixels.shape[1] - SIDE, SIDE + 10):
        filled = (pixels[:, left : left + SIDE] != 255).any(axis=2).mean(axis=1) > 0.95
        edges = np.flatnonzero(np.diff(filled, prepend=False, append=False)).reshape(-1, 2)
        found += [(top, left) for top, bottom in edges if bottom - top == SIDE]
    return [pixels[top : top + SIDE, left : left + SIDE] for top, left in sorted(found)]


def troubled(tile: np.ndarray) -> bool:
    return tuple(tile[0, -1]) == ORANGE


def check_shows(tile: np.ndarray, file: Path, extractor: Extractor) -> None:
    """That a tile is the crop of the main face of a photo, but for the border and the sign of a problem."""
    image = load_image(file)
    crop = resize_to_square(main_face(extractor.crops(image), image.shape).pixels, SIDE)
    seen = np.s_[24:-4, 24:-4] if troubled(tile) else np.s_[:]
    np.testing.assert_array_equal(tile[seen], crop[seen])


@pytest.fixture(scope="module")
def studio(orl: Path) -> Studio:
    return Studio(orl)


@pytest.fixture(scope="module")
def trained(orl: Path, studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The pretrained trunk as it is; of the photos of eight people, one shows two and two are of no use."""
    folder = tmp_path_factory.mktemp("trained")
    photos, model, preview = folder / "train", folder / "embed-model", folder / "crops.png"
    for number in range(1, 9):
        person = photos / f"s{number:02d}"
        person.mkdir(parents=True)
        for which in (1, 2, 3):
            shutil.copy(orl / person.name / f"{which:02d}.pgm", person)
    two, _ = studio.group(2, [(1, 4), (2, 4)])
    save(two, photos / "s01" / "two.jpg")
    studio.wall().save(photos / "s03" / "00 wall.png")
    (photos / "s05" / "00 broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    said = embed("train", photos, "--epochs", 0, "--model", model, "--preview", preview, code=3)
    return Trained(photos, model, preview, said.stdout, said.stderr)


@pytest.fixture(scope="module")
def people(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos each of those who are known, with the face somewhere."""
    folder = tmp_path_factory.mktemp("people") / "our people"
    for name, number in KNOWN.items():
        (folder / name).mkdir(parents=True)
        for which in (1, 2, 3):
            photo, _ = studio.group(100 * number + which, [(number, which)], (480, 360), (90, 130))
            save(photo, folder / name / f"photo é {which}.jpg")
    return folder


@pytest.fixture(scope="module")
def known(trained: Trained, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of those who are known; read it, do not change it."""
    gallery = tmp_path_factory.mktemp("gallery") / "gallery.db"
    said = embed("enroll", people, "--model", trained.model, "--gallery", gallery)
    assert said.stdout.splitlines() == [f"enrolled {name} (3 photos)" for name in sorted(KNOWN)]
    assert said.stderr == ""
    return gallery


@pytest.fixture(autouse=True)
def here(trained: Trained, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; commands use the model, and the gallery unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBED_MODEL", str(trained.model))
    monkeypatch.setenv("EMBED_GALLERY", str(known))
    return tmp_path


@pytest.fixture(scope="module")
def group(studio: Studio) -> tuple[np.ndarray, dict[tuple[int, int], Truth]]:
    """Everyone who is known, and two strangers."""
    return studio.group(0, [(number, 6) for number in (*NAMES, *STRANGERS)])


@pytest.fixture
def ada(studio: Studio, here: Path) -> Path:
    studio.portrait(21)[0].save(here / "ada.png", compress_level=1)
    return Path("ada.png")


@pytest.mark.parametrize(("background", "seed"), [("drawn", 0), ("drawn", 3), ("china", 1), ("flower", 2)])
def test_everyone_in_a_group_photo_is_named_where_they_stand(studio, background, seed):
    photo, places = studio.group(seed, [(n, 6) for n in (*NAMES, *STRANGERS)], background=background)
    save(photo, "group.jpg")
    faces = faces_of("group.jpg")
    assert len(faces) == len(places)
    for (number, _), truth in places.items():
        face = face_at(truth, faces)
        assert face["identity"] == NAMES.get(number)
        assert face["reason"] == ("match" if number in NAMES else "too_far")
        assert (face["distance"] <= face["threshold"]) == (number in NAMES)
    areas = [face["box"][2] * face["box"][3] for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_json_has_box_points_and_quality_of_each_face(group):
    photo, places = group
    save(photo, "group.jpg")
    line = embed("identify", "group.jpg", "--json").stdout
    assert line.isascii()
    assert line.count("\n") == 1
    faces = json.loads(line, parse_constant=no_number)["faces"]
    assert len(faces) == len(places)
    for face in faces:
        x, y, width, height = face["box"]
        assert all(type(number) is int for number in face["box"])
        assert 0 <= x < x + width <= photo.shape[1]
        assert 0 <= y < y + height <= photo.shape[0]
        left_eye, right_eye, nose, left_mouth, right_mouth = face["points"]
        assert all(x < px < x + width and y < py < y + height for px, py in face["points"])
        assert left_eye[0] < nose[0] < right_eye[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert face["quality"].keys() == {entry.name for entry in fields(Quality)}
        assert all(type(value) is float and math.isfinite(value) for value in face["quality"].values())
        assert face["quality"]["size"] == pytest.approx(width, abs=2)
        assert face["quality"]["visible"] == 1
        assert {candidate["identity"] for candidate in face["candidates"]} == KNOWN.keys()


def test_text_has_a_line_for_each_face_with_its_place(group):
    save(group[0], "group.jpg")
    lines = embed("identify", "group.jpg", "--fail-on-unknown", code=5).stdout.splitlines()
    for line, face in zip(lines, faces_of("group.jpg"), strict=True):
        x, y, width, height = face["box"]
        who = face["identity"] or f"unknown (nearest {face['candidates'][0]['identity']} at"
        assert line.startswith(f"group.jpg: face at {x},{y} of {width}x{height}: {who} ")


def test_python_gives_what_the_commands_give(trained, people, group, here):
    save(group[0], "group.jpg")
    extractor = Extractor.load(trained.model)
    with Gallery.open("own.db", extractor) as gallery:
        for name in KNOWN:
            assert gallery.enroll(name, sorted((people / name).iterdir())).added == 3
        answer = Identifier(extractor, gallery).identify("group.jpg")
        faces = extractor.faces(load_image("group.jpg"))
        nearest = gallery.nearest_people(np.stack([face.vector for face in faces]), 1)
    assert json.loads(to_json(answer))["faces"] == faces_of("group.jpg")
    assert [face.box for face in faces] == [face.box for face in answer.faces]
    for face, answered, (candidate,) in zip(faces, answer.faces, nearest, strict=True):
        np.testing.assert_array_equal(face.points, answered.points)
        assert asdict(face.quality) == asdict(answered.quality)
        assert candidate.identity == answered.decision.candidates[0].identity
        assert candidate.distance == pytest.approx(answered.decision.distance, abs=1e-5)


def test_someone_who_is_there_twice_is_named_once(studio):
    photo, places = studio.group(4, [(21, 6), (21, 7), (22, 6)])
    save(photo, "mirror.jpg")
    faces = faces_of("mirror.jpg")
    twice = sorted((face_at(places[21, which], faces) for which in (6, 7)), key=lambda face: face["distance"])
    assert [(face["identity"], face["reason"]) for face in twice] == [("ada", "match"), (None, "taken")]
    assert all(face["distance"] < face["threshold"] for face in twice)
    assert twice[1]["candidates"][0]["identity"] == "ada"
    assert face_at(places[22, 6], faces)["identity"] == "Bo Ek"
    text = embed("identify", "mirror.jpg").stdout
    assert (
        f"unknown (nearest ada at {twice[1]['distance']:.3f}, already matched to another face in this photo)"
        in text
    )


@pytest.mark.parametrize(("sides", "name"), [((140, 120), "Bo Ek"), ((190, 100), "ada")])
def test_one_face_is_the_largest_most_central_one(studio, sides, name):
    """Ada at the left, Bo Ek in the middle, someone else at the right."""
    who = zip((21, 22, 33), (*sides, 90), strict=True)
    strips = [studio.group(n, [(n, 6)], (480, 720), (side, side))[0] for n, side in who]
    save(np.hstack(strips), "three.jpg")
    everyone = faces_of("three.jpg", "--all-faces")
    assert [face["identity"] for face in everyone] == ["ada", "Bo Ek", None]
    (face,) = faces_of("three.jpg", "--one-face")
    assert face["identity"] == name
    assert face["box"] in [other["box"] for other in everyone if other["identity"] == name]


def test_a_photo_without_a_face_has_no_answer_and_is_no_error(studio, ada):
    studio.wall().save("wall.png")
    empty, full = answers("wall.png", ada, "--fail-on-unknown")
    assert (empty["photo"], empty["error"], empty["faces"]) == ("wall.png", None, [])
    assert named(full["faces"]) == {"ada"}
    lines = embed("identify", "wall.png", ada, "--one-face").stdout.splitlines()
    assert (
        lines[0]
        == "wall.png: no face found: none from 20 pixels on either, and more than half of a face must be seen"
    )
    assert lines[1].startswith("ada.png: ada (distance 0.")


def test_photos_without_a_face_are_listed_and_the_others_are_enrolled(studio, here):
    for name in ("eve", "ghost"):
        (here / "people" / name).mkdir(parents=True)
        studio.wall().save(here / "people" / name / "wall.png")
    (here / "people" / "eve" / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    studio.portrait(25)[0].save(here / "people" / "eve" / "yes.png")
    said = embed("enroll", "people", "--gallery", "own.db", code=3)
    assert said.stdout == "enrolled eve (1 photo)\n"
    listed = said.stderr.splitlines()
    reasons = (
        "3 not used:",
        "  people/eve/broken.jpg: broken",
        "  people/eve/wall.png: no face found: none from 20 pixels on either, and more",
        "  people/ghost/wall.png: no face found: none from 20 pixels on either, and more",
    )
    assert all(line.startswith(reason) for line, reason in zip(listed, reasons, strict=True))
    assert embed("gallery", "list", "--gallery", "own.db").stdout == "eve (1 photo)\n"


def test_of_a_photo_with_several_faces_the_main_one_is_enrolled_and_that_is_said(studio):
    eve, other = (25, 7), (33, 6)
    photo, places = studio.group(22, [eve, other], widths=(80, 160))
    assert places[eve].width > 1.9 * places[other].width
    save(photo, "two.jpg")
    said = embed("enroll", "--name", "eve", "two.jpg", "--gallery", "own.db")
    assert said.stdout == "enrolled eve (1 photo)\n"
    assert said.stderr.splitlines() == [
        "1 photo with several faces; the largest, most central one was used:",
        "  two.jpg: 2 faces",
    ]
    faces = faces_of("two.jpg", "--gallery", "own.db")
    assert face_at(places[eve], faces)["identity"] == "eve"
    assert face_at(places[eve], faces)["distance"] == pytest.approx(0, abs=1e-3)
    assert face_at(places[other], faces)["identity"] is None


def test_training_says_which_photos_show_several_faces_and_which_none(trained):
    said = trained.stderr.splitlines()
    assert "8 people, 25 photos; the trunk is kept as it is" in said
    crowded = said.index("1 photo with several faces; the largest, most central one was used:")
    assert said[crowded + 1] == f"  {trained.photos}/s01/two.jpg: 2 faces"
    rejected = said.index("2 not used:")
    assert said[rejected + 1].startswith(
        f"  {trained.photos}/s03/00 wall.png: no face found; --min-face looks for smaller ones"
    )
    assert said[rejected + 1].endswith("--crop whole takes pictures of other things")
    assert said[rejected + 2].startswith(f"  {trained.photos}/s05/00 broken.jpg: broken")
    assert trained.stdout.endswith(f"Saved {trained.model}\n")


def tiny(studio: Studio) -> Image.Image:
    return Image.fromarray(studio.head((24, 6))).resize((15, 18))


def blurred(studio: Studio) -> Image.Image:
    return studio.portrait(29)[0].filter(ImageFilter.GaussianBlur(6))


def dark(studio: Studio) -> Image.Image:
    return ImageEnhance.Brightness(studio.portrait(27)[0]).enhance(0.07)


def bright(studio: Studio) -> Image.Image:
    return ImageEnhance.Brightness(studio.portrait(29)[0]).enhance(3)


def half_out(studio: Studio) -> Image.Image:
    photo, truth = studio.portrait(26, 6)
    return photo.crop((round(truth.center[0] - truth.width / 10), 0, photo.width, photo.height))


POOR = {
    tiny: "pixels wide, at least 14 are needed",
    blurred: "blurred: sharpness 0.",
    dark: "too dark: brightness 0.0",
    bright: "too bright: brightness 0.9",
    half_out: "cut by the border: ",
}


def test_faces_that_are_too_poor_are_enrolled_by_force_only(studio):
    files = [f"{poor.__name__}.png" for poor in POOR]
    for poor, file in zip(POOR, files, strict=True):
        poor(studio).save(file)
    how = ["enroll", "--name", "eve", *files, "--gallery", "own.db"]
    said = embed(*how, code=3)
    assert said.stdout == ""
    first, *listed = said.stderr.splitlines()
    assert first == "5 not used:"
    for line, file, reason in zip(listed, files, POOR.values(), strict=True):
        assert line.startswith(f"  {file}: the face is ")
        assert reason in line
        assert line.endswith("; --accept-low-quality enrolls it all the same")
    assert embed("gallery", "list", "--gallery", "own.db").stdout == ""
    forced = embed(*how, "--accept-low-quality")
    assert forced.stdout == "enrolled eve (5 photos)\n"
    assert forced.stderr.startswith(
        "5 photos taken by --accept-low-quality though too poor: strangers are nearer"
    )
    assert embed(*how, "--accept-low-quality").stderr == ""  # nothing new
    for answer in answers(*files, "--gallery", "own.db"):
        (face,) = answer["faces"]
        assert face["identity"] == "eve"
        assert face["distance"] == pytest.approx(0, abs=1e-3)


def test_a_good_photo_is_enrolled_beside_a_poor_one(studio, ada):
    dark(studio).save("dark.png")
    said = embed("enroll", "--name", "eve", "dark.png", ada, "--gallery", "own.db", code=3)
    assert said.stdout == "enrolled eve (1 photo)\n"
    assert said.stderr.startswith("1 not used:\n  dark.png: ")


# EXIF orientation -> what a camera does to an upright picture before it writes this number.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save_turned(picture: Image.Image, path: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture.transpose(STORED[orientation]).save(path, exif=exif, quality=95, compress_level=1)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_exif_orientation_changes_no_answer(studio, ada, suffix):
    for orientation in STORED:
        save_turned(opened(ada), f"{orientation}.{suffix}", orientation)
    answered = answers(ada, *(f"{orientation}.{suffix}" for orientation in STORED))
    (upright,), *turned = (answer["faces"] for answer in answered)
    assert upright["identity"] == "ada"
    for (face,) in turned:
        assert face["identity"] == "ada"
        if suffix == "png":
            assert all(face[key] == upright[key] for key in ("box", "points", "quality"))
            assert face["distance"] == pytest.approx(upright["distance"], abs=1e-5)
        else:
            np.testing.assert_allclose(face["box"], upright["box"], atol=6)


def quarter_turned(box: list[int], size: tuple[int, int], quarters: int) -> list[int]:
    """Where a box lies when its photo was turned counterclockwise."""
    (x, y, width, height), (across, down) = box, size
    for _ in range(quarters):
        x, y, width, height = y, across - x - width, height, width
        across, down = down, across
    return [x, y, width, height]


def test_any_rotation_names_faces_on_their_side_or_head_where_they_are(studio):
    photo, _ = studio.portrait(21, 6)
    files = [f"{quarters}.png" for quarters in range(4)]
    for quarters, file in enumerate(files):
        save(np.rot90(photo, quarters), file)
    upright, *turned = (answer["faces"][0] for answer in answers(*files, "--any-rotation"))
    assert upright["identity"] == "ada"
    for quarters, face in enumerate(turned, 1):
        assert face["identity"] == "ada"
        assert face["distance"] == pytest.approx(upright["distance"], abs=0.05)
        box = quarter_turned(upright["box"], photo.size, quarters)
        np.testing.assert_allclose(face["box"], box, atol=4)
        off = face["quality"]["roll"] + 90 * quarters - upright["quality"]["roll"]
        assert (off + 180) % 360 - 180 == pytest.approx(0, abs=5)


@pytest.mark.parametrize(("who", "quarters"), [((21, 6), 1), ((23, 7), 2), ((22, 6), 3)])
def test_someone_lying_or_on_their_head_is_named(studio, who, quarters):
    photo, _ = studio.portrait(*who)
    save(np.rot90(photo, quarters), "turned.png")
    assert named(faces_of("turned.png")) == {NAMES[who[0]]}


def test_someone_lying_beside_someone_upright_needs_any_rotation(studio):
    upright, lying = (np.asarray(studio.portrait(*who)[0]) for who in ((22, 6), (21, 6)))
    both = np.concatenate([upright, np.rot90(lying)[:360]], axis=1)
    save(both, "both.png")
    assert named(faces_of("both.png")) == {NAMES[22]}
    assert named(faces_of("both.png", "--any-rotation")) == {NAMES[22], NAMES[21]}


def test_enrolling_finds_faces_on_their_head_too(studio):
    photo, _ = studio.portrait(23, 7)
    photo.rotate(180).save("turned.png")
    how = ["enroll", "--name", "eve", "turned.png", "--gallery", "own.db"]
    assert embed(*how).stdout == "enrolled eve (1 photo)\n"
    photo.save("upright.png", compress_level=1)
    assert named(faces_of("upright.png", "--gallery", "own.db")) == {"eve"}


@pytest.mark.parametrize("degrees", [-30, 30])
def test_heads_tilted_by_30_degrees_are_named(studio, degrees):
    """Degrees are counterclockwise; roll is clockwise."""
    files, places = [], []
    for name, number in KNOWN.items():
        photo, truth = studio.portrait(number, 6)
        files += [f"{name}.jpg", f"{name} tilted.jpg"]
        save(photo, files[-2])
        save(photo.rotate(degrees, Image.Resampling.BICUBIC), files[-1])
        about = complex(photo.width / 2, photo.height / 2)
        there = (complex(*truth.center) - about) * np.exp(-1j * np.deg2rad(degrees)) + about
        places.append(replace(truth, center=(there.real, there.imag)))
    faces = [answer["faces"] for answer in answers(*files)]
    for name, (upright,), tilted, place in zip(KNOWN, faces[::2], faces[1::2], places, strict=True):
        face = face_at(place, tilted)
        assert face["identity"] == upright["identity"] == name
        # YuNet's points follow a tilt roughly.
        assert face["quality"]["roll"] == pytest.approx(upright["quality"]["roll"] - degrees, abs=15)


def test_all_kinds_of_pictures_of_someone_are_them(studio):
    photo, truth = studio.portrait(22, 6)
    kinds = {"cmyk.jpg": "CMYK", "grey.jpg": "L", "clear.png": "RGBA", "cmyk.tif": "CMYK"}
    for file, mode in kinds.items():
        photo.convert(mode).save(file)
    photo.quantize(128).save("palette.gif")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save("grey16.png")
    kinds |= {"palette.gif": "P", "grey16.png": "I;16"}
    assert {file: opened(file).mode for file in kinds} == kinds
    for answer in answers(*kinds):
        assert answer["error"] is None
        assert face_at(truth, answer["faces"])["identity"] == "Bo Ek"


def test_one_pixel_is_no_face():
    Image.new("RGB", (1, 1), "red").save("pixel.png")
    assert faces_of("pixel.png") == []
    said = embed("enroll", "--name", "eve", "pixel.png", "--gallery", "own.db", code=3)
    assert "  pixel.png: no face found" in said.stderr


def test_a_face_that_the_border_cuts_a_little_is_enrolled_and_named(studio):
    photo, truth = studio.portrait(21, 6)
    left = round(truth.center[0] - 0.22 * truth.width)
    photo.crop((left, 0, photo.width, photo.height)).save("cut.png")
    (face,) = faces_of("cut.png")
    assert face["identity"] == "ada"
    assert face["box"][0] == 0
    assert 0.75 < face["quality"]["visible"] < 1
    said = embed("enroll", "--name", "eve", "cut.png", "--gallery", "own.db")
    assert said.stdout == "enrolled eve (1 photo)\n"


def test_paths_may_hold_spaces_and_any_letters(studio, ada):
    paths = ["my photos/ada 1.png", "фото/Ада é.png", "写真 (1)/#1 %20.png", "-a/'b'.png"]
    for path in map(Path, paths):
        path.parent.mkdir()
        shutil.copy(ada, path)
    answered = answers("--", *paths)
    assert [answer["photo"] for answer in answered] == paths
    assert all(named(answer["faces"]) == {"ada"} for answer in answered)
    said = embed("identify", paths[1], "--annotate", "Ordner für Bilder")
    assert said.stdout.startswith(f"{paths[1]}: ada (distance ")
    (drawn,) = Path("Ordner für Bilder").iterdir()
    assert drawn.name.startswith(f"{Path(paths[1]).stem}-")
    for path in paths[1:]:
        Path(path).write_bytes(Path(path).read_bytes() + path.encode())  # another photo to the gallery
    said = embed("enroll", "--gallery", "my gallery é.db", "--name", "Ä name", "--", *paths)
    assert said.stdout == "enrolled Ä name (4 photos)\n"


def test_smaller_faces_are_looked_for_if_asked(studio):
    photo, places = studio.group(5, [(24, 6)], (640, 480), (32, 32))
    save(photo, "small.jpg")
    assert faces_of("small.jpg") == []
    assert face_at(places[24, 6], faces_of("small.jpg", "--min-face", 30))["identity"] == "Дан"


def test_the_preview_of_training_shows_every_photo(trained):
    extractor = Extractor.load(trained.model)
    shown = tiles(trained.preview)
    files = [file for person in sorted(trained.photos.iterdir()) for file in sorted(person.iterdir())]
    assert len(shown) == len(files) == 27
    for tile, file in zip(shown, files, strict=True):
        assert troubled(tile) == (file.name in {"two.jpg", "00 wall.png", "00 broken.jpg"})
        if file.name not in {"00 wall.png", "00 broken.jpg"}:
            check_shows(tile, file, extractor)


def test_the_preview_of_enrolling_shows_every_photo(trained, studio, here):
    people = here / "people"
    for name, number in (("ada", 21), ("Zoë K", 23)):
        (people / name).mkdir(parents=True)
        for which in (6, 7):
            studio.portrait(number, which)[0].save(people / name / f"{which}.png")
    dark(studio).save(people / "ada" / "8 dark.png")
    studio.wall().save(people / "ada" / "9 wall.png")
    (people / "Zoë K" / "8 broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    before = hashes(people)
    said = embed("enroll", people, "--gallery", "own.db", "--preview", "our crops.png", code=3)
    assert "Wrote our crops.png" in said.stderr
    assert hashes(people) == before
    shown = tiles(Path("our crops.png"))
    files = [file for name in ("Zoë K", "ada") for file in sorted((people / name).iterdir())]
    assert len(shown) == len(files) == 7
    extractor = Extractor.load(trained.model)
    for tile, file in zip(shown, files, strict=True):
        assert troubled(tile) == (" " in file.name)
        if file.name not in {"8 broken.png", "9 wall.png"}:
            check_shows(tile, file, extractor)


def ring(picture: Image.Image, box: list[int], factor: int = 1) -> set[tuple[int, ...]]:
    """The colours a little inside of the left border of a box, halfway down."""
    x, y, _, height = (factor * number for number in box)
    pixels = np.asarray(picture)[y + height // 2, x : x + 8]
    return {tuple(map(int, pixel)) for pixel in pixels}


def test_annotate_draws_a_copy_of_every_photo_that_can_be_read(studio, group, here, monkeypatch):
    (here / "photos").mkdir()
    monkeypatch.chdir(here / "photos")
    save(group[0], "group.jpg")
    save(studio.portrait(21)[0], "small.jpg")
    large, _ = studio.group(1, [(22, 6)], (1500, 1400), (200, 300))
    save(large, "large.jpg")
    save_turned(Image.fromarray(large), "on its side.jpg", 6)
    studio.wall().save("wall.png")
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    before = hashes(here)
    files = ["group.jpg", "small.jpg", "large.jpg", "on its side.jpg", "wall.png"]
    answered = answers(*files, "broken.jpg", "missing.png", "--annotate", here / "out", code=3)
    assert [answer["error"] is None for answer in answered] == [True] * 5 + [False] * 2
    drawn = {path.name.rpartition("-")[0]: opened(path) for path in (here / "out").iterdir()}
    sizes = {"group": (1000, 750), "small": (960, 720), "large": (1500, 1400), "on its side": (1500, 1400)}
    assert {name: picture.size for name, picture in drawn.items()} == {**sizes, "wall": (960, 720)}
    for face in answered[0]["faces"]:
        assert (BLUE if face["identity"] else ORANGE) in ring(drawn["group"], face["box"])
    assert BLUE in ring(drawn["small"], answered[1]["faces"][0]["box"], 2)
    after = hashes(here)
    assert {path: after[path] for path in before} == before
    assert {path.parent for path in after.keys() - before.keys()} == {here / "out"}


def test_the_model_remembers_that_faces_are_found(trained, ada):
    """Though this trunk, unlike that of the others, takes whole pictures by default."""
    small = ["--trunk", "small-cnn", "--input-size", 32, "--epochs", 0, "--model", "small"]
    embed("train", trained.photos, *small, "--crop", "face", code=3)
    assert load_manifest("small").crop == "face"
    assert "32 x 32 pixels, crop face" in embed("info", "--model", "small").stdout
    embed("enroll", "--name", "eve", ada, "--model", "small", "--gallery", "own.db")
    (face,) = faces_of(ada, "--model", "small", "--gallery", "own.db")
    assert face["identity"] == "eve"
    assert None not in (face["box"], face["points"], face["quality"])


def test_a_gallery_of_faces_and_one_of_whole_pictures_do_not_mix(trained, ada):
    """The network is the same."""
    manifest = load_manifest(trained.model)
    assert (manifest.crop, manifest.detector.name) == ("face", "yunet")
    parts = [read_part(trained.model, manifest, part) for part in ("extractor", "weights")]
    save_bundle(Path("whole"), replace(manifest, crop="whole", landmarks=None, detector=None), *parts)
    embed("enroll", "--name", "eve", ada, "--model", "whole", "--gallery", "whole.db")
    (face,) = faces_of(ada, "--model", "whole", "--gallery", "whole.db")
    assert (face["identity"], face["box"], face["points"], face["quality"]) == ("eve", None, None, None)
    for other in (["--model", "whole"], ["--gallery", "whole.db"]):
        for command in (["identify", ada], ["enroll", "--name", "eve", ada]):
            with pytest.raises(ForeignModelError, match="made with another model"):
                embed(*command, *other)


def test_enrolling_and_identifying_faces_load_no_framework(group):
    save(group[0], "group.jpg")
    code = (
        "import sys; from enroll.cli import app\n"
        "def run(*arguments):\n"
        "    try: app(arguments)\n"
        "    except SystemExit as done: assert not done.code, done.code\n"
        "run('enroll', '--name', 'eve', 'group.jpg', '--gallery', 'own.db')\n"
        "run('identify', 'group.jpg', '--annotate', 'out')\n"
        "print([m for m in ('tensorflow', 'keras', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, *answered, loaded = done.stdout.splitlines()
    assert first == "enrolled eve (1 photo)"
    assert len(answered) == 6
    assert all(any(name in line for line in answered) for name in KNOWN)
    assert loaded == "[]"
