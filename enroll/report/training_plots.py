"""Draw the plots of a training run: curves by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enroll.report.svg import BLUE, GREY, ORANGE, VERMILLION, WIDE, percent, to_svg

_LINES = tuple((colour, style) for style in ("-", "--", ":") for colour in (BLUE, ORANGE, VERMILLION))
MOST_CURVES = len(_LINES)  # in one plot, so that each is distinct
_MARKED = 40  # points up to which each is drawn


@dataclass(frozen=True)
class Curve:
    """Holds a figure by epoch: its name, and the epochs for which it is known."""

    name: str
    epochs: tuple[float, ...]
    values: tuple[float, ...]


def curve_plot(
    name: str, curves: Sequence[Curve], marks: Mapping[str, float], logarithmic: bool = False
) -> str:
    """Plot curves as SVG.

    Args:
        name: prefix of the ids of the plot.
        curves: to be drawn.
        marks: epochs to be marked, by their labels.
        logarithmic: whether the axis is logarithmic; the values must be above 0.
    """
    return to_svg(name, WIDE, lambda figure: draw_curves(figure, curves, marks, logarithmic))


def draw_curves(
    figure: Any, curves: Sequence[Curve], marks: Mapping[str, float], logarithmic: bool = False
) -> None:
    """Draw curves by epoch, each with a colour or a kind of line of its own.

    Args:
        figure: of matplotlib.
        curves: to be drawn.
        marks: epochs to be marked, by their labels.
        logarithmic: whether the axis is logarithmic.
    """
    axes = figure.subplots()
    for place, curve in enumerate(curves):
        colour, style = _LINES[place % len(_LINES)]
        marker = "." if len(curve.epochs) < _MARKED else None
        axes.plot(curve.epochs, curve.values, style, color=colour, marker=marker, label=curve.name)
    for name, epoch in marks.items():
        axes.axvline(epoch, color=GREY, linestyle=(0, (1, 3)), linewidth=1.2, label=name)
    if logarithmic and all(value > 0 for curve in curves for value in curve.values):
        axes.set_yscale("log")
    elif all(0 <= value <= 1 for curve in curves for value in curve.values):
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(lambda value, _: percent(round(value, 6)))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    legend = figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar in a name is a dollar
