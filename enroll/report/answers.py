"""Write the answers of identify: as lines, as an explanation, or as JSON.

The field names of the JSON are stable.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from embedder.config import QualityLimits
from embedder.faces.crop import in_short
from embedder.faces.quality import Quality, rejection_reason
from enroll.decision import Decision
from enroll.gallery.threshold import ThresholdSource
from enroll.identify import FaceResult, PhotoResult


def to_lines(answer: PhotoResult) -> list[str]:
    """Return one line per face, or one that says why there is none."""
    if answer.error is not None:
        return [f"{answer.photo}: not read: {answer.error}"]
    if not answer.faces:
        return [f"{answer.photo}: {in_short(answer.no_face) or 'no face found'}"]
    places = [""] if len(answer.faces) == 1 else [_place(face) for face in answer.faces]
    return [
        f"{answer.photo}: {place}{describe(face.decision, face.confidence)}"
        for place, face in zip(places, answer.faces, strict=True)
    ]


def explain(answer: PhotoResult, basis: ThresholdSource) -> list[str]:
    """List, per face, the evidence for and against the answer.

    Nothing for a photo without faces.
    """
    lines = []
    for face in answer.faces:
        lines.append(f"{answer.photo}: {_place(face)}{describe(face.decision, face.confidence)}")
        lines.append(f"  why: {reason_in_words(face.decision)}")
        if face.decision.distance is not None and face.decision.second is not None:
            margin = face.decision.second - face.decision.distance
            second = face.decision.candidates[1].identity
            lines.append(f"  margin: the next person, {second}, is {margin:.3f} farther")
        lines.append(f"  {basis.describe()}")
        if face.quality is not None:
            lines.append(f"  face: {quality_in_words(face.quality)}")
        lines += [f"  near: {near.distance:.3f}  {near.identity}  {near.path}" for near in face.neighbours]
    return lines or to_lines(answer)


def reason_in_words(decision: Decision) -> str:
    """Describe why a face is named or not."""
    if decision.distance is None:
        return "no one is enrolled"
    nearest = decision.candidates[0].identity
    near = f"the nearest enrolled photo is {nearest}'s, at {decision.distance:.3f}"
    return {
        "match": f"{near}, within the threshold of {decision.threshold:.3f}",
        "too_far": f"{near}, beyond the threshold of {decision.threshold:.3f}",
        "ambiguous": f"{near}, but another person is nearly as near",
        "taken": f"{near}, but another face of the photo is nearer to {nearest}, who is there once",
        "few_frames": f"{near}, but too few frames say so on their own",
        "disputed": f"{near}, but too many frames name someone else",
    }[decision.reason]


def quality_in_words(quality: Quality) -> str:
    """Describe how well a face can be recognized, and what is wrong with it."""
    poor = rejection_reason(quality, QualityLimits())
    facts = (
        f"{quality.size:.0f} pixels, sharpness {quality.sharpness:.2f}, brightness {quality.brightness:.2f}, "
        f"turned aside {quality.yaw:z.0f}°, tilted {quality.roll:z.0f}°, "
        f"{100 * quality.visible:.0f} % visible, detector {quality.score:.2f}"
    )
    return f"{facts}; {poor}" if poor else facts


def _place(face: FaceResult) -> str:
    if face.box is None:
        return ""
    x, y, width, height = face.box
    return f"face at {x},{y} of {width}x{height}: "


def describe(decision: Decision, confidence: float | None = None) -> str:
    """Describe an answer: the name, distance and probability, and if unknown, why."""
    if decision.distance is None:
        return "unknown (the gallery is empty)"
    if decision.identity is not None:
        sure = "" if confidence is None else f", {_percent(confidence)} sure"
        near = f"distance {decision.distance:.3f}, threshold {decision.threshold:.3f}"
        return f"{decision.identity} ({near}{sure})"
    nearest = decision.candidates[0]
    if decision.reason == "taken":
        return (
            f"unknown (nearest {nearest.identity} at {nearest.distance:.3f}, already matched to another face "
            "in this photo)"
        )
    if decision.reason == "ambiguous":
        second = decision.candidates[1]
        return (
            f"unknown ({nearest.identity} at {nearest.distance:.3f} and {second.identity} at "
            f"{second.distance:.3f} are too close to call)"
        )
    if decision.reason in ("few_frames", "disputed"):
        why = "too few frames agree" if decision.reason == "few_frames" else "frames disagree"
        return f"unknown (nearest {nearest.identity} at {nearest.distance:.3f}, but {why})"
    return (
        f"unknown (nearest {nearest.identity} at {nearest.distance:.3f}, threshold {decision.threshold:.3f})"
    )


def _percent(probability: float) -> str:
    """Format a probability, never rounded to certainty."""
    for digits in range(4):
        text = f"{100 * probability:.{digits}f}"
        if float(text) not in (0, 100):
            return f"{text} %"
    return "more than 99.999 %" if probability > 0.5 else "less than 0.001 %"


def to_json(answer: PhotoResult, basis: ThresholdSource | None = None) -> str:
    """Convert to the line of `embed identify --json`, pure ASCII so that any terminal or pipe carries it.

    Args:
        answer: for one photo.
        basis: the threshold and its evidence.
    """
    return json.dumps(
        {
            "photo": answer.photo,
            "error": answer.error,
            "promise": basis.to_dict() if basis else None,
            "faces": [
                {
                    "box": list(face.box) if face.box else None,
                    "points": [[round(x, 1), round(y, 1)] for x, y in face.points.tolist()]
                    if face.points is not None
                    else None,
                    "quality": asdict(face.quality) if face.quality else None,
                    "identity": face.decision.identity,
                    "reason": face.decision.reason,
                    "distance": face.decision.distance,
                    "confidence": face.confidence,
                    "threshold": face.decision.threshold,
                    "candidates": [
                        {"identity": candidate.identity, "distance": candidate.distance}
                        for candidate in face.decision.candidates
                    ],
                    "neighbours": [asdict(photo) for photo in face.neighbours],
                }
                for face in answer.faces
            ],
            "notes": list(answer.notes),
            "no_face": in_short(answer.no_face),
        },
        allow_nan=False,
    )
