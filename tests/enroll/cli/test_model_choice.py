"""Which model a command takes, `--model built-in`, and `embed prepare`."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from embedder import built_in
from embedder._internal.runtime import Progress
from embedder.built_in import BuiltInModel, place
from embedder.config import BUILT_IN
from embedder.errors import EmbedError, MissingPackageError, ModelError, UsageError
from embedder.model_folder import load_manifest, read_part, save_bundle
from enroll import cli
from enroll.cli.ending import run_command
from tests.conftest import pattern

runner = CliRunner()
SETTINGS = ["--threshold", "2"]


@pytest.fixture
def made(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty folder to work in, an empty cache, and a built-in model that is made in no time."""
    making: list[str] = []

    def make(progress: Progress) -> BuiltInModel:
        progress.say("Preparing the built-in network, once")
        making.append("made")
        manifest = variant(model, "built-in", {built_in.MARK: built_in.key(), "scores": []})
        return BuiltInModel(
            manifest, {part: read_part(model, manifest, part) for part in ("extractor", "weights")}
        )

    monkeypatch.setenv("EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EMBED_MODEL", raising=False)
    monkeypatch.setattr(built_in, "_made_apart", make)
    monkeypatch.setattr(built_in, "_unkept", {})
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["ada", "bob", "cleo", "dan"]):
        Path("people", name).mkdir(parents=True)
        for photo in range(2):
            Image.fromarray(pattern(number, photo)).save(f"people/{name}/{photo}.png")
    return making


def variant(model: Path, trunk: str, training: dict[str, object] | None = None):
    """The manifest of a model of the same network; how it looks at pictures makes its fingerprint another."""
    manifest = load_manifest(model)
    training = manifest.training if training is None else training
    return replace(manifest, trunk=trunk, training=training, mirror=trunk == "built-in")


def save(model: Path, folder: str, trunk: str = "small-cnn") -> None:
    """Write a model whose trunk tells it from others."""
    manifest = variant(model, trunk)
    parts = {part: read_part(model, manifest, part) for part in ("extractor", "weights")}
    save_bundle(Path(folder), manifest, **parts)


