"""Read, check and write the model folder.

```
embed-model/
  manifest.json                     description of the model, with the SHA-256 of the other files
  extractor-<digest>.tflite         the compiled network from aligned faces to vectors
  detector-<digest>.tflite          the compiled network that finds faces; not with whole pictures
  weights-<digest>.safetensors      the extractor's weights as raw tensors, to continue training from
                                    (of a quantized model: its kernels in half precision)
```

The other files have their digest in their names, so those of a new model lie beside the old ones until the
rename of the manifest makes the new model current. The manifest is JSON in one canonical form that includes
its own digest; a file that differs from that form by a byte is refused. Nothing here is executed or
unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from embedder._internal.files import make_folder, read_file, write_atomic
from embedder.config import CROPS, WEIGHTS, DetectorConfig, Landmarks
from embedder.errors import ModelError, UsageError
from embedder.strangers import StrangerDistances

FORMAT = 4
FLOAT32 = "float32"
MANIFEST = "manifest.json"
_MAX_MANIFEST = 4 * 2**20  # bytes
_MAX_FILE = 2**32  # bytes
_KINDS: dict[Any, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": float,
    "dict[str, Any]": dict,
    "DetectorRecord | None": (dict, type(None)),
    "Landmarks | None": (list, type(None)),
    "StrangerDistances | None": (dict, type(None)),
}
_PARTS = {"extractor": ".tflite", "detector": ".tflite", "weights": ".safetensors"}
_PART_NAME = re.compile(r"(extractor|detector|weights)-[0-9a-f]{16}\.(tflite|safetensors)")
_POINTS = 5  # landmarks of a face: eyes, nose tip, corners of the mouth


@dataclass(frozen=True)
class DetectorRecord:
    """Describes the face detector of a model, in training and afterwards.

    Attributes:
        name: name of the detector.
        version: version of the detector, as its authors name it.
        network: SHA-256 of the compiled network in the folder, in hexadecimal.
        settings: settings of the detection in training.
    """

    name: str
    version: str
    network: str
    settings: DetectorConfig


@dataclass(frozen=True)
class Manifest:
    """Describes a model; the content of `manifest.json`.

    Attributes:
        trunk: name of the trunk.
        head: name of the head in training, or "none".
        input_size: side of the network's square input, in pixels, 16 to 1024.
        crop: part of a picture that is a sample, `face` or `whole`.
        landmarks: positions of eyes, nose tip and corners of the mouth in a crop, five (x, y) in shares of
            its side; None with whole pictures.
        detector: face detector; None with whole pictures.
        mirror: whether a vector is averaged with that of the mirror picture.
        dim: length of a vector, 1 to 65536.
        extractor: SHA-256 of the compiled network, in hexadecimal.
        weights: SHA-256 of the raw tensors, in hexadecimal.
        strangers: distribution of the distances between strangers; None if there were no held-out people.
        training: record of the training run, for display; nothing is computed from it.
        weights_as: type of the extractor's stored weights: `float32`, or one of `WEIGHTS`.
    """

    trunk: str
    head: str
    input_size: int
    crop: str
    landmarks: Landmarks | None
    detector: DetectorRecord | None
    mirror: bool
    dim: int
    extractor: str
    weights: str
    strangers: StrangerDistances | None
    training: dict[str, Any] = field(default_factory=dict)
    weights_as: str = FLOAT32

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that determines a vector; a gallery refuses vectors of another.

        It depends on the raw tensors, not on the compiled network: another version of the compiler writes
        other bytes that compute the same vectors. The settings of the detection are not part of it: the crop
        of a face does not depend on them (docs/decisions/017).
        """
        parts: list[Any] = [FORMAT, self.trunk, self.weights, self.weights_as]
        parts += [self.input_size, self.crop, self.mirror, self.dim]
        if self.detector is not None:
            parts += [self.landmarks, self.detector.name, self.detector.version]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def digest_of(self, part: str) -> str | None:
        """Return the SHA-256 of `extractor`, `weights` or `detector`; None without a detector."""
        if part == "detector":
            return self.detector.network if self.detector else None
        digest: str = getattr(self, part)
        return digest

    def to_bytes(self) -> bytes:
        """Return the canonical JSON with its digest, in UTF-8."""
        content = {"format": FORMAT, **asdict(self)}
        return _canonical({**content, "digest": hashlib.sha256(_canonical(content)).hexdigest()})


