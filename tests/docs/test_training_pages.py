"""Options that the pages on training name are options of `embed train`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from enroll import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["training.md", "losses.md", "extend.md", "scale.md", "forgetting.md", "decisions/009-forgetting.md"]


@pytest.mark.parametrize("page", PAGES)
def test_options_exist(page: str):
    train = typer.main.get_command(cli.app).commands["train"]
    options = {name for parameter in train.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", (DOCS / page).read_text()))
    slurm = {"--nodes", "--ntasks", "--ntasks-per-node", "--gpus-per-node"}
    assert named - options - slurm - {"--help", "--figure", "--force_host_platform_device_count"} == set()


@pytest.mark.parametrize("page", PAGES)
def test_pages_that_are_linked_are_there(page: str):
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", text):
        assert ((DOCS / page).parent / target).exists(), target
    assert "TODO" not in text
