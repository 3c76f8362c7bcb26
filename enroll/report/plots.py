"""Compute the numbers of an evaluation's plots, and draw them as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from enroll.evaluation.estimates import Estimate, figure
from enroll.report.svg import (
    BLUE,
    GREY,
    ORANGE,
    SMALL,
    VERMILLION,
    WIDE,
    percent,
    percent_ticks,
    plain_ticks,
    to_svg,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.confidence import Reliability
    from enroll.evaluation.analysis import FpirByGallerySize
    from enroll.evaluation.protocol import Evaluation
    from enroll.evaluation.samples import EmbeddedSamples


_RANKS = 10
_BINS = 50

_FARTHER = 10  # times the gallery that was measured


@dataclass(frozen=True, eq=False)
class PlotLine:
    """Holds the points of a curve.

    Attributes:
        x: (n,) float64, rising.
        y: (n,) float64.
        low, high: (n,) float64, 95 % interval.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, x: NDArray[np.generic], figures: list[Estimate]) -> PlotLine:
        """Build a curve from estimates with values.

        Those without an interval get none in the plot either.

        Args:
            x: (n,) rising.
            figures: n estimates.
        """
        rows = [
            (entry.value, *((entry.value, entry.value) if entry.low is None else (entry.low, entry.high)))
            for entry in figures
        ]
        y, low, high = np.array(rows, np.float64).reshape(-1, 3).T
        return cls(x.astype(np.float64), y, low, high)


@dataclass(frozen=True, eq=False)
class Distances:
    """Holds the distances of the nearest template in the searches of all splits.

    Attributes:
        right: float64, of mated searches whose nearest template is of the right person.
        wrong: of mated searches whose nearest template is of another.
        non_mated: of non-mated searches.
        mated: number of mated searches, also of those that found nothing.
        without: number of searches that found nothing, since there was no face; they are in none of the first
            three.
    """

    right: NDArray[np.float64]
    wrong: NDArray[np.float64]
    non_mated: NDArray[np.float64]
    mated: int
    without: int

    def edges(self) -> NDArray[np.float64]:
        """Return the borders of bins that hold all distances, (bins + 1,) float64."""
        every = np.concatenate([self.right, self.wrong, self.non_mated])
        return np.linspace(0, every.max() * (1 + 1e-9) if len(every) and every.max() else 1, _BINS + 1)


def det_curve(evaluation: Evaluation[EmbeddedSamples]) -> PlotLine:
    """Compute the DET curve: FNIR at FPIRs from one non-mated search to all of them."""
    fpirs, values = evaluation.curve()
    weights, people = evaluation.weights(), len(evaluation.samples.identities)
    figures = [
        figure(value, 1 - evaluation.tpir_replicates(fpir, weights), people)
        for fpir, value in zip(fpirs.tolist(), values.tolist(), strict=True)
    ]
    line = PlotLine.of(fpirs, figures)
    # FNIR falls with FPIR: its bound at one FPIR holds at larger ones, also where no search failed
    # and the interval is that of so many people.
    return replace(line, high=np.fmin.accumulate(line.high))


def cmc_curve(evaluation: Evaluation[EmbeddedSamples]) -> PlotLine:
    """Compute the CMC curve: rank-k for the first ranks."""
    ranks = np.arange(1, min(_RANKS, len(evaluation.splits[0].known)) + 1)
    weights, people = evaluation.weights(), len(evaluation.samples.identities)
    once = np.ones((1, people))
    figures = [
        figure(evaluation.rank_replicates(k, once)[0], evaluation.rank_replicates(k, weights), people)
        for k in ranks.tolist()
    ]
    line = PlotLine.of(ranks, figures)
    return replace(line, low=np.fmax.accumulate(line.low))  # it rises with k, as in `det`


