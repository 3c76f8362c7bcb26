"""The day that tests write into galleries: a run may begin on one day and end on the next."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from tests.conftest import day_that_lasts


@pytest.mark.parametrize(
    ("moment", "waited", "day"),
    [
        (datetime(2026, 11, 29, 23, 59, 30), 31.0, date(2026, 11, 30)),
        (datetime(2026, 12, 31, 23, 58, 1), 120.0, date(2027, 1, 1)),
        (datetime(2026, 11, 29, 23, 57, 59), 0.0, date(2026, 11, 29)),
        (datetime(2026, 11, 30, 0, 0, 0), 0.0, date(2026, 11, 30)),
    ],
)
def test_a_day_that_is_about_to_end_is_waited_for(moment: datetime, waited: float, day: date) -> None:
    slept: list[float] = []
    assert day_that_lasts(lambda: moment + timedelta(seconds=sum(slept)), slept.append) == day
    assert sum(slept) == waited
