"""What changes where a folder is so large that some of its searches are drawn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.config import EvaluationConfig
from enroll.evaluation import protocol, searches
from enroll.evaluation.protocol import evaluate_samples
from enroll.evaluation.samples import EmbeddedSamples
from enroll.evaluation.searches import Found, search_many, search_rows
from enroll.evaluation.splits import SearchSplit, draw_splits
from enroll.report.evaluation import summarize, summarize_comparison
from enroll.report.summary import protocol as described
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder

FOLDER = made_folder(noise=0.6, no_face=(1, 40), poor=(2, 3, 30))  # 12 people, 6 photos: 18 and 36 searches
FIELDS = ("rank", "distance", "second", "nearest")
OTHERS = ("other_distance", "other_second", "other_nearest")


def by_row(split: SearchSplit) -> dict[int, tuple[float, ...]]:
    """What each photo that was searched for found."""
    found = np.column_stack([getattr(split, name) for name in FIELDS])
    others = np.column_stack([getattr(split, name) for name in OTHERS])
    return {
        **dict(zip(split.mated.tolist(), found.tolist(), strict=True)),
        **dict(zip(split.non_mated.tolist(), others.tolist(), strict=True)),
    }


def test_some_searches_are_drawn_and_find_what_all_do() -> None:
    everything, some = made_evaluation(FOLDER), made_evaluation(FOLDER, searches=10)
    for whole, part in zip(everything.splits, some.splits, strict=True):
        assert (len(part.mated), len(part.non_mated)) == (10, 10)
        assert (
            (part.mated_total, part.non_mated_total) == (len(whole.mated), len(whole.non_mated)) == (18, 36)
        )
        assert (part.known == whole.known).all() and (part.enrolled == whole.enrolled).all()
        all_found = by_row(whole)
        for row, found in by_row(part).items():
            assert found == pytest.approx(all_found[row], abs=1e-7)
    drawn = [
        tuple(np.searchsorted(whole.non_mated, part.non_mated))
        for whole, part in zip(everything.splits, some.splits, strict=True)
    ]
    assert len(set(drawn)) == len(drawn)
    assert [part.non_mated.tolist() for part in made_evaluation(FOLDER, searches=10).splits] == [
        part.non_mated.tolist() for part in some.splits
    ]


def test_each_search_is_drawn_equally_often() -> None:
    times = np.zeros(72)
    for seed in range(100):
        for split in made_evaluation(FOLDER, searches=10, seed=seed, splits=2).splits:
            times[split.non_mated] += 10 / 36
            times[split.mated] += 10 / 18
    labels, expected = FOLDER.labels, times.sum() / 72
    assert abs(times - expected).max() < 0.3 * expected
    assert abs(np.bincount(labels, times) / 6 - expected).max() < 0.15 * expected


def test_as_many_as_there_are_changes_nothing() -> None:
    default, exact = made_evaluation(FOLDER), made_evaluation(FOLDER, searches=36)
    assert default.drawn is None and exact.drawn is None
    for one, other in zip(default.splits, exact.splits, strict=True):
        for name in (*FIELDS, *OTHERS, "mated", "non_mated"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert summarize(default).lines == summarize(exact).lines
    assert summarize(default).facts["drawn"] == []


def test_what_was_drawn_is_said() -> None:
    evaluation = made_evaluation(FOLDER, searches=20)
    said = "drawn at random in each split: 20 of 36 non-mated searches"
    assert evaluation.drawn == said
    outcome = summarize(evaluation)
    assert said in outcome.lines
    facts = json.loads(outcome.to_json())
    assert (facts["drawn"], facts["protocol"]["searches"]) == ([said], 20)
    assert f"and all 36 photos of 6 strangers; {said}." in described(evaluation)
    both = summarize_comparison(evaluation, evaluation, ("a", "b"))
    assert said in both.lines and both.facts["drawn"] == [said]
    fewer = made_evaluation(FOLDER, searches=10).drawn
    assert fewer == "drawn at random in each split: 10 of 18 mated searches, 10 of 36 non-mated searches"


@pytest.mark.parametrize("noise", [0.05, 0.6, 3.0])
@pytest.mark.parametrize("pairs", [4_000_000, 50, 1])
def test_by_products_in_float32_the_same_is_found(
    noise: float, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "_PAIRS_AT_ONCE", pairs)
    folder = made_folder(20, 6, noise, no_face=(1, 40), poor=(2, 3, 30, *range(60, 66)))
    rng = np.random.default_rng(1)
    gallery = np.sort(rng.permutation(120)[:50])
    gallery = gallery[folder.enrollable[gallery]]
    folder.vectors[gallery[7]] = folder.vectors[gallery[30]]  # two people who are equally far from everyone
    probes = rng.permutation(120)[:70]
    exact, quick = search_rows(folder, probes, gallery), search_many(folder, probes, gallery)
    np.testing.assert_array_equal(quick.rank, exact.rank)
    np.testing.assert_array_equal(quick.nearest, exact.nearest)
    np.testing.assert_allclose(quick.distance, exact.distance, atol=1e-7)
    np.testing.assert_allclose(quick.second, exact.second, atol=1e-6)


def test_few_searches_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def listening(samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]) -> Found:
        asked.append(len(probes))
        return search_rows(samples, probes, gallery)

    monkeypatch.setattr(searches, "search_rows", listening)
    search_many(made_folder(noise=0.05), np.arange(1, 72, 2), np.arange(0, 36, 2))
    assert asked == [0]


def test_one_person_alone_is_found_too() -> None:
    gallery = np.arange(6, 9)
    exact, quick = (search(FOLDER, np.arange(20), gallery) for search in (search_rows, search_many))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(quick, name), getattr(exact, name))


def test_splits_are_drawn_as_row_by_row() -> None:
    labels = np.random.default_rng(0).integers(0, 9, 60)
    config = EvaluationConfig(splits=3, seed=5)
    for number, drawn in enumerate(draw_splits(labels, config)):
        rng = np.random.default_rng([5, 0, number])
        known = np.sort(rng.permutation(np.arange(9))[:4])
        rows = [rng.permutation(np.flatnonzero(labels == person)) for person in known]
        assert drawn.known.tolist() == known.tolist()
        assert drawn.enrolled.tolist() == [row for own in rows for row in own[: len(own) // 2]]


def test_of_very_many_photos_a_few_splits_are_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_folder(noise=0.2)
    every = evaluate_samples(folder, EvaluationConfig(splits=5, replicates=20))
    found: Any = every.as_calibrated(0.01)
    assert found.splits == 5
    assert not any("first" in line for line in summarize(every).lines)
    monkeypatch.setattr(protocol, "_CALIBRATED", 18 * 4)  # 18 photos are enrolled in each
    some = evaluate_samples(folder, EvaluationConfig(splits=5, replicates=20))
    four: Any = some.as_calibrated(0.01)
    assert four.splits == 4
    assert four.threshold != found.threshold
    outcome = summarize(some)
    assert any(line.endswith("on average of the first 4 splits") for line in outcome.lines)
    assert any(line.endswith(", by the first 4 splits") for line in outcome.lines)
    assert outcome.facts["as_calibrated"]["splits"] == outcome.facts["reliability"]["splits"] == 4
    assert some.reliability() != every.reliability()
    monkeypatch.setattr(protocol, "_CALIBRATED", 1)
    least: Any = evaluate_samples(folder, EvaluationConfig(splits=5, replicates=20)).as_calibrated(0.01)
    assert least.splits == 3
