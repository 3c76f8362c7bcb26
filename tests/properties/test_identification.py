"""What holds for any gallery, probes and threshold: through index and rule, and once through files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from enroll.config import IdentifyConfig
from enroll.decision import Decision, decide
from enroll.gallery.gallery import Gallery
from enroll.identify import Identifier, PhotoResult
from enroll.report.answers import to_json
from enroll.search.base import nearest_people
from enroll.search.exact import ExactIndex
from enroll.templates import Templates
from tests.conftest import ToyExtractor, save_people


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Thousands of tiny searches: threads would spend the time waiting for each other."""
    with threadpool_limits(1):
        yield


NAMES = "abcdef"
ROUNDING = 1e-12

Entry = tuple[str, tuple[float, ...]]


@dataclass(frozen=True)
class Case:
    """People with templates in the order of their enrollment, and probes."""

    entries: list[Entry]
    probes: NDArray[np.float32]


def unit(rows: list[tuple[float, ...]]) -> NDArray[np.float32]:
    vectors = np.array(rows, np.float64).reshape(-1, 3)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def templates(entries: list[Entry]) -> Templates:
    names = np.array([name for name, _ in entries], object)
    return Templates(np.arange(1, len(entries) + 1), names, unit([row for _, row in entries]))


def answers(
    entries: list[Entry], probes: NDArray[np.float32], threshold: float, people: int = 5, margin: float = 0.0
) -> list[Decision]:
    found = nearest_people(ExactIndex(templates(entries)), probes, people)
    return [decide(candidates, threshold, margin) for candidates in found]


# Few directions make many equal distances and equal vectors; free ones make few.
COARSE = st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0])] * 3).filter(any)
FINE = st.tuples(*[st.floats(-1, 1, width=32)] * 3).filter(lambda row: math.hypot(*row) > 0.1)
ENTRY = st.tuples(st.sampled_from(NAMES), COARSE | FINE)
CASES = st.builds(
    Case, st.lists(ENTRY, max_size=40), st.lists(COARSE | FINE, min_size=1, max_size=5).map(unit)
)
PEOPLE = st.integers(1, len(NAMES))
# Also thresholds that are exactly the distance of two directions.
THRESHOLDS = st.floats(0, 2) | st.sampled_from([0.0, math.sqrt(2), 2.0])
many = settings(deadline=None, max_examples=50)


@many
@given(CASES, THRESHOLDS, PEOPLE, st.randoms(use_true_random=False))
def test_order_of_enrollment_changes_no_answer(
    case: Case, threshold: float, people: int, random: Random
) -> None:
    shuffled = random.sample(case.entries, len(case.entries))
    expected = answers(case.entries, case.probes, threshold, people)
    assert answers(shuffled, case.probes, threshold, people) == expected


@many
@given(CASES, THRESHOLDS, PEOPLE, st.integers(1, 4))
def test_batch_changes_no_answer(case: Case, threshold: float, people: int, size: int) -> None:
    together = answers(case.entries, case.probes, threshold, people)
    parts = [case.probes[start : start + size] for start in range(0, len(case.probes), size)]
    assert [answer for part in parts for answer in answers(case.entries, part, threshold, people)] == together


@many
@given(CASES, THRESHOLDS)
def test_enrolled_vector_finds_itself_at_distance_zero(case: Case, threshold: float) -> None:
    enrolled = templates(case.entries)
    for vector, answer in zip(
        enrolled.vectors, answers(case.entries, enrolled.vectors, threshold), strict=True
    ):
        owners = enrolled.identities[(enrolled.vectors == vector).all(axis=1)]
        assert (answer.reason, answer.distance) == ("match", 0.0)
        assert answer.identity == min(owners)  # several people can own one vector; the order is total


