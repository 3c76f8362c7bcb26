"""Makes a gallery of format 4, with the code of commit f765391, of generated vectors; run in its folder.

git archive f765391 | tar -x -C OLD && cd OLD && python -m tests.enroll.store.old.make_4 FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from datetime import date
from pathlib import Path

from enroll.store.library import PhotoFile, SeenFace, SeenPhoto
from tests.enroll.templates import open_store, template


def main() -> None:
    """Write it: a person, a photo with two faces of which one is theirs, and one that cannot be read."""
    with open_store(Path(sys.argv[1]) / "format-4.db") as store:
        store.add("Zoë", [template("Fotos/Zoë 1.png")])
        library = store.library()
        model, _ = store.model() or ("", 0)
        files = (PhotoFile("Fotos/beide.jpg", 7, 5), PhotoFile("Fotos/kopie.jpg", 7, 6, there=False))
        photo = SeenPhoto(hashlib.sha256(b"p").digest(), files, 640, 480, "2024-05-01T10:00:00", None, model)
        faces = [
            SeenFace(
                0,
                (number, 20, 60, 80),
                template(f"f{number}").vector,
                {"size": 60.0},
                day,
                model,
                key=bytes([number]) * 32,
            )
            for number, day in ((1, date(2999, 1, 1)), (2, None))
        ]
        broken = SeenPhoto(bytes(32), (PhotoFile("b.jpg", 1, 1),), 0, 0, None, "not a picture", model)
        library.write([(photo, faces), (broken, [])])
        person = library.person("Zoë")
        library.decide({"do": "confirm", "faces": [1], "person": person, "source": "user"})
        library.set_names({1: person})
        library.set_groups({2: 2})


if __name__ == "__main__":
    main()
