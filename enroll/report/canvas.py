"""From what is drawn with matplotlib to SVG inside HTML: no screen, no settings of the user, no names."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

from embedder.errors import MissingPackageError
from embedder.quiet import no_warnings

_STYLE = {
    "font.size": 10,
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


def check_matplotlib() -> None:
    """Say early that plots cannot be drawn.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of each cache of fonts it builds
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "the plots of a report need matplotlib, which is not installed; "
            "pip install 'embedder-enroll[report]'"
        ) from error


def to_svg(name: str, size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Draw a picture.

    Args:
        name: begins its ids, so that several pictures can be in one page.
        size: width and height in inches.
        draw: is given a matplotlib `Figure`.

    Returns:
        An `<svg>` element for HTML, the same bytes for the same picture.

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
        with matplotlib.rc_context(style):
            figure = Figure(figsize=size, layout="constrained")
            canvas = FigureCanvasSVG(figure)
            draw(figure)
            text = StringIO()
            canvas.print_svg(text, metadata={"Date": None})
    return _for_html(text.getvalue(), name)


def _for_html(svg: str, name: str) -> str:
    """Leave out what only a file of its own needs, and the ids that nothing refers to."""
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
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
