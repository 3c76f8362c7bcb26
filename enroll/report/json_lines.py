"""One JSON object per photo; the field names are stable."""

from __future__ import annotations

import json
from dataclasses import asdict

from enroll.identify import Answer
from enroll.promise import Basis


def to_json(answer: Answer, basis: Basis | None = None) -> str:
    """Give the line of `embed identify --json`, pure ASCII so that any terminal or pipe carries it.

    Args:
        answer: of one photo.
        basis: what the threshold rests on.
    """
    return json.dumps(
        {
            "photo": answer.photo,
            "error": answer.error,
            "promise": basis.facts() if basis else None,
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
        },
        allow_nan=False,
    )
