"""Memory over many answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soak_identify

from embedder.errors import ImageError
from embedder.images import decode_image

SCRIPT = Path(soak_identify.__file__)


def test_pictures_are_of_every_kind_and_size():
    heads = np.full((2, 2, 112, 92), 128, np.uint8)
    widths: list[int] = []
    kinds: Counter[str] = Counter()
    for seed in range(60):
        data = soak_identify.picture(heads, np.random.default_rng(seed))
        try:
            image = decode_image(data, "photo")
        except ImageError:
            kinds["broken"] += 1
            continue
        kinds["face" if (image == image[0, 0]).all() else "no face"] += 1
        widths.append(image.shape[1])
    assert min(kinds.values()) >= 2 and len(kinds) == 3 and kinds["face"] > 40
    assert min(widths) < 80 and max(widths) > 1000 and len(set(widths)) > 40


@pytest.mark.slow
def test_memory_stays_flat():
    command = [sys.executable, str(SCRIPT), "--calls", "3000", "--every", "500"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])["answers"]
    assert sum(answers.values()) == 3000
    assert set(answers) == {"named", "unknown", "no face", "refused"}
