"""Folders that training finds hard: two people, one photo a person, one person with very many."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from embedder._internal.runtime import Progress
from embedder.model_folder import load_manifest
from embedder.training import fit
from embedder.training.data.batches import Sampler
from embedder.training.run import train
from tests.conftest import pattern, save_people
from tests.embedder.training.tiny import TINY


class Said(Progress):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.usefixtures("quick_saving")
@pytest.mark.parametrize("head", [pytest.param("center", marks=pytest.mark.slow), "quadruplet"])
def test_two_people_can_be_learned(head: str, tmp_path: Path):
    folder = save_people(tmp_path / "two", 2, 4)
    config = replace(TINY, head=head, hold_out=0.0, epochs=2)
    train(folder, tmp_path / "m", config)
    history = load_manifest(tmp_path / "m").training["history"]
    assert len(history) == 2
    assert all(math.isfinite(value) for epoch in history for value in epoch.values())


@pytest.mark.usefixtures("quick_saving")
def test_one_photo_a_person_makes_a_model_with_a_threshold(tmp_path: Path):
    folder = save_people(tmp_path / "one", 6, 1)
    manifest = train(folder, tmp_path / "m", replace(TINY, epochs=0)).manifest
    assert (manifest.strangers.people, manifest.strangers.photos) == (6, 6)
    assert 0 < manifest.strangers.threshold(0.01, 20) < 2


@pytest.mark.usefixtures("quick_saving")
@pytest.mark.parametrize(
    ("sampling", "balanced"), [(None, True), pytest.param("shuffled", False, marks=pytest.mark.slow)]
)
def test_one_person_with_very_many_photos_is_balanced_and_that_is_said(
    sampling: str | None, balanced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    taken: list[str] = []

    class Seen(Sampler):
        def __init__(self, labels: Any, size: int, seed: int, sampling: str, *rest: Any) -> None:
            taken.append(sampling)
            super().__init__(labels, size, seed, sampling, *rest)

    monkeypatch.setattr(fit, "Sampler", Seen)
    folder = save_people(tmp_path / "many", 4, 3)
    for number in range(3, 50):
        Image.fromarray(pattern(0, number)).save(folder / "p00" / f"{number}.png")
    said = Said()
    config = replace(TINY, head="softmax", epochs=1, hold_out=0.0, sampling=sampling)
    train(folder, tmp_path / "m", config, progress=said)
    line = "One person has 50 photos, half of all at most 3: everyone is shown equally often"
    assert any(entry.startswith(line) for entry in said.lines) == balanced
    assert taken == ["balanced" if balanced else "shuffled"]
