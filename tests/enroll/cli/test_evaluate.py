"""`embed calibrate`, `embed evaluate` and `embed identify --explain` as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from embedder.errors import UsageError
from embedder.images import load_image
from enroll import cli
from tests.conftest import pattern, save_people
from tests.enroll.report.pages import Page

runner = CliRunner()


@pytest.fixture
def there(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, ten people with four photos and three strangers, to work in."""
    shutil.copytree(model, tmp_path / "embed-model")
    save_people(tmp_path / "faces", 10, 4)
    for number in range(3):
        for photo in range(2):
            path = tmp_path / "strangers" / f"x{number}" / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pattern(300 + number, photo)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    result = runner.invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_calibrate_then_identify(there: Path):
    run("enroll", "faces")
    _, before = run("identify", "faces/p01/0.png")
    assert "what is known of this network" in before
    out, _ = run("calibrate", "--fpir", "0.05", "--strangers", "strangers")
    assert "names at most 5 % of strangers in this gallery of 10 people, 95 % sure" in out
    assert "of 46 searches for 13 strangers" in out
    said, after = run("identify", "faces/p01/0.png")
    threshold = out.split()[1].rstrip(":")
    assert f"Threshold {threshold}: names at most 5 %" in after
    assert f"threshold {threshold}, " in said
    assert said.rstrip().endswith("% sure)")
    run("gallery", "remove", "p03")
    _, warned = run("identify", "faces/p01/0.png")
    assert "The calibration is out of date: 1 of its 10 people gone; run `embed calibrate` again" in warned


@pytest.mark.parametrize("fpir", ["0", "1", "-0.1", "nan", "1e-300"])
def test_calibrate_refuses_what_is_no_share(there: Path, fpir: str):
    run("enroll", "faces")
    with pytest.raises(Exception, match=r"--fpir: expected a share from 1e-06 to 0\.999, got"):
        run("calibrate", "--fpir", fpir)


def test_calibrate_lists_what_it_could_not_read(there: Path):
    run("enroll", "faces")
    (there / "strangers" / "x0" / "2.jpg").write_bytes(b"\xff\xd8\xff and no more")
    out, err = run("calibrate", "--strangers", "strangers", code=3)
    assert "of 46 searches" in out
    assert "2.jpg" in err


def test_evaluate_says_all_figures_with_intervals(there: Path):
    out, _ = run("evaluate", "faces", "--splits", "3")
    for words in (
        "10 people, 40 photos; 3 splits: 5 people known, 5 strangers",
        "rank-1",
        "rank-5",
        "TPIR at FPIR 0.1 %  not supported; needs 1000 non-mated searches a split",
        "TPIR at FPIR 10 %",
        "TAR at FMR 1 %",
        "equal error rate",
        "0 photos without a face",
        "expected calibration error of the confidence",
    ):
        assert words in out


