"""Options that the pages name are options of `embed`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from enroll import cli

DOCS = Path(__file__).parents[2] / "docs"
TRAINING = ["training.md", "losses.md", "extend.md", "forgetting.md", "decisions/009-forgetting.md"]
PAGES = [*TRAINING, "library.md", "benchmarks.md", "scale.md", "gallery.md", "export.md", "trunk.md"]
ELSEWHERE = {  # of Slurm, JAX, Milvus, Ray and our scripts
    *("--nodes", "--ntasks", "--ntasks-per-node", "--gpus-per-node", "--force_host_platform_device_count"),
    *("--figure", "--people", "--scratch", "--write", "--trained", "--cpus", "--only", "--wild", "--faces"),
    *("--address", "--include-dashboard", "--num-cpus", "--port", "--ray-client-server-port"),
    *("--enlarge", "--photos", "--repeats"),
}


def options_of(command: Any) -> set[str]:
    """Options of a command and of those below it."""
    own = {name for entry in command.params for name in (*entry.opts, *entry.secondary_opts)}
    return own.union({"--help"}, *map(options_of, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("page", PAGES)
def test_options_exist(page: str):
    embed = typer.main.get_command(cli.app)
    of_training = [embed.commands[name] for name in ("train", "info")]
    options = set().union(*map(options_of, of_training if page in TRAINING else [embed]))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", (DOCS / page).read_text()))
    assert named - options - ELSEWHERE == set()


@pytest.mark.parametrize("page", PAGES)
def test_pages_that_are_linked_are_there(page: str):
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert ((DOCS / page).parent / target).exists(), target
    assert "TODO" not in text
