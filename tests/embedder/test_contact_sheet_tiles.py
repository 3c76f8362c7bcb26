"""Which photos a contact sheet shows."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedder import contact_sheet
from embedder.contact_sheet import MAX_LINES, PER_LINE, SIDE, Row, Selection, Tile

CROP = np.zeros((4, 4, 3), np.uint8)


def select(*given_tiles: Tile) -> tuple[Selection, list[Row]]:
    selection = Selection()
    for tile in given_tiles:
        selection.add(tile)
    return selection, selection.rows()


def photos(identity: str, count: int, *problems: int) -> list[Tile]:
    return [Tile(identity, CROP, str(n), "bad" if n in problems else None) for n in range(count)]


def shown(row: Row) -> list[str]:
    return [tile.caption for tile in row.tiles]


def test_all_is_shown_in_its_order_if_it_fits() -> None:
    mixed = [tile for pair in zip(photos("b", 12, 3, 11), photos("a", 12), strict=True) for tile in pair]
    selection, rows = select(*mixed)
    assert [(row.identity, row.photos, row.problems) for row in rows] == [("b", 12, 2), ("a", 12, 0)]
    assert shown(rows[0]) == shown(rows[1]) == [str(n) for n in range(12)]
    assert selection.not_shown(rows) == ""


def test_one_person_may_have_the_whole_sheet() -> None:
    _, (row,) = select(*photos("a", 1200, 1100, 1199))
    assert len(row.tiles) == MAX_LINES * PER_LINE
    assert (row.photos, row.problems) == (1200, 2)
    assert shown(row)[-2:] == ["1100", "1199"]
    assert shown(row)[:998] == [str(n) for n in range(998)]


def test_lines_are_shared() -> None:
    _, rows = select(*photos("a", 2000), *photos("b", 5), *photos("c", 2000))
    assert [len(row.tiles) for row in rows] == [490, 5, 490]


def test_of_too_many_photos_those_with_a_problem_are_shown() -> None:
    everyone = [tile for n in range(MAX_LINES) for tile in photos(f"p{n}", 15, 13, 14)]
    _, rows = select(*everyone)
    assert len(rows) == MAX_LINES
    for row in rows:
        assert shown(row) == [*map(str, range(8)), "13", "14"]


def test_of_too_many_people_those_with_a_problem_are_shown_first() -> None:
    everyone = [tile for n in range(300) for tile in photos(f"p{n}", 3, *([1] if n in (5, 250, 299) else []))]
    selection, rows = select(*everyone)
    expected = [5, 250, 299, *(n for n in range(98) if n != 5)]
    assert [row.identity for row in rows] == [f"p{n}" for n in expected]
    assert shown(rows[1]) == ["0", "1", "2"]
    assert selection.not_shown(rows) == "not shown: 200 more people with 600 photos, 0 of them with a problem"


def test_what_is_not_shown_is_counted() -> None:
    everyone = [tile for n in range(MAX_LINES + 1) for tile in photos(f"p{n}", 12, 0, 1)]
    selection, rows = select(*everyone)
    assert selection.not_shown(rows) == "not shown: 1 more person with 12 photos, 2 of them with a problem"


def test_crops_are_small_copies() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    before = crop.copy()
    _, (row) = select(Tile("a", crop), Tile("a", np.full((300, 300, 3), 7, np.uint8)), Tile("a", None))
    crop[:] = 0
    first, second, third = row[0].tiles
    np.testing.assert_array_equal(first.crop, before)
    assert second.crop is not None
    assert second.crop.shape == (SIDE, SIDE, 3)
    assert second.crop.base is None
    assert (second.crop == 7).all()
    assert third.crop is None


@pytest.mark.parametrize(("people", "each"), [(1, 9000), (1000, 10), (9000, 1), (250, 40)])
@pytest.mark.parametrize("bad", [1, 2, 10**9])
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, people: int, each: int, bad: int) -> None:
    monkeypatch.setattr(contact_sheet, "SIDE", 1)
    selection = Selection()
    most = 0
    for number in range(people * each):
        person, photo = divmod(number, each)
        problem = "bad" if photo % bad == bad - 1 else None
        selection.add(Tile(f"p{person}", np.zeros((1, 1, 3), np.uint8), str(photo), problem))
        if number % 997 == 0:
            kept = sum(len(each.good) + len(each.bad) for each in selection._people.values())
            assert kept == selection._kept
            most = max(most, kept)
    assert most <= contact_sheet.MAX_KEPT
    gc.collect()
    assert sum(-(-len(row.tiles) // PER_LINE) for row in selection.rows()) <= MAX_LINES


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=120), st.integers(1, 4), st.integers(1, 3)
)
def test_whatever_comes_the_sheet_is_bounded_and_the_numbers_are_right(
    entries: list[tuple[int, bool]], lines: int, per_line: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact_sheet, "MAX_LINES", lines)
        patch.setattr(contact_sheet, "PER_LINE", per_line)
        patch.setattr(contact_sheet, "MAX_KEPT", 2 * per_line * (2 * lines + 1))
        selection, rows = select(
            *(
                Tile(str(person), None, str(n), "bad" if bad else None)
                for n, (person, bad) in enumerate(entries)
            )
        )
        assert selection._kept <= contact_sheet.MAX_KEPT
        assert sum(-(-len(row.tiles) // per_line) for row in rows) <= lines
        people = list(dict.fromkeys(str(person) for person, _ in entries))
        assert len(rows) == min(len(people), lines)
        troubled = {str(person) for person, bad in entries if bad}
        if len(people) <= lines:
            assert [row.identity for row in rows] == people
        else:
            assert sum(row.identity in troubled for row in rows) == min(len(troubled), lines)
            assert f"{len(people) - lines} more" in selection.not_shown(rows)
        for row in rows:
            mine = [(str(n), bad) for n, (person, bad) in enumerate(entries) if str(person) == row.identity]
            assert (row.photos, row.problems) == (len(mine), sum(bad for _, bad in mine))
            assert shown(row) == sorted(shown(row), key=int)
            bad_shown = sum(tile.problem is not None for tile in row.tiles)
            assert bad_shown >= min(row.problems, per_line)
