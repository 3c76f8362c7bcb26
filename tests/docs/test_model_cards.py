"""The figures of the model cards and of the page on error rates are those that were measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from embedder.trunks import IMAGENET, TRUNKS

DOCS = Path(__file__).parents[2] / "docs"
ROWS: dict[str, dict[str, list[float]]] = json.loads((DOCS / "measurements/models.json").read_text())["rows"]
CONCEPTS: dict[str, Any] = json.loads((DOCS / "measurements/concepts.json").read_text())
PARTS = ["trained on", "licence", "## Accuracy by condition", "## Where it fails", "## People"]
CARDS = sorted(path for path in (DOCS / "models").glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("trunk", ROWS)
def test_figures_of_a_card_are_those_measured(trunk: str):
    shown = re.findall(
        r"\| (\d\.\d{3}) \((\d\.\d\d) to (\d\.\d\d)\) \|", (DOCS / f"models/{trunk}.md").read_text()
    )
    measured = [(f"{mean:.3f}", f"{low:.2f}", f"{high:.2f}") for mean, low, high in ROWS[trunk].values()]
    assert shown == measured


def test_every_trunk_has_a_card_with_all_parts():
    assert {path.stem for path in CARDS} == {*TRUNKS, IMAGENET.rstrip(":")}
    for path in CARDS:
        text = path.read_text()
        assert all(part in text for part in PARTS), path.name


def test_figures_of_the_page_on_error_rates_are_those_measured():
    page = " ".join((DOCS / "error-rates.md").read_text().split())
    facts = CONCEPTS
    assert f"{facts['mated'] + facts['non_mated']} searches" in page
    assert f"is {facts['threshold']:.3f}".replace("0.", ".") in page
    assert (facts["tpir"], facts["fpir"]) == (1.0, 0.0)
    assert f"the nearest one is at {facts['nearest_stranger']}" in page
    one, twenty, thousand = (facts["thresholds"][size] for size in ("1", "20", "1000"))
    assert (
        f"{one:.3f} for one person, {twenty:.3f} for 20, {thousand:.3f}".replace(", 0.", ", .") + " for 1,000"
        in page
    )
