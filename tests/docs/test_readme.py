"""What README, CONTRIBUTING and the page of commands show is what the program does."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from embedder import errors
from enroll import cli
from enroll.cli import identify
from tests.conftest import pattern

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
import docs_site  # noqa: E402

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text()
TEXT = README + CONTRIBUTING + COMMANDS_PAGE
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
LINES = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]
COMMANDS = [
    line.removeprefix("$ ").partition(" #")[0].strip() for line in LINES if re.match(r"(\$ )?embed ", line)
]
TARGETS = [line.split()[1] for line in LINES if line.startswith("make ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_options_exist(line: str):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    alone = getattr(command, "invoke_without_command", False)  # as `embed serve`, which has `keys` below it
    assert alone or not getattr(command, "commands", None), f"no such command: {line}"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 25
    assert "demo" in TARGETS
    assert "test" in TARGETS


def test_it_is_short():
    assert README.count("\n") <= 150


@pytest.mark.parametrize("target", TARGETS)
def test_make_targets_exist(target: str):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_options_named_in_the_text_exist():
    command = typer.main.get_command(cli.app)
    known = {"--help"}
    stack = [command]
    while stack:
        entry = stack.pop()
        stack += getattr(entry, "commands", {}).values()
        known |= {name for parameter in entry.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"`[^`\n]*?(--[a-z-]+)", TEXT)) <= known


def test_python_example_runs(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embed-model").symlink_to(model)
    photos = {"crop.png": 0, "a.jpg": 1, "b.jpg": 2, "photo.jpg": 1, "c.jpg": 1}
    for name, photo in photos.items():
        Image.fromarray(pattern(50, photo)).save(tmp_path / name)
    exec(code, {})
    assert capsys.readouterr().out == "ada match\nc.jpg ['ada']\nd.jpg []\n"  # d.jpg is not there


def test_exit_codes_are_those_of_the_errors():
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", COMMANDS_PAGE, re.MULTILINE)}
    codes = {
        value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.EmbedError)
    }
    assert codes | {0, identify.SOMEONE_UNKNOWN, 130} == table


@pytest.mark.parametrize(
    "path", sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/*/*.md")})
)
def test_links_lead_somewhere(path: Path):
    made = {(ROOT / "docs" / address).resolve() for address in docs_site.addresses()}  # by `make docs`
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
        there = path.parent / target
        assert there.exists() or there.resolve() in made, target


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/decisions/*.md")))
def test_files_named_in_decisions_exist(path: Path):
    for target in re.findall(r"`((?:tests|scripts|embedder|enroll)/[\w/.]+)`", path.read_text()):
        assert (ROOT / target).exists(), target
