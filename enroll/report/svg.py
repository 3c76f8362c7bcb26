"""Draw a plot by matplotlib as an SVG element in the colours of its page.

The colours are from the palette for colour-blind people of Okabe and Ito 2008, and nothing is stated by
colour alone. Letters become outlines, and no setting of the user counts: the plots look the same on every
machine.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import numpy as np

from embedder._internal.runtime import no_warnings
from embedder.errors import MissingPackageError

_STYLE = {
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#595959",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "xtick.color": "#595959",
    "xtick.labelcolor": "black",
    "ytick.color": "#595959",
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "hatch.linewidth": 0.7,
    "svg.hashsalt": "embed",  # of the names of clips and marks, else random
}

# Colours of a page, light or dark.
_OF_PAGE = {
    "#0072b2": "var(--blue)",
    "#e69f00": "var(--orange)",
    "#d55e00": "var(--vermillion)",
    "#595959": "var(--soft)",
    "#e4e4e4": "var(--grid)",
    "#000000": "var(--ink)",
}
_LETTERS, _SMALL_LETTERS = 11.5, 10.0  # points: 10 and 13 pixels on a phone, which shows small plots larger
BLUE, ORANGE, VERMILLION, GREY = "#0072b2", "#e69f00", "#d55e00", "#595959"
WIDE, SMALL = (5.4, 3.7), (2.6, 2.7)  # inches


def check_matplotlib() -> None:
    """Check that plots can be drawn.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs each font cache it builds
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "the plots of a report need matplotlib, which is not installed; "
            "pip install 'embedder-enroll[report]'"
        ) from error


def to_svg(name: str, size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Draw a plot as SVG.

    Args:
        name: prefix of its ids, so that several plots can be in one page.
        size: width and height in inches.
        draw: is given a matplotlib `Figure`.

    Returns:
        An `<svg>` element for HTML, the same bytes for the same plot.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    check_matplotlib()
    with no_warnings():
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        default = matplotlib.rcParamsDefault
        style = {key: default[key] for key in default if not key.startswith("backend")} | _STYLE
        style["font.size"] = _SMALL_LETTERS if size == SMALL else _LETTERS
        with matplotlib.rc_context(style):
            figure = Figure(figsize=size, layout="constrained")
            canvas = FigureCanvasSVG(figure)
            draw(figure)
            text = StringIO()
            canvas.print_svg(text, metadata={"Date": None})
    return _for_html(text.getvalue(), name)


def _for_html(svg: str, name: str) -> str:
    """Remove what only a file of its own needs, and the ids that nothing refers to."""
    svg = svg[svg.index("<svg") :]
    for unwanted in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view
    start = f'<svg {view[0]} style="stroke-linejoin: round; stroke-linecap: butt" aria-hidden="true">'
    svg = start + svg[svg.index(">") + 1 :].replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"#[0-9a-f]{6}(?=[;\"])", lambda found: _OF_PAGE.get(found[0], found[0]), svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def percent(share: float) -> str:
    """Format a share without trailing zeros, as "0.1 %"."""
    return f"{100 * share:.6g} %"


def percent_ticks(axis: Any, low: float, high: float, zero: float | None = None) -> None:
    """Label a logarithmic axis of shares; 0 has a place of its own.

    Args:
        axis: of matplotlib.
        low: smallest share.
        high: largest share.
        zero: where 0 is drawn, None if it is not.
    """
    decades = 10.0 ** np.arange(np.ceil(np.log10(low) - 1e-9), np.log10(high) + 1e-9)
    steps = np.array([1, 2, 5]) if len(decades) < 4 else np.array([1])
    ticks = np.unique(np.outer([*(decades[:1] / 10), *decades], steps))
    ticks = ticks[(ticks > low * (1 - 1e-9)) & (ticks < high * (1 + 1e-9))]
    labels = [percent(float(f"{tick:.1g}")) for tick in ticks]
    axis.set_ticks([*([zero] if zero else []), *ticks], [*(["0"] if zero else []), *labels])
    axis.set_ticks([], minor=True)


def plain_ticks(axis: Any, high: float) -> None:
    """Label powers of ten up to a number."""
    ticks = 10 ** np.arange(0, int(np.log10(high)) + 1)
    axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.set_ticks([], minor=True)
