"""Text in pictures; of the fonts, only those that come with the wheels of the extra `fonts`."""

from __future__ import annotations

import os
import shutil
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont, features

from embedder._internal import fonts
from embedder._internal import text as text_module
from embedder._internal.fonts import FontFace, Fonts, installed_fonts
from embedder._internal.text import (
    TextLine,
    clusters,
    in_drawing_order,
    layout_line,
    missing_advice,
    missing_letters,
    shorten,
    wrap,
    write,
)
from embedder.errors import UsageError

needs_raqm = pytest.mark.skipif(not features.check("raqm"), reason="this Pillow found no FriBiDi")

NAMES = {
    "Latin": "Nguyễn Łukasz",
    "Cyrillic": "Пётр Ильич",
    "Greek": "Γιώργος",
    "Chinese": "李明",
    "Japanese": "山田たろう",
    "Korean": "김철수",
    "Arabic": "محمد بن سلمان",
    "Hebrew": "שלום",
    "Devanagari": "कृष्णा शर्मा",
    "Tamil": "தமிழ்",
    "Thai": "ที่นี่",
    "Georgian": "ქართული",
}


@pytest.fixture(autouse=True)
def _only_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "FOLDERS", ())
    monkeypatch.delenv(fonts.VARIABLE, raising=False)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch, _only_wheels: None) -> None:
    monkeypatch.setattr(fonts, "PACKAGES", ())


def path_of(letter: str) -> Path:
    face = installed_fonts().choose(letter)
    assert face is not None
    assert face.path is not None
    return face.path


def without_header(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    entry = data.index(b"head", 12)
    place = int.from_bytes(data[entry + 8 : entry + 12])
    data[place : place + 54] = bytes(54)
    return bytes(data)


def drawn(text: str, size: int = 24) -> np.ndarray:
    line = layout_line(text, size)
    image = Image.new("RGB", (max(1, line.width), line.height))
    write(image, line, 0, 0, (255, 255, 255))
    return np.asarray(image)[:, :, 0]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_drawn_in_one_font_that_has_all_of_it(name: str) -> None:
    line = layout_line(name, 24)
    assert len(line.parts) == 1
    assert line.parts[0][1] != FontFace(None)
    assert missing_letters([name]) == ""
    ink = drawn(name)
    assert ink.max() == 255
    assert 0.03 < (ink > 127).mean() < 0.5
    half = line.width // 2
    assert ink[:, :half].any()
    assert ink[:, half:].any()


def test_letters_differ_from_each_other_and_from_an_empty_box() -> None:
    pictures = {letter: drawn(letter).tobytes() for letter in "李明王張"}
    assert len(set(pictures.values())) == len(pictures)
    face = installed_fonts().choose("李")
    assert face is not None
    box = installed_fonts().font(face, 24).getmask("\uffff")
    assert (box.getbbox() or ())[2:] != installed_fonts().font(face, 24).getmask("李").size


@needs_raqm
def test_letters_of_arabic_join() -> None:
    def gaps(text: str) -> int:
        ink = (drawn(text, 60) > 60).any(axis=0)
        return int((np.diff(ink.astype(int)) == -1).sum())

    assert gaps("سلم") == gaps("م") == 1
    assert gaps("س\u200cل\u200cم") == 3


@needs_raqm
def test_letters_of_devanagari_combine() -> None:
    assert layout_line("क्ष", 40).width < 0.8 * layout_line("कष", 40).width


def test_text_in_ascii_needs_no_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    searched: list[object] = []
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: searched.append(top) or walk(top))
    own = Fonts(None, [tmp_path])
    assert own.choose("Ada Lovelace 0.41") == FontFace(None)
    assert not searched
    assert own.choose("ë") is None
    assert own.choose("李") is None
    assert searched == [tmp_path]


def test_two_scripts_are_drawn_in_two_fonts() -> None:
    line = layout_line("คน שלום", 24)
    assert len({face for _, face, _ in line.parts} - {FontFace(None)}) == 2
    assert "".join(text for text, _, _ in line.parts) == "คน שלום"
    edges = [x for _, _, x in line.parts]
    assert edges == sorted(edges)


@pytest.mark.parametrize("name", ["שלום", "محمد"])
def test_parts_of_a_text_that_begins_at_the_right_stand_from_right_to_left(name: str) -> None:
    right_to_left = layout_line(f"{name} คน", 24)
    left_to_right = layout_line(f"คน {name}", 24)
    assert right_to_left.parts[0][0] == "คน"
    assert right_to_left.parts[-1][0] == name
    assert abs(right_to_left.width - left_to_right.width) <= 2


