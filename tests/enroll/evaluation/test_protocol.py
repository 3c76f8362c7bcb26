from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedder.errors import UsageError
from enroll.config import EvaluationConfig
from enroll.evaluation.analysis import mistakes, probable_duplicates
from enroll.evaluation.protocol import Evaluation, evaluate_samples
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return made_evaluation(made_folder(no_face=(3, 20), poor=(10, 50)))


def once(evaluation: Evaluation) -> np.ndarray:
    return np.ones((1, len(evaluation.samples.identities)))


def test_splits_are_disjoint_and_leave_no_photo_out(evaluation: Evaluation) -> None:
    labels = evaluation.samples.labels
    for split in evaluation.splits:
        assert len(split.known) == 6
        assert not set(labels[split.non_mated]) & set(split.known)
        rows = np.concatenate([split.enrolled, split.mated, split.non_mated])
        assert sorted(rows) == list(range(len(labels)))
        assert (np.bincount(labels[split.enrolled], minlength=12)[split.known] == 3).all()
    assert len({tuple(split.known) for split in evaluation.splits}) > 1


def test_searches_are_what_plain_loops_give(evaluation: Evaluation) -> None:
    folder = evaluation.samples
    for split in evaluation.splits:
        gallery = [row for row in split.enrolled if folder.enrollable[row]]
        for probes, distances, seconds, nearest in (
            (split.mated, split.distance, split.second, split.nearest),
            (split.non_mated, split.other_distance, split.other_second, split.other_nearest),
        ):
            for index, probe in enumerate(probes):
                if not folder.found[probe]:
                    assert (distances[index], nearest[index]) == (np.inf, -1)
                    continue
                away = {row: np.linalg.norm(folder.vectors[row] - folder.vectors[probe]) for row in gallery}
                people = sorted(
                    min(away[row] for row in gallery if folder.labels[row] == person)
                    for person in {folder.labels[row] for row in gallery}
                )
                assert distances[index] == pytest.approx(people[0], abs=1e-6)
                assert seconds[index] == pytest.approx(people[1], abs=1e-6)
                assert away[nearest[index]] == pytest.approx(people[0], abs=1e-6)


def test_rank_counts_people_who_are_nearer(evaluation: Evaluation) -> None:
    folder = evaluation.samples
    split = evaluation.splits[0]
    gallery = split.enrolled[folder.enrollable[split.enrolled]]
    for index, probe in enumerate(split.mated):
        if not folder.found[probe]:
            assert split.rank[index] == np.inf
            continue
        away = np.linalg.norm(folder.vectors[gallery] - folder.vectors[probe], axis=1)
        nearest = {person: away[folder.labels[gallery] == person].min() for person in split.known}
        own = nearest[folder.labels[probe]]
        assert split.rank[index] == sum(value <= own for value in nearest.values())


def slow_tpir(evaluation: Evaluation, fpir: float, weights: np.ndarray) -> float:
    """Every search as often as its person was drawn, one after another."""
    labels, shares = evaluation.samples.labels, []
    for split in evaluation.splits:
        strangers = sorted(
            distance
            for row, distance in zip(split.non_mated, split.other_distance, strict=True)
            for _ in range(int(weights[labels[row]]))
        )
        allowed = int(np.floor(fpir * len(strangers) + 1e-9))
        limit = strangers[allowed] if allowed < len(strangers) else np.inf
        hits = total = 0
        for row, rank, distance in zip(split.mated, split.rank, split.distance, strict=True):
            times = int(weights[labels[row]])
            total += times
            hits += times * (rank == 1 and distance < limit)
        if total:
            shares.append(hits / total)
    return float(np.mean(shares))


@pytest.mark.parametrize("fpir", [0.01, 0.05, 0.1, 0.5, 1.0])
def test_tpir_is_what_plain_loops_give(evaluation: Evaluation, fpir: float) -> None:
    weights = evaluation.weights()[:6]
    found = evaluation.tpir_replicates(fpir, np.concatenate([once(evaluation), weights]))
    expected = [slow_tpir(evaluation, fpir, row) for row in np.concatenate([once(evaluation), weights])]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_photo_without_a_face_is_a_miss() -> None:
    whole, blind = made_folder(noise=0.01), made_folder(noise=0.01, no_face=tuple(range(0, 72, 6)))
    config = EvaluationConfig(splits=30, replicates=20)
    assert evaluate_samples(whole, config).rank(1).value == 1.0
    # One of six photos of each shows no face; three are enrolled, three searched for.
    assert evaluate_samples(blind, config).rank(1).value == pytest.approx(5 / 6, abs=0.03)


def test_poor_photos_are_searched_for_but_not_enrolled() -> None:
    folder = made_folder(noise=0.01, poor=tuple(range(6)))
    found = evaluate_samples(folder, EvaluationConfig(splits=10, replicates=20))
    for split in found.splits:
        of_first = folder.labels[split.mated] == 0
        assert (split.rank[of_first] == np.inf).all()  # no photo of theirs could be enrolled
        assert np.isfinite(split.distance[of_first]).all()
        assert (split.rank[~of_first] == 1).all()


