from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from embedder import model_folder
from embedder.config import DetectorConfig
from embedder.errors import ModelError, UsageError
from embedder.model_folder import (
    MANIFEST,
    DetectorRecord,
    Manifest,
    check_model,
    load_manifest,
    part_name,
    read_model,
    read_part,
    save_bundle,
)
from embedder.strangers import StrangerDistances

KNOWN = StrangerDistances(
    *(0.28, 0.02, -3.0, 0.1, -0.35, 0.2, 0.025, 0.008, 0.02, 6.5), people=77, photos=1161, sets=4
)
EXTRACTOR, WEIGHTS, DETECTOR = b"extractor bytes", b"weight bytes", b"detector bytes"
LANDMARKS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
MADE = Manifest(
    trunk="small-cnn",
    head="center",
    input_size=32,
    crop="face",
    landmarks=LANDMARKS,
    detector=DetectorRecord(
        "yunet", "2023mar", hashlib.sha256(DETECTOR).hexdigest(), DetectorConfig(min_face=33)
    ),
    mirror=True,
    dim=8,
    extractor=hashlib.sha256(EXTRACTOR).hexdigest(),
    weights=hashlib.sha256(WEIGHTS).hexdigest(),
    strangers=KNOWN,
    training={"people": 4, "note": "Zoë"},
)
DETECTED = asdict(MADE)["detector"]
WHOLE = replace(MADE, crop="whole", landmarks=None, detector=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(tmp_path / "a model é", MADE, EXTRACTOR, WEIGHTS, DETECTOR)
    return tmp_path / "a model é"


def load_all(folder: Path) -> tuple[Manifest, bytes, bytes, bytes]:
    manifest = load_manifest(folder)
    extractor, weights, detector = (
        read_part(folder, manifest, part) for part in ("extractor", "weights", "detector")
    )
    return manifest, extractor, weights, detector


def rewrite(folder: Path, **changes: object) -> None:
    """Change fields and make the digest fit again, as someone who knows the format could."""
    content = json.loads((folder / MANIFEST).read_text())
    del content["digest"]
    content.update(changes)
    for name in [name for name, value in content.items() if value == "DELETE"]:
        del content[name]

    def canonical(value: object) -> bytes:
        return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()

    digest = hashlib.sha256(canonical(content)).hexdigest()
    (folder / MANIFEST).write_bytes(canonical({**content, "digest": digest}))


def test_round_trip(folder: Path):
    assert load_all(folder) == (MADE, EXTRACTOR, WEIGHTS, DETECTOR)


def test_without_strangers(tmp_path: Path):
    made = replace(MADE, strangers=None)
    save_bundle(tmp_path, made, EXTRACTOR, WEIGHTS, DETECTOR)
    assert load_manifest(tmp_path) == made


def test_of_rounded_weights(tmp_path: Path):
    made = replace(MADE, weights_as="int8")
    save_bundle(tmp_path, made, EXTRACTOR, WEIGHTS, DETECTOR)
    assert load_manifest(tmp_path) == made


def test_of_whole_pictures_there_is_no_detector(tmp_path: Path):
    save_bundle(tmp_path, WHOLE, EXTRACTOR, WEIGHTS)
    assert load_manifest(tmp_path) == check_model(tmp_path) == WHOLE
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ValueError, match="detector: this model has none"):
        read_part(tmp_path, WHOLE, "detector")


def test_a_detector_must_be_the_one_of_the_manifest(tmp_path: Path):
    with pytest.raises(ValueError, match=r"manifest\.detector"):
        save_bundle(tmp_path, MADE, EXTRACTOR, WEIGHTS)
    with pytest.raises(ValueError, match=r"manifest\.detector"):
        save_bundle(tmp_path, WHOLE, EXTRACTOR, WEIGHTS, DETECTOR)
    assert not list(tmp_path.iterdir())


def test_the_format_is_written_as_it_was(folder: Path):
    """To the byte: a changed form needs another number, or models that are there can no longer be read."""
    content = json.loads((folder / MANIFEST).read_text())
    assert content["format"] == 4
    assert content["detector"]["settings"]["min_face"] == 33
    assert content["landmarks"] == [list(point) for point in LANDMARKS]


def test_every_changed_byte_is_refused(folder: Path):
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        for position in range(len(good)):
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            with pytest.raises(ModelError):
                load_all(folder)
        path.write_bytes(good)
    load_all(folder)


def test_every_truncation_is_refused(folder: Path):
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        for length in range(len(good)):
            path.write_bytes(good[:length])
            with pytest.raises(ModelError):
                load_all(folder)
        path.write_bytes(good + b"\n")
        with pytest.raises(ModelError):
            load_all(folder)
        path.write_bytes(good)


@pytest.mark.parametrize("part", [MANIFEST, "extractor", "weights", "detector"])
def test_missing_file_is_refused(folder: Path, part: str):
    name = part if part == MANIFEST else part_name(part, str(MADE.digest_of(part)))
    (folder / name).unlink()
    with pytest.raises(ModelError, match=r"expected a (model folder|file)"):
        load_all(folder)


