"""A slice of `scripts/crash_gallery.py`, and whether it notices what it is there to notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stopped_calls import unsupported

from tests.crash.controls import CONTROLS

SCRIPT = Path(__file__).parents[2] / "scripts" / "crash_gallery.py"

REASON = unsupported()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


def run(script: Path, *options: str) -> Any:
    """The JSON line of a program of its own: it forks, and this process has many threads."""
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_that_was_printed_is_lost_and_nothing_is_half_there() -> None:
    outcome = run(SCRIPT, "--runs", "60", "--faults", "14")
    assert outcome["problems"] == 0
    assert 60 <= outcome["kills"] < 60 + len(outcome["calls"])  # the same number for each operation
    assert outcome["faults"] == 14


@pytest.fixture(scope="module")
def noticed() -> dict[str, str | None]:
    outcome: dict[str, str | None] = run(Path(__file__).with_name("controls.py"))
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("control", CONTROLS)
def test_the_harness_notices(noticed: dict[str, str | None], control: str) -> None:
    assert noticed[control]


@pytest.mark.slow
def test_a_thousand_kills_and_every_failing_call() -> None:
    outcome = run(SCRIPT, "--runs", "1000", "--faults", "all")
    assert outcome["problems"] == 0
    assert outcome["kills"] >= 1000
