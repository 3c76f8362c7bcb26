"""The methods that are compared give what they are meant to."""

from __future__ import annotations

import bench_classifiers as bench
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from enroll.config import EvaluationConfig
from enroll.evaluation.protocol import evaluate_samples
from tests.enroll.doctor.people import made_people
from tests.enroll.evaluation.evaluations import made_folder

VECTORS, LABELS = made_people(12, 6, noise=0.1)
KNOWN, STRANGERS = LABELS < 8, VECTORS[LABELS >= 8]


@pytest.mark.parametrize("kind", bench.KINDS, ids=lambda kind: kind.name)
def test_each_names_the_known_and_scores_strangers_worse(kind: bench.Kind) -> None:
    with threadpool_limits(1):
        for setting, method in kind.settings():
            names, scores = method(VECTORS[KNOWN], LABELS[KNOWN], VECTORS[KNOWN])
            _, others = method(VECTORS[KNOWN], LABELS[KNOWN], STRANGERS)
            assert np.array_equal(names, LABELS[KNOWN]), setting
            assert np.median(scores) < np.median(others), setting


def test_ours_is_the_evaluation_and_a_blind_method_finds_nothing() -> None:
    folder, config = made_folder(no_face=(3,)), EvaluationConfig(splits=3, replicates=20)
    base = evaluate_samples(folder, config)
    with threadpool_limits(1):
        assert bench.searched(base, bench.ours).tpir(0.1) == base.tpir(0.1)
    blind = bench.searched(
        base, lambda vectors, labels, queries: (labels[:1].repeat(len(queries)), np.zeros(len(queries)))
    )
    assert blind.tpir(0.1).value == 0


def test_the_table_shows_the_best_setting_of_each() -> None:
    row = {
        "tpir_low": 0.1,
        "tpir_high": 0.9,
        "needed": None,
        "rank1": 0.8,
        "difference_low": -0.2,
        "difference_high": 0.1,
    }
    rows = [
        {"method": "a", "setting": "", "tpir": 0.5, **row},
        {"method": "b", "setting": "k 1", "tpir": 0.4, **row},
        {"method": "b", "setting": "k 3", "tpir": 0.6, **row},
    ]
    lines = bench.table(rows).splitlines()
    assert lines[2:] == [
        "| a | 0.500 (0.100 to 0.900) |  | 0.800 |",
        "| b (k 3) | 0.600 (0.100 to 0.900) | -0.200 to +0.100 | 0.800 |",
    ]