@many
@given(CASES, THRESHOLDS, st.sampled_from(NAMES), PEOPLE, st.floats(0, 2))
def test_removing_a_person_changes_no_answer_about_another(
    case: Case, threshold: float, removed: str, people: int, margin: float
) -> None:
    """An answer that names another stays, in every field but the list of candidates.

    An unknown stays unknown, unless the removed person was one of the two it could not tell apart. The list
    of candidates loses the removed person and keeps its order.
    """
    left = [entry for entry in case.entries if entry[0] != removed]
    before = answers(case.entries, case.probes, threshold, len(NAMES), margin)
    after = answers(left, case.probes, threshold, len(NAMES), margin)
    for old, new in zip(before, after, strict=True):
        assert new.candidates == tuple(person for person in old.candidates if person.identity != removed)
        if old.identity not in (None, removed):
            assert (new.identity, new.reason, new.distance) == (old.identity, old.reason, old.distance)
        if old.identity is None and new.identity is not None:
            assert old.reason == "ambiguous"
            assert removed in [person.identity for person in old.candidates[:2]]
    # Without a margin no unknown depends on who else is there, however few candidates are listed.
    few = zip(
        answers(case.entries, case.probes, threshold, people),
        answers(left, case.probes, threshold, people),
        strict=True,
    )
    assert all(new.identity == old.identity for old, new in few if old.identity != removed)


@many
@given(CASES, THRESHOLDS, THRESHOLDS, st.floats(0, 2))
def test_raising_the_threshold_turns_no_match_into_another_name(
    case: Case, one: float, other: float, margin: float
) -> None:
    low = answers(case.entries, case.probes, min(one, other), margin=margin)
    high = answers(case.entries, case.probes, max(one, other), margin=margin)
    for strict, loose in zip(low, high, strict=True):
        assert strict.identity in (None, loose.identity)
        assert strict.candidates == loose.candidates


@many
@given(CASES, THRESHOLDS, PEOPLE)
# The nearest template is one person's, most of the near ones are another's.
@example(Case([("a", (1, 0, 0)), *[("b", (1, 0.2, 0))] * 9], unit([(1, 0.05, 0)])), 0.1, 5)
def test_gate_and_name_are_the_same_person(case: Case, threshold: float, people: int) -> None:
    enrolled = templates(case.entries)
    for probe, answer in zip(case.probes, answers(case.entries, case.probes, threshold, people), strict=True):
        distances = np.linalg.norm(enrolled.vectors.astype(np.float64) - probe.astype(np.float64), axis=1)
        within = set(enrolled.identities[distances <= threshold + ROUNDING])
        surely_within = set(enrolled.identities[distances <= threshold - ROUNDING])
        if answer.identity is None:
            assert not surely_within
        else:
            own = distances[enrolled.identities == answer.identity].min()
            assert answer.identity in within
            assert own == pytest.approx(answer.distance, abs=ROUNDING)
            assert own <= distances.min() + ROUNDING


PHOTOS = [(f"p{person:02d}", f"{photo}.png") for person in range(5) for photo in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five people with three photos each; the first photo of each is not enrolled."""
    return save_people(tmp_path_factory.mktemp("photos"), 5, 3, side=16)


def answers_from_files(
    folder: Path, gallery: Path, order: list[tuple[str, str]], batch_size: int
) -> dict[str, PhotoResult]:
    toy = ToyExtractor()
    with Gallery.open(gallery, toy) as opened:
        for name, photo in order:
            if photo != "0.png":
                opened.enroll(name, [folder / name / photo])
        identifier = Identifier(toy, opened, config=IdentifyConfig(batch_size=batch_size))
        probes = [folder / name / photo for name, photo in order]
        return {answer.photo: answer for answer in identifier.identify_many(probes)}


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PhotoResult]:
    return answers_from_files(folder, tmp_path_factory.mktemp("expected") / "gallery.db", PHOTOS, 100)


def test_photos_on_disk_find_themselves(folder: Path, expected: dict[str, PhotoResult]) -> None:
    for name, photo in PHOTOS:
        (face,) = expected[str(folder / name / photo)].faces
        assert face.decision.identity == name
        assert (face.decision.distance == 0.0) == (photo != "0.png")


@settings(deadline=None, max_examples=8)
@given(st.permutations(PHOTOS), st.integers(1, 16))
def test_order_and_batch_of_photos_change_no_answer(
    folder: Path,
    expected: dict[str, PhotoResult],
    tmp_path_factory: pytest.TempPathFactory,
    order: list[tuple[str, str]],
    batch_size: int,
) -> None:
    gallery = tmp_path_factory.mktemp("gallery") / "gallery.db"
    found = answers_from_files(folder, gallery, order, batch_size)
    assert {photo: to_json(answer) for photo, answer in found.items()} == {
        photo: to_json(answer) for photo, answer in expected.items()
    }
