"""The report of a calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from enroll.gallery.threshold import describe
from enroll.report.calibration_page import PAIRS, calibration_page
from enroll.report.gallery_plots import draw_comparisons, draw_counted
from tests.enroll.report.made import calibrated, record_of
from tests.enroll.report.pages import Page
from tests.enroll.report.test_plots import curves, drawing, rendered


@pytest.fixture(scope="module")
def made():
    return record_of()


def test_the_threshold_and_what_it_rests_on(made):
    record, comparisons = made
    page = Page(calibration_page(record, comparisons))
    calibration = record.calibration
    assert f"Threshold {calibration.distance:.3f}: {describe(record)}." in page.text
    assert f"Counting alone would set the threshold at {comparisons.counted_threshold:.3f}." in page.text
    assert f"It takes 299 searches to show 1 % by counting; there are {calibration.searches}." in page.text
    assert ["comparisons", f"{calibration.comparisons:,}"] in page.rows
    assert ["model", "f" * 64] in page.rows and ["pairs set aside", str(calibration.set_aside)] in page.rows
    assert "In doubt" not in page.text
    assert "Nothing: no two people are nearer" in page.text and page.all("img") == []


def test_a_doubt_is_said(made):
    record, comparisons = made
    odd = replace(record, calibration=replace(record.calibration, agreement=1e-4))
    assert "In doubt: the distances between this gallery" in Page(calibration_page(odd, comparisons)).text


def test_what_was_set_aside_is_shown():
    page = Page(calibrated("Ada"))
    assert [image["alt"] for image in page.all("img")] == ["Ada: Ada", "Bea: Ada.png"]
    assert "1 pair of people who are nearer" in page.text and "are as near as one person" in page.text
    assert "embed gallery rename" in page.text and "`" not in page.text
    many = Page(calibrated("Ada", PAIRS + 3))
    assert len(many.all("img")) == 2 * PAIRS
    assert f"the nearest {PAIRS} are shown, 3 are not" in many.text


def test_one_person_has_nothing_to_count(made):
    record, _ = record_of(1, 0)
    _, comparisons = made
    none = replace(
        comparisons,
        enrolled=0 * comparisons.enrolled,
        strangers=0 * comparisons.strangers,
        set_aside=0 * comparisons.set_aside,
        nearest=np.empty(0),
        counted_threshold=np.inf,
    )
    one = replace(record.calibration, searches=0, named=0)
    page = Page(calibration_page(replace(record, calibration=one), none))
    assert "there is no search to count" in page.text and len(page.all("figure")) == 2


def test_comparisons_are_drawn(made):
    record, comparisons = made
    figure, threshold = drawing(), record.calibration.distance
    draw_comparisons(figure, comparisons, threshold)
    axes = figure.axes[0]
    (line,) = (points for name, points in curves(axes).items() if name.startswith("threshold"))
    assert line[:, 0].tolist() == [threshold, threshold]
    drawn = {patch.get_label(): patch.get_data().values for patch in axes.patches}
    assert set(drawn) == {"enrolled people", "strangers", "set aside"}
    bottom = axes.get_ylim()[0]
    for name, counts in (("enrolled people", comparisons.enrolled), ("strangers", comparisons.strangers)):
        assert drawn[name] == pytest.approx(np.maximum(counts / counts.sum(), bottom))
    assert axes.get_xlim()[0] <= threshold <= axes.get_xlim()[1]
    rendered(figure)


def test_counts_are_drawn(made):
    record, comparisons = made
    figure, threshold = drawing(), record.calibration.distance
    draw_counted(figure, comparisons, threshold, 0.01, record.calibration.identities)
    axes = figure.axes[0]
    x, y = curves(axes)["counted"].T
    bottom = axes.get_ylim()[0]
    for place in (comparisons.nearest[0], comparisons.nearest[5], comparisons.nearest[-1]):
        share = (comparisons.nearest <= place).mean()
        assert y[x <= place].max() == pytest.approx(max(share, bottom))
    assert curves(axes)["wanted: 1 %"][:, 1].tolist() == [0.01, 0.01]
    rendered(figure)