def save_bundle(
    folder: Path, manifest: Manifest, extractor: bytes, weights: bytes, detector: bytes | None = None
) -> None:
    """Write a model folder; an existing model is replaced once the new one is complete.

    Args:
        folder: path of the model folder, which is made if missing.
        manifest: manifest with the digests of the other arguments.
        extractor: content of the compiled network.
        weights: raw tensors in the format safetensors.
        detector: content of the compiled face detector; None with whole pictures.

    Raises:
        UsageError: the folder cannot be written; it then holds the old model, or already the new one.
        ValueError: a digest in the manifest is that of another file.
    """
    contents = {"extractor": extractor, "weights": weights, "detector": detector}
    for part, data in contents.items():
        digest = None if data is None else hashlib.sha256(data).hexdigest()
        if digest != manifest.digest_of(part):
            raise ValueError(f"manifest.{part}: expected the digest of the file, {digest}")
    try:
        make_folder(folder)
        for part, data in contents.items():
            if data is not None:
                write_atomic(folder / _part_file(manifest, part), data)
        write_atomic(folder / MANIFEST, manifest.to_bytes())
    except OSError as error:
        raise UsageError(f"{folder}: the model cannot be written: {error}") from error
    _remove_others(folder, manifest)


def _remove_others(folder: Path, manifest: Manifest) -> None:
    """Remove files of earlier models; those that cannot be removed are never read."""
    wanted = {_part_file(manifest, part) for part in _PARTS if manifest.digest_of(part)}
    with contextlib.suppress(OSError):
        for old in [path for part, suffix in _PARTS.items() for path in folder.glob(f"{part}-*{suffix}")]:
            if is_part_name(old.name) and old.name not in wanted:
                with contextlib.suppress(OSError):  # open in a process on Windows; the next save tries again
                    old.unlink()


def load_manifest(folder: str | Path) -> Manifest:
    """Read and check the manifest of a model folder.

    Args:
        folder: path of the model folder.

    Raises:
        ModelError: the manifest is missing, changed, of another version, or has a value out of range.

    Example:
        >>> load_manifest("embed-model").dim
        128
    """
    path = Path(folder) / MANIFEST
    try:
        data = _read(path, _MAX_MANIFEST)
    except ModelError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise ModelError(
            f"{folder}: expected a model folder with {MANIFEST}; make one with "
            f"`embed train FOLDER --model {folder}`, or take the network that comes with the toolkit: "
            "`--model built-in`"
        ) from error
    return parse_manifest(data, path)


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """Parse and check the content of a `manifest.json`.

    Args:
        data: content of the file.
        path: path of the file, for messages.

    Raises:
        ModelError: the content was changed, is of another version, or has a value out of range.
    """
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise ValueError("expected a JSON object")
        _check_format(content.get("format"))
        manifest = _parse(content)
        unchanged = manifest.to_bytes() == data  # raises a ValueError for infinity, which JSON has as 1e999
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a manifest of this toolkit: {error!s:.2000}") from error
    if not unchanged:
        raise ModelError(f"{path}: changed since it was written; train again or copy the folder afresh")
    return manifest


def check_model(folder: str | Path) -> Manifest:
    """Read a model folder and check every file, those not needed for vectors too.

    Raises:
        ModelError: the folder is no model folder, or a file was changed.
    """
    return read_model(folder)[0]


def read_model(
    folder: str | Path, parts: Collection[str] = tuple(_PARTS)
) -> tuple[Manifest, dict[str, bytes]]:
    """Read a manifest and the files that it names; also while another process replaces the model.

    Args:
        folder: path of the model folder.
        parts: which of `extractor`, `weights` and `detector`; a model for whole pictures has no detector.

    Raises:
        ModelError: the folder is no model folder, or a file was changed.
    """
    manifest = load_manifest(folder)
    while True:
        try:
            wanted = [part for part in parts if manifest.digest_of(part)]
            return manifest, {part: read_part(folder, manifest, part) for part in wanted}
        except ModelError:
            before, manifest = manifest, load_manifest(folder)
            if manifest == before:
                raise


