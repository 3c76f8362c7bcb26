from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedder.config import DetectorConfig
from embedder.faces.crop import Cropping
from embedder.training.data import crop_store
from embedder.training.data.crop_store import Aligned, CropCache, crop_recipe

FINDING = DetectorConfig()
LANDMARKS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
FACE = Cropping("face", 16, LANDMARKS, FINDING, b"network")
CROP = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
DIGEST = b"d" * 32


def make(folder: Path, cropping: Cropping = FACE) -> CropCache:
    return CropCache(crop_recipe(cropping), folder)


def test_gives_back_the_crop_and_the_number_of_faces(tmp_path: Path):
    make(tmp_path).put(DIGEST, Aligned(CROP, 3))
    known = make(tmp_path).get(DIGEST)
    assert known.faces == 3
    assert known.crop.dtype == np.uint8
    np.testing.assert_array_equal(known.crop, CROP)
    assert make(tmp_path).get(b"e" * 32) is None


def test_knows_that_there_was_no_face(tmp_path: Path):
    make(tmp_path).put(DIGEST, Aligned(None, 0))
    known = make(tmp_path).get(DIGEST)
    assert (known.crop, known.faces) == (None, 0)


@pytest.mark.parametrize(
    "other",
    [
        Cropping("whole", 16),
        replace(FACE, size=17),
        replace(FACE, landmarks=LANDMARKS[::-1]),
        replace(FACE, network=b"another network"),
        *(
            replace(FACE, finding=replace(FINDING, **{name: value}))
            for name, value in [
                ("min_face", 61),
                ("any_rotation", True),
                ("score", 0.5),
            ]
        ),
    ],
    ids=str,
)
def test_what_decides_the_crop_parts_the_entries(tmp_path: Path, other: Cropping):
    make(tmp_path).put(DIGEST, Aligned(CROP, 1))
    assert make(tmp_path, other).get(DIGEST) is None


def test_versions_part_the_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path).put(DIGEST, Aligned(CROP, 1))
    monkeypatch.setattr(crop_store, "version", lambda name: "0" if name == "pillow" else "1.2.3")
    assert make(tmp_path).get(DIGEST) is None


def test_the_code_parts_the_entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    make(tmp_path / "cache").put(DIGEST, Aligned(CROP, 1))
    package = tmp_path / "package"
    monkeypatch.setattr(crop_store, "files", lambda name: package / name.rpartition(".")[2])
    (package / "images").mkdir(parents=True)
    (package / "images" / "reading.py").write_text("decode = 1")
    (package / "faces").mkdir()
    digests = []
    for source in ("find = 1", "find = 2"):
        (package / "faces" / "crops.py").write_text(source)
        crop_store._code.cache_clear()
        digests.append(crop_store._code())
        assert make(tmp_path / "cache").get(DIGEST) is None
    assert digests[0] != digests[1]
    monkeypatch.undo()
    crop_store._code.cache_clear()
    assert make(tmp_path / "cache").get(DIGEST) is not None


def test_whole_pictures_do_not_depend_on_how_faces_are_found():
    other = DetectorConfig(min_face=20, any_rotation=True)
    recipes = [crop_recipe(Cropping("whole", 16, finding=finding)) for finding in (FINDING, other)]
    assert recipes[0] == recipes[1]
    assert json.loads(json.dumps(recipes[0])) == recipes[0]
