"""Makes a gallery of format 3, with the code of commit 1289065, of generated vectors; run in its folder.

git archive 1289065 | tar -x -C OLD && cd OLD && python -m tests.enroll.store.old.make_3 FOLDER
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

from enroll.store import Terms
from tests.enroll.templates import open_store, template


def main() -> None:
    """Write it: two people, one erased, a stranger and a calibration."""
    with open_store(Path(sys.argv[1]) / "format-3.db") as store:
        store.add_strangers([("eve", template("e1"))])
        store.add("Zoë", [template("Fotos/Zoë 1.png"), template("Fotos/Zoë 2.png")])
        store.add("bob", [template("b.png")], Terms("file 7", date(2026, 1, 2), date(2999, 1, 1)))
        store.add("gone", [template("g.png")])
        store.remove("gone")
        store.set_calibration('{"promise": "kept"}', 2, 3)


if __name__ == "__main__":
    main()
