"""Functions of the user's own, named on the command line as FILE.py:FUNCTION."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedder.errors import UsageError


def is_function(text: object) -> bool:
    """Say whether an option's value has the form FILE.py:FUNCTION."""
    return isinstance(text, str) and ".py:" in text


def load_function(text: str, option: str) -> Callable[..., Any]:
    """Run a file and take a function from it.

    The file is the user's own program: it may do whatever Python may. So this is for what a user types or
    gives from Python, never for what stands in a file: `options.read_config` refuses a train.toml that names
    one, and `training.rebuilding` a manifest that does, until the user names it, too.

    Args:
        text: FILE.py:FUNCTION.
        option: that was given it, for errors: "--loss".

    Raises:
        UsageError: no such file, the file cannot be run, or it has no such function.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not name.isidentifier():
        raise UsageError(f"{option}: expected FILE.py:FUNCTION, got {text!r}")
    if not path.is_file():
        raise UsageError(f"{option}: expected a file of Python before the colon, found none at {path}")
    # Classes that are made in the file look their module up by its name.
    spec = importlib.util.spec_from_file_location(f"_embed_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{option}: {path}, line {error.lineno}: {error.msg}; fix the file") from error
    except Exception as error:
        raise UsageError(f"{option}: {path} raised {type(error).__name__}: {error}; fix the file") from error
    if not hasattr(module, name):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        has = f"it has {', '.join(there)}" if there else "it has no function"
        raise UsageError(f"{option}: expected a function {name} in {path}, found none; {has}")
    function = getattr(module, name)
    if not callable(function):
        raise UsageError(
            f"{option}: expected a function, but {name} in {path} is a {type(function).__name__}"
        )
    checked: Callable[..., Any] = function
    return checked
