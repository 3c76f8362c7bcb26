"""The FPIR to expect at one threshold as a gallery grows.

A calibration bounds the FPIR f of a gallery of N people by independent people (`enroll.calibration`), each of
whom a stranger comes near enough to with one probability p: f = 1 - (1 - p)^N. So at M people, and the same
threshold, it is at most 1 - (1 - f)^(M / N), as sure as the calibration is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.calibration import calibrate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.doctor.crowd import Crowd
    from enroll.promise import Calibration

_TARGET = 0.01  # FPIR to calibrate for if the gallery is not calibrated
_MOST_PEOPLE = 500  # drawn at random for that; more add little but time
_TIMES = (1, 2, 5, 10, 100)  # as many people as now


@dataclass(frozen=True)
class Growth:
    """What a threshold promises for galleries of several sizes.

    Attributes:
        threshold: largest distance at which a name is given.
        calibrated: it is the gallery's own; else the one that calibrating for FPIR 1 % would give, about.
        warning: why the calibration is in doubt, or None.
        people: sizes, rising; the first is the gallery's own.
        fpir: at most, for each size.
    """

    threshold: float
    calibrated: bool
    warning: str | None
    people: tuple[int, ...]
    fpir: tuple[float, ...]


def expect(
    crowd: Crowd, kept: NDArray[np.bool_], calibration: Calibration | None, warning: str | None
) -> Growth:
    """Say what FPIR to expect.

    Args:
        crowd: the templates.
        kept: (n,) photos that are not suspected of showing someone else.
        calibration: the gallery's own, if it has one.
        warning: why that is in doubt.

    Raises:
        UsageError: there is none, and too few people to make one.
    """
    now = len(crowd.names)
    if calibration is not None:
        promise = calibration.promise
        threshold, target, size = promise.distance, promise.target_fpir, promise.identities
    else:
        drawn = np.random.default_rng(0).permutation(now)[:_MOST_PEOPLE]
        rows = np.flatnonzero(kept & np.isin(crowd.labels, drawn))
        size = len(np.unique(crowd.labels[rows]))
        target = fpir_at(_TARGET, now, max(size, 1))
        threshold = calibrate(crowd.vectors[rows], crowd.labels[rows], target).distance
    people = tuple(times * now for times in _TIMES)
    fpir = tuple(fpir_at(target, size, count) for count in people)
    return Growth(threshold, calibration is not None, warning, people, fpir)


def fpir_at(fpir: float, people: int, others: int) -> float:
    """Give the FPIR in a gallery of `others` people at the threshold that gives `fpir` in one of `people`."""
    return float(-np.expm1(others / people * np.log1p(-fpir)))
