"""What `make bench` makes of its figures, and what it measures with; nothing here is timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bench
import bench_page
import bench_rivals
import numpy as np
import pytest
from bench_finding import count
from bench_photos import write_people
from group_photos import Truth
from measured_run import run_measured
from turns import ratio

from embedder.config import DetectorConfig
from embedder.export import yunet
from embedder.faces.crop import load_detector
from embedder.faces.detection import Detection
from embedder.images import load_image

BARE = [sys.executable, "-I", "-S", "-c"]
WHERE = {"date": "2026-01-02", "machine": "a machine", "seed": 5, "versions": {"python": "3"}}


def cold(ours: float, theirs: float | None) -> dict[str, Any]:
    """Figures of bench_cold in which each turn takes a little longer than the one before."""
    runs = {"embed --help": 0.2, "embed identify": ours}
    runs |= {"face_recognition, dlib-bin": theirs} if theirs else {}
    turns = {
        name: [{"wall": second * turn, "peak_mb": 100.0} for turn in (1, 1.1, 1.2)]
        for name, second in runs.items()
    }
    note: Any = {"dlib": "20"} if theirs else "it is not installed"
    return {
        **WHERE,
        "photos": 100,
        "runs": turns,
        "imports": {"modules": 3, "ms": {"numpy": 1.0}},
        "rivals": {"dlib-bin": note},
    }


def bulk(cpu: float) -> dict[str, Any]:
    """Figures of bench_bulk whose stages take 0.08 s of processor time for each of 10 photos."""
    run = {"photos": 10, "wall": 2.0, "cpu": cpu, "peak_mb": 300.0}
    stages = {"decode": [10.0], "find": [30.0], "network": [40.0]}
    runs = {"embed enroll": [run], "embed identify": [run]}
    return {**WHERE, "photos": 10, "runs": runs, "stages_ms": stages, "rivals": {}}


def rows_of(page: str, start: str) -> list[list[str]]:
    """Cells of the rows that begin with a word."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith(f"| {start}")
    ]


def test_a_ratio_is_of_turns():
    assert ratio([1, 2, 30], [10, 1, 15]) == (2.0, 0.1, 2.0)  # that of the medians would be 2 / 10


def test_a_ratio_needs_both():
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="no turns"):
        ratio([], [])


def test_the_page_says_what_was_reached():
    page = bench_page.page({"cold": cold(ours=0.5, theirs=10.0)})
    (ours, memory) = rows_of(page, "`embed identify`")[0], rows_of(page, "its largest")[0]
    assert ours == ["`embed identify`, 100 enrolled photos, a fresh process, s", "≤ 1.2", "0.55", "yes"]
    assert memory[1:] == ["≤ 350", "100", "yes"]
    assert rows_of(page, "its time over")[0][1:] == ["≤ 0.1", "0.050", "yes"]
    assert rows_of(page, "face_recognition, dlib-bin") == [
        ["face_recognition, dlib-bin", "11.00", "100", "20.0 (20.0 to 20.0)"]
    ]
    assert "2026-01-02, a machine, seed 5. python 3; dlib-bin dlib 20." in page


def test_the_page_says_what_was_not_reached():
    page = bench_page.page({"cold": cold(ours=2.0, theirs=10.0)})
    assert rows_of(page, "`embed identify`")[0][3] == "**no**"
    assert rows_of(page, "its time over")[0][1:] == ["≤ 0.1", "0.200", "**no**"]


def test_the_page_says_which_rival_is_missing():
    page = bench_page.page({"cold": cold(ours=0.5, theirs=None)})
    assert rows_of(page, "its time over")[0][1:] == ["≤ 0.1", "not measured", ""]
    assert "Left out: it is not installed." in page


def test_ours_is_compared_with_the_quickest():
    figures = cold(ours=1.0, theirs=10.0)
    figures["runs"]["face_recognition, other"] = cold(ours=4.0, theirs=None)["runs"]["embed identify"]
    assert bench_page.cold_share(figures) == pytest.approx(0.25)


@pytest.mark.parametrize(("cpu", "other", "verdict"), [(1.0, "0.20", "**no**"), (0.9, "0.11", "yes")])
def test_the_share_of_the_rest(cpu: float, other: str, verdict: str):
    page = bench_page.page({"bulk": bulk(cpu)})
    assert [row[2:] for row in rows_of(page, "share of")] == [[other, verdict]] * 2
    assert [row[-1] for row in rows_of(page, "embed enroll")] == ["300", other]


def test_parts_that_were_not_measured_are_not_on_the_page():
    page = bench_page.page({"bulk": bulk(1.0)})
    assert "## Many photos" in page
    assert "## The first answer" not in page and "TensorFlow" not in page