def test_letters_of_one_word_may_come_from_two_fonts() -> None:
    line = layout_line("aคשz", 24)
    assert [text for text, _, _ in line.parts] == ["a", "ค", "ש", "z"]
    assert line.parts[0][1] == line.parts[3][1] == FontFace(None)


@pytest.mark.usefixtures("no_fonts")
def test_a_letter_that_no_font_has_is_drawn_as_its_code_point() -> None:
    np.testing.assert_array_equal(drawn("Ada 李明"), drawn("Ada U+674E U+660E"))
    np.testing.assert_array_equal(drawn("Zoë!"), drawn("Zo U+00EB !"))
    np.testing.assert_array_equal(drawn("𠮷"), drawn("U+20BB7"))
    assert missing_letters(["Ada 李明", "Zoë", "明", "\u200d\x1b\n"]) == "李明ë"


def test_only_letters_without_a_font_are_missing() -> None:
    unassigned = "\U0003fff0"
    assert missing_letters([*NAMES.values(), f"a{unassigned}b", "\udce9\ue000\x1b"]) == unassigned


def test_a_letter_for_which_fonts_have_nothing_to_show_is_missing() -> None:
    filler = "\u3164"
    assert installed_fonts().choose("李\u1100") is not None  # the font that has the filler too, but blank
    assert missing_letters([filler]) == filler
    np.testing.assert_array_equal(drawn(filler), drawn("U+3164"))


def test_advice_names_the_letters_and_the_ways_out() -> None:
    advice = missing_advice("李明")
    assert "no font on this machine has 李明" in advice
    assert "Noto Sans CJK" in advice
    assert "embedder-enroll[fonts]" in advice
    assert fonts.VARIABLE in advice
    assert "and 5 more letters" in missing_advice("abcdefghijklmno")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("Ada\nB\tC", "Ada B C"),
        ("Ada\x1b[2J", "Ada U+001B [2J"),
        ("a\u202eb", "a U+202E b"),
        ("not utf-8 \udce9", "not utf-8 U+DCE9"),
        ("a\u3000b\u2028c", "a b c"),
        ("a\ue000b", "a U+E000 b"),
        ("e\u0301", "é"),
        ("a\u200bb\ufe0f", "ab"),
        ("a\u034fb", "ab"),
        ("  a   b  ", "a b"),
    ],
)
def test_what_cannot_be_seen_does_no_harm(name: str, same: str) -> None:
    np.testing.assert_array_equal(drawn(name), drawn(same))


@pytest.mark.parametrize("text", ["", " ", "\n", "\u200d", "\u0301"])
def test_nothing_to_draw(text: str) -> None:
    line = layout_line(text, 20)
    assert line.height >= 20
    write(Image.new("RGB", (5, 5)), line, 0, 0, (255, 255, 255))


def test_emoji_joined_and_coloured_ones_too() -> None:
    assert layout_line("😀", 30).width >= 20
    drawn("👨\u200d👩\u200d👧 👍🏽 🇩🇪 😀 محمد")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30), st.integers(8, 60))
def test_any_text_stays_within_its_place(text: str, size: int) -> None:
    line = layout_line(text, size)
    assert size <= line.height <= 3 * size + 2
    image = Image.new("RGB", (line.width + 40, line.height + 40), (9, 9, 9))
    write(image, line, 20, 20, (255, 255, 255))
    pixels = np.asarray(image).copy()
    pixels[20 : 20 + line.height, 20 : 20 + max(1, line.width)] = 9
    assert (pixels == 9).all()


def test_stacked_marks_are_cut_off() -> None:
    for mark in "\u0301\u0323":
        assert layout_line("a" + mark * 50, 20).height <= 61


def test_everyday_lines_are_equally_high() -> None:
    assert {layout_line(text, 40).height for text in ("Ada", "gjpqy", "0.41", "unknown")} == {44}


def test_letters_that_reach_out_are_not_cut() -> None:
    for name in (*NAMES.values(), "jÄf", "\u0e33"):
        line = layout_line(name, 60)
        moved = tuple((text, face, x + 50) for text, face, x in line.parts)
        wider = TextLine(moved, 60, line.width + 100, line.ascent + 50, line.descent + 50)
        image = Image.new("RGB", (wider.width, wider.height))
        write(image, wider, 0, 0, (255, 255, 255))
        rows, columns = np.nonzero(np.asarray(image)[:, :, 0] > 40)
        assert rows.min() >= 50
        assert rows.max() < 50 + line.height
        assert columns.min() >= 50
        assert columns.max() < 50 + line.width


