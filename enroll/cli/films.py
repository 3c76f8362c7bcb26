"""Run `embed identify` on films and cameras; loaded only where there are some."""

from __future__ import annotations

import json
from collections.abc import Iterator

from enroll.cli.streams import output_was_lost
from enroll.cli.terminal import printable
from enroll.gallery.threshold import ThresholdSource
from enroll.library.camera import Camera
from enroll.library.film import FilmIdentifier
from enroll.library.live import CameraEvent, Watch
from enroll.report import film as report
from enroll.sightings import FilmAnswer


def show_answer(answer: FilmAnswer, basis: ThresholdSource, as_json: bool, explain: bool) -> None:
    """Print the answer for a film."""
    lines = report.explain(answer, basis) if explain else report.to_lines(answer)
    for line in [report.to_json(answer, basis)] if as_json else map(printable, lines):
        print(line, flush=True)


def watch_camera(
    identifier: FilmIdentifier, camera: Camera, seconds: float | None, as_json: bool
) -> Iterator[str | None]:
    """Print who is seen and who leaves.

    Args:
        identifier: answers frames.
        camera: to be watched.
        seconds: how long; None: until it ends.
        as_json: print JSON.

    Yields:
        The name of each person, None for unknown, when they leave.
    """
    watch = Watch(identifier)

    def show(event: CameraEvent) -> str | None:
        print(_json(event, camera.name) if as_json else printable(_line(event, camera.name)), flush=True)
        return event.person.identity

    with camera:
        try:
            for event in watch.events(camera.frames(seconds)):
                name = show(event)
                if event.kind == "left":
                    yield name
                if output_was_lost():
                    return
        except KeyboardInterrupt:  # Ctrl-C is how a camera is stopped: print who is in sight first
            for event in watch.close():
                show(event)
            raise


def _line(event: CameraEvent, camera: str) -> str:
    return f"{event.moment:%H:%M:%S} {camera}: {event.kind}: {report.person_in_words(event.person)}"


def _json(event: CameraEvent, camera: str) -> str:
    facts = {
        "event": event.kind,
        "camera": camera,
        "moment": event.moment.isoformat(timespec="milliseconds"),
        "person": report.person_facts(event.person),
    }
    return json.dumps(facts, allow_nan=False)


save_sheet = report.save_sheet
