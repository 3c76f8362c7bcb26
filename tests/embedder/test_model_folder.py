from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from embedder.errors import ModelError, UsageError
from embedder.model_folder import (
    MANIFEST,
    Manifest,
    load_manifest,
    part_name,
    read_part,
    save_bundle,
)
from embedder.strangers import StrangerDistances

EXTRACTOR, WEIGHTS = b"extractor bytes", b"weight bytes"
STRANGERS = StrangerDistances(
    mean=0.28,
    mean_sd=0.02,
    log_spread=-3.0,
    log_spread_sd=0.1,
    skewness=-0.35,
    skewness_sd=0.2,
    shrink=0.025,
    shrink_sd=0.008,
    person_sd=0.02,
    freedom=6.5,
    people=4,
    photos=40,
    sets=1,
)
MADE = Manifest(
    trunk="small-cnn",
    head="center",
    input_size=32,
    crop="whole",
    detector="blazeface",
    mirror=True,
    dim=8,
    extractor=hashlib.sha256(EXTRACTOR).hexdigest(),
    weights=hashlib.sha256(WEIGHTS).hexdigest(),
    strangers=STRANGERS,
    training={"people": 4, "note": "Zoë"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(tmp_path / "a model é", MADE, EXTRACTOR, WEIGHTS)
    return tmp_path / "a model é"


def load_all(folder: Path) -> tuple[Manifest, bytes, bytes]:
    manifest = load_manifest(folder)
    return manifest, read_part(folder, manifest, "extractor"), read_part(folder, manifest, "weights")


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
    assert load_all(folder) == (MADE, EXTRACTOR, WEIGHTS)


def test_without_strangers(tmp_path: Path):
    made = replace(MADE, strangers=None)
    save_bundle(tmp_path, made, EXTRACTOR, WEIGHTS)
    assert load_manifest(tmp_path) == made


def test_of_rounded_weights(tmp_path: Path):
    made = replace(MADE, weights_as="int8")
    save_bundle(tmp_path, made, EXTRACTOR, WEIGHTS)
    assert load_manifest(tmp_path) == made
    assert json.loads((tmp_path / MANIFEST).read_text())["format"] == 3


def test_a_float32_model_is_written_as_before_there_were_others(folder: Path):
    """To the byte, fingerprint included: galleries and older toolkits go on with it."""
    content = json.loads((folder / MANIFEST).read_text())
    assert (content["format"], "weights_as" in content) == (2, False)
    assert content["digest"] == "df7fd096ab838db66beac270e8fa48161009c1f1a4de4c4711fa7251740578c2"
    assert MADE.fingerprint == "0a77ac6c2d8c0590624259fd216f0991f80837783ea7dda8e9bb9f1dd2b4d92d"


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


@pytest.mark.parametrize("part", [MANIFEST, "extractor", "weights"])
def test_missing_file_is_refused(folder: Path, part: str):
    name = part if part == MANIFEST else part_name(part, getattr(MADE, part))
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
        {"format": 3},  # without weights_as
        {"format": 4, "weights_as": "int8"},
        {"format": 3, "weights_as": "float32"},
        {"format": 3, "weights_as": "int4"},
        {"format": 3, "weights_as": 8},
        {"weights_as": "int8"},
        {"input_size": 8},
        {"input_size": True},
        {"input_size": "32"},
        {"dim": 0},
        {"crop": "half"},
        {"detector": "haar"},
        {"detector": None},
        {"detector": "DELETE"},
        {"mirror": 1},
        {"extractor": "../../etc/passwd"},
        {"extractor": "A" * 64},
        {"weights": None},
        {"strangers": {}},
        {"strangers": 0.5},
        {"strangers": {**STRANGERS.to_json(), "mean": 0.8}},
        {"strangers": {**STRANGERS.to_json(), "people": 0.5}},
        {"strangers": {**STRANGERS.to_json(), "more": 1}},
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


def test_a_model_made_with_a_detector_that_was_removed_says_to_train_again(folder: Path):
    rewrite(folder, detector="mtcnn")
    with pytest.raises(ModelError, match="MTCNN was removed; train the model again"):
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
    save_bundle(folder, made, other, WEIGHTS)
    assert load_all(folder) == (made, other, WEIGHTS)
    assert len(list(folder.iterdir())) == 3


def test_old_model_stays_until_the_new_one_is_complete(folder: Path, monkeypatch: pytest.MonkeyPatch):
    other = b"other extractor"
    made = replace(MADE, extractor=hashlib.sha256(other).hexdigest())

    def full(self: Manifest) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(Manifest, "to_bytes", full)
    with pytest.raises(UsageError, match="cannot be written: disk full"):
        save_bundle(folder, made, other, WEIGHTS)
    monkeypatch.undo()
    assert load_all(folder) == (MADE, EXTRACTOR, WEIGHTS)


def test_files_that_do_not_fit_the_manifest_are_not_saved(tmp_path: Path):
    with pytest.raises(ValueError, match=r"manifest\.extractor"):
        save_bundle(tmp_path, MADE, b"something else", WEIGHTS)


def test_fingerprint_follows_what_decides_a_vector():
    same = replace(MADE, strangers=None, training={}, weights="0" * 64, head="softmax")
    assert same.fingerprint == MADE.fingerprint
    for change in ({"extractor": "0" * 64}, {"input_size": 64}, {"mirror": False}, {"dim": 9}):
        assert replace(MADE, **change).fingerprint != MADE.fingerprint


def test_fingerprint_follows_the_detector_only_if_it_decides_the_sample():
    face = replace(MADE, crop="face")
    assert face.fingerprint != MADE.fingerprint
    assert replace(face, detector="other").fingerprint != face.fingerprint
    assert replace(MADE, detector="other").fingerprint == MADE.fingerprint