def test_colour_and_place() -> None:
    image = Image.new("RGB", (80, 40), (10, 20, 30))
    write(image, layout_line("I", 24), 30, 8, (200, 100, 50))
    colours = {colour for _, colour in image.getcolors(10_000) or []}
    assert {(10, 20, 30), (200, 100, 50)} <= colours
    assert np.asarray(image)[:, :30].tolist() == np.broadcast_to([10, 20, 30], (40, 30, 3)).tolist()


# --- fitting


def test_a_text_that_fits_is_left_alone() -> None:
    width = layout_line("Ada Lovelace", 20).width
    assert shorten("Ada Lovelace", 20, width) == "Ada Lovelace"
    assert shorten("Ada Lovelace", 20, width - 1) != "Ada Lovelace"


@pytest.mark.parametrize(
    "text", ["Maximiliane von Wolfenstein", "李" * 30, "محمد بن سلمان محمد بن سلمان", "e\u0301" * 30]
)
def test_a_long_text_keeps_its_beginning_and_end(text: str) -> None:
    full = layout_line(text, 20).width
    for width in (full // 3, full // 2, full - 1):
        short = shorten(text, 20, width)
        beginning, ellipsis, end = short.partition("…")
        assert ellipsis
        assert unicodedata.normalize("NFC", text).startswith(beginning)
        assert unicodedata.normalize("NFC", text).endswith(end)
        assert 0 <= len(clusters(beginning)) - len(clusters(end)) <= 1
        assert width - 2 * 22 <= layout_line(short, 20).width <= width


def test_the_shortest_text_is_an_ellipsis() -> None:
    assert shorten("Ada", 20, 1) == "…"
    assert shorten("", 20, 0) == ""


def test_letters_keep_their_marks() -> None:
    assert clusters("ae\u0302\u0323b") == ["a", "ệ", "b"]
    assert clusters("q\u0301x") == ["q\u0301", "x"]
    assert clusters("क्षि") == ["क्षि"]
    assert clusters("👨\u200d👩 👍🏽") == ["👨\u200d👩", " ", "👍🏽"]
    assert "".join(clusters("\u0301a")) == "\u0301a"


def test_wrapping_breaks_at_spaces() -> None:
    width = layout_line("too blurred", 14).width
    assert wrap("too blurred to be used", 14, width, 3) == ["too blurred", "to be used"]
    assert wrap("too blurred", 14, width, 3) == ["too blurred"]
    assert wrap("too  blurred\n", 14, width, 1) == ["too blurred"]
    assert wrap("", 14, width, 3) == []


def test_wrapping_goes_on_where_not_even_a_letter_fits() -> None:
    assert wrap("abcd", 14, 1, 3) == ["a", "b", "…"]


def test_wrapping_breaks_long_words_and_shortens_the_last_line() -> None:
    lines = wrap("李" * 30, 14, 70, 3)
    assert len(lines) == 3
    assert lines[0] == lines[1] == "李" * 5
    assert "…" in lines[2]
    assert all(layout_line(line, 14).width <= 70 for line in lines)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab 李\u0301מ", max_size=40), st.integers(1, 4))
def test_wrapping_loses_nothing_it_has_room_for(text: str, lines: int) -> None:
    broken = wrap(text, 12, 60, lines)
    assert len(broken) <= lines
    assert all(layout_line(line, 12).width <= 60 for line in broken)
    joined = unicodedata.normalize("NFD", "".join(broken).replace(" ", ""))
    whole = unicodedata.normalize("NFD", "".join(text.split()))
    if "…" not in joined:
        assert joined == whole
    else:
        assert whole.startswith(joined.partition("…")[0])


# --- which font


def test_a_given_font_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    latin, chinese = path_of("ë"), path_of("李")
    assert latin != chinese
    monkeypatch.setenv(fonts.VARIABLE, str(chinese))
    assert path_of("ë") == path_of("李") == chinese
    assert path_of("ש") != chinese
    assert installed_fonts().choose("Ada") == FontFace(None)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "cut", "picture", "header", "no outlines"])
def test_a_given_file_that_is_no_font_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "font.ttf"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a font")
    elif kind == "cut":
        path.write_bytes(path_of("ש").read_bytes()[:2000])
    elif kind == "picture":
        Image.new("RGB", (4, 4)).save(path, "PNG")
    elif kind == "header":
        path.write_bytes(without_header(path_of("ש")))
    elif kind == "no outlines":
        path.write_bytes(path_of("ש").read_bytes().replace(b"glyf", b"none", 1))
    monkeypatch.setenv(fonts.VARIABLE, str(path))
    with pytest.raises(UsageError, match=r"EMBED_FONT: expected a font.*font\.ttf"):
        layout_line("Ada", 20)


