from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from embedder.config import TrainConfig
from embedder.config.devices import DeviceConfig
from embedder.config.toml import read_config, to_toml
from embedder.errors import UsageError
from enroll.cli.options import with_options

OTHERS: dict[str, Any] = {
    "trunk": "small-cnn",
    "trunk_weights": "föö bar.h5",
    "crop": "whole",
    "head": "softmax",
    "loss": "softened",
    "mining": "all",
    "lr_schedule": "steps",
    "lr_steps": "5:1e-3",
    "sampling": "balanced",
    "precision": "float32",
    "mirror": False,
    "degrade": "light",
    "unit_features": True,
    "refit": True,
}


def other(name: str) -> Any:
    """A value that is not the default."""
    default = getattr(TrainConfig(), name)
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(default, bool):
        return not default
    facts = next(entry for entry in fields(TrainConfig) if entry.name == name).metadata
    low = facts["within"][0] if facts["within"] else 20
    kind = int if isinstance(low, int) else float
    return kind(low) + kind(1) if default == low else kind(low)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train é.toml"
    path.write_text(text, encoding="utf-8")
    return path


def given_on(*arguments: str) -> dict[str, Any]:
    """What a command with the options gets."""
    app, got = typer.Typer(), {}

    @app.command()
    @with_options(TrainConfig, DeviceConfig)
    def command(folder: Path, resume: bool = False, **given: Any) -> None:
        got.update(given, folder=folder, resume=resume)

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return got


@pytest.mark.parametrize("name", [entry.name for entry in fields(TrainConfig)])
def test_every_field_can_be_an_option_and_a_key(name: str, tmp_path: Path):
    value, needed = (
        other(name),
        {"lr_schedule": {"lr_steps": "5:1e-3"}, "lr_steps": {"lr_schedule": "steps"}}.get(name, {}),
    )
    flag = f"--{name.replace('_', '-')}"
    told = [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, str(value)]
    assert given_on("somewhere", *told) == {name: value, "folder": Path("somewhere"), "resume": False}
    config = TrainConfig(**{name: value, **needed})
    assert read_config(write(tmp_path, to_toml(config)), {}) == config
    assert getattr(config, name) != getattr(TrainConfig(), name)


def test_an_option_that_repeats_its_default_still_comes_before_the_file(tmp_path: Path):
    path = write(tmp_path, 'head = "softmax"\nepochs = 7\nkeep-trained = true\n')
    given = given_on("somewhere", "--head", "center", "--no-keep-trained")
    del given["folder"], given["resume"]
    assert read_config(path, given) == TrainConfig(head="center", epochs=7, keep_trained=False)


def test_whole_numbers_do_for_fractions_and_hyphens_for_underscores(tmp_path: Path):
    config = read_config(write(tmp_path, "center-weight = 1\nlearning_rate = 1"), {})
    assert (config.center_weight, config.learning_rate) == (1.0, 1.0)
    assert type(config.center_weight) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hed = 'softmax'", "expected names of options of embed train, got 'hed'"),
        ("depth-rate = 0.1", "'depth-rate' is called 'layer_decay' now; rename it"),
        ("[loss]\nhead = 'softmax'", "loss: expected a str, got"),
        ("epochs = 'ten'", "epochs: expected a int, got 'ten'"),
        ("epochs = 1.5", "epochs: expected a int, got 1.5"),
        ("epochs = true", "epochs: expected a int, got True"),
        ("mirror = 1", "mirror: expected a bool, got 1"),
        ("epochs = ", "is not TOML"),
        ("epochs = -1", "--epochs: expected a number from 0"),
        ("head = nan", "head: expected a str, got nan"),
    ],
)
def test_bad_files_are_refused(text: str, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        read_config(write(tmp_path, text), {})


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"head = '\xff'")
    with pytest.raises(UsageError, match="is not TOML"):
        read_config(tmp_path / "latin.toml", {})


def test_toml_leaves_out_what_is_not_set():
    lines = to_toml(TrainConfig()).splitlines()
    assert len(lines) == sum(value is not None for value in asdict(TrainConfig()).values())
    assert 'loss = "crossentropy"' in lines
    assert "query_projection = false" in lines


@pytest.mark.parametrize("option", ["trunk", "head", "loss", "trunk_weights"])
def test_code_that_a_file_names_is_given_again_on_the_command_line(option: str, tmp_path: Path):
    path = write(tmp_path, f'{option} = "of mine.py:f"\n')
    flag = f"--{option.replace('_', '-')}"
    with pytest.raises(UsageError, match=rf"on the command line: {flag} 'of mine\.py:f'$"):
        read_config(path, {})
    assert getattr(read_config(path, {option: "of mine.py:f"}), option) == "of mine.py:f"
