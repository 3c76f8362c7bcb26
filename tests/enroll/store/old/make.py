"""Makes the galleries of older formats: with the code of commit 22d2989, in its folder, of generated vectors.

git archive 22d2989 | tar -x -C OLD && cd OLD && python .../tests/enroll/store/old/make.py FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path.cwd()))

from enroll import migrations  # type: ignore[attr-defined]
from enroll.store import Store
from enroll.templates import NewTemplate  # type: ignore[attr-defined]

DIM = 16
MODEL = "f" * 64


def template(photo: str) -> NewTemplate:
    """As in tests/enroll/templates.py."""
    digest = hashlib.sha256(photo.encode()).digest()
    vector = np.random.default_rng(list(digest)).normal(size=DIM).astype(np.float32)
    return NewTemplate(photo, digest, vector / np.linalg.norm(vector))


def main() -> None:
    """Write a gallery of format 1, without strangers and calibration, and one of format 2."""
    steps = migrations.STEPS
    for version in (1, 2):
        migrations.STEPS = steps[:version]
        with Store(Path(sys.argv[1]) / f"format-{version}.db", create=True) as store:
            store.bind(MODEL, DIM)
            if version == 2:
                store.add_strangers(
                    [("eve", template("e1")), ("eve", template("e2")), ("bob", template("x"))]
                )
                store.add("mallory", [template("e2")])
            else:
                # Format 1 has no table of strangers, which `add` clears.
                store._connection.execute("CREATE TEMP TABLE stranger (person TEXT)")
            store.add("Zoë", [template("Fotos/Zoë 1.png"), template("Fotos/Zoë 2.png")])
            store.add("bob", [template("b.png")])
            store.add("gone", [template("g.png")])
            store.remove("gone")
            if version == 2:
                store.set_calibration('{"promise": "kept"}', 3, 4)


main()
