"""A training configuration from TOML, and to TOML."""

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

_LARGEST = 2**53  # whole number that a float holds; any option's range ends before
_MOST = 2**20  # bytes; ours have one thousand

_RENAMED = {  # until version 0.1 -> since 0.2
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
    """Make a configuration from a TOML file and from options, which come first.

    Args:
        path: keys are the names of options, with `-` or `_`; None reads nothing.
        given: fields that were set otherwise.

    Raises:
        UsageError: the file cannot be read, has a key that is no option, a value of another kind, or names
            code (FILE.py:FUNCTION) that is not among `given`: a file can come from elsewhere.
    """
    values: dict[str, Any] = {}
    if path is not None:
        import tomllib  # here, since every command makes its options by this module

        from embedder._internal.files import read_file

        try:
            table = tomllib.loads(read_file(path, _MOST).decode())
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
    """Leave out of a type what only Python can give: a function."""
    if not isinstance(hint, UnionType):
        return hint
    return reduce(or_, (kind for kind in get_args(hint) if get_origin(kind) is not Callable))


def _checked(path: Path, key: str, value: Any, kind: Any) -> Any:
    allowed = getattr(kind, "__args__", (kind,))
    if float in allowed and type(value) is int and abs(value) <= _LARGEST:
        return float(value)
    if type(value) not in allowed:
        expected = " or ".join(sorted(entry.__name__ for entry in allowed if entry is not type(None)))
        raise UsageError(f"--config: {path}: {key}: expected a {expected}, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return f"{value!r:.200}"


def to_toml(config: TrainConfig) -> str:
    """Write a configuration as `read_config` reads it; fields that are None are left out."""
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in config.to_dict().items()
        if value is not None
    ]
    return "".join(lines)
