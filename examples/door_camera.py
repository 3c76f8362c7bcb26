"""Say who comes to the door, and when: of a film, or of a camera.

    python examples/door_camera.py [FILM] [PEOPLE]

PEOPLE/<person>/<photos> are those who are expected. Without arguments a film is made (extra `demo`): someone
of ORL who is enrolled walks past, then someone who is not. Needs the extra `video`.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import av
import numpy as np
from PIL import Image

import embedder
from embedder.folders import write_dataset
from enroll import Gallery
from enroll.library.film import FilmIdentifier

SIZE, RATE, SECONDS = (640, 360), 8, 4  # pixels, frames a second, for which each person is seen


def main(film: Path, people: Path, scratch: Path) -> None:
    """Enroll who is expected, look at the film, and say who was there."""
    extractor = embedder.Extractor.load()
    with Gallery.open(scratch / "gallery.db", extractor) as gallery:
        for person in sorted(people.iterdir()):
            gallery.enroll(person.name, sorted(person.iterdir()))
        answer = FilmIdentifier(extractor, gallery).identify(film)
    for person in answer.people:
        for start, end in person.intervals:
            times = " to ".join(str(timedelta(seconds=round(at))) for at in (start, end))
            print(f"{times}: {person.identity or 'someone unknown'} ({person.agreement.decision.reason})")


def make_film(folder: Path) -> tuple[Path, Path]:
    """Make a film of two people who walk past, and a folder of the one who is expected."""
    write_dataset("orl", folder / "orl")
    ada, stranger = (sorted((folder / "orl" / name).iterdir()) for name in ("s01", "s20"))
    for number, photo in enumerate(ada[:5]):
        (folder / "people" / "ada").mkdir(parents=True, exist_ok=True)
        (folder / "people" / "ada" / f"{number}.pgm").write_bytes(photo.read_bytes())
    with av.open(folder / "door.mp4", "w") as film:
        stream = film.add_stream("h264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for photos in (ada[5:], stranger[5:]):
            for number in range(RATE * SECONDS):
                frame = Image.new("RGB", SIZE, (96, 104, 96))
                head = embedder.load_image(photos[number // (RATE // 2) % len(photos)])
                frame.paste(Image.fromarray(head).resize((184, 224)), (40 + number * 12, 70))
                film.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        film.mux(stream.encode(None))
    return folder / "door.mp4", folder / "people"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        given = (Path(sys.argv[1]), Path(sys.argv[2])) if len(sys.argv) > 2 else make_film(Path(made))
        main(*given, Path(made))