def test_evaluate_as_json(there: Path):
    (there / "faces" / "p00" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    out, err = run("evaluate", "faces", "--splits", "3", "--json", "--seed", "4", code=3)
    facts = json.loads(out)
    assert facts["protocol"]["seed"] == 4
    assert facts["counts"]["unread"] == 1
    assert "broken.png" in err
    figure = facts["figures"]["rank-1"]
    assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert facts["figures"]["TPIR at FPIR 0.1 %"]["value"] is None
    assert facts["figures"]["TAR at FMR 0.01 %"]["needed"] == "10000 pairs of two people"
    assert facts["curve"]["fpir"][-1] == 1
    fnir = facts["curve"]["fnir"]
    assert fnir == sorted(fnir, reverse=True)
    again, _ = run("evaluate", "faces", "--splits", "3", "--json", "--seed", "4", code=3)
    assert again == out


def test_a_model_compared_with_itself_differs_by_nothing(there: Path):
    out, _ = run("evaluate", "faces", "--splits", "3", "--compare", "embed-model", "embed-model")
    assert "second minus first: embed-model minus embed-model" in out
    lines = [line for line in out.splitlines() if "→" in line]
    assert lines
    assert all(line.endswith(": +0.000 (+0.000 to +0.000)") for line in lines)


def test_evaluate_writes_a_page(there: Path):
    _, err = run("evaluate", "faces", "--splits", "3", "--report", "report.html")
    page = (there / "report.html").read_text("utf-8")
    assert "Wrote report.html" in err
    assert page.startswith("<!DOCTYPE html>")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_calibrate_writes_a_page(there: Path):
    run("enroll", "faces")
    out, err = run("calibrate", "--strangers", "strangers", "--report", "cal.html")
    page = Page((there / "cal.html").read_text("utf-8"))
    assert "Wrote cal.html" in err
    assert page.text.startswith("Calibration of gallery.db ") and out.split("\n")[0][1:] in page.text
    assert len(page.all("figure")) == 2
    assert ["searches", "46, for 13 people"] in page.rows


def test_evaluate_pairs(there: Path):
    for person in range(4):
        folder = there / "lfw" / f"p{person}"
        folder.mkdir(parents=True)
        for photo in range(1, 4):
            Image.fromarray(pattern(person, photo)).save(folder / f"p{person}_{photo:04d}.png")
    lines = ["2\t2", "p0\t1\t2", "p1\t1\t2", "p0\t1\tp1\t1", "p2\t1\tp3\t1"]
    lines += ["p2\t1\t2", "p3\t1\t2", "p0\t2\tp2\t1", "p1\t2\tp3\t2"]
    (there / "pairs.txt").write_text("\n".join(lines) + "\n")
    out, _ = run("evaluate", "lfw", "--pairs", "pairs.txt")
    assert "4 people, 8 photos, 2 folds; 0 photos failed" in out
    assert "accuracy" in out
    facts = json.loads(run("evaluate", "lfw", "--pairs", "pairs.txt", "--json")[0])
    assert facts["folds"] == 2


def test_one_thing_at_a_time(there: Path):
    with pytest.raises(Exception, match="expected one of --compare, --pairs and --report, got more"):
        run("evaluate", "faces", "--pairs", "p.txt", "--report", "r.html")


def test_too_few_people_to_evaluate(there: Path):
    shutil.copytree(there / "faces" / "p00", there / "few" / "p00")
    with pytest.raises(Exception, match="at least 3 people, 2 of them with 2 photos"):
        run("evaluate", "few")


def test_explain_names_the_nearest_photos_and_draws_them(there: Path):
    run("enroll", "faces")
    run("calibrate")
    out, err = run("identify", "faces/p01/0.png", "--explain", "--annotate", "out")
    assert out.count("  near: ") == 5
    assert "  why: the nearest enrolled photo is p01's" in out
    assert "  margin: the next person, " in out
    assert "  Threshold 0." in out
    assert "Threshold" not in err  # it is said once
    (plain,) = (there / "out").iterdir()
    with_sheet = load_image(plain).shape
    shutil.rmtree(there / "out")
    run("identify", "faces/p01/0.png", "--annotate", "out")
    (plain,) = (there / "out").iterdir()
    assert with_sheet[0] > load_image(plain).shape[0]


def test_explain_goes_on_without_the_enrolled_photos(there: Path):
    shutil.copy(there / "faces" / "p01" / "0.png", there / "probe.png")
    run("enroll", "faces")
    shutil.rmtree(there / "faces")
    run("identify", "probe.png", "--explain", "--annotate", "out")
    assert len(list((there / "out").iterdir())) == 1


def test_strangers_are_kept_and_counted_and_never_named(there: Path):
    run("enroll", "faces")
    said, _ = run("enroll", "--strangers", "strangers")
    assert said == "kept 6 photos of strangers; `embed calibrate` counts them\n"
    assert run("enroll", "--strangers", "strangers")[0].startswith("kept 0 photos")
    assert "x0" not in run("gallery", "list")[0]
    assert "of 46 searches for 13 strangers" in run("calibrate")[0]
    answer = json.loads(run("identify", "strangers/x0/0.png", "--json", "--threshold", "2")[0])
    assert answer["faces"][0]["identity"].startswith("p")
    run("enroll", "--name", "x0", "strangers/x0/0.png")  # no stranger any more
    assert "of 45 searches for 13 strangers" in run("calibrate")[0]
    assert run("gallery", "remove-strangers")[0] == "removed 4 photos of strangers\n"
    assert "of 41 searches for 11 strangers" in run("calibrate")[0]


def test_who_is_enrolled_is_no_stranger(there: Path):
    run("enroll", "faces")
    assert run("enroll", "--strangers", "faces")[0].startswith("kept 0 photos of strangers")


def test_people_or_strangers(there: Path):
    with pytest.raises(Exception, match="expected people to enroll or --strangers, got both"):
        run("enroll", "faces", "--strangers", "strangers")
    with pytest.raises(Exception, match="expected a folder of people"):
        run("enroll")


def test_two_people_who_are_too_close_to_call(there: Path):
    run("enroll", "faces")
    said, _ = run("identify", "faces/p01/0.png", "--threshold", "2", "--margin", "1.9")
    assert "are too close to call)" in said
    assert "p01 (distance" in run("identify", "faces/p01/0.png", "--threshold", "2", "--margin", "0.001")[0]


def test_compare_lists_what_either_model_could_not_use(there: Path):
    (there / "faces" / "p00" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    models = ["--compare", "embed-model", "embed-model"]
    _, err = run("evaluate", "faces", "--splits", "2", *models, code=3)
    assert err.count("broken.png") == 1


def test_evaluate_by_another_scorer(there: Path):
    found = {}
    for scorer in ("nearest", "mean"):
        out, _ = run("evaluate", "faces", "--splits", "3", "--json", "--scorer", scorer)
        found[scorer] = json.loads(out)
        assert found[scorer]["scorer"] == scorer
    assert "as_calibrated" in found["nearest"] and "reliability" in found["nearest"]
    assert not {"as_calibrated", "reliability"} & set(found["mean"])
    assert (
        found["mean"]["curve"] != found["nearest"]["curve"]
        or found["mean"]["figures"]["rank-1"]["value"] == 1
    )
    text, _ = run("evaluate", "faces", "--splits", "3")
    assert "  TPIR as calibrated" in text and "as calibrated: at the threshold that `embed calibrate" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--scorer", "median"), "--scorer: expected one of nearest, k-nearest, mean, .* got 'median'"),
        (("--scorer", "cohort"), "--scorer: expected one of nearest, .* got 'cohort'"),
        (("--scorer", "mean", "--report", "r.html"), "--scorer mean: its scores are no distances; leave out"),
        (("--scorer", "margin", "--known", "0.05"), "scorer margin: .*needs a second person"),
    ],
)
def test_scorers_that_cannot_be_used_are_refused(there: Path, given: tuple[str, ...], message: str):
    with pytest.raises(UsageError, match=message):
        run("evaluate", "faces", "--splits", "1", *given)
