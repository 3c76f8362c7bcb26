"""A slice of `scripts/crash_library.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stopped_calls import unsupported

SCRIPT = Path(__file__).parents[2] / "scripts" / "crash_library.py"

REASON = unsupported()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


def run(runs: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--runs", str(runs)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def test_no_photo_is_lost_or_half_written() -> None:
    outcome = run(7)
    assert outcome["problems"] == 0
    assert list(outcome["kills"].values()) == [1] * 7  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_thousand_kills() -> None:
    outcome = run(1000)
    assert outcome["problems"] == 0
    assert sum(outcome["kills"].values()) >= 1000  # type: ignore[attr-defined]
