from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from embedder.faces.quality import Quality
from enroll.decision import Candidate, Decision, Reason, decide, one_face_per_person
from enroll.identify import FaceResult, PhotoResult
from enroll.report.answers import describe, quality_in_words, to_json, to_lines

ADA, BOB = Candidate("ada", 0.41), Candidate("bob", 0.88)
DECISIONS: dict[str, tuple[Decision, str]] = {
    "match": (decide([ADA, BOB], 0.62), "ada (distance 0.410, threshold 0.620)"),
    "too_far": (decide([ADA, BOB], 0.3), "unknown (nearest ada at 0.410, threshold 0.300)"),
    "ambiguous": (
        decide([ADA, BOB], 0.62, 0.5),
        "unknown (ada at 0.410 and bob at 0.880 are too close to call)",
    ),
    "taken": (
        one_face_per_person([decide([Candidate("ada", 0.2)], 0.62), decide([ADA, BOB], 0.62)])[1],
        "unknown (nearest ada at 0.410, already matched to another face in this photo)",
    ),
    "empty_gallery": (decide([], 0.62), "unknown (the gallery is empty)"),
    "few_frames": (
        replace(decide([ADA, BOB], 0.62), identity=None, reason="few_frames"),
        "unknown (nearest ada at 0.410, but too few frames agree)",
    ),
    "disputed": (
        replace(decide([ADA, BOB], 0.62), identity=None, reason="disputed"),
        "unknown (nearest ada at 0.410, but frames disagree)",
    ),
}


def answer(*decisions: Decision, photo: str = "a.jpg") -> PhotoResult:
    return PhotoResult(photo, None, tuple(FaceResult(None, decision) for decision in decisions))


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_has_its_words(reason: str) -> None:
    decision, words = DECISIONS[reason]
    assert decision.reason == reason
    assert describe(decision) == words
    assert to_lines(answer(decision)) == [f"a.jpg: {words}"]


def test_text_has_one_line_per_face() -> None:
    both = answer(DECISIONS["match"][0], DECISIONS["too_far"][0])
    assert [line.split(" (")[0] for line in to_lines(both)] == ["a.jpg: ada", "a.jpg: unknown"]


def test_a_face_that_is_upright_has_no_angle_with_a_minus() -> None:
    words = quality_in_words(Quality(80.0, 1.0, 0.5, 0.5, -0.4, -0.1, 0.99))
    assert "turned aside 0°, tilted 0°" in words


def test_text_of_several_faces_says_where_each_is() -> None:
    (match, named), (taken, unknown) = DECISIONS["match"], DECISIONS["taken"]
    faces = FaceResult((1, 2, 30, 40), match), FaceResult((50, 0, 9, 9), taken)
    assert to_lines(PhotoResult("a.jpg", None, faces)) == [
        f"a.jpg: face at 1,2 of 30x40: {named}",
        f"a.jpg: face at 50,0 of 9x9: {unknown}",
    ]
    assert to_lines(PhotoResult("a.jpg", None, faces[:1])) == [f"a.jpg: {named}"]  # one needs no place


def test_text_of_a_photo_without_an_answer() -> None:
    assert to_lines(PhotoResult("a.jpg", "the file is empty", ())) == ["a.jpg: not read: the file is empty"]
    assert to_lines(PhotoResult("a.jpg", None, ())) == ["a.jpg: no face found"]
    why = "no face found: the picture is dark; --min-face looks for smaller ones"
    assert to_lines(PhotoResult("a.jpg", None, (), no_face=why)) == [
        "a.jpg: no face found: the picture is dark"
    ]


def test_json_as_designed() -> None:
    points = np.array([[10.04, 12], [20.06, 12], [15, 20], [15, 30.25]])
    quality = Quality(30.5, 1.0, 0.25, 0.5, -3.5, 0.0, 0.99)
    photo = PhotoResult(
        "a.jpg", None, (FaceResult((1, 2, 30, 40), decide([ADA, BOB], 0.62), points, quality),)
    )
    assert to_json(photo) == (
        '{"photo": "a.jpg", "error": null, "promise": null, "faces": [{"box": [1, 2, 30, 40], '
        '"points": [[10.0, 12.0], [20.1, 12.0], [15.0, 20.0], [15.0, 30.2]], '
        '"quality": {"size": 30.5, "visible": 1.0, "sharpness": 0.25, "brightness": 0.5, "yaw": -3.5, '
        '"roll": 0.0, "score": 0.99}, "identity": "ada", "reason": "match", '
        '"distance": 0.41, "confidence": null, "threshold": 0.62, "candidates": '
        '[{"identity": "ada", "distance": 0.41}, {"identity": "bob", "distance": 0.88}], '
        '"neighbours": []}], "notes": [], "no_face": null}'
    )


@pytest.mark.parametrize("reason", get_args(Reason))
def test_json_of_every_reason(reason: str) -> None:
    (face,) = json.loads(to_json(answer(DECISIONS[reason][0])))["faces"]
    assert face["reason"] == reason
    assert (face["box"], face["points"], face["quality"]) == (None, None, None)
    assert face["identity"] == ("ada" if reason == "match" else None)
    assert face["distance"] == (None if reason == "empty_gallery" else 0.41)
    assert type(face["threshold"]) is float
    assert [candidate["identity"] for candidate in face["candidates"]] == (
        [] if reason == "empty_gallery" else ["ada", "bob"]
    )


def test_json_of_a_photo_without_an_answer() -> None:
    broken = json.loads(to_json(PhotoResult("a.jpg", "the file is empty", ())))
    rest = {"promise": None, "faces": [], "notes": []}
    assert broken == {"photo": "a.jpg", "error": "the file is empty", "no_face": None, **rest}
    why = "no face found: the picture is dark; --min-face looks for smaller ones"
    none = json.loads(to_json(PhotoResult("a.jpg", None, (), no_face=why)))
    assert none == {"photo": "a.jpg", "error": None, "no_face": "no face found: the picture is dark", **rest}
    cut = json.loads(to_json(PhotoResult("a.jpg", None, (), notes=("cut",))))
    assert cut["notes"] == ["cut"]


@pytest.mark.parametrize("name", ['Zoë "名"', "two\nlines\r\u2028\u0085.jpg", "not utf-8 \udce9", "\x1b[2J"])
def test_json_is_one_ascii_line_that_gives_the_name_back(name: str) -> None:
    line = to_json(answer(decide([Candidate(name, 0.1)], 0.5), photo=name))
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert (read["photo"], read["faces"][0]["identity"]) == (name, name)


def test_json_gives_distances_back_to_the_last_bit() -> None:
    distance = math.nextafter(0.3, 1)
    (face,) = json.loads(to_json(answer(decide([Candidate("ada", distance)], 0.62))))["faces"]
    assert face["distance"] == face["candidates"][0]["distance"] == distance


def test_json_never_holds_what_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(answer(decide([Candidate("ada", math.nan)], 0.62)))
