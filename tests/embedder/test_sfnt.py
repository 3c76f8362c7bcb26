"""Tables of letters, made by hand and in real fonts."""

from __future__ import annotations

import io
import struct
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from embedder.fonts import Face, installed_fonts
from embedder.sfnt import read_letters


def groups(*rows: tuple[int, int, int]) -> bytes:
    """Format 12: first, last, glyph of the first."""
    body = b"".join(struct.pack(">LLL", *row) for row in rows)
    return struct.pack(">HHLLL", 12, 0, 16 + len(body), 0, len(rows)) + body


def segments(*rows: tuple[int, int, int, list[int]]) -> bytes:
    """Format 4: first, last, delta, glyphs or none."""
    rows = (*rows, (0xFFFF, 0xFFFF, 1, []))
    offsets, glyphs = [], []
    for index, (_, _, _, listed) in enumerate(rows):
        offsets.append(2 * (len(rows) - index + len(glyphs)) if listed else 0)
        glyphs += listed
    words = [row[1] for row in rows] + [0] + [row[0] for row in rows] + [row[2] % 65536 for row in rows]
    words += offsets + glyphs
    return struct.pack(">7H", 4, 14 + 2 * len(words), 0, 2 * len(rows), 0, 0, 0) + struct.pack(
        f">{len(words)}H", *words
    )


def cmap(tables: dict[tuple[int, int], bytes]) -> bytes:
    head, body = struct.pack(">HH", 0, len(tables)), b""
    for key, table in tables.items():
        head += struct.pack(">HHL", *key, 4 + 8 * len(tables) + len(body))
        body += table
    return head + body


def font(tables: dict[bytes, bytes], start: int = 0, kind: bytes = b"\0\1\0\0") -> bytes:
    head, body = kind + struct.pack(">H6x", len(tables)), b""
    for tag, table in tables.items():
        head += struct.pack(">4s4xLL", tag, start + 12 + 16 * len(tables) + len(body), len(table))
        body += table
    return head + body


def has(table: bytes, key: tuple[int, int] = (3, 10)) -> set[int]:
    data = font({b"glyf": b"", b"cmap": cmap({key: table})})
    letters = read_letters(io.BytesIO(data))[0]
    return {
        code
        for code in (*range(256), *range(0x4DF0, 0x5010), *range(0x1F5F0, 0x1F610))
        if chr(code) in letters
    }


def test_groups() -> None:
    assert has(groups((65, 67, 5), (0x1F600, 0x1F601, 9))) == {65, 66, 67, 0x1F600, 0x1F601}


def test_a_group_that_begins_with_the_glyph_of_missing_letters() -> None:
    assert has(groups((65, 67, 0))) == {66, 67}


def test_segments() -> None:
    table = segments((65, 67, -60, []), (0x4E00, 0x4E02, 0, [7, 0, 8]), (0x5000, 0x5001, -0x5000, []))
    assert has(table, (3, 1)) == {65, 66, 67, 0x4E00, 0x4E02, 0x5001}


def test_a_delta_is_added_to_listed_glyphs_too() -> None:
    assert has(segments((65, 66, -7, [7, 8])), (3, 1)) == {66}


def test_a_listed_zero_is_missing_whatever_the_delta() -> None:
    assert has(segments((65, 66, 5, [0, 3])), (3, 1)) == {66}


def test_a_list_of_glyphs_outside_of_the_table_is_empty() -> None:
    table = bytearray(segments((65, 66, 0, [3, 4])))
    assert has(bytes(table[:-2]), (3, 1)) == {65}
    table[28:30] = struct.pack(">H", 60_000)
    assert has(bytes(table), (3, 1)) == set()


@pytest.mark.parametrize("table", [groups((65, 66, 1), (70, 71, 1))[:-4], segments((65, 66, 1, []))[:-4]])
def test_a_table_that_is_shorter_than_it_says_is_refused(table: bytes) -> None:
    with pytest.raises(ValueError, match=r"broken|smaller"):
        has(table)


def test_two_lists_of_glyphs() -> None:
    assert has(segments((65, 66, 0, [0, 3]), (70, 72, 0, [4, 0, 5])), (3, 1)) == {66, 70, 72}


