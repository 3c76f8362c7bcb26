"""Read, check and write the model folder.

```
embed-model/
  manifest.json                     what the model is; names the two others by SHA-256
  extractor-<digest>.tflite         the compiled network, all that enroll and identify run
  weights-<digest>.safetensors      the same numbers as raw tensors, to train on from
                                    (of a quantized model: its kernels in half precision)
```

The manifest is the commit point: the other files carry their digest in their names, so a new model lies
beside the old one until one rename makes it current. It is JSON in one canonical form that includes its own
digest; a file that differs from that form by a single byte is refused. Nothing here is ever executed or
unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from embedder._internal.files import make_folder, read_file, write_whole
from embedder.config import CROPS, DETECTORS
from embedder.errors import ModelError, UsageError

FORMATS = ("onnx", "litert", "saved-model")
WEIGHTS = ("float16", "int8")  # besides float32

FORMAT = 2
QUANTIZED_FORMAT = 3  # it adds `weights_as`; other models stay as they were, for older toolkits
FLOAT32 = "float32"
MANIFEST = "manifest.json"
_MAX_MANIFEST = 4 * 2**20
_MAX_FILE = 2**32
_KINDS: dict[Any, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": float,
    "dict[str, Any]": dict,
    "Threshold | None": (dict, type(None)),
}
_PARTS = {"extractor": ".tflite", "weights": ".safetensors"}
_PART_NAME = re.compile(r"(extractor|weights)-[0-9a-f]{16}\.(tflite|safetensors)")


@dataclass(frozen=True)
class Threshold:
    """A distance, and what it rests on.

    Attributes:
        distance: a face is someone's if it is at most this far from their template.
        target_fpir: share of strangers it is meant to name at most.
        gallery_identities: people in the gallery it is meant for; FPIR grows with them.
        searches: photos of strangers it was estimated from.
        people: strangers they belong to.
    """

    distance: float
    target_fpir: float
    gallery_identities: int
    searches: int
    people: int


@dataclass(frozen=True)
class Manifest:
    """What a model is.

    Attributes:
        trunk: name of the network.
        head: name of the head it was trained with, or "none".
        input_size: side of the square it sees, in pixels.
        crop: which part of a picture is the sample, `face` or `whole`.
        detector: what found the faces.
        mirror: whether a vector is the mean over the picture and its mirror picture.
        dim: length of a vector.
        extractor: SHA-256 of the compiled network.
        weights: SHA-256 of the raw tensors.
        threshold: the first threshold, or None if no one was held out to find it.
        training: facts about the run, for people; nothing is computed from them.
        weights_as: what the extractor's weights are stored as: float32, or one of `WEIGHTS`.
    """

    trunk: str
    head: str
    input_size: int
    crop: str
    detector: str
    mirror: bool
    dim: int
    extractor: str
    weights: str
    threshold: Threshold | None
    training: dict[str, Any] = field(default_factory=dict)
    weights_as: str = FLOAT32

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides a vector; a gallery keeps it and refuses vectors of another.

        A command may find faces with another detector than the model's: their chips are the same to the
        trunk (docs/decisions/006).
        """
        parts = [FORMAT, self.extractor, self.input_size, self.crop, self.mirror, self.dim]
        if self.crop == "face":
            parts.append(self.detector)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """Give the canonical JSON, digest included."""
        content = {"format": QUANTIZED_FORMAT, **asdict(self)}
        if self.weights_as == FLOAT32:
            content["format"] = FORMAT
            del content["weights_as"]
        return _canonical({**content, "digest": hashlib.sha256(_canonical(content)).hexdigest()})


def save_bundle(folder: Path, manifest: Manifest, extractor: bytes, weights: bytes) -> None:
    """Write a model folder; a model that is already there stays until the new one is complete.

    Args:
        folder: made if missing.
        manifest: its digests must be those of the two files.
        extractor: the compiled network.
        weights: safetensors.

    Raises:
        UsageError: the folder cannot be written; it holds the old model, or already the new one.
        ValueError: the digests are those of other files.
    """
    contents = {"extractor": extractor, "weights": weights}
    for part, data in contents.items():
        digest = hashlib.sha256(data).hexdigest()
        if digest != getattr(manifest, part):
            raise ValueError(f"manifest.{part}: expected the digest of the file, {digest}")
    try:
        make_folder(folder)
        for part, data in contents.items():
            write_whole(folder / part_name(part, getattr(manifest, part)), data)
        write_whole(folder / MANIFEST, manifest.to_bytes())
    except OSError as error:
        raise UsageError(f"{folder}: the model cannot be written: {error}") from error
    _remove_others(folder, manifest)


