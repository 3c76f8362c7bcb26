"""Plots: the numbers that are drawn, and the SVG they become."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

from embedder.errors import MissingPackageError
from embedder.metrics import interval
from enroll.confidence import Reliability
from enroll.evaluation.analysis import FpirByGallerySize, fpir_by_size
from enroll.evaluation.estimates import Estimate
from enroll.report import plots, svg
from enroll.report.plots import Distances, PlotLine
from enroll.report.svg import check_matplotlib
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder

HARD = made_evaluation(made_folder(noise=0.7, no_face=(4, 50)))
EASY = made_evaluation(made_folder(noise=0.01))
RELIABILITY = Reliability((0.1, 0.5, 0.9), (0.0, 0.4, 1.0), (5.0, 1.0, 4.0), 0.0876)


def drawing() -> Any:
    figure = Drawing(figsize=(5, 4))
    FigureCanvasSVG(figure)
    return figure


def rendered(figure: Any) -> None:
    figure.canvas.print_svg(StringIO())  # warnings are errors here


def curves(axes: Any) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}


def test_det_points():
    line = plots.det_curve(HARD)
    searches = HARD.non_mated_searches
    assert line.x[0] == 1 / searches and line.x[-1] == 1
    assert (np.diff(line.x) > 0).all()
    assert np.rint(line.x * searches) == pytest.approx(line.x * searches)
    for index, fpir in enumerate(line.x):
        tpir = HARD.tpir(fpir)
        assert tpir.value is not None and tpir.low is not None and tpir.high is not None
        assert line.y[index] == pytest.approx(1 - tpir.value)
        assert line.low[index] == pytest.approx(1 - tpir.high)
        assert line.high[index] == pytest.approx(min(1 - HARD.tpir(x).low for x in line.x[: index + 1]))
    low, high = interval(1 - HARD.tpir_replicates(line.x[3], HARD.weights()))
    assert (line.low[3], line.high[3]) == pytest.approx((low, high))
    assert low < line.y[3] < high


def test_det_bound_never_rises():
    """Where all searches succeed the interval is that of so many people, wider than that of a few misses."""
    evaluation = made_evaluation(made_folder(noise=0.15))
    line = plots.det_curve(evaluation)
    alone = [1 - (evaluation.tpir(fpir).low or 0) for fpir in line.x]
    assert (np.diff(alone) > 0).any()
    assert (np.diff(line.high) <= 0).all() and line.high[0] == alone[0]


def test_det_is_drawn():
    line = plots.det_curve(HARD)
    figure = drawing()
    plots.draw_det(figure, line, 0.1)
    axes = figure.axes[0]
    assert curves(axes)["measured"] == pytest.approx(np.column_stack([line.x, line.y]))
    assert curves(axes)["FPIR 10 %"][:, 0].tolist() == [0.1, 0.1]
    band = axes.collections[0].get_paths()[0].vertices
    for x, low, high in zip(line.x, line.low, line.high, strict=True):
        here = band[np.isclose(band[:, 0], x), 1]
        assert (here.min(), here.max()) == pytest.approx((max(low, axes.get_ylim()[0]), high))
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlim() == pytest.approx((line.x[0], 1))
    rendered(figure)


def test_no_misses_are_drawn_at_the_bottom_and_labelled_zero():
    figure = drawing()
    zero = np.zeros(3)
    plots.draw_det(figure, PlotLine(np.array([0.01, 0.1, 1]), zero, zero, zero + 0.08), 0.1)
    axes = figure.axes[0]
    bottom = axes.get_ylim()[0]
    assert 0 < bottom < 0.01
    assert (curves(axes)["measured"][:, 1] == bottom).all()
    assert axes.get_yticks()[0] == bottom
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["0", "1 %"]
    rendered(figure)


def test_no_zero_on_the_axis_without_one():
    figure = drawing()
    plots.draw_det(
        figure, PlotLine(*np.array([[0.01, 0.1, 1], [0.3, 0.2, 0.1], [0.2, 0.1, 0.05], [0.4, 0.3, 0.2]])), 0.1
    )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["10 %", "20 %", "50 %", "100 %"]


def test_distances_are_all_searches():
    found = plots.distances(HARD)
    mated = sum(len(split.mated) for split in HARD.splits)
    others = sum(len(split.non_mated) for split in HARD.splits)
    assert found.without > 0
    assert len(found.right) + len(found.wrong) + len(found.non_mated) + found.without == mated + others
    assert found.mated == mated
    assert len(found.right) / mated == pytest.approx(HARD.rank(1).value)
    assert np.isfinite(np.concatenate([found.right, found.wrong, found.non_mated])).all()
    wrong = np.concatenate([split.distance[split.rank > 1] for split in HARD.splits])
    assert sorted(found.wrong) == sorted(wrong[np.isfinite(wrong)])


def test_histograms_are_drawn():
    found = Distances(np.array([0.1, 0.1, 0.2]), np.array([0.4]), np.array([0.5, 1.0]), 5, 1)
    figure = drawing()
    plots.draw_histograms(figure, found, {"model": 0.3, "none": np.inf, "other": 0.35})
    edges = found.edges()
    assert edges[0] == 0 and edges[-1] >= 1.0
    for axes, values, searches in zip(
        figure.axes, (found.right, found.wrong, found.non_mated), (5, 5, 2), strict=True
    ):
        drawn = axes.patches[0].get_data()
        assert drawn.values == pytest.approx(np.histogram(values, edges)[0] / searches)
        assert drawn.values.sum() == pytest.approx(len(values) / searches)
        assert {name: line[0, 0] for name, line in curves(axes).items()} == {"model": 0.3, "other": 0.35}
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "known, the right person nearest: 60 %",
        "known, another person nearest: 20 %",
        "strangers",
    ]
    rendered(figure)


def test_sizes_are_drawn():
    sizes = fpir_by_size(HARD, plots.median_limit(HARD, 0.1))
    figure = drawing()
    plots.draw_by_size(figure, sizes, 0.1)
    axes = figure.axes[0]
    drawn = curves(axes)
    assert drawn["measured"][:, 0].tolist() == list(sizes.people)
    assert drawn["measured"][:, 1] == pytest.approx([figure.value for figure in sizes.fpir])
    bars = [path.vertices[:, 1] for path in axes.collections[0].get_paths()]
    bottom = axes.get_ylim()[0]
    for bar, entry in zip(bars, sizes.fpir, strict=True):
        assert entry.low is not None
        assert sorted(bar) == pytest.approx([max(entry.low, bottom), entry.high])
    (label,) = (label for label in drawn if label.startswith("1 − (1 − FMR)^N"))
    people, expected = drawn[label].T
    assert people[0] == 1 and people[-1] == 10 * sizes.people[-1]
    assert expected == pytest.approx(1 - (1 - sizes.fmr) ** people)
    assert drawn["FPIR 10 %"][:, 1].tolist() == [0.1, 0.1]
    rendered(figure)


def test_no_stranger_was_named():
    figure = drawing()
    plots.draw_by_size(figure, FpirByGallerySize(0.1, (1, 2), (Estimate(0.0, 0.0, 0.2),) * 2, 0.0), 0.01)
    axes = figure.axes[0]
    assert set(curves(axes)) == {"measured", "FPIR 1 %"}
    assert axes.get_yticklabels()[0].get_text() == "0"
    rendered(figure)


def test_calibration_is_drawn():
    figure = drawing()
    plots.draw_calibration(figure, RELIABILITY)
    axes = figure.axes[0]
    expected = np.column_stack([RELIABILITY.confidence, RELIABILITY.accuracy])
    assert np.asarray(axes.lines[1].get_xydata()) == pytest.approx(expected)
    assert np.asarray(axes.collections[0].get_offsets()) == pytest.approx(expected)
    areas = axes.collections[0].get_sizes()
    assert areas[0] > areas[2] > areas[1]
    assert "0.088" in axes.get_title()
    rendered(figure)


def test_cmc_is_drawn():
    line = plots.cmc_curve(HARD)
    assert line.x.tolist() == [1, 2, 3, 4, 5, 6]
    for k, y in zip(line.x, line.y, strict=True):
        assert y == HARD.rank(int(k)).value
    assert (line.low[0], line.high[0]) == (HARD.rank(1).low, HARD.rank(1).high)
    assert (np.diff(line.low) >= 0).all()
    figure = drawing()
    plots.draw_cmc(figure, line)
    assert curves(figure.axes[0])["measured"] == pytest.approx(np.column_stack([line.x, line.y]))
    rendered(figure)


def test_at_most_ten_ranks():
    assert plots.cmc_curve(made_evaluation(made_folder(30, 2))).x.tolist() == list(range(1, 11))


def all_plots(evaluation: Any) -> dict[str, str]:
    return {
        "det": plots.det(plots.det_curve(evaluation), 0.1),
        "distances": plots.histograms(plots.distances(evaluation), {"model": 0.4}),
        "sizes": plots.by_size(fpir_by_size(evaluation, plots.median_limit(evaluation, 0.1)), 0.1),
        "calibration": plots.calibration(RELIABILITY),
        "cmc": plots.cmc(plots.cmc_curve(evaluation)),
    }


@pytest.mark.parametrize("evaluation", [HARD, EASY], ids=["hard", "easy"])
def test_svg_is_for_html(evaluation: Any):
    before = dict(rcParams)
    found = all_plots(evaluation)
    assert dict(rcParams) == before
    every: list[str] = []
    for name, drawn in found.items():
        assert drawn.startswith("<svg viewBox=") and drawn.endswith("</svg>")
        assert not re.search(r"https?:|//|<script|<style|<!|<\?|xmlns|xlink", drawn)
        ids = re.findall(r' id="([^"]*)"', drawn)
        used = re.findall(r'(?:href="|url\()#([^")]+)', drawn)
        assert set(re.findall(r"(?:fill|stroke): (?!none|var)[^;\"]*", drawn)) == set()  # light and dark
        assert used and set(used) == set(ids)
        assert all(entry.startswith(f"{name}-") for entry in ids)
        every += ids
    assert len(every) == len(set(every))
    assert sum(map(len, found.values())) < 250_000


def test_same_bytes_whatever_the_user_has_set(tmp_path: Path):
    """Neither matplotlibrc, nor the hash seed, nor a display has a say, and pyplot is never loaded."""
    (tmp_path / "matplotlibrc").write_text(
        "backend: TkAgg\nfont.size: 30\naxes.facecolor: red\nsvg.fonttype: none\n"
    )
    code = (
        "import sys; from tests.enroll.report import test_plots as t\n"
        "from enroll.report import plots\n"
        "sys.stdout.write(plots.calibration(t.RELIABILITY) + plots.cmc(plots.cmc_curve(t.HARD)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    found = []
    for seed, folder in (("1", tmp_path), ("2", tmp_path / "other")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "MPLCONFIGDIR": str(folder)}
        environment.pop("DISPLAY", None)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        assert done.stderr == ""
        found.append(done.stdout)
    here = plots.calibration(RELIABILITY) + plots.cmc(plots.cmc_curve(HARD))
    assert found == [here, here]


def test_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'embedder-enroll\[report\]'"):
        check_matplotlib()
    with pytest.raises(MissingPackageError, match=r"pip install 'embedder-enroll\[report\]'"):
        plots.calibration(RELIABILITY)


@pytest.mark.parametrize(
    ("share", "text"), [(0.001, "0.1 %"), (0.01, "1 %"), (0.125, "12.5 %"), (1.0, "100 %")]
)
def test_percent(share: float, text: str):
    assert svg.percent(share) == text
