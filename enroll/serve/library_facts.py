"""Convert a photo library to dicts for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from enroll.serve.api import PREFIX
from enroll.serve.library import last_step

if TYPE_CHECKING:
    from enroll.library.find import Sighting
    from enroll.library.grouping import Group
    from enroll.library.people import Library
    from enroll.library.suggest import Suggestion
    from enroll.library.suggesting import GroupName
    from enroll.store.library import Step

ROOT = f"{PREFIX}/library"


def sighting_facts(one: Sighting) -> dict[str, Any]:
    """Convert a person in a photo to a dict for JSON."""
    return {
        "face": one.face,
        "photo": one.photo.name,
        "date": one.date,
        "state": one.state,
        "distance": None if one.distance is None else round(one.distance, 4),
        "crop": f"{ROOT}/faces/{one.face}/crop",
        "whole": f"{ROOT}/faces/{one.face}/photo",
    }


def state_facts(library: Library) -> dict[str, Any]:
    """Convert the counts of a library to a dict for JSON."""
    left_out, known = library.probably_ignored(), library.reviewed
    unknown = [face.number for face in library.unknown() if face.number not in left_out]
    last = last_step(library)
    return {
        "photos": len(library.photos),
        "missing": library.missing,
        "faces": len(library.faces),
        "unknown": len(unknown),
        "confirmed": sum(face in library.faces for face in library.names),
        "probably_ignored": len(left_out),
        "ignored": len(known.ignored & library.faces.keys()),
        "not_faces": len(known.objects & library.faces.keys()),
        "ungrouped": sum(library.group_of(face) is None for face in unknown),
        "stale": library.stale,
        "command": None if library.photos else "embed library scan FOLDER --gallery FILE",
        "last": step_facts(library, last) if last else None,
    }


def step_facts(library: Library, step: Step) -> dict[str, Any]:
    """Convert a decision to a dict for JSON."""
    content = step.content
    return {
        "number": step.number,
        "at": content.get("at"),
        "by": content.get("by"),
        "what": library.describe(step),
    }


def group_facts(library: Library, group: Group, faces: Sequence[int]) -> dict[str, Any]:
    """Convert a group, with some of its faces, to a dict for JSON.

    Args:
        library: of the group.
        group: the group.
        faces: numbers of the faces to include.
    """
    return {
        "id": group.id,
        "size": len(group.faces),
        "faces": [face_facts(library, number) for number in faces],
        "names": [],
    }


def face_facts(library: Library, number: int, reason: dict[str, Any] | None = None) -> dict[str, Any]:
    """Convert a face to a dict for JSON.

    Args:
        library: of the face.
        number: of the face.
        reason: why a name is suggested for it, from `reasons_of`.
    """
    face, known, people = library.faces[number], library.reviewed, library.people()
    photo = library.photos[face.photo]
    return {
        "face": number,
        "photo": library.path(face).name,
        "date": library.when(photo),
        "box": list(face.box),
        "size": [photo.width, photo.height],
        "state": library.state(number),
        "like": like_facts(library, number),
        "name": library.names.get(number),
        "source": known.sources.get(number),
        "refused": sorted(people[person] for person in known.refused.get(number, ()) if person in people),
        "poor": library.quality_problem(face),
        "group": library.group_of(number),
        "crop": f"{ROOT}/faces/{number}/crop",
        "whole": f"{ROOT}/faces/{number}/photo",
        "suggestion": reason,
    }


def like_facts(library: Library, number: int) -> dict[str, Any] | None:
    """Convert the ignored face that a face is most like to a dict for JSON; None if there is none."""
    like = library.probably_ignored().get(number)
    if like is None:
        return None
    photo = library.path(library.faces[like]).name
    return {"face": like, "photo": photo, "crop": f"{ROOT}/faces/{like}/crop"}


def name_facts(
    library: Library, names: Sequence[GroupName], first: str | None = None
) -> list[dict[str, Any]]:
    """Convert names for a group of faces, and their evidence, to dicts for JSON.

    Args:
        library: of the faces.
        names: for the group.
        first: name to be listed first, if it is among them.
    """
    names = sorted(names, key=lambda one: one.nearest.name != first)
    nearest = dict(enumerate(one.nearest for one in names))
    threshold = names[0].nearest.threshold if names else 0.0
    reasons = reasons_of(library, nearest, threshold)
    return [{**reasons[place], "faces": one.faces} for place, one in enumerate(names)]


def reasons_of(
    library: Library, suggested: Mapping[int, Suggestion], threshold: float
) -> dict[int, dict[str, Any]]:
    """Convert the evidence of suggested names to dicts for JSON, by the number of the face.

    Args:
        library: of the faces.
        suggested: by the number of the face.
        threshold: largest distance at which a name is suggested.
    """
    photos = library.store.photos([one.template for one in suggested.values()])
    return {
        number: {
            "name": one.name,
            "distance": round(one.distance, 4),
            "threshold": round(threshold, 4),
            "second": None if one.second is None else round(one.second, 4),
            "nearest": {
                "id": str(one.template),
                "photo": photo.partition("#xywh=")[0].replace("\\", "/").rpartition("/")[2],
                "crop": f"{PREFIX}/people/{quote(one.name, safe='')}/photos/{one.template}/crop",
            }
            if photo
            else None,
        }
        for (number, one), photo in zip(suggested.items(), photos, strict=True)
    }
