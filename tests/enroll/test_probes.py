"""What a calibration searches for, and what it searches."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.strangers import StrangerDistances
from enroll.near_people import NearPeople
from enroll.probes import Probes, Searches
from tests.enroll.test_calibration import people

KNOWN = StrangerDistances(0.3, 0.03, -2.3, 0.1, -0.3, 0.2, 0.02, 0.01, 0.03, 6.0, 10, 100, 4)


def test_what_is_known_depends_on_the_geometric_mean_of_the_photos() -> None:
    vectors, _ = people(3, 3)
    found = Probes.of(vectors, np.repeat([0, 1, 2], [1, 2, 6])).prior(KNOWN)
    expected = KNOWN.prior(3, 12 ** (1 / 3))
    assert found is not None
    np.testing.assert_allclose(found.values, expected.values)
    np.testing.assert_allclose(found.covariance, expected.covariance)


def test_photos_that_are_set_aside_are_neither_searched_for_nor_searched() -> None:
    """Two of the first person, and one of each of two strangers, of whom the first photo is one."""
    vectors, labels = people(4, 3)
    others, whose = people(2, 2, seed=1)
    everything = Probes.of(vectors, labels, others, whose)
    near = tuple(
        NearPeople(first, 3, "photo", ((row, 9, 0.1),), odd=row)
        for first, row in ((0, 1), (0, 2), (4, 12), (5, 14))
    )
    found = Searches.of(everything, (*near, NearPeople(1, 2, "people", ((3, 6, 0.1),))))
    templates = np.delete(vectors, [1, 2], axis=0)
    np.testing.assert_array_equal(found.templates, templates)
    np.testing.assert_array_equal(found.probes, np.concatenate([templates, others[[1, 3]]]))
    assert found.labels.tolist() == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert found.owners.tolist() == [*found.labels.tolist(), 4, 5]
    cells = sorted(zip(found.left_out.rows.tolist(), found.left_out.people.tolist(), strict=True))
    own = list(enumerate(found.labels.tolist()))
    assert cells == sorted([*own, *((row, 2) for row in (1, 2, 3)), *((row, 1) for row in (4, 5, 6))])


@pytest.mark.parametrize("broken", [0, 1])
def test_a_vector_that_is_not_finite_is_refused(broken: int) -> None:
    """Of a template or of a stranger, one number of one vector."""
    given = [people(4, 3), people(2, 2, seed=1)]
    given[broken][0][1, 2] = np.nan
    (vectors, labels), (others, whose) = given
    with pytest.raises(UsageError, match=r"^calibrating: a vector is not finite"):
        Probes.of(vectors, labels, others, whose)


def test_of_many_photos_some_are_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enroll.probes._MOST_SEARCHES", 5)
    everything = Probes.of(*people(4, 3))
    found = Searches.of(everything, ())
    drawn = np.sort(np.random.default_rng(0).permutation(12)[:5])
    np.testing.assert_array_equal(found.probes, everything.vectors[drawn])
    assert found.owners.tolist() == everything.owners[drawn].tolist()
    assert len(found.templates) == len(found.labels) == 12
    assert (Searches.of(everything, (), seed=1).probes != found.probes).any()