def test_regular_well_known_fonts_come_first_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    source = path_of("ש")
    below = tmp_path / "truetype" / "noto"
    below.mkdir(parents=True)
    for name in ("a.ttf", "DejaVuSans.ttf", "Other.OTF"):
        shutil.copy(source, tmp_path / name)
    for name in ("NotoSans-Bold.ttf", "NotoSans-Italic.ttf", "NotoSans-Regular.ttf", "LastResort.ttf"):
        shutil.copy(source, below / name)
    (tmp_path / "NotoSans.ttf").write_bytes(b"broken")
    (tmp_path / "NotoSans-VF.ttf").symlink_to(tmp_path / "gone.ttf")
    (tmp_path / "NotoSans.woff").write_bytes(source.read_bytes())
    preferred = []
    while True:
        face = Fonts(None, [tmp_path, tmp_path / "missing"]).choose("ש")
        if face is None:
            break
        assert face.path is not None
        preferred.append(face.path.name)
        face.path.unlink()
    assert preferred[:1] == ["NotoSans-Regular.ttf"]
    assert set(preferred[1:3]) == {"NotoSans-Bold.ttf", "NotoSans-Italic.ttf"}
    assert preferred[3:] == ["DejaVuSans.ttf", "a.ttf", "Other.OTF"]


def test_folders_of_the_home_and_of_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places = [tmp_path / "home" / ".fonts", tmp_path / "Windows" / "Fonts"]
    for place, letter in zip(places, "ש李", strict=True):
        place.mkdir(parents=True)
        shutil.copy(path_of(letter), place)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("PLACE", str(tmp_path / "Windows"))
    monkeypatch.setattr(fonts, "PACKAGES", ())
    monkeypatch.setattr(fonts, "FOLDERS", ("~nobody-of-that-name/fonts", "~/.fonts", "${PLACE}/Fonts"))
    assert [path_of(letter).parent for letter in "ש李"] == places


def test_cyrillic_is_not_drawn_in_a_chinese_font(tmp_path: Path) -> None:
    for letter, name in (("ж", "NotoSans-Regular.ttf"), ("李", "NotoSansCJK-Regular.otf")):
        shutil.copy(path_of(letter), tmp_path / name)
    own = Fonts(None, [tmp_path])
    assert [face.path.name for face in map(own.choose, "ж李") if face and face.path] == [
        "NotoSans-Regular.ttf",
        "NotoSansCJK-Regular.otf",
    ]


def test_a_font_that_freetype_refuses_is_passed_over(tmp_path: Path) -> None:
    source = path_of("ש")
    (tmp_path / "NotoSans.ttf").write_bytes(without_header(source))
    shutil.copy(source, tmp_path / "other.ttf")
    face = Fonts(None, [tmp_path]).choose("ש")
    assert face == FontFace(tmp_path / "other.ttf")


@pytest.mark.parametrize("size", [0, 4, 100, 1000, 2000, 6000, 9000])
def test_a_font_that_was_cut_off_within_its_outlines_is_passed_over(tmp_path: Path, size: int) -> None:
    (tmp_path / "NotoSans.ttf").write_bytes(path_of("ש").read_bytes()[:size])
    assert Fonts(None, [tmp_path]).choose("ש") is None


@pytest.mark.parametrize("letter", [" ", "ë", "ش", "ש", "李", "ก"])
def test_a_font_has_the_letters_that_its_table_says(letter: str) -> None:
    from fontTools.ttLib import TTFont

    own = installed_fonts()
    face = own.choose(letter)
    assert face is not None
    path = own.font(face, 32).path
    table = TTFont(path, fontNumber=face.index).getBestCmap()
    codes = [*range(0x21, 0x700), *range(0x900, 0x980), *range(0xE00, 0xE80), *range(0x4E00, 0x4E80)]
    letters = [letter for letter in map(chr, codes) if unicodedata.category(letter)[0] in "LN"]
    assert [letter for letter in letters if own._has(face, letter)] == [
        letter for letter in letters if ord(letter) in table
    ]


def test_a_font_without_a_space_draws_single_words(tmp_path: Path) -> None:
    from fontTools.ttLib import TTFont

    source = TTFont(path_of("ש"))
    for table in source["cmap"].tables:
        table.cmap.pop(ord(" "), None)
    source.save(tmp_path / "NotoSans.ttf")
    own = Fonts(None, [tmp_path])
    assert own.choose("של") == FontFace(tmp_path / "NotoSans.ttf")
    assert own.choose("ש ל") is None  # it would draw a box


