"""What may be handed to the doctor: arrays, a calibration, and what searches them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.errors import UsageError
from enroll.calibration import calibrate
from enroll.doctor.examine import Examination, examine
from enroll.search.base import Matches
from enroll.search.exact import ExactIndex
from tests.enroll.doctor.people import examined, labeled_of, made_people, templates_of


def without_names(found: Examination) -> tuple[object, ...]:
    return (
        found.duplicates,
        found.judged.mislabeled,
        found.lookalikes,
        found.near,
        found.few,
        found.forecast,
        found.notes,
    )


def some_wrong() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    vectors, labels = made_people(20, 5, noise=0.3)
    labels[[3, 40]] = 12, 1
    return vectors, labels


def test_labels_are_names_or_numbers_and_ids_are_rows_unless_they_are_given():
    vectors, labels = some_wrong()
    plain, named = examine(vectors, labels), examined(vectors, labels)
    assert {photo.row for photo in plain.judged.mislabeled} >= {3, 40}
    assert without_names(plain) == without_names(named)
    assert plain.templates.names == tuple(map(str, range(20)))
    assert plain.templates.ids.tolist() == list(range(100))
    assert named.templates.names[1] == "p01" and named.templates.ids[1] == 6


def test_a_calibration_counts_and_why_it_is_in_doubt_is_said():
    vectors, labels = some_wrong()
    promise = calibrate(vectors, labels, 0.2)
    found = examine(vectors, labels, calibration=promise, warning="grown").forecast
    assert found is not None
    assert (found.calibrated, found.threshold, found.warning) == (True, promise.distance, "grown")


def test_what_searches_is_asked_for_the_templates():
    class Asked(ExactIndex):
        asked = 0

        def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
            self.asked += len(queries)
            return super().nearest(queries, count)

    labeled = labeled_of(*some_wrong())
    search_index = Asked(templates_of(labeled))
    found = examine(labeled.vectors, labeled.labels, ids=labeled.ids, search_index=search_index)
    assert search_index.asked == 100
    assert without_names(found) == without_names(examined(*some_wrong()))


def test_what_is_no_gallery_is_refused():
    vectors, labels = made_people(4, 3)
    for wrong in (
        (vectors[:, 0], labels),
        (vectors, labels[1:]),
        (vectors, labels[:, None]),
        (vectors[:0], labels[:0]),
    ):
        with pytest.raises(ValueError, match=r"expected \(n, dim\) vectors and .*, got "):
            examine(*wrong)
    with pytest.raises(ValueError, match=r"got \(12, 32\) and \(11,\)"):
        examine(vectors, labels, ids=np.arange(11))
    with pytest.raises(ValueError, match=r"got \(12, 32\) and \(11,\)"):
        examine(vectors, labels[1:], ids=np.arange(11))
    with pytest.raises(ValueError, match=r"got \(11, 32\) and \(12,\)"):
        examine(vectors[1:], labels, ids=np.arange(12))
    wrong_rows = [(2.0, ValueError, "vectors: expected rows of length 1"), (np.nan, UsageError, "not finite")]
    for number, error, message in wrong_rows:
        broken = vectors.copy()
        broken[3] *= number
        with pytest.raises(error, match=message):
            examine(broken, labels)
    for ids in (np.arange(12)[::-1], np.minimum(np.arange(12), 10)):
        with pytest.raises(ValueError, match="ids: expected rising numbers"):
            examine(vectors, labels, ids=ids)