def distances(evaluation: Evaluation[EmbeddedSamples]) -> Distances:
    """Collect the nearest distances of all splits."""
    mated = np.concatenate([split.distance for split in evaluation.splits])
    rank = np.concatenate([split.rank for split in evaluation.splits])
    others = np.concatenate([split.other_distance for split in evaluation.splits])
    there = np.isfinite(mated)
    return Distances(
        right=mated[there & (rank == 1)],
        wrong=mated[there & (rank != 1)],
        non_mated=others[np.isfinite(others)],
        mated=len(mated),
        without=int((~there).sum() + (~np.isfinite(others)).sum()),
    )


def median_limit(evaluation: Evaluation[EmbeddedSamples], fpir: float) -> float:
    """Return the median of the splits' thresholds for an FPIR."""
    return float(np.median([split.limit(fpir) for split in evaluation.splits]))


def det(line: PlotLine, fpir: float) -> str:
    """Plot FNIR against FPIR as SVG."""
    return to_svg("det", WIDE, lambda figure: draw_det(figure, line, fpir))


def histograms(distances: Distances, thresholds: Mapping[str, float]) -> str:
    """Plot the nearest distances of the three kinds of searches, each with the thresholds, as SVG."""
    return to_svg("distances", WIDE, lambda figure: draw_histograms(figure, distances, thresholds))


def by_size(sizes: FpirByGallerySize, fpir: float) -> str:
    """Plot FPIR against the number of enrolled people as SVG."""
    return to_svg("sizes", WIDE, lambda figure: draw_by_size(figure, sizes, fpir))


def calibration(reliability: Reliability) -> str:
    """Plot the share of right names against the confidence as SVG."""
    return to_svg("calibration", SMALL, lambda figure: draw_calibration(figure, reliability))


def cmc(line: PlotLine) -> str:
    """Plot rank-k against k as SVG."""
    return to_svg("cmc", SMALL, lambda figure: draw_cmc(figure, line))


def draw_det(figure: Any, line: PlotLine, fpir: float) -> None:
    """Draw FNIR against FPIR, both logarithmic."""
    axes = figure.subplots()
    bottom = _log_shares(axes, line)
    _band(axes, line, bottom)
    axes.axvline(fpir, color=GREY, linestyle=":", linewidth=1.2, label=f"FPIR {percent(fpir)}")
    axes.set_xscale("log")
    axes.set_xlim(line.x[0], max(1.0, line.x[0] * 1.1))
    percent_ticks(axes.xaxis, line.x[0], 1.0)
    axes.set_xlabel("FPIR: strangers named")
    axes.set_ylabel("FNIR: known people missed")
    axes.legend(loc="best")


def draw_histograms(figure: Any, distances: Distances, thresholds: Mapping[str, float]) -> None:
    """Draw three rows on one scale of distance.

    Their heights are not comparable, only their positions.
    """
    edges = distances.edges()
    rows = (
        (distances.right, "known, the right person nearest", BLUE, distances.mated),
        (distances.wrong, "known, another person nearest", VERMILLION, distances.mated),
        (distances.non_mated, "strangers", ORANGE, max(1, len(distances.non_mated))),
    )
    every = figure.subplots(3, 1, sharex=True)
    for row, (values, title, colour, searches) in enumerate(rows):
        axes, counts = every[row], np.histogram(values, edges)[0] / searches
        axes.stairs(counts, edges, fill=True, color=colour)
        for (name, threshold), style in zip(thresholds.items(), ("--", ":", "-."), strict=False):
            if np.isfinite(threshold):
                axes.axvline(threshold, color="black", linestyle=style, linewidth=1.3, label=name)
        share = "" if row == 2 else f": {percent(round(len(values) / searches, 3))}"
        axes.set_title(title + share, loc="left", fontsize="medium")
        axes.set_ylim(0, max(counts.max(), 1e-9) * 1.08)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(False)
    every[0].set_xlim(edges[0], edges[-1])
    every[2].set_xlabel("distance of the nearest template")
    lines, names = every[0].get_legend_handles_labels()
    if lines:
        figure.legend(lines, names, loc="outside upper right", ncols=1)


