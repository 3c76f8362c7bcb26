"""Load functions of the user, named on the command line as FILE.py:FUNCTION."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedder.errors import UsageError


def is_function(text: object) -> bool:
    """Return whether the value of an option has the form FILE.py:FUNCTION."""
    return isinstance(text, str) and ".py:" in text


def load_function(text: str, option: str) -> Callable[..., Any]:
    """Run a file of Python, and return a function of it.

    The file can do whatever Python can. So only names that the user types or gives from Python are loaded,
    never those in a file: `embedder.config.toml.read_config` refuses a train.toml that names a function, and
    `embedder.export.formats.trunk_to_build` a manifest that does, unless the user names it too.

    Args:
        text: FILE.py:FUNCTION.
        option: name of the option, such as "--loss", for messages.

    Raises:
        UsageError: there is no such file, it cannot be run, or it has no such function.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not name.isidentifier():
        raise UsageError(f"{option}: expected FILE.py:FUNCTION, got {text!r}")
    if not path.is_file():
        raise UsageError(f"{option}: expected a file of Python before the colon, found none at {path}")
    # In `sys.modules`, since dataclasses and pickle find the module of a class by its name.
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
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        has = f"it has {', '.join(names)}" if names else "it has no function"
        raise UsageError(f"{option}: expected a function {name} in {path}, found none; {has}")
    function = getattr(module, name)
    if not callable(function):
        raise UsageError(
            f"{option}: expected a function, but {name} in {path} is a {type(function).__name__}"
        )
    checked: Callable[..., Any] = function
    return checked
