"""Draw the plots of a gallery: the distances behind its threshold, and the FPIR as it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from enroll.report.svg import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    WIDE,
    percent,
    percent_ticks,
    plain_ticks,
    to_svg,
)

if TYPE_CHECKING:
    from enroll.comparisons import Comparisons
    from enroll.doctor.examine import FpirForecast

_MARGIN = 0.06  # of distance, on both sides
_SEEN = 1e-4  # share that is within the axis in any case
_LEAST = 1e-6  # least share that is drawn; the model's curve never reaches 0


def comparison_plot(comparisons: Comparisons, threshold: float) -> str:
    """Plot the distances between people, with the threshold, as SVG."""
    return to_svg("comparisons", WIDE, lambda figure: draw_comparisons(figure, comparisons, threshold))


def counted_plot(comparisons: Comparisons, threshold: float, fpir: float, people: int) -> str:
    """Plot the share of searches that name anyone, by threshold, as SVG.

    Args:
        comparisons: the distances.
        threshold: largest distance at which a name is given.
        fpir: that was calibrated for.
        people: number of people in the gallery.
    """
    return to_svg("counted", WIDE, lambda figure: draw_counted(figure, comparisons, threshold, fpir, people))


def forecast_plot(forecast: FpirForecast) -> str:
    """Plot the FPIR to expect against the number of people, as SVG."""
    return to_svg("forecast", WIDE, lambda figure: draw_forecast(figure, forecast))


def draw_comparisons(figure: Any, comparisons: Comparisons, threshold: float) -> None:
    """Draw shares of comparisons on a logarithmic axis, since the few near ones matter."""
    axes, edges = figure.subplots(), comparisons.edges
    drawn = (
        (comparisons.enrolled, "enrolled people", BLUE, True),
        (comparisons.strangers, "strangers", ORANGE, False),
        (comparisons.set_aside, "set aside", VERMILLION, False),
    )
    total = sum(int(counts.sum()) for counts, *_ in drawn)
    bottom = 0.5 / max(total, 2)
    for counts, name, colour, fill in drawn:
        if counts.any():
            whole = max(int(counts.sum()), 1) if name != "set aside" else total
            axes.stairs(
                np.maximum(counts / whole, bottom),
                edges,
                baseline=bottom,
                fill=fill,
                color=colour,
                alpha=0.7 if fill else 1.0,
                linewidth=1.6,
                label=name,
            )
    if comparisons.known is not None:
        bottom = bottom if total else _LEAST
        middles = (edges[1:] + edges[:-1]) / 2
        shares = np.where(comparisons.known > bottom, comparisons.known, np.nan)
        axes.plot(middles, shares, color=GREY, linestyle="--", label="known of strangers")
    axes.axvline(threshold, color="black", linewidth=1.6, label=f"threshold {threshold:.3f}")
    axes.set_yscale("log")
    axes.set_ylim(bottom, 1.0)
    percent_ticks(axes.yaxis, bottom, 1.0)
    axes.set_xlim(*_reach(comparisons, threshold))
    axes.set_xlabel("distance")
    axes.set_ylabel("share of comparisons")
    _legend(figure, axes)


def draw_counted(figure: Any, comparisons: Comparisons, threshold: float, fpir: float, people: int) -> None:
    """Draw the counted FPIR as steps, and that of independent comparisons by the model's distances."""
    axes, nearest = figure.subplots(), comparisons.nearest
    low, high = _reach(comparisons, threshold)
    least = min(fpir / 3, 1 / max(len(nearest), 3))
    bottom = 10 ** np.floor(np.log10(least))
    if len(nearest):
        x = np.concatenate([[low], nearest, [high]])
        y = np.concatenate([[0], np.arange(1, len(nearest) + 1) / len(nearest), [1]])
        axes.step(x, np.maximum(y, bottom), where="post", color=BLUE, label="counted")
    if comparisons.known is not None:
        shares = -np.expm1(people * np.log1p(-np.minimum(np.cumsum(comparisons.known), 1 - 1e-12)))
        expected = np.where(shares > bottom, shares, np.nan)
        label = "known of the network"
        axes.plot(comparisons.edges[1:], expected, color=GREY, linestyle="--", label=label)
    axes.axhline(fpir, color=VERMILLION, linestyle=":", linewidth=1.6, label=f"wanted: {percent(fpir)}")
    axes.axvline(threshold, color="black", linewidth=1.6, label=f"threshold {threshold:.3f}")
    axes.set_yscale("log")
    axes.set_ylim(bottom, 1.0)
    percent_ticks(axes.yaxis, bottom, 1.0)
    axes.set_xlim(low, high)
    axes.set_xlabel("threshold")
    axes.set_ylabel("strangers named")
    _legend(figure, axes)


def draw_forecast(figure: Any, forecast: FpirForecast) -> None:
    """Draw the FPIR to expect at the same threshold in larger galleries."""
    axes = figure.subplots()
    people, fpir = np.array(forecast.people, float), np.array(forecast.fpir)
    axes.plot(people, fpir, "o-", color=BLUE, label=f"at the threshold {forecast.threshold:.3f}")
    axes.axvline(people[0], color=GREY, linestyle=":", linewidth=1.2, label="this gallery")
    axes.set_xscale("log")
    axes.set_yscale("log")
    bottom = 10 ** np.floor(np.log10(max(fpir.min(), _LEAST)) + 1e-9)
    axes.set_ylim(bottom, 1.0)
    percent_ticks(axes.yaxis, bottom, 1.0)
    plain_ticks(axes.xaxis, people[-1] * 1.25)
    axes.set_xlim(people[0] * 0.8, people[-1] * 1.25)  # ticks below are left out
    axes.set_xlabel("enrolled people")
    axes.set_ylabel("strangers named, at most")
    _legend(figure, axes)


def _legend(figure: Any, axes: Any) -> None:
    """Draw the legend above the plot, where it hides nothing."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)


def _reach(comparisons: Comparisons, threshold: float) -> tuple[float, float]:
    """Return the range of distances to draw: all that occur, and the threshold."""
    there = np.flatnonzero(
        (comparisons.enrolled + comparisons.strangers + comparisons.set_aside > 0)
        | (False if comparisons.known is None else comparisons.known > _SEEN)
    )
    low, high = (comparisons.edges[there[0]], comparisons.edges[there[-1] + 1]) if len(there) else (0.0, 2.0)
    return max(0.0, min(float(low), threshold) - _MARGIN), min(2.0, max(float(high), threshold) + _MARGIN)
