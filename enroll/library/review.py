"""Derive the state of faces from the decisions of users. Pure: decisions in, states out.

Every decision is a step; a step that was undone does not count, and neither is ever deleted. So each can be
undone, also after a restart, and a refused name stays refused whatever is scanned, grouped or merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from embedder._internal.wording import count
from enroll.store.library import Step

State = Literal["unseen", "probably-ignored", "confirmed", "ignored", "not-a-face"]

CONFIRM, REJECT, IGNORE, NOT_A_FACE = "confirm", "reject", "ignore", "not-a-face"
UNKNOWN, TOGETHER, APART, MERGE, UNDO = "unknown", "together", "apart", "merge", "undo"
USER, IMPORTED = "user", "import"


@dataclass
class Reviewed:
    """Holds the state of all faces, by their numbers.

    Attributes:
        names: id of the person of each confirmed face.
        sources: where each name comes from: user or import.
        ignored: strangers, left out of groups and suggestions.
        objects: those that are no faces.
        kept: faces that a user made unknown: they are not taken for ignored ones.
        refused: ids of the people that a face is not.
        together: pairs of faces of one person without a name.
        apart: pairs of faces of two people.
        merged: id of the person that another one was merged into.
        open: the steps that can be undone, oldest first.
    """

    names: dict[int, int] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)
    objects: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    refused: dict[int, set[int]] = field(default_factory=dict)
    together: list[tuple[int, int]] = field(default_factory=list)
    apart: list[tuple[int, int]] = field(default_factory=list)
    merged: dict[int, int] = field(default_factory=dict)
    open: list[Step] = field(default_factory=list)

    def state(self, face: int) -> State:
        """Return the state of a face by decisions; what is only probable is found elsewhere."""
        if face in self.names:
            return "confirmed"
        if face in self.ignored:
            return "ignored"
        return "not-a-face" if face in self.objects else "unseen"

    def is_unknown(self, face: int) -> bool:
        """Return whether a face waits for a name."""
        return self.state(face) == "unseen"

    def person(self, number: int) -> int:
        """Return the current id of a person, after merges."""
        seen = set()
        while number in self.merged and number not in seen:
            seen.add(number)
            number = self.merged[number]
        return number


def reviewed(steps: Iterable[Step]) -> Reviewed:
    """Derive the state after all decisions.

    Args:
        steps: oldest first.

    Example:
        >>> steps = [Step(1, 0, {"do": "confirm", "faces": [5], "person": 2}),
        ...          Step(2, 0, {"do": "undo", "of": 1})]
        >>> reviewed(steps).names
        {}
    """
    steps = list(steps)
    undone = _undone(steps)
    found = Reviewed()
    for step in steps:
        if step.content["do"] == UNDO:
            if "person" in step.content:  # a merge was undone: the separated person has a new id
                found.merged[step.content["other"]] = step.content["person"]
        elif step.number not in undone:
            _apply(found, step.content)
            found.open.append(step)
    _settle(found)
    return found


def follow(found: Reviewed, step: Step) -> bool:
    """Apply one more step to a state.

    Return False if all have to be applied again, as it takes one back.

    Args:
        found: state after all steps before; it is changed.
        step: the next one.
    """
    if step.content["do"] == UNDO:
        return False
    _apply(found, step.content)
    found.open.append(step)
    if step.content["do"] == MERGE:
        _settle(found)
    return True


def _settle(found: Reviewed) -> None:
    """Replace the ids of merged people by those they were merged into."""
    found.names = {face: found.person(person) for face, person in found.names.items()}
    found.refused = {
        face: {found.person(person) for person in people} for face, people in found.refused.items() if people
    }


def _undone(steps: Sequence[Step]) -> set[int]:
    return {step.content["of"] for step in steps if step.content["do"] == UNDO}


def _apply(found: Reviewed, content: Mapping[str, Any]) -> None:
    action, faces = content["do"], content.get("faces", ())
    if action == MERGE:
        found.merged[content["other"]] = content["kept"]
        return
    if action == TOGETHER:
        found.together += pairwise(faces)
        return
    if action == APART:
        found.apart += [(one, other) for one in faces for other in content["others"]]
        found.together = [pair for pair in found.together if not _across(pair, faces, content["others"])]
        return
    for face in faces:
        if action == REJECT:
            found.refused.setdefault(face, set()).add(content["person"])
            if found.person(found.names.get(face, 0)) != found.person(content["person"]):
                continue
        found.names.pop(face, None)
        found.sources.pop(face, None)
        if action != REJECT:
            found.ignored.discard(face)
            found.objects.discard(face)
            found.kept.discard(face)
        if action == CONFIRM:
            found.names[face] = content["person"]
            found.sources[face] = content.get("source", USER)
            whose = found.person(content["person"])
            refused = found.refused.get(face, set())
            refused -= {person for person in refused if found.person(person) == whose}
        elif action == IGNORE:
            found.ignored.add(face)
        elif action == NOT_A_FACE:
            found.objects.add(face)
        elif action == UNKNOWN:
            found.kept.add(face)


def _across(pair: tuple[int, int], faces: Sequence[int], others: Sequence[int]) -> bool:
    one, other = pair
    return (one in faces and other in others) or (one in others and other in faces)


def describe(content: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Describe a step in one line.

    Args:
        content: of the step.
        names: of people who are enrolled, by id.
    """
    faces = count(len(content.get("faces", ())), "face")
    others = count(len(content.get("others", ())), "other")
    person = names.get(content.get("person", 0), "someone who was removed")
    action = content["do"]
    if action == MERGE:
        return f"merge {content['name']} into {names.get(content['kept'], 'someone who was removed')}"
    words = {
        CONFIRM: f"confirm {faces} as {person}",
        REJECT: f"{faces}: not {person}",
        IGNORE: f"ignore {faces}",
        NOT_A_FACE: f"{faces}: no faces",
        UNKNOWN: f"{faces}: unknown again",
        TOGETHER: f"{faces} of one person",
        APART: f"{faces} are not the same person as {others}",
    }
    return words.get(action, f"undo step {content.get('of')}")
