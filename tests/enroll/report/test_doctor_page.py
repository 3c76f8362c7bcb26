"""The report of the doctor."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from enroll.report import doctor_page as module
from enroll.report.doctor import DoctorReport
from enroll.report.doctor_page import doctor_page
from enroll.report.gallery_plots import draw_forecast
from tests.enroll.report.made import crop_of, examined
from tests.enroll.report.pages import Page
from tests.enroll.report.test_plots import curves, drawing, rendered


@pytest.fixture(scope="module")
def report() -> DoctorReport:
    return examined("Ada <b>", "my gallery.db")


@pytest.fixture(scope="module")
def page(report: DoctorReport) -> Page:
    return Page(doctor_page(report, lambda template: crop_of(template.id)))


def test_every_finding_with_its_command(report: DoctorReport, page: Page):
    commands = [text for text in page.texts if text.startswith("embed ")]
    for section in report.sections():
        assert [section.title, str(len(section.findings) or "none")] in page.rows
        for finding in section.findings:
            assert finding.text in page.text
            assert finding.command is None or finding.command in commands
    kinds = {section.key for section in report.sections() if section.findings}
    assert {"wrong_photos", "same_person", "few_photos", "poor_photos"} <= kinds
    assert len(commands) == sum(len(section.findings) for section in report.sections())
    for command in commands:
        assert shlex.split(command)[0] == "embed" and "--gallery" in shlex.split(command)
    assert "embed gallery merge-people --gallery 'my gallery.db' p00 'p00 too'" in commands


def test_the_photos_that_show_it(report: DoctorReport, page: Page):
    alts = [image["alt"] for image in page.all("img")]
    templates = report.examined.templates
    (wrong,) = report.examined.judged.mislabeled
    own, like = templates.names[templates.labels[wrong.row]], templates.names[wrong.like]
    start = alts.index(f"{own}: {templates.ids[wrong.row]}.png")
    assert (
        [alt.partition(":")[0] for alt in alts[start : start + 3]] == [own, own, like] == ["p07"] * 2 + [like]
    )
    (twice,) = report.examined.duplicates
    first, second = (np.flatnonzero(templates.labels == label) for label in (twice.first, twice.second))
    apart = np.linalg.norm(templates.vectors[first][:, None] - templates.vectors[second], axis=2)
    one, other = np.unravel_index(apart.argmin(), apart.shape)
    pair = [
        f"{templates.names[templates.labels[row]]}: {templates.ids[row]}.png"
        for row in (first[one], second[other])
    ]
    assert any(alts[at : at + 2] == pair for at in range(len(alts)))
    assert Page(doctor_page(report)).all("img") == []
    assert "no picture" in Page(doctor_page(report, lambda _: None)).text


def test_the_forecast(report: DoctorReport, page: Page):
    forecast = report.examined.forecast
    assert forecast is not None
    assert f"at the threshold {forecast.threshold:.3f}" in page.text and len(page.all("figure")) == 1
    figure = drawing()
    draw_forecast(figure, forecast)
    drawn = curves(figure.axes[0])[f"at the threshold {forecast.threshold:.3f}"]
    assert drawn[:, 0].tolist() == list(forecast.people) and drawn[:, 1] == pytest.approx(forecast.fpir)
    assert figure.axes[0].get_xlim()[0] == pytest.approx(forecast.people[0] * 0.8)
    rendered(figure)


def test_so_many_are_shown(report: DoctorReport, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SHOWN", 0)
    page = Page(doctor_page(report))
    shown = [section for section in report.sections() if section.findings]
    assert page.text.count("embed gallery doctor --json lists all.") == len(shown)
    assert "Not shown: 1 more; embed gallery doctor --json lists all." in page.text
    assert not [text for text in page.texts if text.startswith("embed gallery remove-photo")]


def test_what_no_one_looked_at_is_said(report: DoctorReport, page: Page):
    assert "Not looked at, as the file is gone or has changed: 2 photos" in page.text
