"""Write answers for films: a line per person, an explanation, JSON, or a sheet of the best frames.

The field names of the JSON are stable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from embedder._internal.outputs import Inputs
from embedder._internal.wording import count
from embedder.contact_sheet import Tile, save_preview
from embedder.errors import UsageError
from enroll.agreement import Agreement
from enroll.gallery.threshold import ThresholdSource
from enroll.report.annotate import annotated_name
from enroll.report.answers import describe, quality_in_words, reason_in_words
from enroll.sightings import FilmAnswer, PersonSeen, Sighting


def to_lines(answer: FilmAnswer) -> list[str]:
    """Return one line per person, one for all faces that are too poor, or one that says why there is none."""
    if answer.error is not None:
        return [f"{answer.film}: not read: {answer.error}"]
    if not answer.people:
        return [f"{answer.film}: no face found in {count(answer.looked_at, 'frame', ',')}"]
    lines = [f"{answer.film}: {person_in_words(person)}" for person in answer.people if not _too_poor(person)]
    if poor := [person for person in answer.people if _too_poor(person)]:
        first, last = min(one.intervals[0][0] for one in poor), max(one.intervals[-1][1] for one in poor)
        lines.append(
            f"{answer.film}: {count(len(poor), 'face')} too poor to be recognized, "
            f"between {clock(first)} and {clock(last)}"
        )
    return lines


def explain(answer: FilmAnswer, basis: ThresholdSource) -> list[str]:
    """List, per person, the evidence for and against the answer."""
    lines = []
    for person in answer.people:
        lines.append(f"{answer.film}: {person_in_words(person)}")
        lines.append(f"  why: {_why(person.agreement)}")
        lines.append(f"  frames: {_frames(person.agreement)}")
        lines.append(f"  {basis.describe()}")
        best = person.best[0]
        if best.quality is not None:
            lines.append(f"  best frame: {clock(best.seconds)}, {quality_in_words(best.quality)}")
    return lines or to_lines(answer)


def person_in_words(person: PersonSeen) -> str:
    """Describe an answer: the name, the times, and how many frames agree."""
    agreement = person.agreement
    decision = agreement.decision
    who = describe(decision, person.confidence if decision.identity is not None else None)
    times = ", ".join(f"{clock(start)}-{clock(end)}" for start, end in person.intervals)
    agreed = f"{agreement.agreed} of {count(agreement.good, 'good frame', ',')} agree"
    return f"{who}; {times}; {agreed}; best at {clock(person.best[0].seconds)}"


def clock(seconds: float) -> str:
    """Format a time of a film as h:mm:ss.mmm.

    Example:
        >>> clock(3725.5)
        '1:02:05.500'
    """
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def to_json(answer: FilmAnswer, basis: ThresholdSource | None = None) -> str:
    """Convert to the line of `embed identify --json` for a film, pure ASCII.

    Args:
        answer: for one film.
        basis: the threshold and its evidence.
    """
    return json.dumps(
        {
            "film": answer.film,
            "error": answer.error,
            "promise": basis.to_dict() if basis else None,
            "seconds": round(answer.seconds, 3),
            "looked_at": answer.looked_at,
            "people": [person_facts(person) for person in answer.people],
            "notes": list(answer.notes),
        },
        allow_nan=False,
    )


def person_facts(person: PersonSeen) -> dict[str, Any]:
    """Convert the answer for one person to a dict for JSON."""
    decision, best = person.agreement.decision, person.best[0]
    return {
        "identity": decision.identity,
        "reason": decision.reason,
        "distance": decision.distance,
        "confidence": person.confidence,
        "threshold": decision.threshold,
        "candidates": [
            {"identity": candidate.identity, "distance": candidate.distance}
            for candidate in decision.candidates
        ],
        "intervals": [[round(start, 3), round(end, 3)] for start, end in person.intervals],
        "frames": person.agreement.frames,
        "good": person.agreement.good,
        "agreed": person.agreement.agreed,
        "against": person.agreement.against,
        "best": {
            "seconds": round(best.seconds, 3),
            "box": list(best.box) if best.box else None,
            "points": [[round(x, 1), round(y, 1)] for x, y in best.points.tolist()]
            if best.points is not None
            else None,
            "quality": asdict(best.quality) if best.quality else None,
        },
    }


def save_sheet(folder: Path, answer: FilmAnswer, inputs: Inputs, force: bool) -> Path:
    """Write the contact sheet of a film: a row per person, their best frames with the times.

    Args:
        folder: made if missing.
        answer: with pictures of the best frames.
        inputs: files that are never replaced.
        force: replace a file that exists.

    Raises:
        UsageError: the file exists and `force` is not given, or it cannot be written.
    """
    path = folder / f"{annotated_name(answer.film)}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}") from error
    save_preview(path, sheet_tiles(answer), inputs, force)
    return path


def sheet_tiles(answer: FilmAnswer) -> Iterator[Tile]:
    """Yield the tiles of a film's contact sheet; unknown people are numbered."""
    unknown = 0
    for person in answer.people:
        name = person.identity
        if name is None:
            unknown += 1
            name = f"unknown {unknown}"
        for number, sighting in enumerate(person.best):
            problem = _problem(person) if not number else None
            yield Tile(name, sighting.crop, _caption(sighting), problem)


def _caption(sighting: Sighting) -> str:
    return clock(sighting.seconds)


def _problem(person: PersonSeen) -> str | None:
    decision = person.agreement.decision
    if decision.identity is not None:
        return None
    if _too_poor(person):
        return "too poor"
    if decision.candidates and decision.reason != "too_far":
        return f"{decision.candidates[0].identity}? {decision.reason.replace('_', ' ')}"
    return "too far from everyone"


def _why(agreement: Agreement) -> str:
    decision = agreement.decision
    nearest = decision.candidates[0].identity if decision.candidates else None
    if decision.reason == "few_frames":
        good = count(agreement.good, "good frame", ",")
        return f"together the frames look like {nearest}, but only {agreement.agreed} of {good} on its own"
    if decision.reason == "disputed":
        return (
            f"{count(agreement.agreed, 'good frame')} for {nearest}, but {agreement.against} for someone else"
        )
    if decision.reason == "taken":
        return f"together the frames look like {nearest}, who is in sight elsewhere at the same time"
    return reason_in_words(decision)


def _frames(agreement: Agreement) -> str:
    return (
        f"seen in {agreement.frames}, {agreement.good} of them good; {agreement.agreed} give this answer on "
        f"their own, {agreement.against} another name"
    )


def _too_poor(person: PersonSeen) -> bool:
    return person.identity is None and not person.agreement.good
