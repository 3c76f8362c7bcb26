"""Searches by the scores of a scorer, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from enroll.confidence import FARTHEST
from enroll.evaluation.searches import Found, search_by_scorer
from enroll.scoring import get_scorer
from tests.enroll.evaluation.evaluations import made_folder

FOLDER = made_folder(8, 5, noise=0.8, no_face=(4,))
PROBES = np.array([2, 3, 4, 7, 12, 18, 22, 27, 33, 38])  # 4 shows no face
FIELDS = ("rank", "distance", "second", "nearest")


def searched(scorer: str, gallery: list[int]) -> Found:
    return search_by_scorer(get_scorer(scorer), FOLDER, PROBES, np.array(gallery, np.int64))


@pytest.mark.parametrize("scorer", ["nearest", "mean", "margin"])
@pytest.mark.parametrize("people", [2, 6])
def test_scores_stand_for_distances(scorer: str, people: int) -> None:
    gallery = [row for row in range(5 * people) if row % 5 < 2]  # two photos of each
    found = searched(scorer, gallery)
    fitted = get_scorer(scorer).fit(FOLDER.vectors[gallery], FOLDER.labels[gallery])
    for place, probe in enumerate(PROBES.tolist()):
        got = [float(getattr(found, name)[place]) for name in FIELDS]
        if not FOLDER.found[probe]:
            assert got == [np.inf, np.inf, np.inf, -1]
            continue
        scores = dict(zip(fitted.people.tolist(), fitted.scores(FOLDER.vectors[[probe]])[0], strict=True))
        first, second = sorted(scores, key=lambda person: scores[person])[:2]
        own = scores.get(int(FOLDER.labels[probe]))
        rank = np.inf if own is None else sum(score <= own for score in scores.values())
        apart = {
            row: np.linalg.norm(FOLDER.vectors[row] - FOLDER.vectors[probe])
            for row in gallery
            if FOLDER.labels[row] == first
        }
        assert got == [rank, scores[first], scores[second], min(apart, key=lambda row: apart[row])]


def test_one_person_has_no_second_and_without_anyone_nothing_is_found() -> None:
    alone, nothing = searched("mean", [0, 1]), searched("mean", [])
    faces = FOLDER.found[PROBES]
    assert alone.rank.tolist() == [1, 1, *[np.inf] * 8]
    assert (alone.second[faces] == FARTHEST).all() and set(alone.nearest[faces]) == {0, 1}
    for name in FIELDS[:3]:
        assert np.isinf(getattr(nothing, name)).all()
    assert (nothing.nearest == -1).all()