def read_part(folder: str | Path, manifest: Manifest, part: str) -> bytes:
    """Read the file `extractor`, `weights` or `detector`, and check its digest.

    Args:
        folder: path of the model folder.
        manifest: manifest of the model folder.
        part: `extractor`, `weights` or `detector`.

    Raises:
        ModelError: the file is missing, or has another digest than in the manifest.
    """
    path = Path(folder) / _part_file(manifest, part)
    data = _read(path, _MAX_FILE)
    if hashlib.sha256(data).hexdigest() != manifest.digest_of(part):
        raise ModelError(f"{path}: changed since it was written; train again or copy the folder afresh")
    return data


def part_name(part: str, digest: str) -> str:
    """Return the name of the file `extractor`, `weights` or `detector` with a digest."""
    return f"{part}-{digest[:16]}{_PARTS[part]}"


def _part_file(manifest: Manifest, part: str) -> str:
    digest = manifest.digest_of(part)
    if digest is None:
        raise ValueError(f"{part}: this model has none")
    return part_name(part, digest)


def is_part_name(name: str) -> bool:
    """Return whether a file name is that of a file in a model folder, manifest excepted."""
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
    content.pop("format")
    _check_fields(content, _kinds_of(Manifest))
    if not isinstance(digest, str):
        raise ValueError("expected a digest")
    if not 16 <= content["input_size"] <= 1024:
        raise ValueError(f"input_size: expected 16 to 1024, got {content['input_size']!r:.80}")
    if not 1 <= content["dim"] <= 65536:
        raise ValueError(f"dim: expected 1 to 65536, got {content['dim']!r:.80}")
    for name, known in (("crop", CROPS), ("weights_as", (FLOAT32, *WEIGHTS))):
        if content[name] not in known:
            raise ValueError(
                f"{name}: expected one of {known}, got {content[name]!r:.200}; update the toolkit"
            )
    for part in ("extractor", "weights"):
        _check_digest(part, content[part])
    for name in ("landmarks", "detector"):
        if (content[name] is not None) != (content["crop"] == "face"):
            raise ValueError(f"{name}: expected with crop face, and only with it, got {content[name]!r:.200}")
    readers: dict[str, Any] = {
        "strangers": StrangerDistances.from_json,
        "detector": _detector,
        "landmarks": _landmarks,
    }
    for name, read in readers.items():
        content[name] = content[name] if content[name] is None else read(content[name])
    return Manifest(**content)


def _detector(content: dict[str, Any]) -> DetectorRecord:
    _check_fields(content, {"name": str, "version": str, "network": str, "settings": dict})
    _check_digest("detector.network", content["network"])
    _check_fields(content["settings"], _kinds_of(DetectorConfig))
    try:
        return DetectorRecord(**{**content, "settings": DetectorConfig(**content["settings"])})
    except UsageError as error:
        raise ValueError(f"detector.settings: {error}") from error


def _landmarks(content: list[Any]) -> Landmarks:
    points = [point for point in content if isinstance(point, list) and len(point) == 2]
    numbers = [number for point in points for number in point]
    if not len(points) == len(content) == _POINTS or not all(isinstance(one, float) for one in numbers):
        raise ValueError(f"landmarks: expected {_POINTS} points x, y, got {content!r:.200}")
    if not all(-1 <= number <= 2 for number in numbers) or len(set(map(tuple, points))) == 1:
        raise ValueError(f"landmarks: expected points in shares of the side, -1 to 2, got {content!r:.200}")
    return tuple((x, y) for x, y in points)


def _check_digest(name: str, digest: str) -> None:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError(f"{name}: expected a SHA-256 in hexadecimal")


def _kinds_of(record: type[Any]) -> dict[str, Any]:
    return {item.name: _KINDS[item.type] for item in fields(record)}


def _check_format(number: object) -> None:
    if number in (2, 3) and not isinstance(number, bool):
        raise ValueError(
            f"format {number}, made before faces were found by YuNet; train again with `embed train`, or "
            "use the built-in network with --model built-in, and move a gallery over with "
            "`embed gallery re-embed`"
        )
    if number != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {number!r:.80}; update the toolkit, or train again")


def _check_fields(content: dict[str, Any], kinds: dict[str, Any]) -> None:
    if content.keys() != kinds.keys():
        raise ValueError(f"expected the fields {sorted(kinds)}, got {sorted(content)!r:.1000}")
    for name, kind in kinds.items():
        value = content[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{name}: got {value!r:.200}")


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")
