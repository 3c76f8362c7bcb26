"""Who is taken for whom."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from enroll.evaluation.analysis import confusions
from enroll.evaluation.protocol import Evaluation
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder


def counted(evaluation: Evaluation, fpir: float) -> dict[tuple[str, str], tuple[int, int, int, int, float]]:
    folder = evaluation.samples
    times: dict[tuple[int, int], list[tuple[float, int, int]]] = defaultdict(list)
    searches: dict[tuple[int, int], int] = defaultdict(int)
    for split in evaluation.splits:
        limit = split.limit(fpir)
        probes = [*zip(split.mated, split.distance, split.nearest, strict=True)]
        probes += [*zip(split.non_mated, split.other_distance, split.other_nearest, strict=True)]
        for probe, distance, nearest in probes:
            who = int(folder.labels[probe])
            for other in split.known:
                searches[who, int(other)] += 1
            if distance < limit and folder.labels[nearest] != who:
                times[who, int(folder.labels[nearest])].append((float(distance), int(probe), int(nearest)))
    return {
        (folder.identities[who], folder.identities[whom]): (
            len(events),
            searches[who, whom],
            min(events)[1],
            min(events)[2],
            min(events)[0],
        )
        for (who, whom), events in times.items()
    }


@pytest.mark.parametrize("fpir", [0.1, 0.3])
def test_same_as_counted(fpir: float):
    evaluation = made_evaluation(made_folder(noise=0.7, no_face=(5, 40), poor=(7,)))
    found = confusions(evaluation, fpir)
    assert len(found) > 3
    assert {
        (entry.identity, entry.named): (
            entry.times,
            entry.searches,
            entry.probe,
            entry.template,
            entry.distance,
        )
        for entry in found
    } == counted(evaluation, fpir)
    keys = [(-entry.times, entry.distance) for entry in found]
    assert keys == sorted(keys)


def test_none():
    assert confusions(made_evaluation(made_folder(noise=0.01)), 0.0) == []


def test_a_photo_in_the_wrong_folder_comes_first():
    folder = made_folder(noise=0.05)
    folder.vectors[0] = folder.vectors[8]  # the first person's folder holds a photo of the second
    worst = confusions(made_evaluation(folder, splits=20), 0.05)[0]
    assert {worst.identity, worst.named} == {"p00", "p01"}
    assert 0 in (worst.probe, worst.template)
    assert worst.distance == pytest.approx(0, abs=0.1)
    assert np.isfinite(worst.distance)
