"""Answers in a line a person can read."""

from __future__ import annotations

from enroll.decision import Decision
from enroll.identify import Answer, FaceAnswer


def to_lines(answer: Answer) -> list[str]:
    """Give one line per face, or one that says why there is none."""
    if answer.error is not None:
        return [f"{answer.photo}: not read: {answer.error}"]
    if not answer.faces:
        return [f"{answer.photo}: no face found"]
    if len(answer.faces) == 1:
        return [f"{answer.photo}: {in_words(answer.faces[0].decision)}"]
    return [f"{answer.photo}: {_place(face)}{in_words(face.decision)}" for face in answer.faces]


def _place(face: FaceAnswer) -> str:
    if face.box is None:
        return ""
    x, y, width, height = face.box
    return f"face at {x},{y} of {width}x{height}: "


def in_words(decision: Decision) -> str:
    """Say who it is, how near, and if unknown, why."""
    if decision.distance is None:
        return "unknown (the gallery is empty)"
    if decision.identity is not None:
        return f"{decision.identity} (distance {decision.distance:.3f}, threshold {decision.threshold:.3f})"
    nearest = decision.candidates[0]
    if decision.reason == "taken":
        return f"unknown (nearest {nearest.identity} at {nearest.distance:.3f}, nearer to another face)"
    if decision.reason == "ambiguous":
        second = decision.candidates[1]
        return (
            f"unknown ({nearest.identity} at {nearest.distance:.3f} and {second.identity} at "
            f"{second.distance:.3f} are too close to call)"
        )
    return (
        f"unknown (nearest {nearest.identity} at {nearest.distance:.3f}, threshold {decision.threshold:.3f})"
    )
