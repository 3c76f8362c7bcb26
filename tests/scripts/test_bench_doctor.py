from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.slow
def test_wrong_photos_of_orl_are_found(tmp_path: Path):
    """5 % of the labels swapped: at least 90 % are found, with at most 2 % false alarms."""
    from bench_doctor import measured
    from prove_calibration import embed_orl

    conditions, _ = embed_orl(tmp_path)
    row = measured("aligned faces", *conditions["aligned faces"], 10, 3)
    assert row["wrong"] == 60
    assert row["found"] >= 0.9 * row["wrong"]
    assert row["alarms"] <= 0.02 * row["right"]
    assert row["clean_alarms"] <= 0.02 * row["clean"]
