"""A usage error repeats words of the command line, but no password, no key and no control character."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from enroll import cli
from enroll.cli.terminal import TerminalProgress, show_warnings

KEYS = {
    "base64": base64.b64encode(bytes(range(60, 92))).decode(),
    "with a slash": "/" + base64.b64encode(bytes(range(40, 72))).decode()[1:],
    "hexadecimal": bytes(range(32)).hex(),
}
ADDRESSES = [
    "milvus:/bob:s3cret@h/g",
    "milvus://bob:s3cret@h/g",
    "milvus://bob:my s3cret@h/g",
    "milvus://h/g?token=s3cret",
    "milvus://bob:s3cret/g",
    "bob:s3cret@h:19530/g",
]
WRONG = [
    "gallery list SECRET",
    "gallery list --gallery g.db SECRET more",
    "SECRET",
    "gallery SECRET",
    "--key k SECRET gallery list",
    "--keySECRET gallery list",
    "gallery list --key=SECRET --gallery g.db",
    "gallery list --SECRET",
    "gallery merge o.db --same-name SECRET",
    "gallery merge o.db --same-name=SECRET",
    "gallery terms ada --expires SECRET",
    "identify p.png --threshold SECRET",
    "enroll --min-face SECRET",
    "identify --gallery SECRET --nope",
]


def usage_error(arguments: str, word: str) -> str:
    told = [part.replace("SECRET", word) for part in arguments.split()]
    result = CliRunner().invoke(cli.app, told, prog_name="embed")
    assert result.exit_code == 2, result.output
    usage, advice, empty, error = result.output.splitlines()
    assert usage.startswith("Usage: embed ")
    assert advice.startswith("Try 'embed ")
    assert (empty, error[:7]) == ("", "Error: ")
    return error


@pytest.mark.parametrize("arguments", WRONG)
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_no_key_is_repeated(arguments: str, key: str):
    error = usage_error(arguments, key)
    assert key.strip("=/")[:16] not in error


@pytest.mark.parametrize("arguments", WRONG)
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_password_is_repeated(arguments: str, address: str):
    assert "s3cret" not in usage_error(arguments, address)


@pytest.mark.parametrize("arguments", WRONG)
def test_nothing_acts_on_the_terminal(arguments: str):
    error = usage_error(arguments, "\x1b[2Jx\r\x9b")
    assert error.isprintable()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("gallery list more of it", ["(more of it)"]),
        ("galery", ["'galery'", "Did you mean 'gallery'?"]),
        ("gallery list --galery g.db", ["--galery", "(Possible options: --gallery"]),
        ("identify p.png --threshold x", ["Invalid value for '--threshold'"]),
        ("gallery list a/b.db milvus://h:1/g", ["(a/b.db milvus://h:1/g)"]),
        ("identify", ["Missing argument 'photos"]),  # typer 0.26 shows it as PHOTOS...
    ],
)
def test_all_else_is_said(arguments: str, words: list[str]):
    error = usage_error(arguments, "")
    assert all(word.casefold() in error.casefold() for word in words)


def test_what_is_not_shown_is_explained():
    assert "(not shown, since it may be a key)" in usage_error("gallery list SECRET", KEYS["base64"])


def test_a_path_in_a_folder_that_is_there_is_named(tmp_path: Path):
    folder = tmp_path / ("a" * 40)
    folder.mkdir()
    assert f"({folder}/p.db)" in usage_error("gallery list SECRET", f"{folder}/p.db")


@pytest.mark.parametrize("arguments", [[], ["gallery"], ["--help"], ["gallery", "list", "--help"]])
def test_help_has_its_lines(arguments: list[str]):
    result = CliRunner().invoke(cli.app, arguments, prog_name="embed")
    assert len(result.output.splitlines()) >= 8
    assert result.exit_code == (0 if "--help" in arguments else 2)


def test_warnings_progress_and_places_are_shown_without_them(capsys: pytest.CaptureFixture[str]):
    from enroll.cli.terminal import safe

    key = KEYS["base64"]
    show_warnings()
    logging.getLogger("enroll.x").warning("milvus://bob:s3cret@h/g: waits for %s\n", key)
    TerminalProgress().say(f"Wrote milvus:/bob:s3cret@h/g, {key}")
    shown = capsys.readouterr().err + safe(f"/no folder/{key}") + safe(Path(f"http://s3cret@h/{key}"))
    assert "s3cret" not in shown
    assert key[:16] not in shown
    assert "waits for (a key)\\n" in shown
    assert safe("a folder/gallery.db") == "a folder/gallery.db"
