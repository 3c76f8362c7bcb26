"""The report of an evaluation."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import enroll.evaluation.analysis
import enroll.evaluation.protocol
from embedder.errors import MissingPackageError, UsageError
from embedder.folders import Rejected, scan_folder
from enroll.evaluation.analysis import confusions, mistakes, probable_duplicates
from enroll.evaluation.estimates import Estimate
from enroll.evaluation.protocol import Evaluation
from enroll.folder_embedding import embed_folder
from enroll.report import evaluation_page, people, svg
from enroll.report.evaluation import smallest_supported_fpir, summarize
from enroll.report.evaluation_page import save_report, to_html
from enroll.report.plotted import Plots
from tests.conftest import TOY_STRANGERS, ToyExtractor
from tests.enroll.evaluation.evaluations import ROOT, made_evaluation, made_folder
from tests.enroll.report.pages import HOSTILE, Page, check_harmless

FPIR = 0.1
HARD = made_evaluation(made_folder(20, noise=0.9))
FIGURES = {
    "rank-1": Estimate(0.925, 0.8961, 0.951),
    "TPIR at FPIR 0.1 %": Estimate(None, needed="1000 non-mated searches a split"),
    "difference": Estimate(-0.02, -0.05, 0.01),
    "without interval": Estimate(0.5),
}


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_page, "plotted", lambda *_: Plots((), ()))


def crop_of(row: int, side: int = 150) -> NDArray[np.uint8]:
    squares = np.random.default_rng(row).integers(0, 256, (5, 5, 3), np.uint8)
    return np.kron(squares, np.ones((side // 5, side // 5, 1), np.uint8))


def report(evaluation: Evaluation = HARD, **options: object) -> Page:
    return Page(to_html(evaluation, FIGURES, {}, **({"fpir": FPIR} | options)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole() -> tuple[str, Page]:
    facts = {"fingerprint": "3f2a9c", "numpy": "2.1.0"}
    text = to_html(HARD, FIGURES, facts, title="ORL", fpir=FPIR, threshold=0.4, crop=crop_of)
    return text, Page(text)


def test_well_formed_and_harmless(whole: tuple[str, Page]):
    text, page = whole
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    check_harmless(page, text)
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy is not None and policy.startswith("default-src 'none'")
    assert {"charset": "utf-8"} in page.all("meta")
    assert len(text.encode()) < 1_500_000
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_five_plots_each_with_how_to_read_it(whole: tuple[str, Page]):
    text, page = whole
    assert len(page.all("figure")) == len(page.all("figcaption")) == 5
    assert text.count('<svg viewBox="0 0') - text.count('class="whisker"') == 5
    assert "fixed at 0.400 (model's own)" in page.text


def test_same_bytes(whole: tuple[str, Page]):
    facts = {"fingerprint": "3f2a9c", "numpy": "2.1.0"}
    again = to_html(HARD, FIGURES, facts, title="ORL", fpir=FPIR, threshold=0.4, crop=crop_of)
    assert again == whole[0]


def test_figures(whole: tuple[str, Page]):
    rows = whole[1].rows
    assert ["rank-1", "0.925", "0.896 to 0.951", ""] in rows
    assert ["TPIR at FPIR 0.1 %", "not supported", "needs 1000 non-mated searches a split", ""] in rows
    assert ["difference", "-0.020", "-0.050 to 0.010", ""] in rows
    assert ["without interval", "0.500", "", ""] in rows
    order = [row[0] for row in rows if row and row[0] in FIGURES]
    assert order == list(FIGURES)
    whiskers = [attributes for name, attributes in whole[1].elements if attributes.get("class") == "whisker"]
    assert len(whiskers) == 1  # of the only one that has an interval within 0 to 1
    lines = whole[1].all("line")
    assert [(line["x1"], line["x2"]) for line in lines] == [("4", "124"), ("111.5", "118.1")]
    assert whole[1].all("circle")[0]["cx"] == "115.0"


def test_facts(whole: tuple[str, Page]):
    end = whole[1].rows[-6:]
    assert end == [
        ["fingerprint", "3f2a9c"],
        ["numpy", "2.1.0"],
        ["splits", "4"],
        ["enrolled", "50 % of the people, half of a person's photos"],
        ["intervals", "40 bootstrap replicates over people"],
        ["seed", "3"],
    ]


def test_sentences(whole: tuple[str, Page]):
    text = whole[1].text
    assert (
        "In each of 4 random divisions of 20 people, enrolled: 10 people with 3 photos each. Searched for: "
        "their other 30 photos, and all 60 photos of 10 strangers."
    ) in text
    first, tpir = HARD.rank(1), HARD.tpir(FPIR)
    assert first.value and first.low and first.high and tpir.value and tpir.low and tpir.high
    assert (
        f"In {100 * first.value:.1f} % (95 % interval {100 * first.low:.1f} to {100 * first.high:.1f}) of the"
    ) in text
    assert (
        f"at most 10 % of the strangers a name, {100 * tpir.value:.1f} % "
        f"({100 * tpir.low:.1f} to {100 * tpir.high:.1f}) of these searches"
    ) in text


@pytest.mark.usefixtures("no_plots")
def test_sentences_of_few_photos():
    folder = made_folder(5, 3)
    evaluation = made_evaluation(folder, splits=1, enrolled=1)
    page = report(evaluation, fpir=0.01)
    assert (
        "Of 5 people, enrolled: 2 people with 1 photo each. Searched for: their other 4 photos," in page.text
    )
    assert "needs 100 non-mated searches a split." in page.text


def test_people_and_photos_that_go_wrong(whole: tuple[str, Page]):
    of_people, photos = mistakes(HARD, FPIR)
    rows = whole[1].rows
    for entry in of_people[:15]:
        assert [entry.identity, f"{entry.missed} of {entry.searches}", str(entry.attracted)] in rows
    for photo in photos[:15]:
        near = HARD.samples.paths[photo.nearest].relative_to(ROOT)
        shown = [
            "",
            str(HARD.samples.paths[photo.row].relative_to(ROOT)),
            f"{photo.wrong} of {photo.searches}",
            str(photo.named),
            f"{near} at {photo.distance:.3f}",
        ]
        assert shown in rows
    assert len(photos) > 15
    assert f"Photos: {len(photos)} of 120 with a mistake, the worst 15" in whole[1].text
    assert "At each split's threshold for FPIR 10 %" in whole[1].text


def test_pictures(whole: tuple[str, Page]):
    every = confusions(HARD, FPIR)
    assert len(every) > 24
    images = whole[1].all("img")
    assert len(images) == 15 + 2 * 24
    shown = [
        str(HARD.samples.paths[row].relative_to(ROOT)) for e in every[:24] for row in (e.probe, e.template)
    ]
    assert [image["alt"] for image in images[15:]] == shown
    for image, row in zip(images[15:], [row for e in every for row in (e.probe, e.template)], strict=False):
        assert image["src"] is not None
        pixels = Image.open(BytesIO(b64decode(image["src"].partition(",")[2], validate=True)))
        assert pixels.size == (96, 96) == (int(image["width"] or 0), int(image["height"] or 0))
        expected = np.asarray(Image.fromarray(crop_of(row)).resize((96, 96), Image.Resampling.LANCZOS), float)
        assert np.corrcoef(np.asarray(pixels, float).ravel(), expected.ravel())[0, 1] > 0.95
    first = every[0]
    assert f"{first.identity} taken for {first.named}" in whole[1].text.replace("  ", " ")
    assert f"{first.times} of {first.searches} searches, distance {first.distance:.3f}" in whole[1].text
    assert f"{len(every)} pairs of people; the 24 most frequent are shown" in whole[1].text


@pytest.mark.usefixtures("no_plots")
def test_no_photo_no_picture():
    page = report()
    assert page.all("img") == [] and "no picture" not in page.text
    assert "taken for" in page.text
    page = report(crop=lambda _: None)
    assert page.all("img") == []
    assert page.text.count("no picture") == 48


@pytest.mark.usefixtures("no_plots")
def test_hostile_names():
    names = tuple(sorted((*HOSTILE, "p0", "p1", "p2", "p3")))
    unread = (Rejected(ROOT / HOSTILE[0].replace("/", "_") / HOSTILE[1], HOSTILE[2]),)
    folder = made_folder(noise=0.9, names=names, no_face=(1, 8), poor=(2, 14, 30), unread=unread)
    folder.problems[2] = HOSTILE[0]
    evaluation = made_evaluation(folder, splits=10)
    text = to_html(
        evaluation,
        FIGURES,
        {"model": HOSTILE[1]},
        title=HOSTILE[2],
        fpir=FPIR,
        crop=lambda row: crop_of(row, 20),
    )
    page = Page(text)
    check_harmless(page, text)
    text.encode("utf-8")
    assert "<script" not in text and "<b onclick" not in text and "<img src=x" not in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)
    for name in ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a&lt;b&amp;"):
        assert any(name in row[0] for row in page.rows if row)
    assert "evil U+202E gnp.exe" in page.text
    isolated = re.findall(r"<bdi>([^<]*)</bdi>", text)
    assert "\u05d0\u05d1\u05d2" in isolated
    assert text.count("\u05d0\u05d1\u05d2") == sum(
        part.count("\u05d0\u05d1\u05d2") for part in isolated
    ) + sum((image["alt"] or "").count("\u05d0\u05d1\u05d2") for image in page.all("img"))


@pytest.mark.usefixtures("no_plots")
def test_failures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(people, "_FAILURES", 3)
    unread = (Rejected(ROOT / "p03" / "notes.txt", "no picture; expected JPEG"),)
    page = report(made_evaluation(made_folder(no_face=(0, 1, 2, 3, 40), poor=(9,), unread=unread)))
    rows = [row[:3] for row in page.rows]
    assert ["no face found", "5", "6.8 %"] in rows
    assert ["too poor to enroll", "1", "1.4 %"] in rows
    assert ["not read", "1", "1.4 %"] in rows
    assert ["p00/0.png", "no face found"] in rows and ["p00/2.png", "no face found"] in rows
    assert ["p00/3.png", "no face found"] not in rows and "... and 2 more" in page.text
    assert ["p01/3.png", "too dark: 3, at least 20"] in rows
    assert ["p03/notes.txt", "no picture"] in rows
    assert str(ROOT) not in page.text


@pytest.mark.usefixtures("no_plots")
def test_long_lists_are_folded():
    page = report(made_evaluation(made_folder(no_face=tuple(range(11)), poor=(30,))))
    assert [details.get("open") for details in page.all("details")] == [None, ""]


@pytest.mark.usefixtures("no_plots")
def test_duplicates():
    folder = made_folder(noise=0.05)
    folder.vectors[6:12] = folder.vectors[:6][::-1]
    ((first, second, distance),) = probable_duplicates(folder)
    page = report(made_evaluation(folder))
    assert (first, second) == ("p00", "p01")
    assert ["p00", "p01", f"{distance:.3f}"] in page.rows
    assert "None found." not in page.text
    assert "None found." in report(made_evaluation(made_folder(noise=0.05))).text


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_no_mistake_at_all(threshold: float | None):
    page = report(made_evaluation(made_folder(noise=0.001)), fpir=0.01, threshold=threshold)
    assert "No search went wrong." in page.text and "No one, at each split's threshold" in page.text
    assert 4 <= len(page.all("figure")) <= 5


def test_every_stranger_is_named():
    """At an FPIR of 1 there is no threshold, and no gallery size to measure at it."""
    page = report(fpir=1.0)
    assert "More people, more false names" not in page.text
    assert len(page.all("figure")) == 4


def test_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise MissingPackageError("matplotlib")

    monkeypatch.setattr(svg, "check_matplotlib", missing)
    with pytest.raises(MissingPackageError):
        report()


def test_report_of_a_folder_and_a_model(tmp_path: Path, toy: ToyExtractor, people: Path):
    """Pictures are read from the photos once more; those that are gone meanwhile have none."""
    (people / "p00" / "broken.png").write_bytes(b"no picture")
    for number in range(3):  # photos of another person: they go wrong
        (people / "p00" / f"{number}.png").write_bytes(
            (people / "p01" / f"{number}.png").read_bytes()[:-1] + b"\x82"
        )
    evaluation = made_evaluation(embed_folder(scan_folder(people), toy))  # type: ignore[arg-type]
    path = tmp_path / "report.html"
    save_report(path, evaluation, summarize(evaluation), toy)  # type: ignore[arg-type]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    check_harmless(page, text)
    assert page.text.startswith("Evaluation of people ")
    assert len(page.all("img")) > 2 and "no picture" not in page.text.replace("not a picture", "")
    facts = dict(row for row in page.rows if len(row) == 2)
    assert facts["fingerprint"] == toy.fingerprint and facts["model"] == "toy, head none, crop whole"
    assert {"Python", "numpy", "embedder-enroll", "matplotlib", "seed", "splits"} <= set(facts)
    own = TOY_STRANGERS.threshold(smallest_supported_fpir(evaluation), 3, photos=2)
    assert f"fixed at {own:.3f} (model's own)" in page.text
    assert f"At each split's threshold for FPIR {100 * smallest_supported_fpir(evaluation):g} %" in page.text
    assert ["rank-1", f"{evaluation.rank(1).value:.3f}"] in [row[:2] for row in page.rows]
    assert any(row[0] == "p00/broken.png" for row in page.rows if row)
    for photo in people.glob("*/*.png"):
        photo.unlink()
    save_report(path, evaluation, summarize(evaluation), toy, force=True)  # type: ignore[arg-type]
    page = Page(path.read_text(encoding="utf-8"))
    assert page.all("img") == [] and "no picture" in page.text


@pytest.mark.usefixtures("no_plots")
def test_cannot_be_written(tmp_path: Path, toy: ToyExtractor):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UsageError, match="expected a file, got a folder"):
        save_report(tmp_path / "report.html", HARD, summarize(HARD), toy)  # type: ignore[arg-type]


def test_the_report_computes_nothing_again_that_the_text_has(
    toy: ToyExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Bootstrap, confidence, mistakes and duplicates are most of the time that an evaluation takes."""
    evaluation = made_evaluation(made_folder(8, 4), splits=2)
    done: list[str] = []

    def counted(module: ModuleType, name: str) -> None:
        work = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: done.append(name) or work(*given))

    for name in ("identity_weights", "leave_one_out_searches", "figure"):
        counted(enroll.evaluation.protocol, name)
    for name in ("find_probable_duplicates", "PhotoMistakes"):
        counted(enroll.evaluation.analysis, name)
    outcome = summarize(evaluation)
    text = done.copy()
    save_report(tmp_path / "report.html", evaluation, outcome, toy)  # type: ignore[arg-type]
    assert len(set(text)) == 5
    assert done == text
