"""Share private code between the packages embedder and enroll; it may change at any time."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

_DISTRIBUTION = "embedder-enroll"


def lazy_names(package: str, homes: Mapping[str, str], modules: Collection[str] = ()) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package that imports public names on first use.

    Importing the package then loads none of its modules: `embed --help` needs no numpy. `__version__` is that
    of the installed distribution.

    Args:
        package: name of the package.
        homes: module below the package that defines a public name, by name.
        modules: modules below the package that are public names themselves.

    Returns:
        Function of a name that returns its object; it raises AttributeError for other names.
    """

    def look_up(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version  # takes 20 ms

            return version(_DISTRIBUTION)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return look_up