def test_missing_folder_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(ModelError, match="embed train FOLDER --model"):
        load_manifest(tmp_path / "none")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"format": 5},
        {"format": True},
        {"format": "4"},
        {"weights_as": "int4"},
        {"weights_as": 8},
        {"weights_as": "DELETE"},
        {"input_size": 8},
        {"input_size": True},
        {"input_size": "32"},
        {"dim": 0},
        {"crop": "half"},
        {"crop": "whole"},
        {"detector": "yunet"},
        {"detector": None},
        {"detector": "DELETE"},
        {"detector": DETECTED | {"network": "0"}},
        {"detector": DETECTED | {"version": 1}},
        {"detector": DETECTED | {"more": 1}},
        {"detector": DETECTED | {"settings": {}}},
        {"detector": DETECTED | {"settings": DETECTED["settings"] | {"min_face": 1}}},
        {"detector": DETECTED | {"settings": DETECTED["settings"] | {"min_face": True}}},
        {"detector": DETECTED | {"settings": DETECTED["settings"] | {"score": 7.0}}},
        {"landmarks": None},
        {"landmarks": LANDMARKS[:4]},
        {"landmarks": [[0.5, 0.5]] * 5},
        {"landmarks": [[0.5, 9.5], *LANDMARKS[1:]]},
        {"landmarks": [[0.5, "0.5"], *LANDMARKS[1:]]},
        {"landmarks": [[0.5], *LANDMARKS[1:]]},
        {"landmarks": [0.5, *LANDMARKS[1:]]},
        {"mirror": 1},
        {"extractor": "../../etc/passwd"},
        {"extractor": "A" * 64},
        {"weights": None},
        {"strangers": {}},
        {"strangers": 0.5},
        {"strangers": asdict(KNOWN) | {"people": 0.5}},
        {"strangers": asdict(KNOWN) | {"freedom": -1.0}},
        {"training": []},
        {"trunk": "DELETE"},
        {"extra": 1},
    ],
    ids=repr,
)
def test_strict_fields(folder: Path, change: dict[str, object]):
    rewrite(folder)
    load_all(folder)  # the rewriting itself is sound
    rewrite(folder, **change)
    with pytest.raises(ModelError, match="not a manifest"):
        load_all(folder)


@pytest.mark.parametrize("number", [2, 3])
def test_a_model_of_an_older_format_says_what_to_do(folder: Path, number: int):
    rewrite(folder, format=number)
    with pytest.raises(ModelError, match=r"before faces were found by YuNet; train again .* re-embed"):
        load_manifest(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": NaN}', b"null", b'{"format": 1}'],
    ids=lambda content: repr(content[:20]),
)
def test_other_files_are_refused(folder: Path, content: bytes):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ModelError):
        load_all(folder)


def test_new_model_replaces_the_old_and_leaves_nothing_of_it(folder: Path):
    other = b"other extractor"
    made = replace(MADE, extractor=hashlib.sha256(other).hexdigest())
    save_bundle(folder, made, other, WEIGHTS, DETECTOR)
    assert load_all(folder) == (made, other, WEIGHTS, DETECTOR)
    assert len(list(folder.iterdir())) == 4


def test_old_model_stays_until_the_new_one_is_complete(folder: Path, monkeypatch: pytest.MonkeyPatch):
    other = b"other extractor"
    made = replace(MADE, extractor=hashlib.sha256(other).hexdigest())

    def full(self: Manifest) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(Manifest, "to_bytes", full)
    with pytest.raises(UsageError, match="cannot be written: disk full"):
        save_bundle(folder, made, other, WEIGHTS, DETECTOR)
    monkeypatch.undo()
    assert load_all(folder) == (MADE, EXTRACTOR, WEIGHTS, DETECTOR)


def test_files_that_do_not_fit_the_manifest_are_not_saved(tmp_path: Path):
    with pytest.raises(ValueError, match=r"manifest\.extractor"):
        save_bundle(tmp_path, MADE, b"something else", WEIGHTS, DETECTOR)


def test_fingerprint_follows_what_decides_a_vector():
    same = replace(MADE, strangers=None, training={}, extractor="0" * 64, head="softmax")
    assert same.fingerprint == MADE.fingerprint  # compiled by another version of the compiler
    for change in (
        {"weights": "0" * 64},
        {"weights_as": "int8"},
        {"trunk": "face-resnet"},
        {"input_size": 64},
        {"mirror": False},
        {"dim": 9},
        {"landmarks": LANDMARKS[::-1]},
    ):
        assert replace(MADE, **change).fingerprint != MADE.fingerprint, change


def test_fingerprint_follows_the_detector_but_not_how_faces_are_looked_for():
    assert MADE.detector is not None
    for change, same in (
        ({"name": "other"}, False),
        ({"version": "2024"}, False),
        ({"network": "0" * 64}, True),  # compiled by another version of the compiler
        ({"settings": DetectorConfig()}, True),
    ):
        changed = replace(MADE, detector=replace(MADE.detector, **change))
        assert (changed.fingerprint == MADE.fingerprint) is same, change
    assert WHOLE.fingerprint != MADE.fingerprint


def test_a_model_that_is_replaced_while_it_is_read_is_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = replace(WHOLE, extractor=hashlib.sha256(b"new").hexdigest())
    replaced = iter([lambda: save_bundle(folder, new, b"new", WEIGHTS)])

    def read_and_replace(*given: Any) -> bytes:
        next(replaced, lambda: None)()
        return read_part(*given)

    monkeypatch.setattr(model_folder, "read_part", read_and_replace)
    assert read_model(folder) == (new, {"extractor": b"new", "weights": WEIGHTS})


def test_a_model_that_is_broken_and_not_replaced_is_refused(folder: Path) -> None:
    (folder / part_name("weights", MADE.weights)).unlink()
    assert read_model(folder, ["extractor"]) == (MADE, {"extractor": EXTRACTOR})
    with pytest.raises(ModelError, match="expected a file"):
        read_model(folder)
