"""Options and files of options that the pages show are those of `embed`, and what they link to is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from embedder.config.toml import read_config
from enroll import cli

ROOT = Path(__file__).parents[2]
FORGETTING = ROOT / "docs" / "decisions" / "009-forgetting.md"
TRAINING = {
    FORGETTING,
    *(ROOT / "docs" / f"{name}.md" for name in ("training", "losses", "extend", "forgetting")),
}
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")})
PAGES.remove(ROOT / "CHANGELOG.md")  # names what is gone, as decisions may
PAGES.append(FORGETTING)
ELSEWHERE = {  # of Slurm, JAX, Ray, Docker
    *("--nodes", "--ntasks", "--ntasks-per-node", "--gpus-per-node", "--force_host_platform_device_count"),
    *("--address", "--include-dashboard", "--num-cpus", "--port", "--ray-client-server-port"),
    "--cpus",
}
WRITTEN_LATER = ("reference/", "decisions/index.md")  # with the site; mkdocs checks them
SCRIPTS = {
    option
    for script in ROOT.glob("scripts/*.py")
    for option in re.findall(r'add_argument\(\s*"(--[a-z][\w-]*)"', script.read_text())
}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def options_of(command: Any) -> set[str]:
    """Options of a command and of those below it."""
    own = {name for entry in command.params for name in (*entry.opts, *entry.secondary_opts)}
    return own.union({"--help"}, *map(options_of, getattr(command, "commands", {}).values()))


@cache
def options_of_commands(*names: str) -> set[str]:
    """Options of these commands, or of all."""
    embed: Any = typer.main.get_command(cli.app)
    return set().union(*map(options_of, [embed.commands[name] for name in names] or [embed]))


@pages
def test_options_exist(page: Path):
    options = options_of_commands(*(("train", "info") if page in TRAINING else ()))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text()))
    assert named - options - ELSEWHERE - SCRIPTS == set()


@pages
def test_pages_that_are_linked_are_there(page: Path):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        if not target.startswith(WRITTEN_LATER):
            assert (page.parent / target).exists(), target
    assert "TODO" not in text


def test_files_of_options_are_read(tmp_path: Path):
    blocks = [
        block for page in PAGES for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert blocks
    for block in blocks:
        (tmp_path / "train.toml").write_text(block)
        read_config(tmp_path / "train.toml", {})
