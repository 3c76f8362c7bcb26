"""Options and files of options that the pages show are those of `embed`, and what they link to is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from embedder.config.toml import read_config
from embedder.trunks import find_trunk
from enroll import cli
from enroll.store.sqlite.schema import STEPS

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


@pages
def test_commands_exist(page: Path):
    for words in re.findall(r"`embed((?: [a-z][\w-]*)+)", page.read_text()):
        command: Any = typer.main.get_command(cli.app)
        for word in words.split():
            if not (below := getattr(command, "commands", None)):
                break  # its arguments
            assert word in below, words
            command = below[word]


@pages
def test_files_of_the_code_exist(page: Path):
    for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py)`", page.read_text()):
        assert name.startswith("keras/") or any(ROOT.glob(f"[!.]*/**/{name}")) or (ROOT / name).exists(), name


def test_where_a_crop_has_its_landmarks():
    rows = re.findall(
        r"^\| .* \| (\.\d+), (\.\d+) \| (\.\d+), (\.\d+) \|$",
        (ROOT / "docs/export.md").read_text(),
        re.MULTILINE,
    )
    landmarks = [find_trunk(name).landmarks for name in ("sface", "face-resnet")]
    assert np.array(rows, float) == pytest.approx(np.hstack(landmarks), abs=5e-5)


def test_format_of_galleries():
    assert f"One SQLite file, format {len(STEPS)};" in (ROOT / "docs/formats.md").read_text()
