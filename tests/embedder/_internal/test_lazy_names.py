"""Public names of both packages are imported when they are used, and there is a version."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import embedder
import enroll


@pytest.mark.parametrize("package", [embedder, enroll])
def test_the_version_is_that_of_what_is_installed(package) -> None:
    assert package.__version__ == version("embedder-enroll")


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        ("enroll.decide, enroll.get_scorer('mean'), enroll.EvaluationConfig", "sklearn PIL keras sqlite3"),
        (
            "enroll.calibrate, enroll.evaluate, enroll.examine, enroll.Calibration",
            "sklearn PIL keras sqlite3",
        ),
        ("enroll.OpenSetNeighborsClassifier, enroll.OpenSetSplit, enroll.tpir_scorer", "PIL keras sqlite3"),
        ("enroll.Gallery, enroll.Identifier, enroll.Terms, enroll.open_store", "sklearn keras tensorflow"),
        ("embedder.save_model, embedder.train, embedder.TrainConfig", "keras tensorflow sklearn"),
    ],
)
def test_a_name_loads_no_more_than_it_needs(names: str, absent: str) -> None:
    code = f"import sys, embedder, enroll; {names}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(absent.split()) & set(done.stdout.split())
