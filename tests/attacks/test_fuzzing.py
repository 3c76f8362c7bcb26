"""Slices of `scripts/fuzz_*.py`, and whether they notice what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import mutate

SCRIPTS = Path(__file__).parents[2] / "scripts"

# A check of its own for each case, run by `try_all` in a program without threads.
PROGRAM = """
import json, sys
sys.path[:0] = [{scripts!r}, {root!r}]
import mutations
from tests.attacks.test_fuzzing import misbehave
mutations.SECONDS, mutations.PATIENCE = 0.5, 6.0
print(json.dumps([sorted(found) if index == 0 else found
    for index, found in enumerate(mutations.try_all(misbehave, 10))]))
"""


def run(script: str, *options: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *options], capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def test_damaged_pictures() -> None:
    outcomes = run("fuzz_images.py", "--count", "2000")["outcomes"]
    assert outcomes["read"] + outcomes["refused"] == 2000
    assert min(outcomes.values()) > 100


def test_damaged_galleries_and_models() -> None:
    outcomes = run("fuzz_files.py", "--share", "0.001", "--mutations", "80")["outcomes"]
    for kind in ("gallery", "encrypted"):
        assert outcomes[kind]["refused"] > 100
        assert outcomes[kind]["the same"] > 20
    assert outcomes["export"]["refused"] > 50
    assert outcomes["model"]["refused"] > 150


def test_options_that_no_one_expects() -> None:
    outcomes = run("fuzz_options.py", "--count", "60")["outcomes"]
    assert sum(outcomes.values()) == 60
    assert outcomes["2"] > 15  # refused
    assert outcomes["0"] > 3  # some do no harm


def test_hostile_values_in_fields() -> None:
    outcomes = run("fuzz_fields.py", "--count", "40")["outcomes"]
    assert set(outcomes) == {
        *("manifests", "configurations", "checkpoints", "calibrations"),
        *("exports", "rows", "library_rows", "crops", "indices"),
    }
    for kind in ("manifests", "configurations", "checkpoints", "calibrations", "exports", "library_rows"):
        assert outcomes[kind]["refused"] > 10


@pytest.mark.slow
def test_hostile_values_in_all_fields() -> None:
    assert run("fuzz_fields.py")["problems"] == 0


@pytest.mark.slow
def test_many_options() -> None:
    assert run("fuzz_options.py", "--count", "5000", "--seed", "7")["problems"] == 0


@pytest.mark.slow
def test_much_damage() -> None:
    assert run("fuzz_images.py")["problems"] == 0
    assert run("fuzz_files.py")["problems"] == 0


def misbehave(case: int) -> str:
    """What the guard is there to notice."""
    if case == 1:
        raise KeyError("not an error of ours")
    if case == 2:
        warnings.warn("escaped", stacklevel=1)
    if case == 3:
        os.write(2, b"a word")
    if case == 4:
        return str(len(bytes(2**30)))
    if case == 5:
        time.sleep(60)
    if case == 6:
        os.abort()
    while case == 7:
        pass
    return "fine"


def test_the_guard_notices() -> None:
    code = PROGRAM.format(scripts=str(SCRIPTS), root=str(SCRIPTS.parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes, problems = json.loads(done.stdout)
    assert outcomes == ["fine"]
    found = dict(problem.split(": ", 1) for problem in problems)
    assert "KeyError" in found["case 1"]
    assert "escaped" in found["case 2"]
    assert found["case 3"] == "writes 6 bytes to the terminal"
    assert "MemoryError" in found["case 4"]
    assert found["case 5"] == "hangs"
    assert found["case 6"] == "ends with -6"
    assert found["case 7"] == "hangs"
    assert len(problems) == 7


def test_damage_is_done_and_can_be_done_again() -> None:
    data = bytes(range(256)) * 4
    cases = [mutate(data, np.random.default_rng([0, case])) for case in range(200)]
    assert all(case != data for case in cases)
    assert len(set(cases)) > 190
    assert cases == [mutate(data, np.random.default_rng([0, case])) for case in range(200)]
    assert mutate(b"x", np.random.default_rng(0)) != b"x"


def test_every_option_is_tried() -> None:
    """A guard of the guard: with enough lines each option of each command is given a value."""
    from fuzz_options import Lines, commands

    lines, found = Lines(seed=0, pairs=1.0), commands()
    given: dict[tuple[str, ...], set[str]] = {words: set() for words in found}
    for number in range(len(found) * 400):
        line = lines[number]
        words = next(
            words
            for words in found
            if tuple(line[: len(words)]) == words or words == tuple(line[2 : 2 + len(words)])
        )
        given[words] |= set(line)
    for words, command in found.items():
        expected = {entry.opts[0] for entry in command.params if entry.param_type_name == "option"}
        assert expected - given[words] <= {"--help", "--tensorboard", "-h"}, words