def _remove_others(folder: Path, manifest: Manifest) -> None:
    """Remove the parts of other models as far as possible: what is left does no harm."""
    wanted = {part_name(part, getattr(manifest, part)) for part in _PARTS}
    with contextlib.suppress(OSError):
        for old in [path for part, suffix in _PARTS.items() for path in folder.glob(f"{part}-*{suffix}")]:
            if is_part_name(old.name) and old.name not in wanted:
                with contextlib.suppress(OSError):  # in use on Windows; the next save tries again
                    old.unlink()


def load_manifest(folder: str | Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        ModelError: it is missing, changed, of another version, or out of range.
    """
    path = Path(folder) / MANIFEST
    try:
        data = _read(path, _MAX_MANIFEST)
    except ModelError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise ModelError(
            f"{folder}: expected a model folder with {MANIFEST}; make one with "
            f"`embed train FOLDER --model {folder}`"
        ) from error
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise ValueError("expected a JSON object")
        if content.get("format") not in (FORMAT, QUANTIZED_FORMAT):
            raise ValueError(
                f"expected format {FORMAT} or {QUANTIZED_FORMAT}, got {content.get('format')!r}; train "
                "again, or update the toolkit"
            )
        manifest = _parse(content)
        unchanged = manifest.to_bytes() == data  # what JSON cannot hold, as 1e999, cannot be written again
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a manifest of this toolkit: {error}") from error
    if not unchanged:
        raise ModelError(f"{path}: changed since it was written; train again or copy the folder afresh")
    return manifest


def check_model(folder: str | Path) -> Manifest:
    """Read a model folder and check every byte of it, also of what is only read to train on or to convert.

    Raises:
        ModelError: the folder is no model, or something in it was changed.
    """
    manifest = load_manifest(folder)
    for part in _PARTS:
        read_part(folder, manifest, part)
    return manifest


def read_part(folder: str | Path, manifest: Manifest, part: str) -> bytes:
    """Read `extractor` or `weights` and check it against the manifest.

    Raises:
        ModelError: the file is missing or its digest is another.
    """
    digest = getattr(manifest, part)
    path = Path(folder) / part_name(part, digest)
    data = _read(path, _MAX_FILE)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ModelError(f"{path}: changed since it was written; train again or copy the folder afresh")
    return data


def part_name(part: str, digest: str) -> str:
    """Name of the file that holds `extractor` or `weights`."""
    return f"{part}-{digest[:16]}{_PARTS[part]}"


def is_part_name(name: str) -> bool:
    """Say whether a file is named as a part of some model."""
    return _PART_NAME.fullmatch(name) is not None


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_file(path, limit)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: expected a file, found none") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _canonical(content: object) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True)
    return (text + "\n").encode()


def _parse(content: dict[str, Any]) -> Manifest:
    digest = content.pop("digest", None)
    kinds = {item.name: _KINDS[item.type] for item in fields(Manifest)}
    if content.pop("format") == FORMAT:
        del kinds["weights_as"]
    _check_fields(content, kinds)
    if not isinstance(digest, str):
        raise ValueError("expected a digest")
    if not 16 <= content["input_size"] <= 1024:
        raise ValueError(f"input_size: expected 16 to 1024, got {content['input_size']}")
    if not 1 <= content["dim"] <= 65536:
        raise ValueError(f"dim: expected 1 to 65536, got {content['dim']}")
    if content["detector"] == "mtcnn":
        raise ValueError("detector: MTCNN was removed; train the model again, with --detector blazeface")
    for name, known in (("crop", CROPS), ("detector", DETECTORS), ("weights_as", WEIGHTS)):
        if name in kinds and content[name] not in known:
            raise ValueError(f"{name}: expected one of {known}, got {content[name]!r}; update the toolkit")
    for part in _PARTS:
        if len(content[part]) != 64 or not set(content[part]) <= set("0123456789abcdef"):
            raise ValueError(f"{part}: expected a SHA-256 in hexadecimal")
    threshold = content.pop("threshold")
    return Manifest(threshold=_threshold(threshold) if threshold is not None else None, **content)


def _threshold(content: dict[str, Any]) -> Threshold:
    _check_fields(content, {item.name: _KINDS[item.type] for item in fields(Threshold)})
    threshold = Threshold(**content)
    if not (math.isfinite(threshold.distance) and 0 <= threshold.distance <= 2):
        raise ValueError(f"threshold: expected a distance from 0 to 2, got {threshold.distance}")
    return threshold


def _check_fields(content: dict[str, Any], kinds: dict[str, Any]) -> None:
    if content.keys() != kinds.keys():
        raise ValueError(f"expected the fields {sorted(kinds)}, got {sorted(content)}")
    for name, kind in kinds.items():
        value = content[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{name}: got {value!r}")


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")
