"""Each attack ends as it should."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.attacks.apart import ATTACKS


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.apart"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack(ended: dict[str, str], name: str) -> None:
    assert ended[name] == ATTACKS[name][1]


def test_there_are_many() -> None:
    assert len(ATTACKS) >= 250
