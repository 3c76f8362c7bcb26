"""The programs of examples/ run as they stand, and say what they are to say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAID = {
    "own_loss.py": r"while training: \{.*'center_loss': .*\npeople it never saw: rank-1 [01]\.\d.*",
    "scikit_learn_pipeline.py": (
        r"chosen: .*\nknown people named: (9\d|100)% of \d+\nstrangers named: 0% of \d+"
    ),
    "door_camera.py": r"0:00:00 to .*: ada \(match\)\n0:00:0[45] to .*: someone unknown \(.*\)",
    "sort_library.py": r"40 photos, 40 faces\n(?:[A-D]: 10 faces, .*\n){4}(?:[A-D]/: 10 photos\n?){4}",
}


def test_every_example_is_tested_and_named():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text()
    assert names == set(SAID)
    assert all(f"({name})" in listed and f"python examples/{name}" in listed for name in names)


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs(name: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(SAID[name], done.stdout.strip()), done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
