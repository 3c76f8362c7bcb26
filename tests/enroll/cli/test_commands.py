"""Only what a command line names is declared, and it is what the whole command line has."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import typer

from enroll.cli.commands import COMMANDS, command_line
from tests.enroll.cli.test_help import COMMANDS as ALL
from tests.enroll.cli.test_help import LEAVES


def shown(command: Any) -> list[tuple[str, str]]:
    return [(type(entry).__name__, str(entry.opts)) for entry in command.params]


def test_the_table_has_every_command() -> None:
    paths = {f"{group} {name}".strip() for group, names in COMMANDS.items() for name in names}
    assert paths == set(LEAVES)


def test_a_line_declares_what_it_names_and_little_else() -> None:
    for path in LEAVES:
        command: Any = typer.main.get_command(command_line([*path.split(), "--help"]))
        for name in path.split():
            assert list(command.commands) == [name]
            command = command.commands[name]
        assert (shown(command), command.help) == (shown(ALL[path]), ALL[path].help), path


@pytest.mark.parametrize("words", [[], ["--key", "identify", "identify"], ["identfy"], ["-h"]])
def test_a_line_that_names_nothing_declares_everything(words: list[str]) -> None:
    command: Any = typer.main.get_command(command_line(words))
    assert list(command.commands) == list(ALL[""].commands)


@pytest.mark.parametrize(
    ("words", "group"), [(["gallery", "lst"], "gallery"), (["serve", "--port"], "serve")]
)
def test_a_group_alone_declares_all_of_its_commands(words: list[str], group: str) -> None:
    command: Any = typer.main.get_command(command_line(words))
    assert list(command.commands) == [group]
    assert list(command.commands[group].commands) == list(ALL[group].commands)


def test_a_value_of_an_option_of_serve_is_no_command_of_its_keys() -> None:
    command: Any = typer.main.get_command(command_line(["serve", "--gallery", "list", "keys", "revoke"]))
    keys = command.commands["serve"].commands["keys"]
    assert list(keys.commands) == list(ALL["serve keys"].commands)


def test_a_command_imports_no_other() -> None:
    code = "import sys, enroll.cli.commands as c; c.command_line(['identify']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("enroll.cli.") for name in done.stdout.split() if "enroll.cli." in name}
    modules = {place.partition(":")[0] for names in COMMANDS.values() for place in names.values()}
    assert loaded & modules == {"identify"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("embed ca", "calibrate"),
        ("embed gallery re-", "re-embed"),
        ("embed serve keys re", "revoke"),
        ("embed identify --thr", "--threshold"),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    """It asks by variables and gives no arguments, as for the list of commands."""
    asked = {
        "_EMBED_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    code = "import sys; sys.argv[:] = ['embed']; from enroll.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert offered in done.stdout.split(), done


def test_the_list_of_commands_is_that_of_the_whole_command_line() -> None:
    short, whole = (typer.main.get_command(command_line(words)) for words in (["--help"], None))
    assert short.get_help(typer.Context(short)) == whole.get_help(typer.Context(whole))
