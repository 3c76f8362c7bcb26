"""The help groups commands and shows examples that the program would take; names and words are suggested."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from enroll import cli
from enroll.cli.examples import EXAMPLES, PANELS
from enroll.cli.output import HOW
from enroll.gallery.gallery import Gallery
from tests.conftest import ToyExtractor

ROOT: Any = typer.main.get_command(cli.app)


def every_command(command: Any = ROOT, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from every_command(child, f"{path} {name}".strip())


COMMANDS = dict(every_command())
LEAVES = [path for path, command in COMMANDS.items() if not getattr(command, "commands", None)]
COLOUR = "\x1b[3"
LINES = [(path, line) for path, lines in EXAMPLES.items() for line in lines]


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, list(words), prog_name="embed")
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def gallery(tmp_path: Path, people: Path, toy: ToyExtractor) -> str:
    with Gallery.open(tmp_path / "g.db", toy) as opened:  # type: ignore[arg-type]
        for name, folder in (("ada", "p00"), ("ben", "p01")):
            opened.enroll(name, sorted((people / folder).iterdir())[:2])
    return str(tmp_path / "g.db")


def test_every_command_has_examples_and_a_group():
    assert set(EXAMPLES) == set(COMMANDS)
    grouped = {path for path in COMMANDS if path and not path.startswith("serve ")}
    assert set(PANELS) == grouped


def test_examples_are_lines_that_the_program_takes():
    for path, line in LINES:
        check_taken(path, line)


def check_taken(path: str, line: str) -> None:
    words = shlex.split(line.partition(" |")[0])[1:]
    words = words[2:] if words[0] == "--key" else words
    command, name = ROOT, "embed"
    while words and words[0] in getattr(command, "commands", {}):
        name = f"{name} {words[0]}"
        command = command.commands[words.pop(0)]
    assert path == "" or name == f"embed {path}" or name.startswith(f"embed {path} ")
    with command.make_context(name, words):  # parses and checks, runs nothing
        pass


def test_help_shows_its_examples():
    for path, command in COMMANDS.items():
        with ROOT.context_class(command, info_name=f"embed {path}") as context:
            _, _, examples = command.get_help(context).partition("Examples:\n")
        assert examples.splitlines() == [f"  {line}" for line in EXAMPLES[path]]


@pytest.mark.parametrize("columns", [32, 60])
def test_help_fits_the_terminal(columns: int):
    for path in ("", "gallery terms"):
        said = embed(*path.split(), "-h", COLUMNS=str(columns)).stdout
        assert said
        wide = [line for line in said.partition("Examples:")[0].splitlines() if len(line) > columns]
        wide = [line for line in wide if not line.startswith("Usage: ")]
        assert not [line for line in wide if " " in line.strip()], said  # one long word is not cut


def test_commands_are_listed_by_what_they_are_for():
    said = run("--help")
    heads = [line[:-1] for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert heads == ["Options", "Faces", "Keeping", "For other programs", "Networks", "Examples"]
    for path in COMMANDS:
        if path and " " not in path:
            assert f"\n  {path} " in said


def test_options_of_a_purpose_stand_together():
    said = run("identify", "--help")
    films = said.partition("Films and cameras:\n")[2].partition("\n\n")[0]
    assert {"--camera", "--fps", "--agree"} <= set(films.split())
    assert "--fps" not in said.partition("Films and cameras:\n")[0]


def test_every_command_has_quiet_and_json():
    for path in (*LEAVES, "serve"):
        options = [name for entry in COMMANDS[path].params for name in entry.opts]
        assert {"--quiet", "-q", "--json"} <= set(options), path
        assert len(options) == len(set(options)), path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("enrol",), "Did you mean 'enroll'?"),
        (("gallery", "lst"), "Did you mean 'list'?"),
        (("gallery", "list", "--gallry", "x"), "--gallery"),
    ],
)
def test_a_mistyped_word_is_suggested(words: tuple[str, ...], said: str):
    assert said in run(*words, code=2)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("adda", "; did you mean 'ada'?"),
        ("Ada", "; did you mean 'ada'?"),
        ("zoe", "; see `embed gallery list`"),
    ],
)
def test_a_mistyped_name_is_suggested(name: str, hint: str, gallery: str):
    result = CliRunner().invoke(cli.app, ["gallery", "show", name, "--gallery", gallery])
    assert f"no one is called {name!r}{hint}" in str(result.exception)


def embed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "enroll.cli", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_what_was_done_is_a_line_an_object_or_nothing(gallery: str):
    at = ("--gallery", gallery)
    assert run("gallery", "rename", "ada", "Ada", *at) == "renamed ada to Ada\n"
    said = json.loads(run("gallery", "rename", "Ada", "ada", "--json", *at))
    assert said == {"done": "renamed", "person": "ada", "before": "Ada"}
    assert run("gallery", "remove", "ada", "-q", *at) == ""
    assert run("gallery", "list", "--quiet", *at) == "ben (2 photos)\n"  # an answer
    assert json.loads(run("gallery", "list", "--json", *at)) == {"people": [{"name": "ben", "photos": 2}]}
    assert not HOW.quiet
    assert run("gallery", "purge", *at) == "no one has expired\n"  # --quiet and --json end with a command


def test_all_that_is_printed_is_json(gallery: str):
    for words in ("log", "verify", "list", "purge", "doctor", "show ben", "terms ben --consent x"):
        lines = run("gallery", *words.split(), "--json", "--gallery", gallery).splitlines()
        assert lines, words
        assert all(isinstance(json.loads(line), dict) for line in lines), words


def test_remarks_are_left_out_and_warnings_stay(tmp_path: Path, gallery: str):
    said = CliRunner().invoke(cli.app, ["gallery", "export", "-", "-q", "--gallery", gallery])
    assert "exported" not in said.stderr
    assert "as sensitive as the photos" in said.stderr


def test_no_colour_where_none_is_wanted(gallery: str):
    words = ("gallery", "verify", "--photos", "--gallery", gallery)
    assert COLOUR in embed(*words, FORCE_COLOR="1", TERM="xterm").stderr  # the bar
    done = embed(*words, FORCE_COLOR="1", TERM="xterm", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert COLOUR not in done.stdout + done.stderr


def test_version_is_said():
    assert run("--version").startswith("embed ")
