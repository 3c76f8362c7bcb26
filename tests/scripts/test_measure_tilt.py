from __future__ import annotations

from pathlib import Path

import measure_tilt
import numpy as np
import pytest

from embedder import load_image
from embedder.faces import search
from embedder.faces.detection import Detection


@pytest.mark.parametrize("degrees", [0, 30, 75])
def test_points_are_laid_back_onto_the_head(degrees: float) -> None:
    """A head is black but for a spot; where the spot lies in the photo is a point of the face."""
    heads = np.full((1, 112, 92), 1, np.uint8)
    heads[0, 68:73, 28:33] = 255
    ((photo, truths),) = measure_tilt.composed(heads, 80, degrees, 1)
    assert [abs(truth.degrees) for truth in truths] == [degrees] * measure_tilt.PER_PHOTO
    for truth in truths:
        near = np.hypot(*(np.indices(photo.shape[:2]).T - truth.center[::-1]).T) < 0.4 * truth.width
        y, x = (rows.mean() for rows in np.nonzero(near & (photo[:, :, 0] > 200)))
        face = Detection((0.0, 0.0, 1.0, 1.0), np.tile([x, y], (5, 1)), 1.0)
        np.testing.assert_allclose(measure_tilt._laid_back(face, truth), 30 + 70j, atol=1.0)


def test_looks_are_changed_while_placing_and_put_back() -> None:
    before = search._SHARES, search._SIDES, search._TURNS
    assert before == measure_tilt.LOOKS["4 looks, turned"]
    with measure_tilt.placing(*measure_tilt.LOOKS["1 look"]):
        assert (search._SHARES, search._SIDES, search._TURNS) == ((0.5,), (False,), 0)
    assert before == (search._SHARES, search._SIDES, search._TURNS)


def test_figures_of_one_photo(orl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_tilt, "TILTS", (0,))
    heads = np.stack([load_image(file)[:, :, 0] for file in sorted(orl.rglob("*.p*"))[:40]])
    assert measure_tilt.measure_found(heads, 80, 1) == {"pixels across": 80, "0°": "4/4", "false": 0}


def test_share_that_is_no_nearer_than_others() -> None:
    distances = np.array([[np.nan, 0.1, 1.0, 2.0], [0.1, np.nan, 2.0, 2.0], [1.0, 2.0, np.nan, 1.9]])
    same = np.array([[True, True, False, False], [True, True, False, False], [False, False, True, True]])
    assert measure_tilt._share(distances, same) == "33.33 %"  # 1.9 is beyond what 1 % of the others are
