"""The report of groups of unknown faces."""

from __future__ import annotations

import re

import pytest

from enroll.report import groups_page as module
from enroll.report.groups_page import FaceGroup, groups_page
from tests.enroll.report.made import crop_of
from tests.enroll.report.pages import Page

GROUPS = [FaceGroup(7, (1, 2)), FaceGroup(9, (3, 4, 5)), FaceGroup(6, (6,)), FaceGroup(8, (7, 8))]


def titles(page: Page) -> list[str]:
    return [text for text in page.texts if re.fullmatch(r"g\d+: .*", text)]


def test_the_largest_come_first_with_the_command_that_names_them():
    page = Page(groups_page(GROUPS, "IMG {}.jpg".format, crop_of, gallery="my l.db", left_out=3))
    assert titles(page) == ["g9: 3 faces", "g7: 2 faces", "g8: 2 faces"]
    assert "3 groups of 7 faces without a name, and 1 face alone." in page.text
    assert "Left out, as they are like faces that were ignored: 3 faces." in page.text
    assert "embed library confirm --gallery 'my l.db' NAME g9" in page.texts
    assert [image["alt"] for image in page.all("img")][:3] == [f"f{n}: IMG {n}.jpg" for n in (3, 4, 5)]
    assert "not shown" not in page.text.lower()


def test_faces_that_are_alone_when_asked_for():
    assert titles(Page(groups_page(GROUPS, str, alone=True)))[-1] == "g6: 1 face"


def test_what_is_not_shown_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "GROUPS", 1)
    monkeypatch.setattr(module, "FACES", 2)
    page = Page(groups_page(GROUPS, str, crop_of))
    assert titles(page) == ["g9: 3 faces"] and len(page.all("img")) == 2
    assert "The 1 largest are shown; not shown: 2 groups with 4 faces." in page.text
    assert "Not shown: 1 more face." in page.text


def test_no_group_and_no_picture():
    page = Page(groups_page([], str))
    assert "0 groups of 0 faces" in page.text and titles(page) == []
    assert "no picture" in Page(groups_page(GROUPS, str, lambda _: None)).text
