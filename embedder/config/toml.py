"""Read a training configuration from TOML, and write it as TOML."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from embedder._internal.plugins import is_function
from embedder.config import TrainConfig
from embedder.errors import UsageError

_LARGEST_INTEGER = 2**53  # largest that a float holds exactly; the ranges of all options end below
_MAX_FILE = 2**20  # bytes; a file that `to_toml` writes has about one thousand

_RENAMED = {  # name until version 0.1 -> name since 0.2
    "accumulate": "gradient_accumulation",
    "blend": "interpolate_weights",
    "depth_rate": "layer_decay",
    "poor_views": "degrade_to",
    "ramp": "ramp_epochs",
    "rehearsal": "distillation",
    "schedule": "lr_schedule",
    "softening": "label_smoothing",
    "steps": "lr_steps",
    "warmup": "warmup_batches",
}


def read_config(path: Path | None, given: Mapping[str, Any]) -> TrainConfig:
    """Make a training configuration from a TOML file and from options, which take precedence.

    Args:
        path: TOML file whose keys are names of options, with `-` or `_`; None reads no file.
        given: values by the name of the field, set on the command line or in Python.

    Raises:
        UsageError: the file cannot be read, has a key that is no option, a value of another type, or names
            code (FILE.py:FUNCTION) that is not among `given`: a file can come from elsewhere.
    """
    values: dict[str, Any] = {}
    if path is not None:
        import tomllib  # here, since every command imports this module for its options

        from embedder._internal.files import read_file

        try:
            table = tomllib.loads(read_file(path, _MAX_FILE).decode())
        except OSError as error:
            raise UsageError(f"--config: {path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError
            raise UsageError(f"--config: {path} is not TOML: {error!s:.300}") from error
        hints = get_type_hints(TrainConfig)
        for key, value in table.items():
            name = key.replace("-", "_")
            if name in _RENAMED:
                raise UsageError(
                    f"--config: {path}: {_shown(key)} is called {_RENAMED[name]!r} now; rename it"
                )
            if name not in hints:
                raise UsageError(
                    f"--config: {path}: expected names of options of embed train, got {_shown(key)}"
                )
            if is_function(value) and name not in given:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"--config: {path}: {key}: expected no code, since a file can come from elsewhere, got "
                    f"{_shown(value)}; if it is yours, give it on the command line: {option} "
                    f"{shlex.quote(value):.200}"
                )
            values[name] = _checked(path, key, value, _plain(hints[name]))
    return TrainConfig(**values | dict(given))


def _plain(hint: Any) -> Any:
    """Remove function types from a type hint: a TOML file holds none."""
    if not isinstance(hint, UnionType):
        return hint
    return reduce(or_, (kind for kind in get_args(hint) if get_origin(kind) is not Callable))


def _checked(path: Path, key: str, value: Any, kind: Any) -> Any:
    allowed = getattr(kind, "__args__", (kind,))
    if float in allowed and type(value) is int and abs(value) <= _LARGEST_INTEGER:
        return float(value)
    if type(value) not in allowed:
        expected = " or ".join(sorted(entry.__name__ for entry in allowed if entry is not type(None)))
        raise UsageError(f"--config: {path}: {key}: expected a {expected}, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return f"{value!r:.200}"


def to_toml(config: TrainConfig) -> str:
    """Write a configuration as TOML text for `read_config`; fields that are None are left out."""
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in config.to_dict().items()
        if value is not None
    ]
    return "".join(lines)