@pytest.mark.parametrize(("growth", "verdict"), [(0.06, "**no**"), (0.01, "yes")])
def test_memory_over_many_answers(growth: float, verdict: str):
    sizes = {"1000": 100.0, "3000": 120.0, "10000": 100.0 * (1 + growth)}
    soaked = {
        "resident_mb": sizes,
        "growth": growth,
        "calls": 10000,
        "answers": {"named": 9000, "unknown": 1000},
    }
    page = bench_page.page({"soak": soaked | WHERE})
    assert rows_of(page, "what 10,000 answers add")[0][1:] == ["≤ 0.05", f"{growth:.4f}", verdict]
    assert rows_of(page, "10,000 |") == [["10,000", f"{100 * (1 + growth):.1f}"]]
    assert "The largest was 120.0 MB. Answers: 9,000 named, 1,000 unknown." in page


def test_figures_are_kept_a_part_a_line(tmp_path: Path):
    bench.keep(tmp_path / "kept.json", {"finding": {"a": 1}, "cold": {"b": 2}})
    lines = (tmp_path / "kept.json").read_text().splitlines()
    assert lines == ["{", '"cold": {"b": 2},', '"finding": {"a": 1}', "}"]


def test_measuring_one_part_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = tmp_path / "docs" / "measurements" / "benchmarks.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"cold": cold(ours=0.5, theirs=10.0)}))
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "install_all", lambda compile_dlib: None)
    monkeypatch.setattr(bench, "run", lambda part, own: None if part == "cold" else bulk(1.0))
    monkeypatch.setattr(sys, "argv", ["bench.py", "--only", "cold", "bulk"])
    assert bench.main() == 1  # cold failed
    assert list(json.loads(kept.read_text())) == ["cold", "bulk"]
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "## The first answer" in page and "## Many photos" in page


def test_photos_differ_and_show_one_face(tmp_path: Path):
    paths = write_people(tmp_path / "people", 3, per_person=2)
    assert [path.parent.name for path in paths] == ["p00000", "p00000", "p00001"]
    assert len({path.read_bytes() for path in paths}) == 3
    detector = load_detector(DetectorConfig(), yunet.detector_bytes())
    images = [load_image(path) for path in paths]
    assert {image.shape for image in images} == {(600, 800, 3)}
    assert [len(detector.find(image)) for image in images] == [1, 1, 1]


def test_photos_are_made_once_and_alike(tmp_path: Path):
    (path,) = write_people(tmp_path / "one", 1)
    (again,) = write_people(tmp_path / "two", 1)
    assert path.read_bytes() == again.read_bytes()
    path.write_bytes(b"as it was")
    write_people(tmp_path / "one", 1)
    assert path.read_bytes() == b"as it was"
    write_people(tmp_path / "one", 1, seed=1)
    assert path.read_bytes() not in (b"as it was", again.read_bytes())


def test_a_missing_rival_is_named_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(bench_rivals, "BENCH", tmp_path)
    commands, notes = bench_rivals.rival_commands()
    assert commands == {}
    assert notes["dlib-bin"] == (
        "face_recognition with dlib-bin is not installed; python scripts/bench_rivals.py installs it"
    )
    assert "bench_rivals.py --compile-dlib" in notes["dlib-compiled"]
    assert capsys.readouterr().out.splitlines() == list(notes.values())


def test_what_cannot_be_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: first\nERROR: no such package\nhint\n")
    monkeypatch.setattr(bench_rivals, "BENCH", tmp_path)
    monkeypatch.setattr(bench_rivals, "INDEXES", tmp_path / "indexes")
    monkeypatch.setattr(bench_rivals.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(bench_rivals.subprocess, "run", lambda *_, **__: failed)
    bench_rivals.install_all(compile_dlib=False)
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: left out: no such package"
        for name in ("face_recognition with dlib-bin", "usearch", "hnswlib")
    ]
    with pytest.raises(bench_rivals.RivalMissingError):
        bench_rivals.environment("dlib-bin")


def test_a_command_costs_its_own_memory_and_not_ours():
    ballast = np.ones(2 * 10**7)  # 160 MB that the command does not have
    small = run_measured([*BARE, "print('done')"])
    large = run_measured([*BARE, "x = bytearray(b'1') * 10**8; raise SystemExit(3)"], codes=(0, 3))
    assert ballast.sum() and small.output == "done\n" and (small.code, large.code) == (0, 3)
    assert small.peak_mb < 60
    assert 100 < large.peak_mb < 160
    assert 0 < small.wall < 60


def test_a_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"ended with 4: oh no"):
        run_measured([*BARE, "import sys; print('oh no', file=sys.stderr); sys.exit(4)"])


def test_faces_are_counted_where_they_are():
    figures: dict[str, Any] = {"found": 0, "faces": 0, "false": 0, "ms": []}
    truths = [Truth((100, 100), 80, 0, 0), Truth((400, 100), 80, 0, 1)]
    boxes = [Detection((x, 60.0, 80.0, 80.0), np.empty((5, 2)), 1.0) for x in (60.0, 200.0)]
    count(figures, boxes, truths, 0.0125)
    assert figures == {"found": 1, "faces": 2, "false": 1, "ms": [12.5]}