def run(*arguments: str, code: int = 0) -> str:
    result = runner.invoke(cli.app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a failing command says, as a user sees it."""
    with pytest.raises(SystemExit):
        run_command(lambda: runner.invoke(cli.app, list(arguments), catch_exceptions=False))
    return capsys.readouterr().err


def test_the_order_of_models(made: list[str], model: Path, monkeypatch: pytest.MonkeyPatch):
    assert "  trunk built-in," in run("info")
    save(model, "embed-model", "trained")
    assert "model embed-model\n  trunk trained," in run("info")
    save(model, "other", "by-variable")
    monkeypatch.setenv("EMBED_MODEL", "other")
    assert "  trunk by-variable," in run("info")
    save(model, "third", "by-option")
    assert "  trunk by-option," in run("info", "--model", "third")
    assert "  trunk built-in," in run("info", "--model", BUILT_IN)
    monkeypatch.setenv("EMBED_MODEL", BUILT_IN)
    assert f"model built-in, kept in {place()}\n  trunk built-in," in run("info")
    assert made == ["made"]


def test_a_folder_called_like_the_built_in_one(made: list[str], model: Path):
    save(model, BUILT_IN, "my-own")
    assert "  trunk my-own," in run("info", "--model", "./built-in")
    assert "  trunk built-in," in run("info", "--model", BUILT_IN)


def test_an_unfinished_folder_is_not_passed_over(made: list[str]):
    Path("embed-model").mkdir()
    with pytest.raises(ModelError, match=r"embed train.*--model built-in"):
        run("info")
    Path("embed-model").rmdir()
    Path("embed-model").symlink_to("gone")
    with pytest.raises(ModelError, match="embed-model"):
        run("info")
    assert not made


def test_no_name_is_no_model(made: list[str], monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="--model: expected a model folder or built-in, got nothing"):
        run("info", "--model", "")
    monkeypatch.setenv("EMBED_MODEL", "")
    assert "  trunk built-in," in run("info")


@pytest.mark.parametrize(
    "command", ["identify", "enroll", "calibrate", "evaluate", "info", "export", "quantize"]
)
def test_help_says_what_is_taken(command: str):
    words = " ".join(run(command, "--help").split())
    assert "embed-model if it is there, else built-" in words


def test_people_are_enrolled_and_identified_without_a_model(made: list[str]):
    assert "Preparing the built-in network" in run("enroll", "people")
    said = run("identify", "people/ada/0.png", "--threshold", "0.5", "--json")
    assert '"ada"' in said
    assert made == ["made"]
    assert not Path("embed-model").exists()
    assert "made with this model" in run("info")
    run("evaluate", "people", "--enrolled", "1", "--splits", "2")
    run("gallery", "doctor", "--photos")
    assert made == ["made"]


def test_two_models_are_compared(made: list[str], model: Path):
    save(model, "embed-model")
    said = run("evaluate", "people", "--compare", BUILT_IN, "embed-model", "--enrolled", "1", "--splits", "2")
    assert BUILT_IN in said
    assert "embed-model" in said


def test_a_gallery_of_the_built_in_model_after_training(
    made: list[str], model: Path, capsys: pytest.CaptureFixture[str]
):
    run("enroll", "people")
    save(model, "embed-model")
    said = shown(capsys, "identify", "people/ada/0.png")
    assert "made with another model" in said
    assert "`embed gallery re-embed" in said
    assert "It was made with the built-in network: --model built-in" in said
    assert "--model built-in" in run("info")
    assert "ada" in run("identify", "people/ada/0.png", *SETTINGS, "--model", BUILT_IN)
    run("gallery", "re-embed")
    assert "ada" in run("identify", "people/ada/0.png", *SETTINGS)
    said = shown(capsys, "identify", "people/ada/0.png", "--model", BUILT_IN)
    assert "It was made with" not in said
    run("gallery", "re-embed", "--model", BUILT_IN)
    assert "ada" in run("identify", "people/ada/0.png", *SETTINGS, "--model", BUILT_IN)
    with sqlite3.connect("gallery.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()


def test_training_does_not_write_the_built_in_model(made: list[str], monkeypatch: pytest.MonkeyPatch):
    for arguments, variable in ((["--model", BUILT_IN], ""), ([], BUILT_IN)):
        monkeypatch.setenv("EMBED_MODEL", variable)
        with pytest.raises(UsageError, match=r"expected a folder to write, got built-in.*\./built-in"):
            run("train", "people", *arguments)


def test_prepare(made: list[str]):
    for number, arguments in enumerate([[], [], ["--force"], []]):
        said = run("prepare", *arguments)
        size = sum(file.stat().st_size for file in place().iterdir())
        assert f"The built-in network is in {place()}, {size / 1e6:.1f} MB" in said
        assert load_manifest(place()).fingerprint[:12] in said
        assert len(made) == (1, 1, 2, 2)[number]
        assert ("Preparing" in said) == (number in (0, 2))


@pytest.mark.parametrize("arguments", [["prepare"], ["info"], ["quantize", "small", "--weights", "int8"]])
def test_what_needs_a_folder_says_where_it_could_be(
    arguments: list[str], made: list[str], monkeypatch: pytest.MonkeyPatch
):
    Path("file").touch()
    monkeypatch.setenv("EMBED_CACHE", "file/cache")
    with pytest.raises(UsageError, match=r"cannot be kept: .*set EMBED_CACHE to a folder"):
        run(*arguments)
    assert not made


def test_without_a_cache_people_are_identified_all_the_same(made: list[str], monkeypatch: pytest.MonkeyPatch):
    Path("file").touch()
    monkeypatch.setenv("EMBED_CACHE", "file/cache")
    assert "every command prepares it again" in run("enroll", "people")
    assert "ada" in run("identify", "people/ada/0.png", *SETTINGS)


@pytest.mark.parametrize(
    ("error", "code"), [(MissingPackageError("no weights; pip install x"), 2), (EmbedError("a bug"), 1)]
)
def test_errors_of_making_it_end_a_command(
    error: EmbedError,
    code: int,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def fail(_: Progress) -> BuiltInModel:
        raise error

    monkeypatch.setattr(built_in, "_made_apart", fail)
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: runner.invoke(cli.app, ["enroll", "people"], catch_exceptions=False))
    assert ended.value.code == code
    assert f"embed: {error}\n" in capsys.readouterr().err
    assert not Path("gallery.db").exists()