def test_the_same_seed_gives_the_same_searches_for_another_model(evaluation: Evaluation) -> None:
    other = made_folder(noise=0.1)
    again = evaluate_samples(other, evaluation.config)
    for one, two in zip(evaluation.splits, again.splits, strict=True):
        np.testing.assert_array_equal(one.mated, two.mated)
        np.testing.assert_array_equal(one.enrolled, two.enrolled)
        np.testing.assert_array_equal(one.non_mated, two.non_mated)
    assert not np.array_equal(
        evaluate_samples(other, replace(evaluation.config, seed=4)).splits[0].known, again.splits[0].known
    )


def test_what_the_searches_cannot_support_says_what_it_takes(evaluation: Evaluation) -> None:
    assert evaluation.non_mated_searches == 36
    assert evaluation.tpir(0.01).needed == "100 non-mated searches a split"
    assert evaluation.tpir(0.001).needed == "1000 non-mated searches a split"
    assert evaluation.tpir(1 / 36).needed is None
    assert evaluation.rank(7).needed == "7 enrolled people"
    assert evaluation.tpir(0.01).value is None


def test_intervals_hold_the_figure_and_shrink_with_people() -> None:
    few, many = (
        made_evaluation(made_folder(people, 4, noise=0.8), splits=10, replicates=400).rank(1)
        for people in (10, 60)
    )
    for figure in (few, many):
        assert figure.low < figure.value < figure.high
    assert many.high - many.low < few.high - few.low


def test_all_right_is_not_certain() -> None:
    figure = made_evaluation(made_folder(12, noise=0.01)).rank(1)
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert figure.low == pytest.approx(0.025 ** (1 / 12))  # twelve people, all right


@pytest.mark.parametrize(("enrolled", "expected"), [(1, 1), (5, 5), (100, 5)])
def test_photos_enrolled_per_person(enrolled: int, expected: int) -> None:
    split = evaluate_samples(made_folder(), EvaluationConfig(splits=1, enrolled=enrolled)).splits[0]
    assert len(split.enrolled) == expected * len(split.known)


def test_confidence_is_as_often_right_as_it_says() -> None:
    measured = made_evaluation(made_folder(40, 10, noise=0.3), splits=10).reliability()
    assert measured is not None
    assert measured.error < 0.05
    assert list(measured.confidence) == sorted(measured.confidence)


@pytest.mark.parametrize(
    ("people", "photos", "words"),
    [(1, 5, "got 1 person, 1 of them"), (2, 5, "got 2 people"), (8, 1, "got 8 people, 0 of them")],
)
def test_too_little_to_evaluate(people: int, photos: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        evaluate_samples(made_folder(people, photos), EvaluationConfig())


def test_nothing_to_enroll() -> None:
    with pytest.raises(UsageError, match="no photo can be enrolled; the first: no face found"):
        evaluate_samples(made_folder(4, 3, no_face=tuple(range(12))), EvaluationConfig())


def test_vectors_that_are_not_finite() -> None:
    folder = made_folder()
    folder.vectors[[4, 9]] = np.nan
    with pytest.raises(UsageError, match=r"4\.png: its vector is not finite, like those of 1 more"):
        replace(folder)


def test_all_photos_the_same() -> None:
    folder = made_folder(6, 4)
    same = replace(folder, vectors=np.tile(folder.vectors[:1], (24, 1)))
    found = evaluate_samples(same, EvaluationConfig(splits=3, replicates=20))
    assert found.rank(1).value == 0.0  # ties count against the right person
    assert found.tpir(0.5).value == 0.0


def test_mistakes_are_counted(evaluation: Evaluation) -> None:
    people, photos = mistakes(evaluation, 0.1)
    folder = evaluation.samples
    missed = attracted = 0
    for split in evaluation.splits:
        limit = split.limit(0.1)
        for rank, distance, nearest in zip(split.rank, split.distance, split.nearest, strict=True):
            missed += rank != 1 or distance >= limit
            attracted += rank != 1 and distance < limit and nearest >= 0
        attracted += sum(distance < limit for distance in split.other_distance)
    assert sum(entry.missed for entry in people) == missed
    assert sum(entry.attracted for entry in people) == attracted
    assert sum(entry.wrong for entry in photos) == missed + sum(
        (split.other_distance < split.limit(0.1)).sum() for split in evaluation.splits
    )
    assert people == sorted(people, key=lambda entry: -(entry.missed + entry.attracted))
    blind = [entry for entry in photos if not folder.found[entry.row]]
    assert all((entry.nearest, entry.named) == (-1, 0) for entry in blind)


def test_no_mistakes() -> None:
    assert mistakes(made_evaluation(made_folder(noise=0.01)), 0.001) == ([], [])


def test_a_person_in_two_folders_is_found() -> None:
    folder = made_folder(12, 6, noise=0.15)
    assert probable_duplicates(folder) == []
    labels = folder.labels.copy()
    labels[[0, 1, 2]] = 12
    twice = replace(folder, labels=labels, identities=(*folder.identities, "again"))
    ((first, second, distance),) = probable_duplicates(twice)
    assert {first, second} == {"p00", "again"}
    assert 0 < distance < 0.4


def test_duplicates_of_people_with_one_photo_each_are_not_guessed() -> None:
    assert probable_duplicates(made_folder(12, 1)) == []
