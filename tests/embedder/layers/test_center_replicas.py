"""Centers of several devices are those of one, and equal on all of them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
NO_JAX = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")


@pytest.mark.parametrize(
    ("backend", "rates"),
    [
        ("tensorflow", ["0.5"]),
        pytest.param("tensorflow", ["0"], marks=pytest.mark.slow),
        pytest.param("jax", ["0", "0.5"], marks=[pytest.mark.slow, NO_JAX]),
    ],
)
def test_centers_of_two_devices_are_those_of_one(backend: str, rates: list[str]):
    code = [sys.executable, "-m", "tests.embedder.layers.on_devices", backend, *rates]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 2 * len(rates)
    for name, (alone, shared) in found.items():
        assert (len(alone), len(shared)) == (1, 2), name
        np.testing.assert_array_equal(shared[0], shared[1], err_msg=name)
        np.testing.assert_allclose(shared[0], alone[0], atol=1e-6, err_msg=name)