def draw_by_size(figure: Any, sizes: FpirByGallerySize, fpir: float) -> None:
    """Draw the measured FPIR, and that of independent comparisons in larger galleries too."""
    axes = figure.subplots()
    line = PlotLine.of(np.array(sizes.people), list(sizes.fpir))
    bottom = _log_shares(axes, line)
    reach = np.unique(np.rint(np.geomspace(1, _FARTHER * sizes.people[-1], 100)))
    _band(axes, line, bottom, bars=True)
    if sizes.fmr:
        label = f"1 − (1 − FMR)^N, FMR {percent(float(f'{sizes.fmr:.2g}'))}"
        axes.plot(reach, sizes.expected(reach), color=VERMILLION, linestyle="--", label=label)
        axes.set_ylim(top=1.0)
    axes.axhline(fpir, color=GREY, linestyle=":", linewidth=1.2, label=f"FPIR {percent(fpir)}")
    axes.set_xscale("log")
    axes.set_xlim(0.9, reach[-1])
    plain_ticks(axes.xaxis, reach[-1])
    axes.set_xlabel("N: enrolled people")
    axes.set_ylabel("FPIR: strangers named")
    axes.legend(loc="best")


def draw_calibration(figure: Any, reliability: Reliability) -> None:
    """Draw accuracy against confidence; a larger point stands for more answers."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2)
    axes.plot(reliability.confidence, reliability.accuracy, color=BLUE)
    weights = np.array(reliability.count) / sum(reliability.count)
    axes.scatter(
        reliability.confidence, reliability.accuracy, 15 + 250 * weights, color=BLUE, zorder=3, clip_on=False
    )
    axes.set_title(f"expected calibration\nerror {reliability.error:.3f}", fontsize="medium")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("confidence")
    axes.set_ylabel("right answers")


def draw_cmc(figure: Any, line: PlotLine) -> None:
    """Draw rank-k."""
    axes = figure.subplots()
    _band(axes, line, 0.0, bars=True)
    axes.set_xlim(line.x[0] - 0.3, line.x[-1] + 0.3)
    axes.set_xticks(line.x)
    lowest = float(np.nanmin(np.append(line.low, line.y)))
    axes.set_ylim(lowest - 0.05 * (1.02 - lowest), 1 + 0.05 * (1.02 - lowest))
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_xlabel("k nearest people")
    axes.set_ylabel("right person among them")


def _band(axes: Any, line: PlotLine, bottom: float, bars: bool = False) -> None:
    """Draw a curve with its band, or points with their bars.

    Values below the bottom are drawn at it.
    """
    low, y, high = (np.maximum(values, bottom) for values in (line.low, line.y, line.high))
    if bars:
        axes.vlines(line.x, low, high, color=BLUE, alpha=0.45, linewidth=3, label="95 % interval")
        axes.plot(line.x, y, "o", color=BLUE, markersize=5, label="measured", clip_on=False, zorder=3)
    else:
        axes.plot(line.x, y, color=BLUE, label="measured", clip_on=False, zorder=3)
        axes.fill_between(line.x, low, high, color=BLUE, alpha=0.2, linewidth=0, label="95 % interval")


def _log_shares(axes: Any, line: PlotLine) -> float:
    """Set a logarithmic axis of shares, on which 0 is drawn at the bottom, and return the bottom."""
    positive = np.concatenate([line.y, line.high])
    positive = positive[np.isfinite(positive) & (positive > 0)]
    least = 10 ** np.floor(np.log10(positive.min() if len(positive) else 0.01) + 1e-9)
    zeros = bool((line.y == 0).any())
    bottom = float(least / (3 if zeros else 1))
    top = 1.0 if not len(positive) else float(min(1, 10 ** np.ceil(np.log10(positive.max()) - 1e-9)))
    axes.set_yscale("log")
    axes.set_ylim(bottom, max(top, 10 * least))
    percent_ticks(axes.yaxis, least, 1.0, bottom if zeros else None)
    return bottom