def collection(*fonts: bytes) -> bytes:
    """A .ttc file; what stands before each font moves its tables on."""
    place = 12 + 4 * len(fonts)
    head, body = b"ttcf" + struct.pack(">LL", 0x10000, len(fonts)), b""
    for data in fonts:
        head += struct.pack(">L", place + len(body))
        moved = bytearray(data)
        for entry in range(12, 12 + 16 * struct.unpack_from(">H", data, 4)[0], 16):
            (offset,) = struct.unpack_from(">L", data, entry + 8)
            struct.pack_into(">L", moved, entry + 8, offset + place + len(body))
        body += bytes(moved)
    return head + body


def test_every_font_of_a_collection_is_looked_into(tmp_path: Path) -> None:
    sources = [path_of(letter).read_bytes() for letter in "שก"]
    path = tmp_path / "two.ttc"
    path.write_bytes(collection(*sources))
    own = Fonts(None, [tmp_path])
    assert [own.choose(letter) for letter in "שก李"] == [FontFace(path, 0), FontFace(path, 1), None]


@settings(deadline=30_000, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=60), st.integers(0, 12_000))
def test_whatever_is_in_a_font_file_it_is_used_or_passed_over(
    tmp_path: Path, noise: bytes, place: int
) -> None:
    whole = path_of("ש").read_bytes()
    for data in (noise, whole[:place] + noise + whole[place + len(noise) :]):
        (tmp_path / "NotoSans.ttf").write_bytes(data)
        fonts._open.cache_clear()
        own = Fonts(None, [tmp_path])
        face = own.choose("שלום")
        assert face in (None, FontFace(tmp_path / "NotoSans.ttf"))
        text_module._set_line(own, "שלום", 24)


def test_fonts_are_not_looked_for_when_there_is_nothing_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fonts.VARIABLE, "missing.ttf")
    assert missing_letters([]) == missing_letters([""]) == ""
    with pytest.raises(UsageError, match="EMBED_FONT"):
        missing_letters(["a"])


@pytest.mark.parametrize(("default", "set_to"), [(100, [400, 75]), (400, None)])
def test_a_font_that_is_thin_unless_told_otherwise_is_told(
    monkeypatch: pytest.MonkeyPatch, default: int, set_to: list[int] | None
) -> None:
    class Variable:
        weights: list[int] | None = None

        def get_variation_axes(self) -> list[dict[str, object]]:
            return [{"name": b"Weight", "default": default}, {"name": b"Width", "default": 75}]

        def set_variation_by_axes(self, values: list[int]) -> None:
            self.weights = values

    monkeypatch.setattr(ImageFont, "truetype", lambda *place, **engine: Variable())
    opened = fonts._open.__wrapped__(FontFace(Path("NotoSansCJK-VF.ttc")), b"", 20)
    assert opened.weights == set_to


def test_many_files_are_looked_through_quickly(tmp_path: Path) -> None:
    import time

    source = path_of("ש")
    for number in range(300):
        (tmp_path / f"{number}.ttf").symlink_to(source)
    own = Fonts(None, [tmp_path])
    start = time.perf_counter()
    assert own.choose("李") is None
    assert time.perf_counter() - start < 2  # 0.03 s


# --- a Pillow without Raqm


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Ada 1", "Ada 1"),
        ("אבג", "גבא"),
        ("אב גד", "דג בא"),
        ("אבג 12", " 12גבא"),
        ("ab אבג", "ab גבא"),
        ("א\u05b8ב", "בא\u05b8"),
        ("a\u200db", "ab"),
    ],
)
def test_letters_in_the_order_in_which_they_stand(text: str, order: str) -> None:
    assert in_drawing_order(text) == order


def test_without_raqm_hebrew_reads_from_right_to_left(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = drawn("שלום")
    opened = fonts._open.__wrapped__

    def basic(face: FontFace, built_in: bytes, size: int) -> ImageFont.FreeTypeFont:
        font = opened(face, built_in, size)
        assert not isinstance(font.path, int)
        return ImageFont.truetype(font.path, size, face.index, layout_engine=ImageFont.Layout.BASIC)

    monkeypatch.setattr(fonts, "_open", basic)
    text_module._set_line.cache_clear()
    reversed_again = drawn("שלום")
    text_module._set_line.cache_clear()
    width = min(joined.shape[1], reversed_again.shape[1])
    assert abs(joined.shape[1] - reversed_again.shape[1]) <= 3
    same = np.corrcoef(joined[:, :width].ravel(), reversed_again[: len(joined), :width].ravel())[0, 1]
    assert same > 0.6
