"""The `embed` command as a user runs it: output, errors and exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import enroll.cli.train
from embedder.errors import FolderError, UsageError
from enroll import cli
from enroll.cli.terminal import TerminalProgress
from tests.conftest import pattern, save_people
from tests.enroll.report.pages import Page

runner = CliRunner()


@pytest.fixture
def there(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and photos of ada and Zoë, to work in."""
    shutil.copytree(model, tmp_path / "embed-model")
    for number, name in enumerate(["ada", "Zoë K"]):
        (tmp_path / "people" / name).mkdir(parents=True)
        for photo in range(3):
            Image.fromarray(pattern(100 + number, photo)).save(
                tmp_path / "people" / name / f"photo {photo}.png"
            )
    Image.fromarray(pattern(100, 9)).save(tmp_path / "probe é.png")
    Image.fromarray(255 - pattern(100, 9)).save(tmp_path / "stranger.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    """Run in this process, through `main`, so that errors are shown as they are to users."""
    result = runner.invoke(cli.app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def between() -> str:
    """A threshold between the distances of the probe and of the stranger, for the model the tests made."""
    answers = run("identify", "probe é.png", "stranger.png", "--json").splitlines()
    near, far = (json.loads(answer)["faces"][0]["distance"] for answer in answers)
    assert near < far
    return str((near + far) / 2)


def main(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Run `main` in this process; gives standard output and standard error."""
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
    ):
        patch.setattr(sys, "argv", ["embed", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == code, err.getvalue()
    return out.getvalue(), err.getvalue()


def embed(*arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
    """Run in a fresh process; gives standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "enroll.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_enroll_then_identify(there: Path):
    assert run("enroll", "people") == "enrolled Zoë K (3 photos)\nenrolled ada (3 photos)\n"
    assert run("enroll", "people").splitlines()[1] == "enrolled ada (0 photos, 3 already there)"
    lines = run("identify", "probe é.png", "stranger.png", "--threshold", between()).splitlines()
    assert lines[0].startswith("probe é.png: ada (distance 0.")
    assert lines[1].startswith("stranger.png: unknown (nearest ")


def test_enroll_by_name_and_options_from_the_environment(there: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMBED_GALLERY", "other gallery.db")
    monkeypatch.setenv("EMBED_MODEL", "moved")
    (there / "embed-model").rename(there / "moved")
    assert run("enroll", "--name", "Bob", "probe é.png") == "enrolled Bob (1 photo)\n"
    assert (there / "other gallery.db").exists()
    assert not (there / "gallery.db").exists()
    assert "probe é.png: Bob (distance 0.000" in run("identify", "probe é.png")


def test_json_is_one_object_a_line(there: Path):
    run("enroll", "people")
    (there / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    out = run("identify", "probe é.png", "broken.jpg", "--json", "--threshold", "2.0", code=3)
    first, second = map(json.loads, out.splitlines())
    assert first.keys() == second.keys() == {"photo", "error", "promise", "faces", "notes", "no_face"}
    assert (first["promise"]["source"], first["promise"]["target_fpir"]) == ("given", None)
    (face,) = first["faces"]
    assert list(face) == [
        *("box", "points", "quality"),
        *("identity", "reason", "distance", "confidence", "threshold", "candidates", "neighbours"),
    ]
    assert (face["box"], face["points"], face["quality"]) == (None, None, None)
    assert (face["identity"], face["reason"], face["threshold"]) == ("ada", "match", 2.0)
    assert face["candidates"][0] == {"identity": "ada", "distance": face["distance"]}
    assert second["faces"] == []
    assert "broken" in second["error"]


def test_exit_codes_of_identify(there: Path):
    run("enroll", "people")
    run("identify", "stranger.png", "--threshold", "0.001")
    run("identify", "stranger.png", "--threshold", "0.001", "--fail-on-unknown", code=5)
    run("identify", "probe é.png", "--threshold", "2", "--fail-on-unknown")
    run("identify", "stranger.png", "none.jpg", "--threshold", "0.001", "--fail-on-unknown", code=3)


@pytest.mark.parametrize("command", ["identify", "enroll"])
def test_a_font_is_looked_for_only_when_something_is_drawn(
    there: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    run("enroll", "people")
    monkeypatch.setenv("EMBED_FONT", "none.ttf")
    arguments, draw = {
        "identify": (["identify", "probe é.png", "--threshold", "2"], ["--annotate", "drawn"]),
        "enroll": (["enroll", "people"], ["--preview", "drawn.png"]),
    }[command]
    run(*arguments)
    monkeypatch.setattr("embedder.extractor.Extractor.load", None)  # before the work
    with pytest.raises(UsageError, match="EMBED_FONT: expected a font file"):
        run(*arguments, *draw)


def test_a_bad_font_ends_training_before_it_begins(there: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMBED_FONT", "none.ttf")
    monkeypatch.setattr("embedder.training.run._read", None)
    with pytest.raises(UsageError, match="EMBED_FONT: expected a font file"):
        run("train", "people", "--crop", "whole", "--model", "new", "--preview", "drawn.png")


@pytest.mark.parametrize("command", ["train", "enroll", "identify"])
def test_letters_that_cannot_be_drawn_are_said(there: Path, command: str):
    unassigned = "\u0378"
    (there / "people" / "Zoë K").rename(there / "people" / f"Zoë {unassigned}")
    options = ["--crop", "whole", "--trunk", "small-cnn", "--input-size", "16", "--epochs", "0"]
    arguments = {
        "train": ["train", "people", *options, "--model", "new", "--preview", "drawn.png"],
        "enroll": ["enroll", "people", "--preview", "drawn.png"],
        "identify": ["identify", "people", "--threshold", "2", "--annotate", "drawn"],
    }[command]
    if command == "identify":
        run("enroll", "people")
    assert re.search(rf"no font on this machine has ({unassigned}|\\u0378), drawn as", run(*arguments))


def test_threshold_of_the_model_is_used(there: Path):
    from embedder.extractor import Extractor
    from embedder.model_folder import load_manifest
    from enroll.gallery.gallery import Gallery
    from enroll.gallery.threshold import FromModel

    run("enroll", "people")
    (face,) = json.loads(run("identify", "probe é.png", "--json"))["faces"]
    strangers = load_manifest("embed-model").strangers
    assert strangers is not None
    with Gallery.open(Path("gallery.db"), Extractor.load("embed-model")) as gallery:
        expected = FromModel.for_gallery(strangers, gallery.identities())
    assert face["threshold"] == expected.distance


def test_unusable_photos_are_listed_and_the_rest_is_enrolled(there: Path):
    (there / "people" / "ada" / "note.txt").write_text("hello")
    shutil.copy(there / "people" / "ada" / "photo 0.png", there / "people" / "Zoë K" / "copy.png")
    out, err = embed("enroll", "people", code=3)
    assert out.splitlines() == ["enrolled Zoë K (4 photos)", "enrolled ada (2 photos)"]
    assert "2 not used:" in err
    assert "already enrolled as 'Zoë K'" in err
    assert "note.txt: not a picture" in err


def test_gallery_commands(there: Path):
    run("enroll", "people")
    assert run("gallery", "list") == "Zoë K (3 photos)\nada (3 photos)\n"
    assert run("gallery", "rename", "ada", "Ada Lovelace") == "renamed ada to Ada Lovelace\n"
    assert run("gallery", "remove", "Zoë K") == "removed Zoë K (3 photos)\n"
    assert run("gallery", "list") == "Ada Lovelace (3 photos)\n"
    _, err = main("gallery", "remove", "ADA LOVELACE", code=2)
    assert "did you mean 'Ada Lovelace'?" in err
    out, _ = embed("identify", "people/Zoë K/photo 0.png", "--threshold", "2", PYTHONIOENCODING="ascii")
    assert "Zo\\xeb K" in out  # a terminal without the letter shows its number, not a traceback


@pytest.mark.parametrize("part", ["weights", "extractor"])
def test_info_checks_every_byte_of_the_model(there: Path, part: str):
    shutil.copytree(there / "embed-model", there / "damaged")
    (path,) = (there / "damaged").glob(f"{part}-*")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    _, err = main("info", "--model", "damaged", code=4)
    assert f"{path.name}: changed since it was written" in err


def test_info(there: Path):
    out = run("info")
    assert "trunk small-cnn, head center" in out
    assert "share of known people named (TPIR) at 1 % of strangers named (FPIR)" in out
    assert "not there yet" in out
    run("enroll", "people")
    assert "2 people, 6 photos\n  made with this model" in run("info", "--report", "training.html")
    page = Page(Path("training.html").read_text("utf-8"))
    assert page.text.startswith("Training of embed-model ") and len(page.all("figure")) == 3
    assert page.text.count("share of known people named (TPIR) at 1 % of strangers named (FPIR)") == 1
    assert ["head", "center"] in page.rows and ["trunk", "small-cnn"] in page.rows


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["identify", "probe é.png"], 4, "gallery.db: no gallery here; make one with `embed enroll"),
        (["identify", "x.png", "--model", "none"], 4, "none: expected a model folder"),
        (["enroll", "none"], 2, "a folder of people, or --name with photos, got none; there is no none"),
        (["enroll", "people", "--gallery", "no/g.db"], 4, "the folder no does not exist"),
        (["enroll", "people/ada"], 2, "no photos found"),
        (["enroll", "people", "--gallery", "probe é.png"], 4, "file is not a database"),
        (["enroll", "--name", " ", "probe é.png"], 2, "an empty name"),
        (["train", "none"], 2, "none: expected a folder"),
        (["train", "people", "--crop", "whole"], 2, "at least 4 people"),
        (["train", "people"], 2, "photo 0.png: no face found; --min-face looks for smaller ones"),
        (["identify", "probe é.png", "--min-face", "9"], 2, "--min-face: expected a number from 10 to 10000"),
        (["train", "people", "--trunk", "x"], 2, "--trunk: expected"),
        (["data", "mnist", "out"], 2, "expected one of orl, lfw, olivetti"),
        (["gallery", "list"], 4, "no gallery here"),
        (["identify"], 2, "Missing argument"),
        (["fly"], 2, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_say_what_to_do(there: Path, arguments: list[str], code: int, message: str):
    out, err = main(*arguments, code=code)
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""


def test_threshold_out_of_range_is_refused(there: Path):
    run("enroll", "people")
    _, err = main("identify", "probe é.png", "--threshold", "3", code=2)
    assert "--threshold: expected a distance between unit vectors, 0 to 2, got 3" in err


def test_gallery_of_another_model_is_refused(there: Path, tmp_path: Path):
    from dataclasses import replace

    from embedder.model_folder import load_manifest, read_part, save_bundle

    run("enroll", "people")
    manifest = load_manifest("embed-model")
    parts = [read_part("embed-model", manifest, part) for part in ("extractor", "weights")]
    save_bundle(tmp_path / "other", replace(manifest, mirror=not manifest.mirror), *parts)
    for command in (["identify", "probe é.png"], ["enroll", "--name", "x", "probe é.png"]):
        _, err = main(*command, "--model", "other", code=4)
        assert "made with another model" in err
    assert "made with another model" in run("info", "--model", "other")


def test_garbled_record_of_training_is_refused(there: Path):
    from dataclasses import replace

    from embedder.model_folder import load_manifest

    manifest = load_manifest("embed-model")
    garbled = replace(manifest, training={"scores": [1]})
    (there / "embed-model" / "manifest.json").write_bytes(garbled.to_bytes())
    _, err = main("info", code=4)
    assert "the manifest's record of training lacks or garbles 'best_epoch'" in err


def test_names_cannot_act_on_the_terminal(there: Path):
    nasty = there / "\x1b]0;gone\x07.png"
    shutil.copy(there / "stranger.png", nasty)
    run("enroll", "people")
    out, _ = main("identify", nasty.name)
    assert "\x1b" not in out
    assert "\\x1b]0;gone\\x07.png: " in out


def test_reader_that_leaves_early_is_no_error(there: Path):
    run("enroll", "people")
    done = subprocess.run(
        f"{sys.executable} -m enroll.cli gallery list | true", shell=True, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr


def test_a_folder_stands_for_the_photos_in_it(there: Path):
    run("enroll", "people")
    Path("people/ada/.hidden").write_bytes(b"x")
    Path("people/ada/more").mkdir()
    shutil.copy("probe é.png", "people/ada/more/1.png")
    Path("people/note.txt").write_text("no photo")
    answers = [
        json.loads(line)["photo"]
        for line in run("identify", "people", "probe é.png", "--json", code=3).splitlines()
        if line.startswith("{")
    ]
    assert answers == [
        *(f"people/Zoë K/photo {number}.png" for number in range(3)),
        "people/ada/more/1.png",
        *(f"people/ada/photo {number}.png" for number in range(3)),
        "people/note.txt",
        "probe é.png",
    ]
    Path("empty/empty").mkdir(parents=True)
    with pytest.raises(FolderError, match="empty: expected photos, found none"):
        run("identify", "empty")


def test_bar_tells_its_pace_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal then
    for settled in (3600.0, 0.0):
        monkeypatch.setattr(enroll.cli.terminal, "_SETTLED", settled)
        with TerminalProgress().bar("Enrolling", 10, "photos") as advance:
            advance(5)
        shown = capsys.readouterr().err
        assert "5/10" in shown
        assert ("photos/s" in shown) == (not settled)


@pytest.fixture(scope="module")
def enrolled(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a gallery, for commands that change nothing."""
    folder = tmp_path_factory.mktemp("enrolled")
    shutil.copytree(model, folder / "embed-model")
    save_people(folder / "people", 2, 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        run("enroll", "people")
    return folder


FAR = "x" * 300  # no name of a file: asking for it fails like a folder that may not be entered


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["gallery", "list", "--gallery", f"{FAR}/gallery.db"], 4),
        (["gallery", "merge", f"{FAR}/gallery.db"], 4),
        (["gallery", "merge", "gallery.db", "--gallery", f"{FAR}/gallery.db"], 4),
        (["gallery", "export", f"{FAR}/export"], 2),
        (["gallery", "import", f"{FAR}/export"], 2),
        (["gallery", "re-embed", "--to", f"{FAR}/gallery.db"], 4),
        (["gallery", "re-embed", FAR], 2),
        (["gallery", "list", "--gallery", f"milvus:{FAR}/lite.db"], 4),
        (["info", "--model", FAR], 4),
        (["info", "--gallery", f"{FAR}/gallery.db"], 4),
        (["enroll", FAR], 2),
        (["enroll", FAR, "--name", "ada"], 3),
        (["identify", f"{FAR}/photo.jpg"], 3),
        (["evaluate", FAR], 2),
        (["train", FAR], 2),
        (["quantize", FAR, "--weights", "int8"], 2),
        (["export", FAR], 2),
    ],
    ids=lambda value: " ".join(value).replace(FAR, "FAR") if isinstance(value, list) else str(value),
)
def test_places_that_cannot_be_looked_at_are_named(
    enrolled: Path,
    arguments: list[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(enrolled)
    said = "".join(main(*arguments, code=code))
    assert "File name too long" in said
    assert "Traceback" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("command", [["--help"], ["info"], ["gallery", "list"]])
def test_output_that_cannot_be_written_is_an_error(enrolled: Path, command: list[str]):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "enroll.cli", *command],
            cwd=enrolled,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (2, "embed: No space left on device\n")


def test_identify_loads_no_framework(there: Path):
    run("enroll", "people")
    code = (
        "import sys; from enroll.cli import app\n"
        "try: app(['identify', 'probe é.png'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('tensorflow', 'keras', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_train_from_the_command_line(there: Path, small_people: Path):
    (small_people / "p00" / "9.png").write_bytes(b"GIF89a")
    try:
        options = ["--trunk", "small-cnn", "--input-size", "32", "--epochs", "2", "--model", "a model"]
        out, err = main("train", str(small_people), *options, code=3)
    finally:
        (small_people / "p00" / "9.png").unlink()
    assert (
        "On 2 held-out people (8 photos), before → after: share of known people named (TPIR) at 1 % of "
        in out
    )
    assert "Saved a model" in out
    assert "8 people, 32 photos: learning from 6, 2 held out" in err
    assert "Epoch 2/2  loss " in err
    assert all(word in err for word in ("softmax ", "center ", "accuracy ", "held out: TPIR "))
    assert "9.png: broken: begins like a GIF file" in err


def test_every_command_and_option_is_explained():
    import typer

    def walk(command, path: str):
        assert command.help, path
        for parameter in command.params:
            if parameter.name != "help":
                described = getattr(parameter, "help", None) or parameter.param_type_name == "argument"
                assert described, f"{path} {parameter.name}"
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    walk(typer.main.get_command(cli.app), "embed")