def test_the_table_of_all_of_unicode_comes_first() -> None:
    data = font(
        {b"CFF ": b"", b"cmap": cmap({(3, 1): segments((65, 65, 1, [])), (3, 10): groups((66, 66, 1))})}
    )
    letters = read_letters(io.BytesIO(data))[0]
    assert ("A" in letters, "B" in letters) == (False, True)


def test_other_kinds_of_tables_are_passed_over() -> None:
    many_to_one = groups((0, 0x10FFFF, 1)).replace(b"\0\x0c", b"\0\x0d", 1)  # the Last Resort font's
    tables = cmap({(0, 6): many_to_one, (1, 0): bytes(262), (3, 1): segments((65, 65, 1, []))})
    letters = read_letters(io.BytesIO(font({b"glyf": b"", b"cmap": tables})))[0]
    assert [letter for letter in "AB李" if letter in letters] == ["A"]


@pytest.mark.parametrize(
    "tables",
    [
        {b"glyf": b""},
        {b"cmap": cmap({(3, 10): groups((65, 65, 1))})},
        {b"glyf": b"", b"CBDT": b"", b"cmap": cmap({(3, 10): groups((65, 65, 1))})},
        {b"glyf": b"", b"sbix": b"", b"cmap": cmap({(3, 10): groups((65, 65, 1))})},
        {b"glyf": b"", b"cmap": cmap({(1, 0): bytes(262)})},
    ],
    ids=["no letters", "no outlines", "pictures", "Apple's pictures", "no Unicode"],
)
def test_fonts_that_cannot_be_used(tables: dict[bytes, bytes]) -> None:
    assert read_letters(io.BytesIO(font(tables))) == {}


def test_a_collection() -> None:
    start = 12 + 4 * 2
    first = font({b"glyf": b"", b"cmap": cmap({(3, 10): groups((65, 65, 1))})}, start)
    second = font({b"glyf": b"", b"cmap": cmap({(3, 10): groups((66, 66, 1))})}, start + len(first))
    data = (
        b"ttcf"
        + struct.pack(">LL", 0x10000, 2)
        + struct.pack(">LL", start, start + len(first))
        + first
        + second
    )
    letters = read_letters(io.BytesIO(data))
    assert [(index, letter) for index in letters for letter in "AB" if letter in letters[index]] == [
        (0, "A"),
        (1, "B"),
    ]


WHOLE = font(
    {
        b"glyf": b"",
        b"cmap": cmap({(3, 10): groups((65, 66, 1)), (3, 1): segments((65, 66, 0, [1, 2]), (70, 71, 1, []))}),
    }
)


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_font_cut_off_is_refused_or_lacks_letters(size: int) -> None:
    try:
        found = read_letters(io.BytesIO(WHOLE[:size]))
    except ValueError:
        return
    assert not found or "Z" not in found[0]


@given(st.binary(max_size=60), st.integers(0, len(WHOLE)))
def test_whatever_is_in_a_file_it_is_read_or_refused(noise: bytes, place: int) -> None:
    for data in (noise, WHOLE[:place] + noise + WHOLE[place + len(noise) :]):
        try:
            found = read_letters(io.BytesIO(data))
        except ValueError:
            continue
        for letters in found.values():
            assert {letter in letters for letter in "\0AFa\uffff\U0001f600"} <= {True, False}


def test_the_table_says_what_is_drawn() -> None:
    """A letter is in the table if and only if it does not look like one that certainly is missing."""
    face = installed_fonts().choose("ë")
    assert face is not None
    for chosen in (Face(None), face):
        drawn = installed_fonts().font(chosen, 24)
        data = drawn.font_bytes if chosen.path is None else chosen.path.read_bytes()
        letters = read_letters(io.BytesIO(data))[chosen.index]
        wrong = [
            letter
            for letter in map(chr, range(33, 0x600))
            if unicodedata.category(letter)[0] in "LN"
            and (letter in letters) == _same(drawn, letter, "\uffff")
        ]
        assert wrong == []


def _same(font: ImageFont.FreeTypeFont, one: str, other: str) -> bool:
    masks = font.getmask(one), font.getmask(other)
    return masks[0].size == masks[1].size and bytes(masks[0]) == bytes(masks[1])
