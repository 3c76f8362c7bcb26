"""The plots of the report, each with a sentence that says how to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from enroll.evaluation.analysis import fpir_by_size
from enroll.report import plots
from enroll.report import plots as plots_module
from enroll.report.page import Html, tag

if TYPE_CHECKING:
    from enroll.evaluation.protocol import Evaluation
    from enroll.evaluation.samples import EmbeddedSamples


def plotted(evaluation: Evaluation[EmbeddedSamples], fpir: float, threshold: float | None) -> Html:
    """Draw all plots that the searches allow.

    Args:
        evaluation: the searches.
        fpir: is marked in the plots.
        threshold: the model's own, or None.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    limit = plots_module.median_limit(evaluation, fpir)
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
        small.insert(0, _plot("Is the confidence right?", plots.calibration(reliability), text))
    return tag("div", *large, tag("div", *small, class_="small"), class_="plots")


def _det(evaluation: Evaluation[EmbeddedSamples], fpir: float) -> Html:
    text = (
        "Along the line the threshold grows: more strangers are given a name (to the right) and fewer known "
        "people are missed (down). The lower on the left, the better."
    )
    return _plot(
        "Strangers named, known people missed", plots.det(plots_module.det_curve(evaluation), fpir), text
    )


def _distances(
    evaluation: Evaluation[EmbeddedSamples], fpir: float, threshold: float | None, limit: float
) -> Html:
    found = plots_module.distances(evaluation)
    lines = {f"for FPIR {plots.percent(fpir)}: {limit:.3f}": limit}
    if threshold is not None:
        lines = {f"the model's: {threshold:.3f}": threshold, **lines}
    text = (
        "What is nearer than a threshold is given a name: the right one in the first row, a wrong one in the "
        "other two. Each row has a height of its own."
    )
    if found.without:
        text += f" Not drawn: {count(found.without, 'search', ',')} without a face."
    return _plot("How near the nearest template is", plots.histograms(found, lines), text)


def _by_size(evaluation: Evaluation[EmbeddedSamples], fpir: float, fixed: float, whose: str) -> Html:
    text = (
        f"With the threshold fixed at {fixed:.3f} ({whose}), strangers are named more often the more people "
        "are enrolled. Dashed: if all comparisons were independent. Above the dotted line, a smaller "
        "threshold is needed."
    )
    return _plot("More people, more false names", plots.by_size(fpir_by_size(evaluation, fixed), fpir), text)


def _cmc(evaluation: Evaluation[EmbeddedSamples]) -> Html:
    text = (
        "How often the right person is among the k nearest, whatever the distance: for a person who chooses."
    )
    return _plot("Short lists", plots.cmc(plots_module.cmc_curve(evaluation)), text)


def _plot(title: str, svg: str, caption: str) -> Html:
    return tag("figure", tag("h3", title), Html(svg), tag("figcaption", caption))
