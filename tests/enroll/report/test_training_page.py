"""The report of a training run."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from embedder.errors import ModelError
from enroll.report import training_page as module
from enroll.report.training_page import training_page
from enroll.report.training_plots import Curve, draw_curves
from tests.enroll.cli.test_training_record import OTHERS, changed, places
from tests.enroll.report.made import manifest_of
from tests.enroll.report.pages import Page
from tests.enroll.report.test_plots import curves, drawing, rendered

VIEWS = [
    {"share": share, "drift": 0.1, "searches": 40, "tpir": dict.fromkeys(module._VIEWS, tpir)}
    for share, tpir in ((0.0, 0.5), (0.5, 0.4))
]


def test_curves_gains_and_options(monkeypatch: pytest.MonkeyPatch):
    drawn: dict[str, list[Curve]] = {}
    monkeypatch.setattr(
        module,
        "curve_plot",
        lambda name, found, *_, **__: drawn.setdefault(name, list(found)) and "<svg></svg>",
    )
    page = Page(training_page(manifest_of(views=VIEWS), ["Training helped; `kept` epoch 1"]))
    losses = {curve.name: curve for curve in drawn["losses"]}
    assert list(losses) == ["loss", "softmax loss", "center loss"]
    assert losses["center loss"] == Curve("center loss", (1.0, 2.0), (6.0, 2.25))
    shares = {curve.name: curve.values for curve in drawn["shares"]}
    assert shares["accuracy, training"] == (0.25, 0.5)
    assert shares["TPIR, held out"] == (0.5, 0.625, 0.6)
    assert drawn["separation"][0].epochs == (0.0, 1.0, 2.0)
    assert ["TPIR, all searches", "0.500", "0.625", "+0.125"] in page.rows
    assert ["TPIR, clean photos", "0.500", "0.400", "−0.100"] in page.rows
    assert ["mirror", "yes"] in page.rows and ["lr_steps", "1, 2"] in page.rows
    (epoch,) = (row for row in page.rows if len(row) == 8 and row[0] == "1")
    assert sorted(epoch[1:]) == sorted(["9.5", "3.5", "6", "0.25", "0.625", "0.8", "0.2"])
    assert "Training helped; kept epoch 1" in page.text


def test_a_network_that_was_not_trained():
    page = Page(training_page(manifest_of(scores=[], history=[], config={})))
    assert "No epochs are recorded" in page.text and page.all("figure") == []
    assert "Gains and losses" not in page.text and "Options" not in page.text


def test_no_gain_has_no_minus():
    assert module._gain("rank-1", 0.5, 0.4999).gain == "+0.000"


def test_curves_are_drawn():
    figure = drawing()
    found = [Curve("loss", (1, 2), (9.5, 4.5)), Curve(r"$\nonsense$", (1, 2), (1.0, 2.0))]
    draw_curves(figure, found, {"kept: epoch 2": 2.0}, logarithmic=True)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    assert curves(axes)[r"$\nonsense$"].tolist() == [[1, 1], [2, 2]]
    assert curves(axes)["kept: epoch 2"][:, 0].tolist() == [2, 2]
    rendered(figure)
    figure = drawing()
    draw_curves(figure, [Curve("share", (1, 2), (0.5, 0.0))], {}, logarithmic=True)
    assert figure.axes[0].get_yscale() == "linear" and figure.axes[0].get_ylim() == (0, 1.02)


def test_a_record_of_another_shape_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "curve_plot", lambda *_, **__: "")
    whole: dict[str, Any] = copy.deepcopy(manifest_of(views=VIEWS).training)
    refused = 0
    for place in [place for place in places(whole) if place]:
        for value in OTHERS:
            try:
                text = training_page(manifest_of(**changed(whole, place, value)))
            except ModelError as error:
                refused += 1
                assert "train again" in str(error)
            else:
                assert text.startswith("<!DOCTYPE html>")
    assert refused > 50
