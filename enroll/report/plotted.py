"""Draw the plots of the report, each with a sentence that says how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from enroll.evaluation.analysis import fpir_by_size
from enroll.report import plots
from enroll.report.page import Plot
from enroll.report.svg import percent

if TYPE_CHECKING:
    from enroll.evaluation.protocol import Evaluation
    from enroll.evaluation.samples import EmbeddedSamples


@dataclass(frozen=True)
class Plots:
    """Holds plots of half a page each, and two of a quarter."""

    large: tuple[Plot, ...]
    small: tuple[Plot, ...]


def plotted(evaluation: Evaluation[EmbeddedSamples], fpir: float, threshold: float | None) -> Plots:
    """Draw all plots that the searches allow.

    Args:
        evaluation: the searches.
        fpir: to be marked in the plots.
        threshold: the model's own, or None.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    limit = plots.median_limit(evaluation, fpir)
    large = [_det(evaluation, fpir), _distances(evaluation, fpir, threshold, limit)]
    fixed = limit if threshold is None else float(np.nextafter(threshold, np.inf))  # a match at the threshold
    if np.isfinite(fixed):
        large.append(_by_size(evaluation, fpir, fixed, "median" if threshold is None else "model's own"))
    small = [_cmc(evaluation)]
    if (reliability := evaluation.reliability()) is not None:
        text = (
            "On the dashed line, of names given with 80 % confidence 80 % are right; below it the confidence "
            "is too high. The larger a point, the more answers it stands for."
        )
        small.insert(0, Plot("Is the confidence right?", plots.calibration(reliability), text))
    return Plots(tuple(large), tuple(small))


def _det(evaluation: Evaluation[EmbeddedSamples], fpir: float) -> Plot:
    text = (
        "Along the line the threshold grows: more strangers are given a name (to the right) and fewer known "
        "people are missed (down). The lower on the left, the better."
    )
    return Plot("Strangers named, known people missed", plots.det(plots.det_curve(evaluation), fpir), text)


def _distances(
    evaluation: Evaluation[EmbeddedSamples], fpir: float, threshold: float | None, limit: float
) -> Plot:
    found = plots.distances(evaluation)
    lines = {f"for FPIR {percent(fpir)}: {limit:.3f}": limit}
    if threshold is not None:
        lines = {f"the model's: {threshold:.3f}": threshold, **lines}
    text = (
        "What is nearer than a threshold is given a name: the right one in the first row, a wrong one in the "
        "other two. Each row has a height of its own."
    )
    if found.without:
        text += f" Not drawn: {count(found.without, 'search', ',')} without a face."
    return Plot("How near the nearest template is", plots.histograms(found, lines), text)


def _by_size(evaluation: Evaluation[EmbeddedSamples], fpir: float, fixed: float, whose: str) -> Plot:
    text = (
        f"With the threshold fixed at {fixed:.3f} ({whose}), strangers are named more often the more people "
        "are enrolled. Dashed: if all comparisons were independent. Above the dotted line, a smaller "
        "threshold is needed."
    )
    return Plot("More people, more false names", plots.by_size(fpir_by_size(evaluation, fixed), fpir), text)


def _cmc(evaluation: Evaluation[EmbeddedSamples]) -> Plot:
    text = (
        "How often the right person is among the k nearest, whatever the distance: for a person who chooses."
    )
    return Plot("Short lists", plots.cmc(plots.cmc_curve(evaluation)), text)
